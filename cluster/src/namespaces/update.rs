//! What of a namespace may change.

use super::{aggregations, check};
use crate::generated::namespace::{NamespaceOptions, RetentionOptions};

/// Changes that may be made: of the retention, of runtime options, of aggregations and of
/// extensions.
///
/// # Errors
/// PARITY(m3): the first field that may not change, by its name there, and a request without
/// changes.
pub(super) fn checked(
    name: &str,
    changes: Option<NamespaceOptions>,
) -> Result<NamespaceOptions, String> {
    if name.is_empty() {
        return Err("must specify namespace name".to_owned());
    }
    let empty = "update options cannot be empty";
    let changes = changes.ok_or(empty)?;
    let fixed = [
        ("BootstrapEnabled", changes.bootstrap_enabled),
        ("FlushEnabled", changes.flush_enabled),
        ("WritesToCommitLog", changes.writes_to_commit_log),
        ("CleanupEnabled", changes.cleanup_enabled),
        ("RepairEnabled", changes.repair_enabled),
        ("SnapshotEnabled", changes.snapshot_enabled),
        ("IndexOptions", changes.index_options.is_some()),
        ("SchemaOptions", changes.schema_options.is_some()),
        ("ColdWritesEnabled", changes.cold_writes_enabled),
        ("CacheBlocksOnRetrieve", changes.cache_blocks_on_retrieve.is_some()),
        ("StagingState", changes.staging_state.is_some()),
    ];
    refuse_set(&fixed, "")?;
    if changes == NamespaceOptions::default() {
        return Err(empty.to_owned());
    }
    if let Some(retention) = &changes.retention_options {
        let RetentionOptions {
            retention_period_nanos: _,
            block_size_nanos,
            buffer_future_nanos,
            buffer_past_nanos,
            block_data_expiry,
            block_data_expiry_after_not_access_period_nanos: expiry_nanos,
            future_retention_period_nanos,
        } = *retention;
        let fixed = [
            ("BlockSizeNanos", block_size_nanos != 0),
            ("BufferFutureNanos", buffer_future_nanos != 0),
            ("BufferPastNanos", buffer_past_nanos != 0),
            ("BlockDataExpiry", block_data_expiry),
            ("BlockDataExpiryAfterNotAccessPeriodNanos", expiry_nanos != 0),
            ("FutureRetentionPeriodNanos", future_retention_period_nanos != 0),
        ];
        refuse_set(&fixed, "RetentionOptions.")?;
    }
    Ok(changes)
}

fn refuse_set(fields: &[(&str, bool)], within: &str) -> Result<(), String> {
    match fields.iter().find(|(_, is_set)| *is_set) {
        Some((field, _)) => Err(format!("{within}{field}: namespace option field is immutable")),
        None => Ok(()),
    }
}

/// The options with changes that passed [`checked`].
///
/// # Errors
/// The rule that they would break.
pub(super) fn updated(
    mut options: NamespaceOptions,
    changes: NamespaceOptions,
) -> Result<NamespaceOptions, String> {
    let failed = |why: String| format!("error constructing new metadata: {why}");
    let period = changes.retention_options.map_or(0, |retention| retention.retention_period_nanos);
    if period != 0 {
        options.retention_options.get_or_insert_default().retention_period_nanos = period;
    }
    if let Some(changes) = changes.runtime_options {
        let runtime = options.runtime_options.get_or_insert_default();
        let write = changes.write_indexing_per_cpu_concurrency;
        let flush = changes.flush_indexing_per_cpu_concurrency;
        runtime.write_indexing_per_cpu_concurrency =
            write.or(runtime.write_indexing_per_cpu_concurrency);
        runtime.flush_indexing_per_cpu_concurrency =
            flush.or(runtime.flush_indexing_per_cpu_concurrency);
    }
    if changes.extended_options.is_some() {
        options.extended_options = changes.extended_options;
    }
    if let Some(aggregations) = changes.aggregation_options {
        options.aggregation_options = aggregations::complete(Some(aggregations))
            .map_err(|why| format!("error constructing construction aggregationOptions: {why}"))?;
    }
    let unable = |why: String| failed(format!("unable to validate options: {why}"));
    check::complete(options).map_err(unable)
}
