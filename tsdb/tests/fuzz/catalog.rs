//! What must hold of any bytes taken for a catalog of namespaces.

use std::path::Path;
use std::sync::Arc;

use m3rs_core::clock::SystemClock;
use m3rs_core::fs::Fs;
use m3rs_core::wire::checksum::crc32;
use m3rs_sim::disk::{SimFs, Unsynced};
use m3rs_tsdb::{Database, DatabaseOptions, NamespaceOptions, Progress, TsdbError};

const CATALOG: &str = "/data/namespaces/catalog";

/// Most shards of all namespaces that are opened: each costs memory, whatever the catalog says.
const SHARDS_MAX: usize = 20_000;

fn open(fs: &SimFs) -> Result<Database, TsdbError> {
    let clock = Arc::new(SystemClock::new());
    let mut options = DatabaseOptions::new(Arc::new(fs.clone()), clock, "/data".into(), [7; 192]);
    options.background = false;
    Database::open(options, Arc::new(Progress::new()))
}

/// Names and options, as far as a start takes them over.
fn listed(database: &Database) -> Vec<(String, NamespaceOptions)> {
    let all = database.namespaces();
    all.iter().map(|n| (n.name().to_owned(), n.options().as_ref().clone())).collect()
}

/// Opens a database on `data` as its catalog, as it is and with its checksum made right. It is
/// refused, or what it says is the same at the next start.
pub(crate) fn fuzz_catalog(data: &[u8]) {
    let sound = [data, &crc32(data).to_le_bytes()].concat();
    for bytes in [data, &sound] {
        let fs = SimFs::new(0);
        fs.create_dir_all(Path::new("/data/namespaces")).expect("made");
        fs.create(Path::new(CATALOG)).expect("made").write_all(bytes).expect("written");
        let database = match open(&fs) {
            Ok(database) => database,
            Err(TsdbError::Meta { .. } | TsdbError::Options { .. }) => continue,
            Err(TsdbError::NamespaceLimit { .. }) => continue,
            Err(other) => panic!("{other}"),
        };
        let all = listed(&database);
        let shards: usize = all.iter().map(|(_, o)| usize::from(o.shard_count)).sum();
        drop(database);
        if shards > SHARDS_MAX {
            continue;
        }
        fs.crash(Unsynced::Lost);
        let again = open(&fs).expect("it was taken before");
        assert_eq!(listed(&again), all);
        assert_eq!(again.damage_at_start(), []);
    }
}

/// The body of a sound catalog, without its checksum.
pub(crate) fn seed() -> Vec<u8> {
    let fs = SimFs::new(0);
    let database = open(&fs).expect("an empty disk opens");
    let other = NamespaceOptions { shard_count: 2, ..NamespaceOptions::default() };
    database.add_namespace("other", other).expect("made");
    let mut bytes = fs.read(Path::new(CATALOG)).expect("written");
    bytes.truncate(bytes.len() - 4);
    bytes
}
