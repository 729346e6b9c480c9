//! What must hold of any bytes taken for a commit log segment.

use std::convert::Infallible;
use std::path::Path;

use m3rs_core::fs::Mapped;
use m3rs_core::wire::Cursor;
use m3rs_tsdb::commitlog::{Entry, EntryDecoder, SegmentEnd, SegmentReader, encode_samples};

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
        let Entry::Samples { namespace, shard, refs, ts, vs } = entry else { continue };
        let mut out = Vec::new();
        encode_samples(&mut out, namespace, shard, refs, ts, vs);
        let read = again.next(&mut Cursor::new("again", &out)).expect("what we write decodes");
        let Some(Entry::Samples { refs: refs2, ts: ts2, vs: vs2, .. }) = read else {
            panic!("samples decode to samples")
        };
        assert!(refs == refs2 && ts == ts2);
        assert!(vs.iter().map(|v| v.to_bits()).eq(vs2.iter().map(|v| v.to_bits())));
    }
}
