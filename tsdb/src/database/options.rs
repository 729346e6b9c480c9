//! What a database is opened with.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use m3rs_core::clock::SharedClock;
use m3rs_core::fs::SharedFs;

use crate::commitlog::SyncMode;
use crate::limits::Limits;
use crate::namespace::{ConfiguredNamespace, DEFAULT_NAMESPACE, NamespaceOptions};

/// Blocks that ended longer ago do not hold up a start.
const OPENED_FIRST: Duration = Duration::from_secs(24 * 3600);

/// What a database is opened with.
#[derive(Clone)]
pub struct DatabaseOptions {
    /// Where files are.
    pub fs: SharedFs,
    /// What time it is.
    pub clock: SharedClock,
    /// The data directory; it is made if it is not there.
    pub dir: PathBuf,
    /// How the namespace `default` keeps samples, unless `namespaces` says it; its shard count and
    /// block size stay as they were made.
    pub namespace: NamespaceOptions,
    /// Namespaces that configuration names: made, or given these options, at the opening. Others
    /// that are there are opened with the options that they have.
    pub namespaces: BTreeMap<String, ConfiguredNamespace>,
    /// When the commit log is synced.
    pub sync: SyncMode,
    /// Bytes of log after which buffers are put into snapshots, so that start-up stays short.
    pub snapshot_log_bytes: u64,
    /// Limits.
    pub limits: Limits,
    /// Random bytes for hashing what comes from outside; new ones in each process.
    pub secret: [u8; 192],
    /// Whether flushes, snapshots and retention happen by themselves.
    pub background: bool,
    /// Blocks that end longer ago than this are opened while the database serves. `None` is a day
    /// with background work; without it, all are opened before.
    pub opened_first: Option<Duration>,
}

impl DatabaseOptions {
    /// Defaults for a data directory.
    #[must_use]
    pub fn new(fs: SharedFs, clock: SharedClock, dir: PathBuf, secret: [u8; 192]) -> Self {
        Self {
            fs,
            clock,
            dir,
            namespace: NamespaceOptions::default(),
            namespaces: BTreeMap::new(),
            sync: SyncMode::Group,
            snapshot_log_bytes: 128 << 20,
            limits: Limits::default(),
            secret,
            background: true,
            opened_first: None,
        }
    }

    /// [`DatabaseOptions::opened_first`] in nanoseconds; `None` for all.
    pub(crate) fn opened_first_ns(&self) -> Option<i64> {
        let span = self.opened_first.or(self.background.then_some(OPENED_FIRST))?;
        Some(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))
    }

    /// The namespaces that configuration names, `default` among them.
    pub(crate) fn configured(&self) -> BTreeMap<String, ConfiguredNamespace> {
        let mut all = self.namespaces.clone();
        all.entry(DEFAULT_NAMESPACE.to_owned()).or_insert_with(|| ConfiguredNamespace {
            options: self.namespace.clone(),
            ..ConfiguredNamespace::default()
        });
        all
    }
}

impl fmt::Debug for DatabaseOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseOptions")
            .field("dir", &self.dir)
            .field("namespace", &self.namespace)
            .field("sync", &self.sync)
            .finish_non_exhaustive()
    }
}
