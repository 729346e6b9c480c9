//! Keys and values that the whole cluster shares, each value with a version.
//!
//! Keys are those that M3 has in etcd: a namespace (`_kv`, `_sd.placement`, `/topic`, …), an
//! environment and a name, in a zone. Values are M3's protobuf messages. A new key has version 1;
//! each write adds one; a key that was deleted begins anew.

pub mod embedded;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use prost::{Message, Name};
use tokio::sync::watch;

use crate::error::{Error, check_limit};
use crate::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// A future that a store returns.
pub type KvFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A store that several owners share.
pub type SharedKv = Arc<dyn KvStore>;

/// What a key holds over time; `None` is no value.
pub type Watched = watch::Receiver<Option<Value>>;

/// The namespace of settings and of the registry of namespaces.
pub const SETTINGS: &str = "_kv";

/// The environment of who does not name one.
pub const DEFAULT_ENVIRONMENT: &str = "default_env";

/// The zone of who does not name one.
pub const DEFAULT_ZONE: &str = "embedded";

/// Where a request's keys are: an environment of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The zone; each has its own store.
    pub zone: String,
    /// The environment.
    pub environment: String,
}

impl Default for Scope {
    fn default() -> Self {
        Self { zone: DEFAULT_ZONE.to_owned(), environment: DEFAULT_ENVIRONMENT.to_owned() }
    }
}

impl Scope {
    /// The key `name` of `namespace` in this environment.
    #[must_use]
    pub fn key(&self, namespace: &str, name: &str) -> Key {
        let path = format!("{namespace}/{}/{name}", self.environment);
        Key { zone: self.zone.clone(), path }
    }
}

/// A key of a zone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    zone: String,
    path: String,
}

impl Key {
    /// Its zone.
    #[must_use]
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// Its path: namespace, environment and name, as in etcd.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// A value and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// From 1 up, for each key.
    pub version: u64,
    /// A protobuf message.
    pub bytes: Arc<[u8]>,
}

impl Value {
    /// Reads the message; `key` is for the error.
    ///
    /// # Errors
    /// [`Error::DamagedValue`].
    pub fn decode<M: Message + Default>(&self, key: &Key) -> Result<M, Error> {
        M::decode(&*self.bytes)
            .map_err(|error| Error::DamagedValue { key: key.to_string(), why: error.to_string() })
    }
}

/// Which version a key must have to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Any, or none at all.
    Any,
    /// None: the key has no value. Else the write fails with [`Error::AlreadyExists`].
    Absent,
    /// This one; 0 is no value. Else the write fails with [`Error::VersionMismatch`].
    Version(u64),
}

/// A store of keys. A write that is answered with a version is durable, and seen by every read
/// that begins after the answer.
///
/// Every method fails with [`Error::UnknownZone`] for a zone that the store does not serve.
pub trait KvStore: Send + Sync + fmt::Debug {
    /// The value of a key.
    ///
    /// # Errors
    /// [`Error::NotFound`], or the store cannot be reached.
    fn get<'a>(&'a self, key: &'a Key) -> KvFuture<'a, Value>;

    /// The value that a key had at a version; `None` for a version that it does not have, or that
    /// is not kept any more.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the key has no value at all, or the store cannot be reached.
    fn get_version<'a>(&'a self, key: &'a Key, version: u64) -> KvFuture<'a, Option<Value>>;

    /// Writes a value if the key is as expected, and returns its version.
    ///
    /// # Errors
    /// As [`Expected`] says, [`Error::Limit`], or the store cannot be reached; then nobody knows
    /// whether the value was written.
    fn put<'a>(&'a self, key: &'a Key, expected: Expected, bytes: Vec<u8>) -> KvFuture<'a, u64>;

    /// Removes a key with all of its versions, and returns its last value.
    ///
    /// # Errors
    /// [`Error::NotFound`], or the store cannot be reached.
    fn delete<'a>(&'a self, key: &'a Key) -> KvFuture<'a, Value>;

    /// The key's value now and whenever it changes. Values that come faster than they are looked
    /// at are passed over.
    ///
    /// # Errors
    /// [`Error::Limit`], or the store cannot be reached.
    fn watch<'a>(&'a self, key: &'a Key) -> KvFuture<'a, Watched>;
}

/// The message that a key holds, and its version.
///
/// # Errors
/// [`Error::DamagedValue`], and what [`KvStore::get`] says.
pub async fn load<M: Message + Default>(store: &dyn KvStore, key: &Key) -> Result<(M, u64), Error> {
    let value = store.get(key).await?;
    Ok((value.decode(key)?, value.version))
}

/// Writes a message.
///
/// # Errors
/// What [`KvStore::put`] says.
pub async fn store<M: Message + Name>(
    store: &dyn KvStore,
    key: &Key,
    expected: Expected,
    message: &M,
) -> Result<u64, Error> {
    store.put(key, expected, message.encode_to_vec()).await
}

/// Refuses keys and values that are too long.
fn check_sizes(key: &Key, value_len: usize) -> Result<(), Error> {
    check_limit("the length of a key", key.zone.len() + key.path.len(), KEY_BYTES_MAX)?;
    check_limit("the length of a value", value_len, VALUE_BYTES_MAX)
}
