//! Runs the fuzz targets of the files over their seeds and past findings, on the stable compiler.

#[path = "fuzz/commitlog.rs"]
mod commitlog;
#[path = "fuzz/fileset.rs"]
mod fileset;

use std::path::Path;

use m3rs_core::fs::{DiskFs, Fs};

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
fn fileset_inputs_hold() {
    assert!(replay("fileset", fileset::fuzz_fileset) >= 3);
}

/// Whole files of the current format are the best seeds; `M3RS_WRITE_GOLDEN=1` writes them.
#[test]
fn seeds_are_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/fileset/sound");
    if std::env::var_os("M3RS_WRITE_GOLDEN").is_some() {
        DiskFs.create_dir_all(path.parent().expect("has one")).expect("make");
        let mut file = DiskFs.create(&path).expect("create");
        file.write_all(&fileset::sound_fileset()).expect("write");
    }
    let bytes = DiskFs.read(&path).expect("the seed is committed");
    let mapped = m3rs_core::fs::Mapped::of_bytes(bytes);
    let reader = m3rs_tsdb::fileset::FilesetReader::of_bytes(&path, mapped).expect("sound");
    assert_eq!(reader.verify(), []);
}
