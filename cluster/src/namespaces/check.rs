//! The rules of a namespace's options.

use super::aggregations;
use crate::generated::namespace::{
    ExtendedOptions, IndexOptions, NamespaceOptions, NamespaceRuntimeOptions, RetentionOptions,
    StagingState, StagingStatus,
};

/// The options as they are stored: what is not said has its default.
///
/// # Errors
/// PARITY(m3): the first rule that they break, in M3's order and words.
pub(super) fn complete(options: NamespaceOptions) -> Result<NamespaceOptions, String> {
    let retention = options.retention_options.ok_or("retention options must be set")?;
    check_retention(&retention)?;
    let index = options
        .index_options
        .unwrap_or(IndexOptions { enabled: false, block_size_nanos: retention.block_size_nanos });
    if let Some(ExtendedOptions { r#type: kind, .. }) = &options.extended_options {
        return Err(format!("dynamic ExtendedOptions converter not registered for type {kind}"));
    }
    let aggregation_options = aggregations::complete(options.aggregation_options)?;
    let staging = options.staging_state.unwrap_or_default();
    check_staging(staging)?;
    if index.enabled {
        check_index(&index, &retention)?;
    }
    Ok(NamespaceOptions {
        retention_options: Some(retention),
        index_options: Some(index),
        cache_blocks_on_retrieve: Some(options.cache_blocks_on_retrieve.unwrap_or(false)),
        runtime_options: options
            .runtime_options
            .filter(|r| *r != NamespaceRuntimeOptions::default()),
        aggregation_options,
        staging_state: Some(staging),
        ..options
    })
}

fn check_retention(retention: &RetentionOptions) -> Result<(), &'static str> {
    let RetentionOptions { block_size_nanos: block, .. } = *retention;
    if retention.buffer_future_nanos < 0 {
        return Err("buffer future must be non-negative");
    }
    if retention.buffer_past_nanos < 0 {
        return Err("buffer past must be non-negative");
    }
    if block <= 0 {
        return Err("block size must positive");
    }
    if retention.buffer_future_nanos >= block {
        return Err("buffer future must be smaller than block size");
    }
    if retention.buffer_past_nanos >= block {
        return Err("buffer past must be smaller than block size");
    }
    if retention.retention_period_nanos < block {
        return Err("retention period must not be smaller than block size");
    }
    Ok(())
}

fn check_index(index: &IndexOptions, retention: &RetentionOptions) -> Result<(), &'static str> {
    let block = index.block_size_nanos;
    if block <= 0 {
        return Err("index block size must positive");
    }
    let future = retention.future_retention_period_nanos;
    if retention.retention_period_nanos < block || (future != 0 && future < block) {
        return Err("index block size needs to be <= namespace retention period");
    }
    if block % retention.block_size_nanos != 0 {
        return Err("index block size must be a multiple of data block size");
    }
    Ok(())
}

fn check_staging(staging: StagingState) -> Result<(), String> {
    match StagingStatus::try_from(staging.status) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("invalid StagingState: {}", staging.status)),
    }
}
