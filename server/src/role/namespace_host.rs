//! Namespaces of a cluster's registry in the database of this process.
//!
//! The registry has M3's options, the database ours. A namespace that is there already is adopted
//! with all that it holds: its block size and shard count stay.
//!
//! PARITY(m3): a namespace that leaves the registry keeps its samples on disk, and one of its name
//! that comes later has them. They are removed where clients may delete samples.

use std::sync::Arc;

use m3rs_cluster::generated::namespace as proto;
use m3rs_cluster::generated::namespace::StagingStatus;
use m3rs_cluster::kv::{Scope, SharedKv};
use m3rs_cluster::namespaces::Namespaces;
use m3rs_coordinator::http::{HostFuture, NamespaceHost};
use m3rs_coordinator::local::LocalStorage;
use m3rs_coordinator::write::StoreError;
use m3rs_core::ErrorKind;
use m3rs_tsdb::{
    Aggregation, Database, Downsample, IndexOptions, NamespaceOptions, RuntimeOptions,
    StagingState, TsdbError,
};

/// The database as it follows the registry.
#[derive(Debug)]
pub(crate) struct DatabaseHost {
    storage: Arc<LocalStorage>,
    /// Whether samples of a namespace go with it.
    deletes: bool,
}

impl DatabaseHost {
    /// `deletes` says whether clients may delete samples.
    pub(crate) fn new(storage: Arc<LocalStorage>, deletes: bool) -> Self {
        Self { storage, deletes }
    }

    /// Makes true what the registry says, as a process may end between a change of the registry
    /// and that of the database.
    ///
    /// # Errors
    /// A registry that cannot be read; a namespace that cannot be made is told in the log.
    pub(crate) async fn catch_up(&self, kv: SharedKv) -> Result<(), m3rs_cluster::Error> {
        let (registry, _) = Namespaces::new(kv, &Scope::default()).get().await?;
        for (name, options) in &registry.namespaces {
            if let Err(error) = self.created(name, options).await {
                let error = error.message;
                tracing::error!(namespace = name, error, "cannot serve what the registry has");
            }
        }
        Ok(())
    }

    /// Does `work` on the database, on a thread that may block.
    fn with_database<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, TsdbError> + Send + 'static,
    ) -> HostFuture<'_, T> {
        Box::pin(async move {
            let database = self.storage.database()?;
            let done = tokio::task::spawn_blocking(move || work(&database)).await;
            let panicked = |_| StoreError {
                kind: ErrorKind::Internal,
                message: "a change of namespaces panicked; see the log".to_owned(),
            };
            Ok(done.map_err(panicked)??)
        })
    }
}

impl NamespaceHost for DatabaseHost {
    fn created<'a>(
        &'a self,
        name: &'a str,
        options: &'a proto::NamespaceOptions,
    ) -> HostFuture<'a, ()> {
        let (name, options) = (name.to_owned(), options.clone());
        self.with_database(move |database| adopt(database, &name, &options))
    }

    fn updated<'a>(
        &'a self,
        name: &'a str,
        options: &'a proto::NamespaceOptions,
    ) -> HostFuture<'a, ()> {
        self.created(name, options)
    }

    fn deleted<'a>(&'a self, name: &'a str) -> HostFuture<'a, ()> {
        if !self.deletes {
            tracing::info!(namespace = name, "its samples stay; --enable-admin-api removes them");
            return Box::pin(async { Ok(()) });
        }
        let name = name.to_owned();
        self.with_database(move |database| match database.remove_namespace(&name) {
            Err(TsdbError::NoNamespace { .. }) => Ok(()),
            removed => removed,
        })
    }

    fn is_ready<'a>(&'a self, name: &'a str) -> HostFuture<'a, bool> {
        let name = name.to_owned();
        self.with_database(move |database| Ok(database.namespace(&name).is_some()))
    }
}

fn adopt(
    database: &Database,
    name: &str,
    wanted: &proto::NamespaceOptions,
) -> Result<(), TsdbError> {
    let Some(namespace) = database.namespace(name) else {
        let options = options_of(wanted, &NamespaceOptions::default());
        return database.add_namespace(name, options).map(drop);
    };
    let existing = namespace.options();
    let kept = adopted(options_of(wanted, &existing), &existing);
    if kept == *existing {
        return Ok(());
    }
    drop(namespace);
    tracing::info!(namespace = name, "adopting the namespace with the options of the registry");
    database.update_namespace(name, kept)
}

/// What of the options of a registry holds for a namespace that has `existing` ones: blocks keep
/// their size, and nothing is kept for less than a block.
fn adopted(wanted: NamespaceOptions, existing: &NamespaceOptions) -> NamespaceOptions {
    let block_size_ns = existing.block_size_ns;
    if wanted.block_size_ns == block_size_ns {
        return wanted;
    }
    let index = IndexOptions { block_size_ns: existing.index.block_size_ns, ..wanted.index };
    let retention_ns = wanted.retention_ns.max(block_size_ns);
    NamespaceOptions { block_size_ns, retention_ns, index, ..wanted }
}

/// Our options for those of M3. What M3 has none for is as in `base`.
fn options_of(wanted: &proto::NamespaceOptions, base: &NamespaceOptions) -> NamespaceOptions {
    let retention = wanted.retention_options.unwrap_or_default();
    let index = wanted.index_options.unwrap_or_default();
    let runtime = wanted.runtime_options.unwrap_or_default();
    let aggregations = wanted.aggregation_options.clone().unwrap_or_default().aggregations;
    NamespaceOptions {
        retention_ns: retention.retention_period_nanos,
        future_retention_ns: retention.future_retention_period_nanos,
        block_size_ns: retention.block_size_nanos,
        buffer_past_ns: retention.buffer_past_nanos,
        buffer_future_ns: retention.buffer_future_nanos,
        cold_writes_enabled: wanted.cold_writes_enabled,
        bootstrap_enabled: wanted.bootstrap_enabled,
        flush_enabled: wanted.flush_enabled,
        snapshot_enabled: wanted.snapshot_enabled,
        cleanup_enabled: wanted.cleanup_enabled,
        repair_enabled: wanted.repair_enabled,
        writes_to_commit_log: wanted.writes_to_commit_log,
        index: IndexOptions {
            enabled: index.enabled,
            block_size_ns: index.block_size_nanos,
            ..base.index.clone()
        },
        aggregations: aggregations.iter().map(aggregation_of).collect(),
        staging_state: match wanted.staging_state.map(|state| state.status()) {
            Some(StagingStatus::Initializing) => StagingState::Initializing,
            Some(StagingStatus::Ready) => StagingState::Ready,
            _ => StagingState::Unknown,
        },
        runtime: RuntimeOptions {
            write_indexing_per_cpu: runtime.write_indexing_per_cpu_concurrency,
            flush_indexing_per_cpu: runtime.flush_indexing_per_cpu_concurrency,
        },
        ..base.clone()
    }
}

fn aggregation_of(wanted: &proto::Aggregation) -> Aggregation {
    let attributes = wanted.attributes.unwrap_or_default();
    if !wanted.aggregated {
        return Aggregation::Unaggregated;
    }
    let all = attributes.downsample_options.is_none_or(|options| options.all);
    Aggregation::Aggregated {
        resolution_ns: attributes.resolution_nanos,
        downsample: if all { Downsample::All } else { Downsample::ByRules },
    }
}

#[cfg(test)]
mod tests {
    use m3rs_cluster::namespaces::{BlockSize, unaggregated};

    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn wanted(retention: &str) -> proto::NamespaceOptions {
        unaggregated(retention, BlockSize::default()).expect("a duration")
    }

    #[test]
    fn options_of_the_registry_become_ours() {
        let ours = options_of(&wanted("48h"), &NamespaceOptions::default());
        assert_eq!((ours.retention_ns, ours.block_size_ns), (48 * HOUR, 2 * HOUR));
        assert!(!ours.cold_writes_enabled && ours.writes_to_commit_log && ours.index.enabled);
        assert_eq!(ours.aggregations, [Aggregation::Unaggregated]);
        assert_eq!(ours.validate(), Ok(()));
    }

    #[test]
    fn what_is_there_keeps_its_blocks() {
        let existing = NamespaceOptions::default();
        for (retention, kept) in [("12h", 12 * HOUR), ("1h", 2 * HOUR)] {
            let ours = adopted(options_of(&wanted(retention), &existing), &existing);
            assert_eq!((ours.retention_ns, ours.block_size_ns), (kept, 2 * HOUR), "{retention}");
            assert_eq!(ours.validate(), Ok(()), "{retention}");
        }
    }
}
