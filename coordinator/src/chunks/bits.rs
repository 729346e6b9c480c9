//! Bits from the highest to the lowest, and the codes that chunks have for numbers.

/// Appends bits to bytes. What was pushed is in the bytes after [`BitWriter::finish`] only.
#[derive(Debug)]
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Bits that are not in `out` yet, from the highest on.
    pending: u64,
    /// Bits of `pending` that are free, 1 to 64.
    free: u32,
}

impl<'a> BitWriter<'a> {
    /// Appends to `out`.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, pending: 0, free: u64::BITS }
    }

    /// Appends the lowest `count` bits of `bits`, 1 to 64; the others must be 0.
    #[inline]
    #[expect(clippy::big_endian_bytes, reason = "the format has the highest byte first")]
    pub(super) fn push(&mut self, bits: u64, count: u32) {
        if count < self.free {
            self.free -= count;
            self.pending |= bits << self.free;
            return;
        }
        let over = count - self.free;
        self.out.extend_from_slice(&(self.pending | bits >> over).to_be_bytes());
        self.free = u64::BITS - over;
        // The shift in two steps, as one of 64 is none.
        self.pending = bits << (self.free - 1) << 1;
    }

    /// Bytes written so far, those that are not full included.
    pub(super) fn len(&self) -> usize {
        self.out.len() + (u64::BITS - self.free).div_ceil(8) as usize
    }

    /// Fills the last byte with zeros.
    #[expect(clippy::big_endian_bytes, reason = "the format has the highest byte first")]
    pub(super) fn finish(self) {
        let bytes = (u64::BITS - self.free).div_ceil(8) as usize;
        self.out.extend_from_slice(&self.pending.to_be_bytes()[..bytes]);
    }

    /// A prefix of ones and a zero, then the lowest `count` bits of `bits`.
    fn push_prefixed(&mut self, (prefix, prefix_len): (u64, u32), bits: u64, count: u32) {
        self.push(prefix, prefix_len);
        self.push(bits & low_bits(count), count);
    }

    /// A signed number in 1 to 72 bits.
    pub(super) fn push_int(&mut self, n: i64) {
        if n == 0 {
            return self.push(0, 1);
        }
        let bits = n.cast_unsigned();
        match CLASSES.iter().find(|(_, count)| fits(n, *count)) {
            Some(&(prefix, count)) => self.push_prefixed(prefix, bits, count),
            None => self.push_prefixed((0b1111_1111, 8), bits, 64),
        }
    }

    /// An unsigned number in 1 to 72 bits.
    pub(super) fn push_uint(&mut self, n: u64) {
        if n == 0 {
            return self.push(0, 1);
        }
        match CLASSES.iter().find(|(_, count)| n <= low_bits(*count)) {
            Some(&(prefix, count)) => self.push_prefixed(prefix, n, count),
            None => self.push_prefixed((0b1111_1111, 8), n, 64),
        }
    }
}

/// Prefixes of numbers, their lengths, and how many bits follow.
const CLASSES: [((u64, u32), u32); 7] = [
    ((0b10, 2), 3),
    ((0b110, 3), 6),
    ((0b1110, 4), 9),
    ((0b1_1110, 5), 12),
    ((0b11_1110, 6), 18),
    ((0b111_1110, 7), 25),
    ((0b1111_1110, 8), 56),
];

fn low_bits(count: u32) -> u64 {
    u64::MAX.checked_shr(u64::BITS - count).unwrap_or(0)
}

/// Whether a number has `count` bits, where the lowest one of two's complement is given to the
/// highest number instead.
#[inline]
pub(super) fn fits(n: i64, count: u32) -> bool {
    let half = 1i64 << (count - 1);
    -half < n && n <= half
}

/// The code of floats: each is told by its difference to the one before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Xor {
    before: u64,
    /// Zeros in front and behind of the differences of late; more than 64 before the first.
    leading: u32,
    trailing: u32,
}

/// The number of zeros in front has 5 bits.
const LEADING_MAX: u32 = 31;

/// Before there was a difference.
const NONE: u32 = 255;

impl Xor {
    /// The first float is told in full.
    pub(super) fn new(first: f64) -> Self {
        Self { before: first.to_bits(), leading: NONE, trailing: 0 }
    }

    /// Appends the next float.
    #[inline]
    pub(super) fn push(&mut self, v: f64, to: &mut BitWriter<'_>) {
        let bits = v.to_bits();
        let difference = bits ^ self.before;
        self.before = bits;
        if difference == 0 {
            return to.push(0, 1);
        }
        let leading = difference.leading_zeros().min(LEADING_MAX);
        let trailing = difference.trailing_zeros();
        if leading >= self.leading && trailing >= self.trailing {
            to.push(0b10, 2);
            to.push(difference >> self.trailing, u64::BITS - self.leading - self.trailing);
            return;
        }
        (self.leading, self.trailing) = (leading, trailing);
        let count = u64::BITS - leading - trailing;
        // 64 is told as 0, which there is no need to tell.
        to.push(0b11 << 11 | u64::from(leading) << 6 | u64::from(count & 63), 13);
        to.push(difference >> trailing, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(push: impl FnOnce(&mut BitWriter<'_>)) -> String {
        let mut out = Vec::new();
        let mut writer = BitWriter::new(&mut out);
        push(&mut writer);
        let len = writer.len();
        writer.finish();
        assert_eq!(out.len(), len);
        out.iter().map(|b| format!("{b:08b}")).collect()
    }

    #[test]
    fn bits_cross_words() {
        let mut wanted = String::new();
        let made = bits(|w| {
            for i in 0..200u64 {
                let count = u32::try_from(i % 64 + 1).expect("small");
                let n = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) & low_bits(count);
                w.push(n, count);
                let text = format!("{n:064b}");
                wanted.push_str(&text[64 - count as usize..]);
            }
        });
        wanted.extend(std::iter::repeat_n('0', made.len() - wanted.len()));
        assert_eq!(made, wanted);
    }

    #[test]
    fn numbers_have_their_classes() {
        for (n, len) in [(0, 1), (4, 5), (-3, 5), (-4, 9), (5, 9), (32, 9), (33, 13), (256, 13)] {
            let made = bits(|w| {
                w.push_int(n);
                w.push(1, 1);
            });
            assert_eq!(made.rfind('1'), Some(len), "{n}");
        }
        assert_eq!(bits(|w| w.push_int(-1)), "10111000");
        assert_eq!(bits(|w| w.push_uint(7)), "10111000");
        assert!(bits(|w| w.push_uint(8)).starts_with("110001000"));
        assert!(bits(|w| w.push_uint(u64::MAX)).starts_with(&"1".repeat(72)));
        assert!(bits(|w| w.push_int(i64::MIN)).starts_with("111111111000"));
    }
}
