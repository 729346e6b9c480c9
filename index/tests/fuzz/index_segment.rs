//! What must hold of any bytes taken for a segment file, and of any edit of a sound one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::fs::{Fs, SharedFs};
use m3rs_core::model::{Labels, MatchOp, Matcher};
use m3rs_core::wire::checksum::{Crc32, crc32};
use m3rs_index::{Damage, Index, IndexError, Limits};
use m3rs_sim::disk::SimFs;

/// Bytes of the header and of the footer, and where the table of sections stands in the latter.
pub(crate) const HEADER_LEN: usize = 16;
pub(crate) const FOOTER_LEN: usize = 248;
const TABLE: std::ops::Range<usize> = 16..236;
const ENTRY_LEN: usize = 20;

const DIR: &str = "/index";

/// Label sets with gaps between ids, a unique label, and every form of postings.
fn sound_docs() -> Vec<(u32, Labels)> {
    (0..70u32)
        .map(|i| {
            let pairs = [
                ("__name__", "up".to_owned()),
                ("host", format!("host-{i:02}")),
                ("job", if i < 60 { format!("j{}", i / 30) } else { String::new() }),
                ("rare", if i == 7 { "\u{e9}\n".to_owned() } else { String::new() }),
            ];
            (10 + i + i / 50, Labels::from_pairs(pairs).expect("valid"))
        })
        .collect()
}

/// A sound file and its name.
pub(crate) fn sound_segment() -> (PathBuf, Vec<u8>) {
    let fs = SimFs::new(0);
    let index = Index::new(Limits::default());
    index.insert(&sound_docs()).expect("ids ascend");
    let sealed = index.seal(&fs, Path::new(DIR)).expect("no fault").expect("some series");
    let bytes = fs.read(&sealed.path).expect("written");
    (sealed.path, bytes)
}

/// Opens an index whose directory holds one file.
pub(crate) fn open(
    path: &Path,
    bytes: &[u8],
) -> Result<(SharedFs, Index, Vec<Damage>), IndexError> {
    let fs: SharedFs = Arc::new(SimFs::new(0));
    fs.create_dir_all(Path::new(DIR)).expect("no fault");
    fs.create(path).and_then(|mut file| file.write_all(bytes)).expect("no fault");
    let limits = Limits { verify_max: 4, segments_max: 1, ..Limits::default() };
    let (index, damages) = Index::open(&fs, Path::new(DIR), limits)?;
    Ok((fs, index, damages))
}

/// The name that the footer of a file asks for.
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    let number = |at: usize| {
        let at = bytes.len().checked_sub(FOOTER_LEN).map(|footer| footer + at);
        let field = at.and_then(|at| bytes.get(at..)?.first_chunk::<4>());
        field.map_or(0, |field| u32::from_le_bytes(*field))
    };
    let (first, last) = (number(4), number(8));
    Path::new(DIR).join(format!("segment-{first:010}-{last:010}.idx"))
}

/// Makes all checksums right again, so that edits reach what lies behind them.
pub(crate) fn mend(bytes: &mut [u8]) {
    let Some(footer_at) = bytes.len().checked_sub(FOOTER_LEN).filter(|&at| at >= HEADER_LEN) else {
        return;
    };
    for section in TABLE.step_by(ENTRY_LEN) {
        let entry = footer_at + section;
        let number = |at: usize| bytes[at..].first_chunk::<8>().map(|n| u64::from_le_bytes(*n));
        let offset = number(entry).and_then(|n| usize::try_from(n).ok());
        let len = number(entry + 8).and_then(|n| usize::try_from(n).ok());
        let place = offset.zip(len).and_then(|(o, len)| Some(o..o.checked_add(len)?));
        if let Some(section) = place.and_then(|range| bytes[..footer_at].get(range)) {
            let crc = crc32(section);
            bytes[entry + 16..entry + 20].copy_from_slice(&crc.to_le_bytes());
        }
    }
    let mut crc = Crc32::default();
    crc.update(&bytes[..HEADER_LEN]);
    crc.update(&bytes[footer_at..footer_at + TABLE.end]);
    let crc = crc.finish().to_le_bytes();
    bytes[footer_at + TABLE.end..footer_at + TABLE.end + 4].copy_from_slice(&crc);
}

/// Searches by name, by number, by scan and by prefix, of each field and side.
const SEARCHES: [(&str, MatchOp, &str); 13] = [
    ("__name__", MatchOp::Equal, "up"),
    ("host", MatchOp::Equal, "host-33"),
    ("host", MatchOp::NotEqual, "host-02"),
    ("host", MatchOp::Regexp, "host-1.*"),
    ("host", MatchOp::NotRegexp, ".*3"),
    ("host", MatchOp::Regexp, "host-01|host-11|host-21|host-31|host-41|host-51|host-61|host-68"),
    ("job", MatchOp::Equal, ""),
    ("job", MatchOp::Equal, "j1"),
    ("job", MatchOp::Regexp, "j0|j1"),
    ("rare", MatchOp::NotEqual, ""),
    ("rare", MatchOp::Equal, "\u{e9}\n"),
    ("none", MatchOp::NotRegexp, ".+"),
    ("", MatchOp::Equal, "x"),
];

/// Asks everything of the index; answers may be errors but must come.
pub(crate) fn use_all(fs: &SharedFs, index: &Index) {
    for (name, op, value) in SEARCHES {
        let matcher = Matcher::new(name, op, value);
        if let Ok(found) = index.search(std::slice::from_ref(&matcher), 1 << 20) {
            assert!(found.is_sorted_by(|a, b| a < b), "{matcher}: {found:?}");
            assert!(found.len() as u64 <= index.len(), "{matcher}");
        }
    }
    let sets = [vec![Matcher::new("job", MatchOp::NotEqual, "j1")]];
    for name in ["__name__", "host", "job", "rare"] {
        drop(index.label_values(name, &[], None, 100));
        drop(index.label_values(name, &sets, None, 100));
    }
    drop(index.label_names(&[], None, 100));
    drop(index.label_names(&sets, None, 100));
    let mut ids = Vec::new();
    if index.for_each_identity(|id, _| ids.push(id)).is_ok() {
        ids.truncate(1_000);
        drop(index.labels_of(&ids));
    }
    drop(index.labels_of(&[0, 9, 10, 60, 61, u32::MAX]));
    drop(index.cardinality(5));
    let next = index.last_id().and_then(|last| last.checked_add(1));
    if let Some(next) = next {
        let labels = Labels::from_pairs([("host", "host-33"), ("new", "x")]).expect("valid");
        index.insert(&[(next, labels)]).expect("ids ascend");
        index.seal(fs.as_ref(), Path::new(DIR)).expect("what was inserted can be sealed");
        // One segment is wanted, so both are merged: the writer reads all that the file holds.
        match index.compact(fs.as_ref(), Path::new(DIR)) {
            Ok(merged) => assert_eq!(merged.len(), 1),
            Err(error) => assert!(matches!(error, IndexError::Corrupt(_)), "{error}"),
        }
    }
}

/// Opens and uses bytes whose checksums may be right though their contents are not.
pub(crate) fn use_forged(bytes: &[u8]) {
    if let Ok((fs, index, damages)) = open(&path_of(bytes), bytes)
        && damages.is_empty()
    {
        use_all(&fs, &index);
    }
}

/// Reads `data` as a file; then takes it for edits (two bytes of place, one to xor) of a sound
/// one, which must be noticed, and with checksums made right must not harm.
pub(crate) fn fuzz_index_segment(data: &[u8]) {
    use_forged(data);
    let (path, sound) = sound_segment();
    let mut edited = sound.clone();
    for edit in data.chunks_exact(3).take(64) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % edited.len();
        edited[at] ^= edit[2];
    }
    let is_found_sound = match open(&path, &edited) {
        Ok((_, index, damages)) => {
            assert_eq!(damages.is_empty(), index.len() == 70, "part of a file was used");
            damages.is_empty()
        }
        Err(error) => panic!("the disk is sound, and no version new: {error}"),
    };
    assert_eq!(is_found_sound, edited == sound);
    mend(&mut edited);
    use_forged(&edited);
}
