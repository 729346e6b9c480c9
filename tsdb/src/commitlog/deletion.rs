//! The log entry for deleted samples.

use m3rs_core::Corrupt;
use m3rs_core::wire::{Cursor, put_length_prefixed, put_varint, put_zigzag};

use super::entry::{
    BATCH_SAMPLES_MAX, Entry, KIND_DELETION, put_refs, read_refs, read_u16, read_u32,
};

const WHAT: &str = "log deletion";

/// Appends the entries that delete the samples of these series of one shard in `from..=to`, in
/// nanoseconds; nothing without series. Smallest when the references ascend.
pub fn encode_deletion(
    out: &mut Vec<u8>,
    namespace: u32,
    shard: u16,
    (from, to): (i64, i64),
    refs: &[u32],
) {
    let mut body = Vec::new();
    for refs in refs.chunks(BATCH_SAMPLES_MAX) {
        body.clear();
        put_varint(&mut body, u64::from(namespace));
        put_varint(&mut body, u64::from(shard));
        put_zigzag(&mut body, from);
        put_zigzag(&mut body, to);
        put_varint(&mut body, refs.len() as u64);
        put_refs(&mut body, refs);
        out.push(KIND_DELETION);
        put_length_prefixed(out, &body);
    }
}

pub(super) fn read_deletion<'a>(body: &[u8], refs: &'a mut Vec<u32>) -> Result<Entry<'a>, Corrupt> {
    let mut cursor = Cursor::new(WHAT, body);
    let namespace = read_u32(&mut cursor, "a namespace of 32 bits")?;
    let shard = read_u16(&mut cursor, "a shard of 16 bits")?;
    let (from, to) = (cursor.zigzag()?, cursor.zigzag()?);
    let at = cursor.position();
    let count = cursor.varint()?;
    let count = usize::try_from(count).ok().filter(|n| (1..=BATCH_SAMPLES_MAX).contains(n));
    let count = count.ok_or_else(|| {
        let want = format!("1 to {BATCH_SAMPLES_MAX} series");
        Corrupt::new(WHAT, at, want, "another count")
    })?;
    read_refs(&mut cursor, count, refs)?;
    if !cursor.is_empty() {
        let got = format!("{} more bytes", cursor.remaining());
        return Err(Corrupt::new(WHAT, cursor.position(), "the end of the entry", got));
    }
    Ok(Entry::Deletion { namespace, shard, from, to, refs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commitlog::EntryDecoder;

    #[test]
    fn deletions_are_read_back_and_every_cut_is_noticed() {
        let refs: Vec<u32> = (7..90_000).chain([u32::MAX]).collect();
        let mut bytes = Vec::new();
        encode_deletion(&mut bytes, 3, 2, (i64::MIN, i64::MAX), &refs);
        let (mut decoder, mut cursor) = (EntryDecoder::new(), Cursor::new(WHAT, &bytes));
        let mut got = Vec::new();
        while let Some(entry) = decoder.next(&mut cursor).expect("sound") {
            let Entry::Deletion { namespace: 3, shard: 2, from, to, refs } = entry else {
                panic!("{entry:?}");
            };
            assert_eq!((from, to), (i64::MIN, i64::MAX));
            got.extend_from_slice(refs);
        }
        assert_eq!(got, refs);

        bytes.clear();
        encode_deletion(&mut bytes, 3, 2, (-5, 5), &[9, 4, 4]);
        for cut in 1..bytes.len() {
            let mut cursor = Cursor::new(WHAT, &bytes[..cut]);
            assert!(decoder.next(&mut cursor).is_err(), "cut at {cut}");
        }
        encode_deletion(&mut bytes, 3, 2, (0, 1), &[]);
        let mut cursor = Cursor::new(WHAT, &bytes);
        assert!(decoder.next(&mut cursor).expect("sound").is_some());
        assert!(decoder.next(&mut cursor).expect("sound").is_none(), "no entry without series");
    }
}
