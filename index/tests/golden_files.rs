//! Files of every released version are read for ever, and written to the same bytes.
//!
//! `M3RS_WRITE_GOLDEN=1` writes the file of the current version; it is never written again once
//! released, as a change of it is a change of the format.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::fs::{DiskFs, Fs, SharedFs};
use m3rs_core::model::{Labels, MatchOp, Matcher, shard_of, shard_of_hash};
use m3rs_index::{Index, Limits, inspect};
use m3rs_sim::disk::SimFs;
use xxhash_rust::xxh3::xxh3_128;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/golden/index-segment/v2")
}

/// The golden file's bytes; writes them first if that was asked for.
fn golden_bytes(path: &Path, fresh: &[u8]) -> Vec<u8> {
    if std::env::var_os("M3RS_WRITE_GOLDEN").is_some() {
        DiskFs.create_dir_all(path.parent().expect("has one")).expect("make");
        DiskFs.create(path).expect("create").write_all(fresh).expect("write");
    }
    DiskFs.read(path).expect("the golden file is committed")
}

/// Series that use every mode of the format: gaps between ids, several shapes, a field that all
/// have, fields that few and many have, postings of one, as distances and as bitmaps, values in
/// one block and in many.
fn docs() -> Vec<(u32, Labels)> {
    (0..400u32)
        .map(|i| {
            let mut pairs = vec![
                ("__name__", if i < 300 { "up" } else { "caf\u{e9}\n" }.to_owned()),
                ("instance", format!("10.0.{}.{}:9100", i % 4, i)),
                ("spread", format!("s{}", i * 7 % 50)),
            ];
            if i % 3 == 0 {
                pairs.push(("third", "yes".to_owned()));
            }
            if i >= 100 {
                pairs.push(("late", format!("{}", i / 200)));
            }
            let labels =
                if i == 399 { Labels::empty() } else { Labels::from_pairs(pairs).expect("valid") };
            (3 + i + i / 100 * 1_000, labels)
        })
        .collect()
}

#[test]
fn a_segment_is_read_and_written_as_ever() {
    let fs = SimFs::new(0);
    let index = Index::new(Limits::default());
    // Two segments of one file each, merged: the bytes are those of one seal.
    let docs = docs();
    for half in docs.chunks(200) {
        index.insert(half).expect("ids ascend");
        index.seal(&fs, Path::new("/index")).expect("sealed");
    }
    let merged = index.compact(&fs, Path::new("/index")).expect("merged");
    let fresh = fs.read(&merged[0].path).expect("written");
    let name = "segment-0000000003-0000003402.idx";
    assert_eq!(merged[0].path.file_name().expect("a name"), name);
    let path = golden().join(name);
    let bytes = golden_bytes(&path, &fresh);
    assert!(bytes == fresh, "a segment is written to other bytes");
    let once = Index::new(Limits::default());
    once.insert(&docs).expect("ids ascend");
    let sealed = once.seal(&fs, Path::new("/once")).expect("sealed").expect("some series");
    assert!(fs.read(&sealed.path).expect("written") == bytes, "a merge writes other bytes");

    let summary = inspect(&DiskFs, &path).expect("sound");
    assert_eq!((summary.series, summary.first, summary.last), (400, 3, 3402));
    let names = [("__name__", 2, 399), ("instance", 399, 399), ("late", 2, 299)];
    for (got, want) in summary.names.iter().zip(names) {
        assert_eq!((&*got.0, got.1, got.2), want);
    }
    assert!(summary.sections.iter().all(|section| section.len > 0), "{:?}", summary.sections);
    check_answers(&docs);
}

fn check_answers(docs: &[(u32, Labels)]) {
    let disk: SharedFs = Arc::new(DiskFs);
    let (index, damages) = Index::open(&disk, &golden(), Limits::default()).expect("opened");
    assert_eq!(damages, []);
    let ids: Vec<u32> = docs.iter().map(|(id, _)| *id).collect();
    let labels = index.labels_of(&ids).expect("labels");
    assert!(labels.iter().zip(docs).all(|(got, (_, want))| got.as_ref() == Some(want)));
    let mut identities = Vec::new();
    let shard = |hash| shard_of_hash(hash, 4096);
    index
        .for_each_identity(|id, i| identities.push((id, i.labels_hash, shard(i.shard_hash))))
        .expect("hashes");
    let want = docs
        .iter()
        .map(|(id, l)| (*id, xxh3_128(l.as_bytes()), shard_of(l, 4096, &mut Vec::new())));
    assert!(identities.into_iter().eq(want));
    for (name, op, value) in [
        ("__name__", MatchOp::Equal, "up"),
        ("instance", MatchOp::Equal, "10.0.1.333:9100"),
        ("late", MatchOp::Equal, ""),
        ("third", MatchOp::NotEqual, ""),
        ("spread", MatchOp::Equal, "s7"),
    ] {
        let is_wanted =
            |labels: &Labels| (labels.get(name).unwrap_or("") == value) == (op == MatchOp::Equal);
        let want = docs.iter().filter(|(_, l)| is_wanted(l)).map(|(id, _)| *id);
        let got = index.search(&[Matcher::new(name, op, value)], usize::MAX).expect("a search");
        assert!(got.into_iter().eq(want), "{name}{}{value:?}", op.as_str());
    }
}
