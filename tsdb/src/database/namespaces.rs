//! Namespaces come, change and go while the database serves.
//!
//! # Why a crash at any moment is harmless
//! Which namespaces there are is what the catalog says, and that is replaced as a whole. A
//! namespace that is removed, emptied or laid out anew never gets its number or its directory
//! back: log entries of the old number are passed over, and the old directory is listed as doomed
//! until it is gone. The directory of a new one is listed as doomed before anything is in it, until
//! the namespace is: so what an attempt that failed left is never opened, and goes.
//!
//! # Locks
//! `maintenance` before `catalog`; a change of namespaces takes only the latter, and so does not
//! wait for flushes.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::{Core, Database};
use crate::error::{Damage, TsdbError};
use crate::namespace::{
    Catalog, ConfiguredNamespace, Namespace, NamespaceMeta, NamespaceOptions, check_name,
};
use crate::progress::{Progress, Stage};

impl Database {
    /// The namespace of that name.
    ///
    /// Hold it no longer than a request: it may be removed or replaced, and its files and memory
    /// are freed when nobody holds it any more.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<Arc<Namespace>> {
        self.core.namespaces.read().get(name).cloned()
    }

    /// All namespaces, by name.
    #[must_use]
    pub fn namespaces(&self) -> Vec<Arc<Namespace>> {
        self.core.all()
    }

    /// Makes a namespace. It is durable and takes writes when this returns.
    ///
    /// # Errors
    /// [`TsdbError::Options`], [`TsdbError::NamespaceExists`], [`TsdbError::NamespaceLimit`];
    /// errors of the file system, after which an empty namespace of that name may appear at the
    /// next start.
    pub fn add_namespace(
        &self,
        name: &str,
        options: NamespaceOptions,
    ) -> Result<Arc<Namespace>, TsdbError> {
        let wrong = |error| TsdbError::Options { name: name.to_owned(), error };
        check_name(name).map_err(wrong)?;
        options.validate().map_err(wrong)?;
        let mut catalog = self.core.catalog.lock();
        if catalog.find(name).is_some() {
            return Err(TsdbError::NamespaceExists { name: name.to_owned() });
        }
        let limit = self.core.opener.limits.namespaces_max;
        if catalog.live.len() >= limit {
            return Err(TsdbError::NamespaceLimit { limit });
        }
        let meta = self.core.reserve(&mut catalog, name, options)?;
        let mut next = catalog.clone();
        next.adopt(meta.clone());
        let namespace = self.core.open_made(meta)?;
        self.core.store(&next)?;
        *catalog = next;
        self.core.namespaces.write().insert(name.to_owned(), Arc::clone(&namespace));
        tracing::info!(namespace = name, "namespace made");
        Ok(namespace)
    }

    /// Gives a namespace other options. They are durable and hold when this returns; block size
    /// and shard count cannot change so.
    ///
    /// A request that began before goes by the old ones. If samples are logged from now on, those
    /// before are made durable in files. If samples are not logged any more, the
    /// buffers are first made durable in files, and writes are refused as unavailable meanwhile.
    ///
    /// # Errors
    /// [`TsdbError::Options`], [`TsdbError::NoNamespace`]; errors of the file system, after which
    /// the new options may hold from the next start on.
    pub fn update_namespace(&self, name: &str, options: NamespaceOptions) -> Result<(), TsdbError> {
        let wrong = |error| TsdbError::Options { name: name.to_owned(), error };
        options.validate().map_err(wrong)?;
        let mut catalog = self.core.catalog.lock();
        let mut next = catalog.clone();
        let meta = next.find_mut(name)?;
        meta.options.check_change(&options).map_err(wrong)?;
        if meta.options.writes_to_commit_log && !options.writes_to_commit_log {
            drop(catalog);
            return self.core.stop_logging(name, options);
        }
        if !meta.options.writes_to_commit_log && options.writes_to_commit_log {
            // What was not logged has to go into files.
            self.core.check_opened()?;
        }
        meta.options = options.clone();
        let namespace = self.core.serving(name)?;
        self.core.store(&next)?;
        namespace.set_options(options);
        *catalog = next;
        drop(catalog);
        tracing::info!(namespace = name, "options of the namespace changed");
        if namespace.options().writes_to_commit_log && namespace.holds_unlogged() {
            self.core.save_unlogged()?;
        }
        Ok(())
    }

    /// Removes a namespace with all that is in it, durably. Readers that hold it finish; its
    /// files go once there are none.
    ///
    /// # Errors
    /// [`TsdbError::NoNamespace`]; errors of the file system: it then stays, and takes no writes
    /// until the disk has taken the catalog again.
    pub fn remove_namespace(&self, name: &str) -> Result<(), TsdbError> {
        let mut catalog = self.core.catalog.lock();
        let mut next = catalog.clone();
        next.remove(name).ok_or_else(|| TsdbError::NoNamespace { name: name.to_owned() })?;
        let old = self.core.retire(name, &catalog, &next)?;
        self.core.namespaces.write().remove(name);
        *catalog = next;
        self.core.keep_until_free(old);
        drop(catalog);
        tracing::info!(namespace = name, "namespace removed");
        self.core.try_purge();
        Ok(())
    }

    /// Drops all samples and series of a namespace at once, durably. Requests that hold the old
    /// one finish reading; their writes are refused.
    ///
    /// # Errors
    /// As [`Database::remove_namespace`].
    pub fn truncate(&self, name: &str) -> Result<(), TsdbError> {
        let mut catalog = self.core.catalog.lock();
        let Some(NamespaceMeta { options, .. }) = catalog.find(name).cloned() else {
            return Err(TsdbError::NoNamespace { name: name.to_owned() });
        };
        let meta = self.core.reserve(&mut catalog, name, options)?;
        let mut next = catalog.clone();
        next.remove(name);
        next.adopt(meta.clone());
        let new = self.core.open_made(meta)?;
        let old = self.core.retire(name, &catalog, &next)?;
        self.core.namespaces.write().insert(name.to_owned(), new);
        *catalog = next;
        let series = old.series_count();
        self.core.keep_until_free(old);
        drop(catalog);
        tracing::info!(namespace = name, series, "namespace emptied");
        self.core.try_purge();
        Ok(())
    }
}

impl Core {
    /// All namespaces, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Namespace>> {
        self.namespaces.read().values().cloned().collect()
    }

    /// Makes open namespaces what configuration says and only open ones can be made: with other
    /// shards, or without a log. Returns what was damaged and is left out of new shards.
    pub(super) fn settle_configured(
        &self,
        configured: &BTreeMap<String, ConfiguredNamespace>,
        progress: &Progress,
    ) -> Result<Vec<Damage>, TsdbError> {
        let mut damage = Vec::new();
        let mut resharded = Vec::new();
        for (name, one) in configured {
            let shard_count = one.shard_count.unwrap_or(self.serving(name)?.shard_count());
            if self.serving(name)?.shard_count() != shard_count {
                resharded.push((name, shard_count));
            }
        }
        if !resharded.is_empty() {
            progress.enter(Stage::Reshard, resharded.len() as u64);
        }
        for (name, shard_count) in resharded {
            damage.extend(self.reshard(name, shard_count)?);
            progress.advance(Stage::Reshard, 1);
        }
        for (name, one) in configured {
            let now = self.serving(name)?.options();
            let writes_to_commit_log = one.options.writes_to_commit_log;
            if now.writes_to_commit_log && !writes_to_commit_log {
                // What the log has was replayed by now, and the log counts no more after this.
                let options = NamespaceOptions { writes_to_commit_log, ..now.as_ref().clone() };
                self.stop_logging(name, options)?;
            }
        }
        Ok(damage)
    }

    pub(super) fn serving(&self, name: &str) -> Result<Arc<Namespace>, TsdbError> {
        let found = self.namespaces.read().get(name).cloned();
        found.ok_or_else(|| TsdbError::NoNamespace { name: name.to_owned() })
    }

    /// Gives a number and a directory to a namespace that is to be made; see [`Catalog::reserve`].
    pub(super) fn reserve(
        &self,
        catalog: &mut Catalog,
        name: &str,
        options: NamespaceOptions,
    ) -> Result<NamespaceMeta, TsdbError> {
        let mut next = catalog.clone();
        let (fs, layout) = (self.opener.fs.as_ref(), &self.opener.layout);
        let meta = next.reserve(name, options, |dir| layout.has(fs, dir));
        self.store(&next)?;
        *catalog = next;
        Ok(meta)
    }

    /// Opens a namespace that was just made.
    pub(super) fn open_made(&self, meta: NamespaceMeta) -> Result<Arc<Namespace>, TsdbError> {
        let mut damage = Vec::new();
        let opened = self.opener.open(meta, &Progress::new(), &mut damage)?;
        for found in &damage {
            tracing::error!(path = %found.path.display(), damage = %found, "damage found");
        }
        Ok(Arc::new(opened))
    }

    pub(super) fn store(&self, catalog: &Catalog) -> Result<(), TsdbError> {
        catalog.store(self.opener.fs.as_ref(), &self.opener.layout)
    }

    /// Ends the writes of a namespace and makes the catalog without it durable.
    pub(super) fn retire(
        &self,
        name: &str,
        before: &Catalog,
        after: &Catalog,
    ) -> Result<Arc<Namespace>, TsdbError> {
        let namespace = self.serving(name)?;
        // Before the catalog: what is acknowledged after it would be gone at the next start.
        namespace.retire();
        if let Err(error) = self.store(after) {
            match self.store(before) {
                Ok(()) => namespace.reinstate(),
                Err(again) => {
                    tracing::error!(
                        namespace = name, %error, %again,
                        "whether the namespace is removed is not known: it takes no writes for now"
                    );
                    self.unsettled.lock().push(namespace);
                }
            }
            return Err(error);
        }
        Ok(namespace)
    }

    /// Once the disk takes the catalog again, as it was before changes that failed, lets their
    /// namespaces take writes.
    pub(super) fn settle_catalog(&self) -> Result<(), TsdbError> {
        let catalog = self.catalog.lock();
        let mut unsettled = self.unsettled.lock();
        if unsettled.is_empty() {
            return Ok(());
        }
        self.store(&catalog)?;
        for namespace in unsettled.drain(..) {
            tracing::info!(namespace = namespace.name(), "the namespace takes writes again");
            namespace.reinstate();
        }
        Ok(())
    }

    /// Remembers a retired namespace until its files may go.
    pub(super) fn keep_until_free(&self, namespace: Arc<Namespace>) {
        self.count_gone(&namespace);
        self.retired.lock().push(namespace);
    }

    /// Counts what a retired namespace counted.
    pub(super) fn count_gone(&self, namespace: &Namespace) {
        let (gone, counted) = (&self.gone, &namespace.counters);
        for (gone, counted) in [
            (&gone.samples, &counted.samples),
            (&gone.damaged_reads, &counted.damaged_reads),
            (&gone.series_rate_refusals, &counted.series_rate_refusals),
            (&gone.compactions, &counted.compactions),
            (&gone.compaction_read_bytes, &counted.compaction_read_bytes),
            (&gone.compaction_written_bytes, &counted.compaction_written_bytes),
            (&gone.compactions_skipped, &counted.compactions_skipped),
        ] {
            gone.add(counted.get());
        }
    }

    /// Removes the files of removed namespaces, unless other maintenance is under way.
    pub(super) fn try_purge(&self) {
        let Some(maintenance) = self.maintenance.try_lock() else { return };
        if let Err(error) = self.purge(&maintenance) {
            tracing::warn!(%error, "files of a removed namespace stay for now");
        }
    }

    /// Removes directories that belong to no namespace and that nobody reads any more.
    pub(super) fn purge(&self, _: &MutexGuard<'_, ()>) -> Result<u64, TsdbError> {
        self.retired.lock().retain(|namespace| Arc::strong_count(namespace) > 1);
        let mut catalog = self.catalog.lock();
        let read: Vec<String> = self.retired.lock().iter().map(|n| n.dir.clone()).collect();
        let mut next = catalog.clone();
        next.doomed.retain(|dir| read.contains(dir));
        if next.doomed.len() == catalog.doomed.len() {
            return Ok(0);
        }
        let gone = catalog.doomed.iter().filter(|dir| !read.contains(dir));
        let mut removed = 0;
        for dir in gone {
            self.remove_dirs(dir)?;
            removed += 1;
        }
        // Only now may the directory's name be given again.
        self.store(&next)?;
        *catalog = next;
        Ok(removed)
    }

    pub(super) fn remove_dirs(&self, dir: &str) -> Result<(), TsdbError> {
        let fs = self.opener.fs.as_ref();
        for part in self.opener.layout.parts() {
            let path = part.join(dir);
            if fs.exists(&path) {
                fs.remove_dir_all(&path).map_err(|e| TsdbError::io("remove", &path, e))?;
            }
            if fs.exists(&part) {
                fs.sync_dir(&part).map_err(|e| TsdbError::io("sync", &part, e))?;
            }
        }
        Ok(())
    }
}
