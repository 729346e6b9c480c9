//! Bit strings, most significant bit first: a reader over bytes and a small buffered writer.

/// Bits that [`BitReader::window`] always holds, counted from its top.
pub(crate) const WINDOW_BITS: u32 = 57;

/// The most bits that one [`BitSink::put`] takes.
pub(crate) const PUT_BITS: u32 = 56;

/// Bytes that one [`BitSink::put`] may touch past the ones it completes.
const STORE_BYTES: usize = 8;

/// Reads a bit string of at least eight bytes. Bits past the end read as zero.
///
/// Reading never fails: the caller asks [`BitReader::is_overrun`] once a record, which is much
/// cheaper than a check for each field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    /// Starts at the first bit; `None` if there are fewer than eight bytes.
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() >= STORE_BYTES).then_some(Self { bytes, at: 0 })
    }

    /// Bits read so far, which may be more than there are.
    #[inline(always)]
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Bits not read yet.
    #[inline(always)]
    pub(crate) fn remaining(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.at)
    }

    /// Whether more bits were taken than there are.
    #[inline(always)]
    pub(crate) fn is_overrun(&self) -> bool {
        self.at > self.bytes.len() * 8
    }

    /// The next bits, the first one at the top; at least [`WINDOW_BITS`] of them are right.
    #[inline(always)]
    pub(crate) fn window(&self) -> u64 {
        let byte = self.at >> 3;
        // One comparison: a position in bits leaves no room for `byte + 8` to overflow.
        let chunk = self.bytes.get(byte..byte + STORE_BYTES).and_then(|chunk| chunk.first_chunk());
        let word = match chunk {
            Some(&chunk) => word_of(chunk),
            None => self.last_word(byte),
        };
        word << (self.at & 7)
    }

    /// Moves on by `n` bits.
    #[inline(always)]
    pub(crate) fn skip(&mut self, n: u32) {
        self.at += n as usize;
    }

    /// Takes 64 bits.
    #[inline(always)]
    pub(crate) fn take64(&mut self) -> u64 {
        let high = self.window() >> 32;
        self.skip(32);
        let low = self.window() >> 32;
        self.skip(32);
        high << 32 | low
    }

    /// Takes `n` bits, 0 to 64.
    #[inline(always)]
    pub(crate) fn take(&mut self, n: u32) -> u64 {
        if n <= WINDOW_BITS {
            let bits = (self.window() >> 1) >> (63 - n);
            self.skip(n);
            bits
        } else {
            let high = self.window() >> 32;
            self.skip(32);
            let low = self.window() >> (96 - n);
            self.skip(n - 32);
            high << (n - 32) | low
        }
    }

    /// The word at a byte less than eight bytes before the end, or past it.
    #[inline]
    fn last_word(&self, byte: usize) -> u64 {
        let missing = byte + STORE_BYTES - self.bytes.len();
        match self.bytes.last_chunk() {
            Some(&chunk) if missing < STORE_BYTES => word_of(chunk) << (missing * 8),
            _ => 0,
        }
    }
}

#[inline(always)]
#[expect(clippy::big_endian_bytes, reason = "the format is a bit string, first bit on top")]
fn word_of(chunk: [u8; 8]) -> u64 {
    u64::from_be_bytes(chunk)
}

/// Gathers bits in `N` bytes on the stack; the caller moves whole bytes to their place.
///
/// The last, unfinished byte stays behind, so that a stream can be continued bit by bit.
#[derive(Debug)]
pub(crate) struct BitSink<const N: usize> {
    buffer: [u8; N],
    at: usize,
    /// Unfinished bits at the top, zeros below.
    tail: u64,
    tail_bits: u32,
}

impl<const N: usize> BitSink<N> {
    /// Continues after `tail_bits` (0 to 7) bits, which are the top ones of `tail`.
    #[inline(always)]
    pub(crate) fn resume(tail: u8, tail_bits: u8) -> Self {
        let tail = u64::from(tail) << 56;
        Self { buffer: [0; N], at: 0, tail, tail_bits: u32::from(tail_bits) }
    }

    /// Adds the low `n` bits of `value`, 1 to [`PUT_BITS`]; the others must be zero.
    #[inline(always)]
    pub(crate) fn put(&mut self, value: u64, n: u32) {
        debug_assert!((1..=PUT_BITS).contains(&n) && value >> n == 0, "BUG: {n} bits of {value}");
        let word = self.tail | (value << (64 - n)) >> self.tail_bits;
        self.store(word);
        let bits = self.tail_bits + n;
        self.at += (bits >> 3) as usize;
        self.tail = word << (bits & 0x38);
        self.tail_bits = bits & 7;
    }

    /// Adds `n` bits, 1 to 64.
    #[inline(always)]
    pub(crate) fn put_long(&mut self, value: u64, n: u32) {
        if n > PUT_BITS {
            self.put(value >> 32, n - 32);
            self.put(value & 0xffff_ffff, 32);
        } else {
            self.put(value, n);
        }
    }

    /// Bytes that are complete.
    #[inline(always)]
    pub(crate) fn whole(&self) -> &[u8] {
        &self.buffer[..self.at]
    }

    /// Forgets the complete bytes, keeps the unfinished one.
    #[inline(always)]
    pub(crate) fn clear_whole(&mut self) {
        self.at = 0;
    }

    /// The unfinished byte, zero below its bits, and how many bits it has (0 to 7).
    #[inline(always)]
    pub(crate) fn tail(&self) -> (u8, u8) {
        ((self.tail >> 56) as u8, self.tail_bits as u8)
    }

    #[inline(always)]
    #[expect(clippy::big_endian_bytes, reason = "the format is a bit string, first bit on top")]
    fn store(&mut self, word: u64) {
        self.buffer[self.at..self.at + STORE_BYTES].copy_from_slice(&word.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_taken_at_every_length() {
        let mut sink = BitSink::<1024>::resume(0, 0);
        let value = |n: u32| 0xdead_beef_0bad_cafe_u64 >> (64 - n);
        for n in 1..=64 {
            sink.put_long(value(n), n);
        }
        let (tail, tail_bits) = sink.tail();
        let mut bytes = sink.whole().to_vec();
        assert_eq!(bytes.len() * 8 + usize::from(tail_bits), 64 * 65 / 2);
        bytes.push(tail);
        let mut reader = BitReader::new(&bytes).unwrap();
        for n in 1..=64 {
            assert_eq!(reader.take(n), value(n), "{n} bits");
        }
        assert!(!reader.is_overrun());
    }

    #[test]
    fn a_resumed_sink_continues_the_byte() {
        let mut sink = BitSink::<16>::resume(0b1010_0000, 3);
        sink.put(0b11111, 5);
        sink.put(1, 2);
        assert_eq!(sink.whole(), [0b1011_1111]);
        assert_eq!(sink.tail(), (0b0100_0000, 2));
    }

    #[test]
    fn bits_past_the_end_are_zero_and_counted() {
        let bytes = [0xff; 9];
        let mut reader = BitReader::new(&bytes).unwrap();
        assert_eq!(reader.take64(), u64::MAX);
        assert_eq!((reader.position(), reader.remaining()), (64, 8));
        assert_eq!(reader.take(8), 0xff);
        assert!(!reader.is_overrun());
        assert_eq!(reader.take(57), 0);
        assert!(reader.is_overrun());
        reader.skip(1 << 20);
        assert_eq!((reader.window(), reader.remaining()), (0, 0));
        assert!(BitReader::new(&bytes[..7]).is_none());
    }
}
