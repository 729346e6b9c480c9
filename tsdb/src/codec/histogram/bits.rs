//! Writes a bit string, first bit on top, at the end of a byte vector.

/// Appends bits to bytes; [`BitWriter::finish`] fills up the last byte.
#[derive(Debug)]
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Unfinished bits, at the low end.
    pending: u64,
    pending_bits: u32,
}

impl<'a> BitWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, pending: 0, pending_bits: 0 }
    }

    /// Adds the low `n` bits of `value`, 0 to 64; the others must be zero.
    pub(super) fn put(&mut self, value: u64, n: u32) {
        if n > 32 {
            self.put(value >> 32, n - 32);
            return self.put(value & 0xffff_ffff, 32);
        }
        debug_assert!(value >> n == 0, "BUG: {n} bits of {value}");
        self.pending = self.pending << n | value;
        self.pending_bits += n;
        while self.pending_bits >= 8 {
            self.pending_bits -= 8;
            self.out.push((self.pending >> self.pending_bits) as u8);
        }
        self.pending &= (1 << self.pending_bits) - 1;
    }

    /// Fills up the last byte with zeros.
    pub(super) fn finish(mut self) {
        if self.pending_bits > 0 {
            self.put(0, 8 - self.pending_bits);
        }
    }
}
