//! A key-value store inside of the process: in memory, and in one file.
//!
//! A write makes the whole file anew, which costs what is stored; a cluster's state is small and
//! changes rarely. The new file is durable before the write is seen or answered. If it cannot be
//! written, the store holds what it held, and the next write tries again; the file on disk is then
//! either the old one or the new one, as with every write that was not answered.

mod format;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::fs::{Fs, write_atomic};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::{Expected, Key, KvFuture, KvStore, Value, Watched, check_sizes};
use crate::error::{Error, check_limit};
use crate::limits::{KEYS_MAX, STORE_BYTES_MAX, VERSIONS_KEPT_MAX};
use format::Entries;

/// The name of the file in its directory.
pub const FILE_NAME: &str = "cluster.kv";

/// The file may be this much longer than its values: keys and lengths.
const OVERHEAD_BYTES_MAX: u64 = 16 << 20;

/// The store. Clones share it.
#[derive(Clone, Debug)]
pub struct EmbeddedKv(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    zone: String,
    file: Option<File>,
    entries: RwLock<Entries>,
    /// Held while a write is made; taken before the other locks.
    writing: Mutex<()>,
    watched: Mutex<HashMap<Key, watch::Sender<Option<Value>>>>,
}

#[derive(Debug)]
struct File {
    fs: Arc<dyn Fs>,
    path: PathBuf,
}

/// What a write does to a key.
enum Change {
    Put(Expected, Vec<u8>),
    Delete,
}

impl EmbeddedKv {
    /// A store that forgets all when it is dropped. It serves keys of `zone`.
    #[must_use]
    pub fn in_memory(zone: &str) -> Self {
        Self::new(zone, None, Entries::new())
    }

    /// Opens the store of a directory, which is made if it is not there. It serves keys of `zone`.
    /// One store at a time may be open there; the caller sees to that. Blocks.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the file is damaged, and [`Error::Io`].
    pub fn open(fs: Arc<dyn Fs>, dir: &Path, zone: &str) -> Result<Self, Error> {
        let path = dir.join(FILE_NAME);
        let entries = read(&*fs, dir, &path)?;
        Ok(Self::new(zone, Some(File { fs, path }), entries))
    }

    fn new(zone: &str, file: Option<File>, entries: Entries) -> Self {
        Self(Arc::new(Inner {
            zone: zone.to_owned(),
            file,
            entries: RwLock::new(entries),
            writing: Mutex::new(()),
            watched: Mutex::default(),
        }))
    }

    /// Files are written on a thread that may block.
    async fn change(&self, key: &Key, change: Change) -> Result<Value, Error> {
        self.0.check_zone(key)?;
        let (inner, key) = (Arc::clone(&self.0), key.clone());
        let work = tokio::task::spawn_blocking(move || inner.change(&key, change));
        work.await.map_err(|_| Error::Panicked)?
    }
}

fn read(fs: &dyn Fs, dir: &Path, path: &Path) -> Result<Entries, Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    fs.create_dir_all(dir).map_err(io)?;
    if !fs.exists(path) {
        return Ok(Entries::new());
    }
    let len = fs.file_len(path).map_err(io)?;
    let limit = STORE_BYTES_MAX as u64 + OVERHEAD_BYTES_MAX;
    if len > limit {
        return Err(Error::Limit { what: "the length of the store's file", value: len, limit });
    }
    let bytes = fs.read(path).map_err(io)?;
    format::decode(&bytes).map_err(|source| Error::Corrupt { path: path.to_owned(), source })
}

impl Inner {
    fn check_zone(&self, key: &Key) -> Result<(), Error> {
        match key.zone == self.zone {
            true => Ok(()),
            false => Err(Error::UnknownZone(key.zone.clone())),
        }
    }

    fn latest(&self, key: &Key) -> Option<Value> {
        self.entries.read().get(key).and_then(|versions| versions.back().cloned())
    }

    /// Makes a change durable, then visible. Returns the value that the change is about.
    fn change(&self, key: &Key, change: Change) -> Result<Value, Error> {
        let _writing = self.writing.lock();
        let current = self.latest(key);
        let mut entries = self.entries.read().clone();
        let (value, watched) = match change {
            Change::Delete => {
                let last = current.ok_or(Error::NotFound)?;
                entries.remove(key);
                (last, None)
            }
            Change::Put(expected, bytes) => {
                check_expected(expected, current.as_ref())?;
                check_sizes(key, bytes.len())?;
                let version = current.map_or(0, |value| value.version) + 1;
                let value = Value { version, bytes: bytes.into() };
                let versions = entries.entry(key.clone()).or_default();
                versions.push_back(value.clone());
                if versions.len() > VERSIONS_KEPT_MAX {
                    versions.pop_front();
                }
                check_limit("the number of keys", entries.len(), KEYS_MAX)?;
                let values = entries.values().flatten().map(|value| value.bytes.len());
                check_limit("the length of all values", values.sum(), STORE_BYTES_MAX)?;
                (value.clone(), Some(value))
            }
        };
        self.write(&entries)?;
        *self.entries.write() = entries;
        self.tell(key, watched);
        Ok(value)
    }

    fn write(&self, entries: &Entries) -> Result<(), Error> {
        let Some(File { fs, path }) = &self.file else { return Ok(()) };
        let bytes = format::encode(entries);
        write_atomic(&**fs, path, |file| file.write_all(&bytes))
            .map_err(|source| Error::Io { path: path.clone(), source })
    }

    /// Tells those who watch; forgets keys that nobody watches any more.
    fn tell(&self, key: &Key, value: Option<Value>) {
        let mut watched = self.watched.lock();
        watched.retain(|_, sender| !sender.is_closed());
        if let Some(sender) = watched.get(key) {
            sender.send_replace(value);
        }
    }

    fn watch(&self, key: &Key) -> Result<Watched, Error> {
        check_sizes(key, 0)?;
        // No write may come between the look at the value and the subscription.
        let _writing = self.writing.lock();
        let current = self.latest(key);
        let mut watched = self.watched.lock();
        watched.retain(|_, sender| !sender.is_closed());
        check_limit("the number of watched keys", watched.len() + 1, KEYS_MAX)?;
        let sender = watched.entry(key.clone()).or_insert_with(|| watch::Sender::new(current));
        Ok(sender.subscribe())
    }
}

fn check_expected(expected: Expected, current: Option<&Value>) -> Result<(), Error> {
    let version = current.map_or(0, |value| value.version);
    match expected {
        Expected::Absent if version > 0 => Err(Error::AlreadyExists),
        Expected::Version(expected) if version != expected => Err(Error::VersionMismatch),
        _ => Ok(()),
    }
}

impl KvStore for EmbeddedKv {
    fn get<'a>(&'a self, key: &'a Key) -> KvFuture<'a, Value> {
        Box::pin(async move {
            self.0.check_zone(key)?;
            self.0.latest(key).ok_or(Error::NotFound)
        })
    }

    fn get_version<'a>(&'a self, key: &'a Key, version: u64) -> KvFuture<'a, Option<Value>> {
        Box::pin(async move {
            self.0.check_zone(key)?;
            let entries = self.0.entries.read();
            let versions = entries.get(key).ok_or(Error::NotFound)?;
            Ok(versions.iter().find(|value| value.version == version).cloned())
        })
    }

    fn put<'a>(&'a self, key: &'a Key, expected: Expected, bytes: Vec<u8>) -> KvFuture<'a, u64> {
        Box::pin(async move {
            let written = self.change(key, Change::Put(expected, bytes)).await?;
            Ok(written.version)
        })
    }

    fn delete<'a>(&'a self, key: &'a Key) -> KvFuture<'a, Value> {
        Box::pin(self.change(key, Change::Delete))
    }

    fn watch<'a>(&'a self, key: &'a Key) -> KvFuture<'a, Watched> {
        Box::pin(async move {
            self.0.check_zone(key)?;
            let (inner, key) = (Arc::clone(&self.0), key.clone());
            let work = tokio::task::spawn_blocking(move || inner.watch(&key));
            work.await.map_err(|_| Error::Panicked)?
        })
    }
}

#[cfg(test)]
mod tests {
    use m3rs_sim::disk::{SimFs, Unsynced};

    use super::super::{SETTINGS, Scope};
    use super::*;

    fn key(name: &str) -> Key {
        Scope::default().key(SETTINGS, name)
    }

    async fn put(store: &EmbeddedKv, name: &str, expected: Expected) -> Result<u64, Error> {
        store.put(&key(name), expected, name.as_bytes().to_vec()).await
    }

    #[tokio::test]
    async fn versions_guard_writes() {
        let store = EmbeddedKv::in_memory("embedded");
        assert!(matches!(store.get(&key("a")).await, Err(Error::NotFound)));
        assert_eq!(put(&store, "a", Expected::Absent).await.expect("new"), 1);
        assert!(matches!(put(&store, "a", Expected::Absent).await, Err(Error::AlreadyExists)));
        let stale = put(&store, "a", Expected::Version(0)).await;
        assert!(matches!(stale, Err(Error::VersionMismatch)));
        assert_eq!(put(&store, "a", Expected::Version(1)).await.expect("at 1"), 2);
        assert_eq!(put(&store, "a", Expected::Any).await.expect("any"), 3);
        assert_eq!(store.delete(&key("a")).await.expect("there").version, 3);
        assert!(matches!(store.delete(&key("a")).await, Err(Error::NotFound)));
        assert_eq!(put(&store, "a", Expected::Version(0)).await.expect("anew"), 1);
    }

    #[tokio::test]
    async fn old_versions_are_read_as_long_as_they_are_kept() {
        let store = EmbeddedKv::in_memory("embedded");
        let newest = VERSIONS_KEPT_MAX as u64 + 1;
        for _ in 0..newest {
            put(&store, "a", Expected::Any).await.expect("written");
        }
        let kept = |version| {
            let store = store.clone();
            async move { store.get_version(&key("a"), version).await.expect("a key").is_some() }
        };
        assert!(!kept(1).await && kept(2).await && kept(newest).await && !kept(newest + 1).await);
        assert!(matches!(store.get_version(&key("b"), 1).await, Err(Error::NotFound)));
    }

    #[tokio::test]
    async fn zones_and_environments_are_apart() {
        let store = EmbeddedKv::in_memory("embedded");
        let other = Scope { zone: "other".to_owned(), ..Scope::default() };
        let refused = store.get(&other.key(SETTINGS, "a")).await.expect_err("another zone");
        assert_eq!(refused.to_string(), "no etcd cluster found for zone: other");
        let test = Scope { environment: "test".to_owned(), ..Scope::default() };
        put(&store, "a", Expected::Absent).await.expect("written");
        assert!(matches!(store.get(&test.key(SETTINGS, "a")).await, Err(Error::NotFound)));
        assert_eq!(key("a").path(), "_kv/default_env/a");
    }

    #[tokio::test]
    async fn limits_hold() {
        let store = EmbeddedKv::in_memory("embedded");
        let long = key(&"a".repeat(crate::limits::KEY_BYTES_MAX));
        let refused = store.put(&long, Expected::Any, Vec::new()).await.expect_err("too long");
        assert!(refused.to_string().starts_with("the length of a key is "), "{refused}");
        let value = vec![0; crate::limits::VALUE_BYTES_MAX];
        store.put(&key("a"), Expected::Any, value.clone()).await.expect("at the limit");
        let value = [value, vec![0]].concat();
        let refused = store.put(&key("a"), Expected::Any, value).await.expect_err("one more");
        assert!(matches!(refused, Error::Limit { what: "the length of a value", .. }));
        for at in 1..KEYS_MAX {
            put(&store, &format!("b{at}"), Expected::Absent).await.expect("at the limit");
        }
        let refused = put(&store, "c", Expected::Any).await.expect_err("one key more");
        assert!(matches!(refused, Error::Limit { what: "the number of keys", .. }));
    }

    #[tokio::test]
    async fn watchers_hear_of_every_change() {
        let store = EmbeddedKv::in_memory("embedded");
        let mut watched = store.watch(&key("a")).await.expect("watched");
        assert_eq!(*watched.borrow_and_update(), None);
        put(&store, "b", Expected::Any).await.expect("another key");
        assert!(!watched.has_changed().expect("open"));
        put(&store, "a", Expected::Any).await.expect("written");
        let seen = watched.borrow_and_update().as_ref().map(|value| value.version);
        assert_eq!(seen, Some(1));
        let late = store.watch(&key("a")).await.expect("watched");
        assert_eq!(late.borrow().as_ref().map(|value| value.version), Some(1));
        store.delete(&key("a")).await.expect("deleted");
        assert_eq!(*watched.borrow_and_update(), None);
    }

    #[tokio::test]
    async fn a_restart_keeps_all() {
        let fs = Arc::new(SimFs::new(1));
        let open =
            || EmbeddedKv::open(Arc::clone(&fs) as Arc<dyn Fs>, Path::new("/kv"), "embedded");
        let store = open().expect("a new store");
        put(&store, "a", Expected::Any).await.expect("written");
        put(&store, "a", Expected::Any).await.expect("written again");
        put(&store, "b", Expected::Any).await.expect("written");
        fs.crash(Unsynced::Lost);
        let store = open().expect("the same store");
        let value = store.get(&key("a")).await.expect("kept");
        assert_eq!((value.version, &*value.bytes), (2, &b"a"[..]));
        assert!(store.get_version(&key("a"), 1).await.expect("a key").is_some());
        assert!(store.get(&key("b")).await.is_ok());
    }

    #[tokio::test]
    async fn a_write_that_fails_changes_nothing() {
        let fs = Arc::new(SimFs::new(1));
        let open =
            || EmbeddedKv::open(Arc::clone(&fs) as Arc<dyn Fs>, Path::new("/kv"), "embedded");
        let store = open().expect("a new store");
        put(&store, "a", Expected::Any).await.expect("written");
        fs.fail_next_sync(1);
        let failed = put(&store, "a", Expected::Any).await.expect_err("the disk fails");
        assert!(matches!(failed, Error::Io { .. }));
        assert_eq!(store.get(&key("a")).await.expect("kept").version, 1);
        assert_eq!(put(&store, "a", Expected::Version(1)).await.expect("works again"), 2);
    }

    #[tokio::test]
    async fn damage_is_told_and_never_skipped() {
        let fs = Arc::new(SimFs::new(1));
        let open =
            || EmbeddedKv::open(Arc::clone(&fs) as Arc<dyn Fs>, Path::new("/kv"), "embedded");
        put(&open().expect("a new store"), "a", Expected::Any).await.expect("written");
        fs.damage(&Path::new("/kv").join(FILE_NAME), |bytes| bytes[12] ^= 1).expect("a file");
        let refused = open().expect_err("damaged").to_string();
        assert!(refused.contains("cluster.kv") && refused.contains("checksum"), "{refused}");
    }
}
