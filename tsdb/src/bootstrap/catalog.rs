//! Which namespaces a start opens: those of the catalog and those of configuration.

use std::path::Path;

use m3rs_core::fs::Fs;

use super::remove_temporary;
use crate::commitlog;
use crate::database::DatabaseOptions;
use crate::error::{Damage, TsdbError};
use crate::names::{Layout, is_numbered_dir};
use crate::namespace::{Catalog, ConfiguredNamespace, check_name};

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
    for (name, configured) in &options.configured() {
        configure(&mut catalog, name, configured, |dir| layout.has(fs, dir))?;
    }
    doom_leftovers(fs, layout, &mut catalog)?;
    let limit = options.limits.namespaces_max;
    if catalog.live.len() > limit {
        return Err(TsdbError::NamespaceLimit { limit });
    }
    if found.as_ref() != Some(&catalog) {
        catalog.store(fs, layout)?;
    }
    Ok(catalog)
}

/// Dooms directories that the catalog does not list, as earlier builds left some. Names that we do
/// not give may be anything, such as somebody's copy, and are left alone.
fn doom_leftovers(fs: &dyn Fs, layout: &Layout, catalog: &mut Catalog) -> Result<(), TsdbError> {
    for part in layout.parts() {
        for path in fs.list(&part).map_err(|e| TsdbError::io("list", &part, e))? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let is_listed = catalog.live.iter().any(|meta| meta.dir == name)
                || catalog.doomed.iter().any(|dir| dir == name);
            if is_listed {
                continue;
            }
            if is_numbered_dir(name) {
                tracing::warn!(path = %path.display(), "a leftover of no namespace is removed");
                catalog.doomed.push(name.to_owned());
            } else {
                tracing::warn!(path = %path.display(), "belongs to no namespace and is left alone");
            }
        }
    }
    Ok(())
}

fn configure(
    catalog: &mut Catalog,
    name: &str,
    configured: &ConfiguredNamespace,
    is_there: impl Fn(&str) -> bool,
) -> Result<(), TsdbError> {
    let wrong = |error| TsdbError::Options { name: name.to_owned(), error };
    check_name(name).map_err(wrong)?;
    let existing = catalog.find(name).map(|meta| &meta.options);
    let mut options = configured.resolve(existing);
    options.validate().map_err(wrong)?;
    if let Some(existing) = existing {
        // Other shards are made, and the log ends, once the namespace is open.
        options.shard_count = existing.shard_count;
        options.writes_to_commit_log |= existing.writes_to_commit_log;
        existing.check_change(&options).map_err(wrong)?;
    }
    match catalog.find_mut(name) {
        Ok(meta) => meta.options = options,
        Err(_) => {
            let meta = catalog.reserve(name, options, is_there);
            catalog.adopt(meta);
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
