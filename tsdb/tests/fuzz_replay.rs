//! Runs the fuzz targets of the files over their seeds and past findings, on the stable compiler.

#[path = "fuzz/catalog.rs"]
mod catalog;
#[path = "fuzz/commitlog.rs"]
mod commitlog;
#[path = "fuzz/fileset.rs"]
mod fileset;
#[path = "fuzz/m3tsz_decode.rs"]
mod m3tsz_decode;
#[path = "fuzz/parts_block.rs"]
mod parts_block;
#[path = "fuzz/side_file.rs"]
mod side_file;

use std::path::Path;

use m3rs_core::fs::{DiskFs, Fs};
use m3rs_core::time::TimestampNs;
use m3rs_tsdb::codec::m3tsz::{Encoder, EncoderOptions};
use proptest::prelude::*;

/// Runs `target` over every committed input; returns how many there are.
fn replay(name: &str, target: impl Fn(&[u8])) -> usize {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let mut inputs = 0;
    for kind in ["corpus", "regressions"] {
        for path in DiskFs.list(&fuzz.join(kind).join(name)).expect("readable") {
            target(&DiskFs.read(&path).expect("readable"));
            inputs += 1;
        }
    }
    inputs
}

#[test]
fn commitlog_inputs_hold() {
    assert!(replay("commitlog", commitlog::fuzz_commitlog) >= 3);
}

#[test]
fn m3tsz_inputs_hold() {
    assert!(replay("m3tsz_decode", m3tsz_decode::fuzz_m3tsz_decode) >= 10);
}

#[test]
fn catalog_inputs_hold() {
    assert!(replay("catalog", catalog::fuzz_catalog) >= 1);
}

#[test]
fn side_file_inputs_hold() {
    assert!(replay("side_file", side_file::fuzz_side_file) >= 1);
}

#[test]
fn parts_block_inputs_hold() {
    assert!(replay("parts_block", parts_block::fuzz_parts_block) >= 4);
}

/// Edits of sound inputs reach further than noise does.
fn replay_edits(sound: &[u8], edits: u64, target: impl Fn(&[u8])) {
    let mut random = m3rs_core::rng::Random::seeded(sound.len() as u64);
    for _ in 0..edits {
        let mut bytes = sound.to_vec();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(4) {
                0 => bytes[at] = random.next_u64() as u8,
                1 => bytes[at] ^= 1 << random.below(8),
                2 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, random.next_u64() as u8),
            }
        }
        target(&bytes);
    }
}

#[test]
fn edits_of_sound_inputs_are_borne() {
    replay_edits(&catalog::seed(), 200, catalog::fuzz_catalog);
    replay_edits(&side_file::seed(), 200, side_file::fuzz_side_file);
    for (_, seed) in parts_block::seeds() {
        replay_edits(&seed, 5000, parts_block::fuzz_parts_block);
    }
}

#[test]
fn fileset_inputs_hold() {
    assert!(replay("fileset", fileset::fuzz_fileset) >= 3);
}

proptest! {
    /// A sound stream with some bytes changed reaches further than noise does.
    #[test]
    fn any_edit_of_a_stream_is_borne(
        vs in prop::collection::vec(prop_oneof![
            (-500i32..500).prop_map(f64::from),
            (0u32..9999).prop_map(|n| f64::from(n) / 100.0),
            any::<f64>(),
        ], 1..60),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let ts: Vec<i64> = (0..vs.len() as i64).map(|i| i * 15_000_000_000 + i % 3).collect();
        let mut encoder = Encoder::new(TimestampNs(0), EncoderOptions::default());
        encoder.push_all(&ts, &vs).expect("it has room");
        let mut bytes = encoder.finish();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        m3tsz_decode::fuzz_m3tsz_decode(&bytes);
    }
}

/// Whole files of the current formats are the best seeds; `M3RS_WRITE_GOLDEN=1` writes them.
#[test]
fn seeds_are_current() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let whole = [
        ("fileset/sound".to_owned(), fileset::sound_fileset()),
        ("catalog/sound".to_owned(), catalog::seed()),
        ("side_file/sound".to_owned(), side_file::seed()),
    ];
    let parts = parts_block::seeds();
    let parts = parts.into_iter().map(|(name, seed)| (format!("parts_block/{name}"), seed));
    for (name, fresh) in whole.into_iter().chain(parts) {
        let path = corpus.join(&name);
        if std::env::var_os("M3RS_WRITE_GOLDEN").is_some() {
            DiskFs.create_dir_all(path.parent().expect("has one")).expect("make");
            let mut file = DiskFs.create(&path).expect("create");
            file.write_all(&fresh).expect("write");
        }
        let bytes = DiskFs.read(&path).expect("the seed is committed");
        if name == "fileset/sound" {
            // Packed names may change with zstd.
            let mapped = m3rs_core::fs::Mapped::of_bytes(bytes);
            let reader = m3rs_tsdb::fileset::FilesetReader::of_bytes(&path, mapped).expect("sound");
            assert_eq!(reader.verify(), []);
        } else {
            assert_eq!(bytes, fresh, "{name}");
        }
    }
}
