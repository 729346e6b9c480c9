//! MurmurHash3 x86 32-bit, which M3 shards series by.

/// Hash of `data` under `seed`. M3 uses seed 0 on the series ID (`dbnode/sharding/shardset.go`).
#[must_use]
pub fn murmur3_32(data: &[u8], seed: u32) -> u32 {
    const C1: u32 = 0xcc9e_2d51;
    const C2: u32 = 0x1b87_3593;
    let scramble = |k: u32| k.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2);
    let mut hash = seed;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        hash ^= scramble(u32::from_le_bytes(*word));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    if !tail.is_empty() {
        let k = tail.iter().rev().fold(0u32, |k, &b| (k << 8) | u32::from(b));
        hash ^= scramble(k);
    }
    // The reference adds the length modulo 2^32.
    hash ^= data.len() as u32;
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::murmur3_32;

    /// Values of the Go implementation that M3 uses.
    #[test]
    fn reference_values() {
        assert_eq!(murmur3_32(b"", 0), 0);
        assert_eq!(murmur3_32(b"hello", 0), 613_153_351);
        assert_eq!(murmur3_32(b"foo", 0), 4_138_058_784);
        assert_eq!(murmur3_32(b"foo", 42), 2_972_666_014);
        assert_eq!(murmur3_32(b"foobar", 42), 1_018_276_128);
    }
}
