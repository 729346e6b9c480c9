//! Runs the fuzz targets of the index over their seeds and past findings, on the stable compiler,
//! and over every byte of a sound file.

#[path = "fuzz/index_segment.rs"]
mod index_segment;
#[path = "fuzz/regexp.rs"]
mod regexp;

use std::path::{Path, PathBuf};

use index_segment::{FOOTER_LEN, HEADER_LEN, mend, open, path_of, sound_segment, use_forged};
use m3rs_core::fs::{DiskFs, Fs};
use m3rs_index::IndexError;
use proptest::prelude::*;

fn fuzz_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// Runs `target` over every committed input; returns how many there are.
fn replay(name: &str, target: impl Fn(&[u8])) -> usize {
    let mut inputs = 0;
    for kind in ["corpus", "regressions"] {
        for path in DiskFs.list(&fuzz_dir().join(kind).join(name)).expect("readable") {
            target(&DiskFs.read(&path).expect("readable"));
            inputs += 1;
        }
    }
    inputs
}

#[test]
fn segment_inputs_hold() {
    assert!(replay("index_segment", index_segment::fuzz_index_segment) >= 3);
}

#[test]
fn regexp_inputs_hold() {
    assert!(replay("regexp", regexp::fuzz_regexp) >= 3);
}

/// Whole files of the current format are the best seeds; `M3RS_WRITE_GOLDEN=1` writes them.
#[test]
fn seeds_are_current() {
    let path = fuzz_dir().join("corpus/index_segment/sound");
    let (_, sound) = sound_segment();
    if std::env::var_os("M3RS_WRITE_GOLDEN").is_some() {
        DiskFs.create_dir_all(path.parent().expect("has one")).expect("make");
        DiskFs.create(&path).expect("create").write_all(&sound).expect("write");
    }
    let bytes = DiskFs.read(&path).expect("the seed is committed");
    let (_, index, damages) = open(&path_of(&bytes), &bytes).expect("sound");
    assert_eq!((index.len(), damages), (70, vec![]));
}

/// What an index with a damaged file says: all of its series are gone, and it says so.
fn assert_damaged(path: &Path, bytes: &[u8], how: &str) {
    let (_, index, damages) = open(path, bytes).unwrap_or_else(|e| panic!("{how}: {e}"));
    assert_eq!(damages.len(), 1, "{how}");
    assert_eq!((&*damages[0].path, damages[0].first, damages[0].last), (path, 10, 80), "{how}");
    assert!(index.is_empty(), "{how}");
    assert_eq!(index.last_id(), Some(80), "{how}: ids are not given out again");
}

#[test]
fn every_flipped_byte_and_every_cut_is_found() {
    let (path, sound) = sound_segment();
    assert!((1_500..10_000).contains(&sound.len()), "{} bytes", sound.len());
    for at in 0..sound.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = sound.clone();
            bytes[at] ^= flip;
            assert_damaged(&path, &bytes, &format!("byte {at} ^ {flip:#x}"));
        }
        assert_damaged(&path, &sound[..at], &format!("cut to {at} bytes"));
    }
    let mut longer = sound.clone();
    longer.push(0);
    assert_damaged(&path, &longer, "a byte too many");
    assert_damaged(&path, &vec![0; sound.len()], "zeros");
}

/// Checksums are right, contents are not: whatever the answer, there is one.
#[test]
fn every_forged_byte_is_borne() {
    let (_, sound) = sound_segment();
    for at in 0..sound.len() {
        for value in [0x00, 0x01, 0x7f, 0x80, 0xff].into_iter().filter(|v| *v != sound[at]) {
            let mut bytes = sound.clone();
            bytes[at] = value;
            mend(&mut bytes);
            use_forged(&bytes);
        }
    }
}

#[test]
fn a_newer_version_is_refused_and_not_taken_for_damage() {
    let (path, sound) = sound_segment();
    let mut newer = sound.clone();
    newer[8] = 3;
    mend(&mut newer);
    let refused = open(&path, &newer).map(|_| ()).expect_err("version 3 is not known");
    assert!(matches!(&refused, IndexError::Version { path: p, .. } if *p == path), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("version from 1 to 2, got 3"), "{text}");
    // Without the right checksum it is a flipped bit.
    let mut flipped = sound;
    flipped[8] = 3;
    assert_damaged(&path, &flipped, "a flipped version");
}

#[test]
fn a_file_under_another_name_is_not_used() {
    let (path, sound) = sound_segment();
    for name in ["segment-0000000010-0000000081.idx", "segment-0000000000-0000000080.idx"] {
        let other = path.with_file_name(name);
        let (_, index, damages) = open(&other, &sound).expect("opened");
        assert_eq!((damages.len(), index.len()), (1, 0), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_edits_are_borne(
        edits in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..5),
    ) {
        let mut bytes = Vec::new();
        for (at, xor) in edits {
            bytes.extend(at.to_le_bytes());
            bytes.push(xor);
        }
        index_segment::fuzz_index_segment(&bytes);
    }

    #[test]
    fn any_sections_are_borne(
        body in proptest::collection::vec(0u8..40, 0..200),
        lens in proptest::collection::vec(0u64..60, 11),
        doc_count in 1u32..4,
    ) {
        use_forged(&made_up(&body, &lens, doc_count));
    }
}

/// A file of right form with made-up sections; those of fixed length have it.
fn made_up(body: &[u8], lens: &[u64], doc_count: u32) -> Vec<u8> {
    const SHAPES: usize = 5;
    let mut bytes = b"m3rsidx\n\x02\x00\0\0\0\0\0\0".to_vec();
    assert_eq!(bytes.len(), HEADER_LEN);
    let mut table = Vec::new();
    let mut source = body.iter().cycle();
    for (section, &len) in lens.iter().enumerate() {
        let len = match section {
            7 => 8,
            8 => u64::from(doc_count) * 16,
            9 => u64::from(doc_count) * 4,
            10 => 0,
            _ => len,
        };
        table.extend((bytes.len() as u64).to_le_bytes());
        table.extend(len.to_le_bytes());
        table.extend([0; 4]);
        match section {
            7 => bytes.extend([0; 8]),
            SHAPES if len > 0 => {
                // One shape of no fields, and documents that may have it.
                bytes.extend([1, 0]);
                let at = table.len() - 12;
                table[at..at + 8].copy_from_slice(&2u64.to_le_bytes());
            }
            _ => bytes.extend((0..len).map(|_| source.next().copied().unwrap_or(0))),
        }
    }
    let footer_at = bytes.len();
    for number in [doc_count, 5, 4 + doc_count, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(table);
    bytes.extend([0; 4]);
    bytes.extend(b"\nm3rsend");
    assert_eq!(bytes.len() - footer_at, FOOTER_LEN);
    mend(&mut bytes);
    bytes
}
