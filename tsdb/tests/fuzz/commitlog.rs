//! What must hold of any bytes taken for a commit log segment.

use std::convert::Infallible;
use std::path::Path;

use m3rs_core::fs::Mapped;
use m3rs_core::wire::Cursor;
use m3rs_tsdb::commitlog::{
    Entry, EntryDecoder, SegmentEnd, SegmentReader, encode_deletion, encode_exemplars,
    encode_metadata, encode_rich_samples, encode_samples, encode_started_samples,
};

/// Reads `data` as segment 1, and as the payload of a chunk.
pub(crate) fn fuzz_commitlog(data: &[u8]) {
    let mut decoder = EntryDecoder::new();
    let bytes = Mapped::of_bytes(data.to_vec());
    if let Ok(reader) = SegmentReader::of_bytes(Path::new("fuzz"), bytes, 1) {
        let Ok(report) = reader.read(&mut decoder, |_| Ok::<(), Infallible>(()));
        let len = data.len() as u64;
        assert!(report.damages.iter().all(|d| d.offset <= len && d.lost_bytes <= len));
        if let SegmentEnd::Torn { offset, bytes } = report.end {
            assert_eq!(offset + bytes, len);
        }
    }
    let mut payload = Cursor::new("fuzz", data);
    let mut again = EntryDecoder::new();
    loop {
        let before = payload.position();
        let Ok(Some(entry)) = decoder.next(&mut payload) else { break };
        assert!(payload.position() > before);
        let mut out = Vec::new();
        match entry {
            Entry::Series { .. } => continue,
            Entry::Metadata { namespace, family, ref metadata } => {
                encode_metadata(&mut out, namespace, family, metadata);
            }
            Entry::Exemplars { namespace, refs, exemplars } => {
                encode_exemplars(&mut out, namespace, refs, exemplars);
            }
            Entry::Samples { namespace, shard, refs, ts, vs, starts: [] } => {
                encode_samples(&mut out, namespace, shard, refs, ts, vs);
            }
            Entry::Samples { namespace, shard, refs, ts, vs, starts } => {
                encode_started_samples(&mut out, (namespace, shard), refs, ts, vs, starts);
            }
            Entry::RichSamples { namespace, shard, refs, ts, samples } => {
                encode_rich_samples(&mut out, (namespace, shard), refs, ts, samples);
            }
            Entry::Deletion { namespace, shard, from, to, refs } => {
                encode_deletion(&mut out, namespace, shard, (from, to), refs);
            }
        }
        let mut payload = Cursor::new("again", &out);
        let read = again.next(&mut payload).expect("what we write decodes");
        assert!(read.is_some_and(|read| is_start_of(&read, &entry)), "it decodes to the same");
    }
}

/// Whether `first` has the first samples of `all`, by bits: large entries are written as several.
fn is_start_of(first: &Entry<'_>, all: &Entry<'_>) -> bool {
    match (first, all) {
        (
            Entry::Samples { refs, ts, vs, starts, .. },
            Entry::Samples { refs: refs2, ts: ts2, vs: vs2, starts: starts2, .. },
        ) => {
            let same_values = vs.iter().zip(*vs2).all(|(a, b)| a.to_bits() == b.to_bits());
            let same_times = refs2.starts_with(refs) && ts2.starts_with(ts);
            same_values && same_times && starts2.starts_with(starts)
        }
        (
            Entry::RichSamples { refs, ts, samples, .. },
            Entry::RichSamples { refs: refs2, ts: ts2, samples: samples2, .. },
        ) => refs2.starts_with(refs) && ts2.starts_with(ts) && samples2.starts_with(samples),
        (Entry::Deletion { .. }, Entry::Deletion { .. }) => first == all,
        (Entry::Metadata { .. }, Entry::Metadata { .. }) => first == all,
        (
            Entry::Exemplars { refs, exemplars, .. },
            Entry::Exemplars { refs: refs2, exemplars: exemplars2, .. },
        ) => refs2.starts_with(refs) && exemplars2.starts_with(exemplars),
        _ => false,
    }
}
