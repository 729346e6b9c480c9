//! What must hold of any bytes taken for a file of metadata and exemplars.

use std::cell::OnceCell;
use std::path::Path;
use std::sync::Arc;

use m3rs_core::clock::SystemClock;
use m3rs_core::fs::Fs;
use m3rs_core::model::{Labels, Matcher, Metadata, MetricType};
use m3rs_core::time::TimestampNs;
use m3rs_core::wire::checksum::crc32;
use m3rs_sim::disk::{SimFs, Unsynced};
use m3rs_tsdb::{DEFAULT_NAMESPACE, Database, DatabaseOptions, Exemplar, Progress};

const SIDE: &str = "/data/side/default/metadata-exemplars.side";

fn open(fs: &SimFs) -> Database {
    let clock = Arc::new(SystemClock::new());
    let mut options = DatabaseOptions::new(Arc::new(fs.clone()), clock, "/data".into(), [7; 192]);
    options.background = false;
    options.namespace.shard_count = 1;
    options.namespace.retention_ns = 0;
    Database::open(options, Arc::new(Progress::new())).expect("opens, whatever the side file is")
}

/// What readers see of it.
fn seen(database: &Database) -> String {
    let namespace = database.namespace(DEFAULT_NAMESPACE).expect("it exists");
    let metadata = namespace.metadata().list(None, usize::MAX, usize::MAX);
    let matchers = [Matcher::equal("job", "a")];
    let (from, to) = (TimestampNs(i64::MIN), TimestampNs(i64::MAX));
    let exemplars = namespace.exemplars(&matchers, from, to, 9).expect("one series");
    format!("{metadata:?} {exemplars:?}")
}

/// A disk with one series, metadata and an exemplar in their file.
fn prepared() -> SimFs {
    let fs = SimFs::new(0);
    let database = open(&fs);
    let namespace = database.namespace(DEFAULT_NAMESPACE).expect("it exists");
    let mut session = namespace.writer();
    let labels = Labels::from_pairs([("job", "a")]).expect("valid");
    let handle = session.resolve_labels(&labels).expect("a series");
    let (help, unit) = ("help".to_owned(), "s".to_owned());
    session.push_metadata("m", Metadata { metric_type: MetricType::Counter, help, unit });
    let exemplar = Exemplar { t: 1_700_000_000_000_000_000, value: 1.5, labels };
    session.push_exemplar(handle, exemplar).expect("inside retention");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(session.commit().expect("taken").durable()).expect("durable");
    database.flush_all().expect("flushed");
    drop(database);
    fs
}

/// Opens a database with `data` as its side file, as it is and with its checksum made right. It is
/// told and set aside, or read, and then written again to the same.
pub(crate) fn fuzz_side_file(data: &[u8]) {
    thread_local! {
        static PREPARED: OnceCell<SimFs> = const { OnceCell::new() };
    }
    let sound = [data, &crc32(data).to_le_bytes()].concat();
    for bytes in [data, &sound] {
        let fs = PREPARED.with(|p| p.get_or_init(prepared).copied(0));
        fs.crash(Unsynced::Kept);
        fs.damage(Path::new(SIDE), |file| *file = bytes.to_vec()).expect("there");
        let database = open(&fs);
        let is_told = !database.damage_at_start().is_empty();
        assert_eq!(fs.exists(Path::new(SIDE)), !is_told);
        let first = seen(&database);
        database.flush_all().expect("flushed");
        drop(database);
        let database = open(&fs);
        assert_eq!(database.damage_at_start(), []);
        assert_eq!(seen(&database), first);
    }
}

/// The body of a sound file, without its checksum.
pub(crate) fn seed() -> Vec<u8> {
    let mut bytes = prepared().read(Path::new(SIDE)).expect("written");
    bytes.truncate(bytes.len() - 4);
    bytes
}
