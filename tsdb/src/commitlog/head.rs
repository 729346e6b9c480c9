//! Entries by their heads: whose each is, without a look at its samples.
//!
//! Start-up deals the entries out to threads by shard; each then decodes its own.

use m3rs_core::Corrupt;
use m3rs_core::wire::Cursor;

use super::entry::{
    KIND_DELETION, KIND_EXEMPLARS, KIND_METADATA, KIND_PADDING, KIND_RICH_SAMPLES, KIND_SAMPLES,
    KIND_SERIES, KIND_STARTED_SAMPLES, read_u16, read_u32,
};

/// What stands in the place of a shard for entries without one: a number that no shard has.
pub const NO_SHARD: u16 = u16::MAX;

/// An entry that is not decoded yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head<'p> {
    /// A series got its reference; see [`Entry::Series`](super::Entry::Series).
    Series {
        /// The namespace's durable number.
        namespace: u32,
        /// The series' durable number.
        series_ref: u32,
        /// Its label bytes, which nobody has checked.
        labels: &'p [u8],
    },
    /// Samples of one shard or a deletion in it, or metadata or exemplars.
    Batch {
        /// The namespace's durable number.
        namespace: u32,
        /// The shard that all samples belong to; [`NO_SHARD`] for metadata and exemplars.
        shard: u16,
        /// The whole entry, for an [`EntryDecoder`](super::EntryDecoder).
        entry: &'p [u8],
    },
}

/// The next entry of a chunk's payload; `None` at its end.
///
/// # Errors
/// [`Corrupt`] for bytes that no writer of this version makes, placed from the cursor's first
/// byte; the cursor stays before them. What lies inside a batch is not looked at.
pub fn next_head<'p>(payload: &mut Cursor<'p>) -> Result<Option<Head<'p>>, Corrupt> {
    loop {
        if payload.is_empty() {
            return Ok(None);
        }
        let start = payload.rest();
        let mut ahead = payload.clone();
        let kind = ahead.u8()?;
        let bytes = ahead.length_prefixed()?;
        let body_at = (ahead.position() - bytes.len()) as u64;
        let within = |mut e: Corrupt| {
            e.at += body_at;
            e
        };
        let mut body = Cursor::new("log entry", bytes);
        let head = match kind {
            KIND_PADDING => {
                *payload = ahead;
                continue;
            }
            KIND_SERIES => series(&mut body).map_err(within)?,
            KIND_SAMPLES | KIND_STARTED_SAMPLES | KIND_RICH_SAMPLES | KIND_DELETION => {
                let entry = &start[..start.len() - ahead.remaining()];
                batch(&mut body, entry).map_err(within)?
            }
            KIND_METADATA | KIND_EXEMPLARS => {
                let entry = &start[..start.len() - ahead.remaining()];
                let namespace = read_u32(&mut body, "a namespace of 32 bits").map_err(within)?;
                Head::Batch { namespace, shard: NO_SHARD, entry }
            }
            _ => {
                let (what, at) = ("log entry", payload.position());
                return Err(Corrupt::new(what, at, "a known kind", format!("kind {kind}")));
            }
        };
        *payload = ahead;
        return Ok(Some(head));
    }
}

fn series<'p>(body: &mut Cursor<'p>) -> Result<Head<'p>, Corrupt> {
    let namespace = read_u32(body, "a namespace of 32 bits")?;
    let series_ref = read_u32(body, "a reference of 32 bits")?;
    read_u16(body, "a shard of 16 bits")?;
    Ok(Head::Series { namespace, series_ref, labels: body.rest() })
}

fn batch<'p>(body: &mut Cursor<'_>, entry: &'p [u8]) -> Result<Head<'p>, Corrupt> {
    let namespace = read_u32(body, "a namespace of 32 bits")?;
    let shard = read_u16(body, "a shard of 16 bits")?;
    Ok(Head::Batch { namespace, shard, entry })
}

#[cfg(test)]
mod tests {
    use m3rs_core::model::Histogram;
    use proptest::prelude::*;

    use super::*;
    use crate::RichSample;
    use crate::commitlog::{
        Entry, EntryDecoder, encode_deletion, encode_rich_samples, encode_samples, encode_series,
        encode_started_samples,
    };

    /// Namespaces, and whether the entry names a series.
    type Found = Vec<(u32, bool)>;

    /// What heads and what the decoder say of a payload, up to its first fault.
    fn both(payload: &[u8]) -> (Found, Found) {
        let mut cursor = Cursor::new("log entry", payload);
        let (mut heads, mut entries) = (Vec::new(), Vec::new());
        while let Ok(Some(head)) = next_head(&mut cursor) {
            match head {
                Head::Series { namespace, .. } => heads.push((namespace, true)),
                Head::Batch { namespace, entry, .. } => {
                    let mut alone = Cursor::new("log entry", entry);
                    if EntryDecoder::new().next(&mut alone).is_err() {
                        break;
                    }
                    assert!(alone.is_empty());
                    heads.push((namespace, false));
                }
            }
        }
        let mut cursor = Cursor::new("log entry", payload);
        let mut decoder = EntryDecoder::new();
        while let Ok(Some(entry)) = decoder.next(&mut cursor) {
            entries.push(match entry {
                Entry::Series { namespace, .. } => (namespace, true),
                other => (other.namespace(), false),
            });
        }
        (heads, entries)
    }

    proptest! {
        #[test]
        fn heads_find_the_entries_that_the_decoder_finds(
            entries in prop::collection::vec((any::<u32>(), 0u8..5, 1usize..9), 0..8),
            edit in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let mut payload = Vec::new();
            for (namespace, kind, len) in entries {
                let refs: Vec<u32> = (0..len as u32).map(|r| r * r).collect();
                let (ts, vs, out) = (vec![5; len], vec![1.5; len], &mut payload);
                let samples = vec![RichSample::histogram(Histogram::stale().into()); len];
                match kind {
                    0 => encode_series(out, namespace, 7, 3, &vec![b'x'; len]),
                    1 => encode_samples(out, namespace, 3, &refs, &ts, &vs),
                    2 => encode_started_samples(out, (namespace, 3), &refs, &ts, &vs, &ts),
                    3 => encode_deletion(out, namespace, 3, (-1, 1), &refs),
                    _ => encode_rich_samples(out, (namespace, 3), &refs, &ts, &samples),
                }
            }
            if let Some((at, xor)) = edit.filter(|_| !payload.is_empty()) {
                let at = at.index(payload.len());
                payload[at] ^= xor;
            }
            let (heads, entries) = both(&payload);
            prop_assert_eq!(heads, entries);
        }

        #[test]
        fn any_bytes_are_read_or_refused(payload in prop::collection::vec(0u8..9, 0..60)) {
            let (heads, entries) = both(&payload);
            prop_assert_eq!(heads, entries);
        }
    }
}
