//! Files that a database writes: a snapshot, and metadata with exemplars.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use m3rs_core::clock::Clock;
use m3rs_core::fs::{DiskFs, Fs};
use m3rs_core::model::Matcher;
use m3rs_core::time::TimestampNs;
use m3rs_sim::disk::SimFs;
use m3rs_tsdb::fileset::{BlockCodec, FilesetKind, FilesetReader};
use m3rs_tsdb::{
    Columns, DEFAULT_NAMESPACE, Database, DatabaseOptions, Progress, RichSample, SampleValue,
};

use crate::{
    DELETED, T0, exemplars, golden, golden_bytes, metadata, overlay, rich_samples, sample_labels,
    section_start,
};

/// A clock that stands still.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> TimestampNs {
        TimestampNs(T0 + 600_000_000_000)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// A database that wrote samples of all kinds, deleted some, and made a snapshot.
fn database_with_a_snapshot(fs: &SimFs) -> Database {
    let mut options =
        DatabaseOptions::new(Arc::new(fs.clone()), Arc::new(Still), "/data".into(), [7; 192]);
    options.background = false;
    options.namespace.shard_count = 1;
    let database = Database::open(options, Arc::new(Progress::new())).expect("opens");
    let namespace = database.namespace(DEFAULT_NAMESPACE).expect("it exists");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let write = |samples: &[(u32, i64, RichSample)], brings_side: bool| {
        let mut session = namespace.writer();
        for (series, t, sample) in samples {
            let handle = session.resolve_labels(&sample_labels(*series)).expect("a series");
            let t = TimestampNs(*t);
            let pushed = match (&sample.value, &sample.annotation) {
                (SampleValue::Float(v), None) => session.push(handle, t, *v),
                _ => session.push_rich(handle, t, sample.clone()),
            };
            pushed.expect("inside retention");
        }
        if brings_side {
            session.push_metadata("up", metadata());
            let handle = session.resolve_labels(&sample_labels(1)).expect("a series");
            for exemplar in exemplars() {
                session.push_exemplar(handle, exemplar).expect("inside retention");
            }
        }
        runtime.block_on(session.commit().expect("taken").durable()).expect("durable");
    };
    let floats =
        |series| (0..9).map(move |i| (series, T0 + i * 1_000_000_000, RichSample::float(0.5)));
    write(&floats(1).chain(floats(2)).collect::<Vec<_>>(), true);
    let rich = rich_samples().into_iter().map(|(t, sample)| (3, t, sample));
    write(&rich.collect::<Vec<_>>(), false);
    let of_two = [vec![Matcher::equal("i", "2")]];
    let deleted = namespace.delete(&of_two, TimestampNs(DELETED.0), TimestampNs(DELETED.1));
    runtime.block_on(deleted.expect("taken").commit.durable()).expect("durable");
    write(&[(2, T0 + 1, RichSample::float(7.0))], false);
    database.snapshot().expect("a snapshot");
    database
}

#[test]
fn snapshot() {
    let fs = SimFs::new(0);
    drop(database_with_a_snapshot(&fs));
    let files = fs.list(Path::new("/data/snapshots/default/0")).expect("listed");
    let [written] = &files[..] else { panic!("{files:?}") };
    let fresh = fs.read(written).expect("written");
    let path = golden("fileset", 3).join(written.file_name().expect("it has one"));
    let bytes = golden_bytes(&path, &fresh);
    let names_at = section_start(&fresh, 6);
    assert!(bytes[..names_at] == fresh[..names_at], "what names nothing has other bytes");
    let reader = FilesetReader::open(&DiskFs, &path).expect("sound");
    assert_eq!((reader.verify(), reader.info().kind), (Vec::new(), FilesetKind::Snapshot));
    let codecs: Vec<BlockCodec> = reader.entries().map(|e| e.expect("sound").codec).collect();
    assert_eq!(codecs[1..], [BlockCodec::Parts, BlockCodec::Parts]);
    let refs: Vec<u32> = reader.entries().map(|e| e.expect("sound").series).collect();
    let mut read = Columns::default();
    overlay(&reader, refs[0], &mut read);
    assert_eq!(read.ts, (0..9).map(|i| T0 + i * 1_000_000_000).collect::<Vec<_>>());

    // Of the series with a deletion: older layers lose what is in it, the block keeps its own.
    let older = vec![DELETED.0 - 1, DELETED.0, DELETED.1, DELETED.1 + 1];
    let mut read = Columns::of_floats(older, vec![3.0; 4]);
    overlay(&reader, refs[1], &mut read);
    let later = (6..9).map(|i| T0 + i * 1_000_000_000);
    let want: Vec<i64> = [DELETED.0 - 1, T0 + 1, DELETED.1 + 1].into_iter().chain(later).collect();
    assert_eq!(read.ts, want);

    let mut read = Columns::default();
    overlay(&reader, refs[2], &mut read);
    assert_eq!(read.rich.histograms.ts.len(), 3);
    assert_eq!(read.ts, [T0 + 30_000_000_001]);
}

#[test]
fn side_file() {
    let fs = SimFs::new(0);
    let database = database_with_a_snapshot(&fs);
    let written = PathBuf::from("/data/side/default/metadata-exemplars.side");
    let fresh = fs.read(&written).expect("written");
    let path = golden("side", 1).join("metadata-exemplars.side");
    let bytes = golden_bytes(&path, &fresh);
    assert_eq!(bytes, fresh, "the side file is written as ever");
    drop(database);

    // The golden file alone brings all of it back.
    fs.remove_dir_all(Path::new("/data/commitlog")).expect("removed");
    fs.damage(&written, |file| *file = bytes).expect("replaced");
    let mut options =
        DatabaseOptions::new(Arc::new(fs.clone()), Arc::new(Still), "/data".into(), [8; 192]);
    options.background = false;
    let database = Database::open(options, Arc::new(Progress::new())).expect("opens");
    let namespace = database.namespace(DEFAULT_NAMESPACE).expect("it exists");
    assert_eq!(namespace.metadata().list(None, 9, 9), [("up".to_owned(), vec![metadata()])]);
    let (from, to) = (TimestampNs(T0), TimestampNs(T0 + 5));
    let found = namespace.exemplars(&[Matcher::equal("i", "1")], from, to, 9).expect("few");
    let [(_, found)] = &found[..] else { panic!("{found:?}") };
    let mut want = exemplars();
    want.sort_by_key(|e| e.t);
    assert_eq!(*found, want);
}
