//! Which namespaces a start opens: those of the catalog and those of configuration.

use std::path::Path;

use m3rs_core::fs::Fs;

use super::remove_temporary;
use crate::commitlog;
use crate::database::DatabaseOptions;
use crate::error::{Damage, TsdbError};
use crate::names::Layout;
use crate::namespace::{
    Catalog, ConfiguredNamespace, DEFAULT_NAMESPACE, NamespaceMeta, check_name,
};

/// Reads the catalog and makes it what configuration says, durably.
pub(super) fn load(
    fs: &dyn Fs,
    layout: &Layout,
    options: &DatabaseOptions,
    damage: &mut Vec<Damage>,
) -> Result<Catalog, TsdbError> {
    let dir = layout.namespaces();
    fs.create_dir_all(&dir).map_err(|e| TsdbError::io("create", &dir, e))?;
    remove_temporary(fs, &dir)?;
    let found = Catalog::load(fs, layout, damage)?;
    if found.is_none() && has_data(fs, layout)? {
        // Guessing shards and block sizes would scatter series.
        return Err(TsdbError::CatalogMissing { path: layout.catalog() });
    }
    let mut catalog = found.clone().unwrap_or_default();
    start_empty(&mut catalog);
    let of_default = ConfiguredNamespace {
        options: options.namespace.clone(),
        ..ConfiguredNamespace::default()
    };
    if !options.namespaces.contains_key(DEFAULT_NAMESPACE) {
        configure(&mut catalog, DEFAULT_NAMESPACE, &of_default)?;
    }
    for (name, configured) in &options.namespaces {
        configure(&mut catalog, name, configured)?;
    }
    let limit = options.limits.namespaces_max;
    if catalog.live.len() > limit {
        return Err(TsdbError::NamespaceLimit { limit });
    }
    if found.as_ref() != Some(&catalog) {
        catalog.store(fs, layout)?;
    }
    Ok(catalog)
}

/// Replaces the namespaces that begin every start without what was there before.
fn start_empty(catalog: &mut Catalog) {
    let is_empty = |meta: &&NamespaceMeta| !meta.options.bootstrap_enabled;
    let old: Vec<NamespaceMeta> = catalog.live.iter().filter(is_empty).cloned().collect();
    for meta in old {
        catalog.remove(&meta.name);
        catalog.add(&meta.name, meta.options);
        tracing::info!(namespace = meta.name, "the namespace starts empty (bootstrap is false)");
    }
}

fn configure(
    catalog: &mut Catalog,
    name: &str,
    configured: &ConfiguredNamespace,
) -> Result<(), TsdbError> {
    let wrong = |error| TsdbError::Options { name: name.to_owned(), error };
    check_name(name).map_err(wrong)?;
    let existing = catalog.find(name).map(|meta| &meta.options);
    let mut options = configured.resolve(existing);
    options.validate().map_err(wrong)?;
    if let Some(existing) = existing {
        // Other shards are made once the namespace is open.
        options.shard_count = existing.shard_count;
        existing.check_change(&options).map_err(wrong)?;
    }
    match catalog.find_mut(name) {
        Ok(meta) => meta.options = options,
        Err(_) => {
            catalog.add(name, options);
        }
    }
    Ok(())
}

/// Whether something was written here before.
fn has_data(fs: &dyn Fs, layout: &Layout) -> Result<bool, TsdbError> {
    if !commitlog::list_segments(fs, &layout.commitlog())?.is_empty() {
        return Ok(true);
    }
    let is_filled = |dir: &Path| -> Result<bool, TsdbError> {
        Ok(!fs.list(dir).map_err(|e| TsdbError::io("list", dir, e))?.is_empty())
    };
    for part in layout.parts() {
        if is_filled(&part)? {
            return Ok(true);
        }
    }
    Ok(false)
}
