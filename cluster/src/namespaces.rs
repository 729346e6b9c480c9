//! The registry of namespaces: which there are, with what options.
//!
//! All of them stand under one key, so that a change is compared against all others at once.

mod aggregations;
mod check;
mod create;
mod schema;
mod update;

use crate::error::{Error, check_limit};
use crate::generated::namespace::{NamespaceOptions, Registry, StagingState, StagingStatus};
use crate::kv::{Expected, Key, SETTINGS, Scope, SharedKv, load, store};
use crate::limits::NAMESPACES_MAX;

pub use create::{Aggregated, BlockSize, aggregated, block_size_for, unaggregated};
pub use schema::Schema;

/// The name of the registry's key.
pub const REGISTRY: &str = "m3db.node.namespaces";

/// The namespaces of one environment.
#[derive(Clone, Debug)]
pub struct Namespaces {
    kv: SharedKv,
    key: Key,
}

impl Namespaces {
    /// The namespaces of `scope`.
    #[must_use]
    pub fn new(kv: SharedKv, scope: &Scope) -> Self {
        Self { kv, key: scope.key(SETTINGS, REGISTRY) }
    }

    /// All of them, and the version of the registry; none, and 0, if it was never written.
    ///
    /// # Errors
    /// What the store says.
    pub async fn get(&self) -> Result<(Registry, u64), Error> {
        match load(&*self.kv, &self.key).await {
            Err(Error::NotFound) => Ok((Registry::default(), 0)),
            registry => registry,
        }
    }

    /// Adds a namespace; gives all of them.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it exists, [`Error::Invalid`] for options that break a rule, and
    /// what the store says.
    pub async fn add(
        &self,
        name: &str,
        options: Option<NamespaceOptions>,
    ) -> Result<Registry, Error> {
        let invalid = |why: String| Error::Invalid(format!("bad namespace metadata: {why}"));
        let options = options.ok_or_else(|| invalid("namespace options must be set".to_owned()))?;
        let options = check::complete(options).map_err(invalid)?;
        if name.is_empty() {
            return Err(invalid("namespace ID is not set".to_owned()));
        }
        let (mut registry, version) = self.get().await?;
        if registry.namespaces.contains_key(name) {
            return Err(Error::Conflict("namespace with the same ID already exists".to_owned()));
        }
        registry.namespaces.insert(name.to_owned(), options);
        self.save(registry, version)
            .await
            .map_err(|error| prefixed(error, "failed to add namespace"))
    }

    /// Changes a namespace as far as `changes` says; gives all of them.
    ///
    /// # Errors
    /// [`Error::Invalid`] for changes that may not be, [`Error::Missing`], and what the store
    /// says.
    pub async fn update(
        &self,
        name: &str,
        changes: Option<NamespaceOptions>,
    ) -> Result<Registry, Error> {
        let changes = update::checked(name, changes)
            .map_err(|why| Error::Invalid(format!("unable to validate update request: {why}")))?;
        let (mut registry, version) = self.get().await?;
        let missing = || Error::Missing(format!("namespace not found: err={name}"));
        let options = registry.namespaces.get_mut(name).ok_or_else(missing)?;
        *options = update::updated(options.clone(), changes).map_err(Error::Invalid)?;
        self.save(registry, version)
            .await
            .map_err(|error| prefixed(error, "failed to update namespace"))
    }

    /// Removes a namespace.
    ///
    /// # Errors
    /// [`Error::Missing`], and what the store says.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        let (mut registry, version) = self.get().await?;
        if registry.namespaces.remove(name).is_none() {
            let why = "unable to find a namespace with specified name";
            return Err(Error::Missing(why.to_owned()));
        }
        let failed = |error| prefixed(error, "failed to delete namespace");
        if registry.namespaces.is_empty() {
            // PARITY(m3): its nodes do not read an empty registry.
            return self.kv.delete(&self.key).await.map(drop).map_err(failed);
        }
        self.write(&registry, version).await.map_err(failed)
    }

    /// Whether a namespace was said to be ready.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is none of that name, and what the store says.
    pub async fn is_ready(&self, name: &str) -> Result<bool, Error> {
        let (registry, _) = self.get().await?;
        let options = registry.namespaces.get(name).ok_or_else(|| unknown(name))?;
        let staging = options.staging_state.as_ref();
        Ok(staging.is_some_and(|staging| staging.status() == StagingStatus::Ready))
    }

    /// Says that a namespace is ready.
    ///
    /// # Errors
    /// As [`Namespaces::is_ready`], and [`Error::VersionMismatch`].
    pub async fn set_ready(&self, name: &str) -> Result<(), Error> {
        let (mut registry, version) = self.get().await?;
        let options = registry.namespaces.get_mut(name).ok_or_else(|| unknown(name))?;
        options.staging_state = Some(StagingState { status: StagingStatus::Ready.into() });
        self.write(&registry, version).await
    }

    /// Adds a schema to a namespace.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Refused`] for a schema that does not compile or lacks its
    /// message, and what the store says.
    pub async fn add_schema(&self, name: &str, schema: &Schema) -> Result<(), Error> {
        let (mut registry, version) = self.get().await?;
        let options = registry.namespaces.get_mut(name).ok_or_else(no_namespace)?;
        options.schema_options = Some(schema.appended(options.schema_options.take())?);
        self.write(&registry, version).await
    }

    /// Removes all schemas of a namespace.
    ///
    /// # Errors
    /// [`Error::Missing`], and what the store says.
    pub async fn reset_schema(&self, name: &str) -> Result<(), Error> {
        let (mut registry, version) = self.get().await?;
        let options = registry.namespaces.get_mut(name).ok_or_else(no_namespace)?;
        options.schema_options = None;
        self.write(&registry, version).await
    }

    /// Checks what concerns all namespaces together, and writes them.
    async fn save(&self, registry: Registry, version: u64) -> Result<Registry, Error> {
        aggregations::check_unique(&registry).map_err(Error::Invalid)?;
        self.write(&registry, version).await?;
        Ok(registry)
    }

    async fn write(&self, registry: &Registry, version: u64) -> Result<(), Error> {
        check_limit("the number of namespaces", registry.namespaces.len(), NAMESPACES_MAX)?;
        store(&*self.kv, &self.key, Expected::Version(version), registry).await.map(drop)
    }
}

/// Only failures of the store get words before them.
fn prefixed(error: Error, context: &str) -> Error {
    match error {
        Error::Invalid(_) | Error::Limit { .. } => error,
        other => other.within(context),
    }
}

fn unknown(name: &str) -> Error {
    Error::Invalid(format!("namespace {name} not found"))
}

fn no_namespace() -> Error {
    Error::Missing("namespace is not found".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::generated::namespace::{ExtendedOptions, IndexOptions, RetentionOptions};
    use crate::kv::DEFAULT_ZONE;
    use crate::kv::embedded::EmbeddedKv;

    const HOUR: i64 = 3_600_000_000_000;

    fn namespaces() -> Namespaces {
        let kv = Arc::new(EmbeddedKv::in_memory(DEFAULT_ZONE));
        Namespaces::new(kv, &Scope::default())
    }

    fn options(hours: i64) -> NamespaceOptions {
        unaggregated(&format!("{hours}h"), BlockSize::default()).expect("options")
    }

    async fn refused(options: NamespaceOptions) -> String {
        namespaces().add("a", Some(options)).await.expect_err("a rule is broken").to_string()
    }

    #[tokio::test]
    async fn options_keep_their_rules() {
        let with = |change: &dyn Fn(&mut RetentionOptions, &mut IndexOptions)| {
            let mut options = options(24);
            let (retention, index) = (&mut options.retention_options, &mut options.index_options);
            change(retention.get_or_insert_default(), index.get_or_insert_default());
            options
        };
        let cases: [(NamespaceOptions, &str); 8] = [
            (with(&|r, _| r.buffer_past_nanos = -1), "buffer past must be non-negative"),
            (
                with(&|r, _| r.buffer_future_nanos = HOUR),
                "buffer future must be smaller than block size",
            ),
            (with(&|r, _| r.block_size_nanos = 0), "block size must positive"),
            (with(&|_, i| i.block_size_nanos = -1), "index block size must positive"),
            (
                with(&|_, i| i.block_size_nanos = 25 * HOUR),
                "index block size needs to be <= namespace retention period",
            ),
            (
                with(&|_, i| i.block_size_nanos = HOUR * 3 / 2),
                "index block size must be a multiple of data block size",
            ),
            (NamespaceOptions::default(), "retention options must be set"),
            (
                NamespaceOptions {
                    extended_options: Some(ExtendedOptions::default()),
                    ..options(24)
                },
                "dynamic ExtendedOptions converter not registered for type ",
            ),
        ];
        for (options, why) in cases {
            assert_eq!(refused(options).await, format!("bad namespace metadata: {why}"));
        }
    }

    #[tokio::test]
    async fn a_registry_that_changed_meanwhile_is_not_written() {
        let one = namespaces();
        one.add("a", Some(options(24))).await.expect("added");
        let (registry, version) = one.get().await.expect("a registry");
        one.add("b", Some(options(48))).await.expect("added");
        let stale = one.write(&registry, version).await;
        assert!(matches!(stale, Err(Error::VersionMismatch)));
    }

    #[tokio::test]
    async fn the_last_namespace_takes_the_registry_with_it() {
        let namespaces = namespaces();
        namespaces.add("a", Some(options(24))).await.expect("added");
        assert!(!namespaces.is_ready("a").await.expect("it is there"));
        namespaces.set_ready("a").await.expect("said");
        assert!(namespaces.is_ready("a").await.expect("it is there"));
        namespaces.delete("a").await.expect("removed");
        assert_eq!(namespaces.get().await.expect("none"), (Registry::default(), 0));
        assert!(matches!(namespaces.delete("a").await, Err(Error::Missing(_))));
    }

    #[tokio::test]
    async fn namespaces_are_bounded() {
        let namespaces = namespaces();
        let all = (0..NAMESPACES_MAX).map(|at| (at.to_string(), options(24))).collect();
        let registry = Registry { namespaces: all };
        namespaces.write(&registry, 0).await.expect("at the limit");
        let refused = namespaces.add("one more", Some(options(24))).await;
        assert!(matches!(refused, Err(Error::Limit { .. })));
    }
}
