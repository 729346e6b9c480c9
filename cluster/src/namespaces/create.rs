//! Options of new namespaces from the little that `database/create` says.

use m3rs_core::time::duration::DurationNs;

use crate::error::Error;
use crate::generated::namespace::{
    AggregatedAttributes, Aggregation, AggregationOptions, DownsampleOptions, IndexOptions,
    NamespaceOptions, RetentionOptions, StagingState,
};
use crate::json::invalid_duration;

const MINUTE: i64 = 60_000_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Retention, if nothing is said.
const RETENTION: i64 = DAY;

/// Block sizes by the longest retention that they suit, and the last one beyond it.
const BLOCK_SIZES: [(i64, i64); 5] = [
    (12 * HOUR, 30 * MINUTE),
    (DAY, HOUR),
    (7 * DAY, 2 * HOUR),
    (30 * DAY, 12 * HOUR),
    (365 * DAY, DAY),
];

/// Samples of a series that a block is sized for.
const SAMPLES_PER_BLOCK: i64 = 720;

/// What a request says of the length of blocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockSize<'a> {
    /// A duration, or nothing.
    pub time: &'a str,
    /// Samples of a series in an hour; not positive is unknown.
    pub samples_per_hour: i64,
}

/// What a request says of a namespace for aggregated samples.
#[derive(Clone, Copy, Debug)]
pub struct Aggregated<'a> {
    /// Its name.
    pub name: &'a str,
    /// The length of its windows.
    pub resolution: &'a str,
    /// How long it keeps them.
    pub retention: &'a str,
}

/// Options of a namespace for samples as they come.
///
/// # Errors
/// [`Error::Invalid`] for texts that are no durations.
pub fn unaggregated(retention: &str, block: BlockSize<'_>) -> Result<NamespaceOptions, Error> {
    let retention = match retention {
        "" => RETENTION,
        text => duration("retention time", text)?,
    };
    let block_size = match block {
        BlockSize { time: "", samples_per_hour } if samples_per_hour > 0 => {
            block_size_of_rate(samples_per_hour)
        }
        BlockSize { time: "", .. } => block_size_for(DurationNs(retention)).0,
        BlockSize { time, .. } => duration("block size time", time)?,
    };
    Ok(options(retention, block_size, Aggregation::default()))
}

/// Options of a namespace for aggregated samples of all series.
///
/// # Errors
/// [`Error::Invalid`] for what is missing, and for texts that are no durations.
pub fn aggregated(request: Aggregated<'_>) -> Result<NamespaceOptions, Error> {
    let Aggregated { name, resolution, retention } = request;
    let required = [("name", name), ("resolution", resolution), ("retention_time", retention)];
    if let Some((field, _)) = required.iter().find(|(_, text)| text.is_empty()) {
        let why = format!("{field} required when aggregatedNamespace is set");
        return Err(Error::Invalid(why));
    }
    let retention = duration("retention time", retention)?;
    let attributes = AggregatedAttributes {
        resolution_nanos: duration("resolution", resolution)?,
        downsample_options: Some(DownsampleOptions { all: true }),
    };
    let aggregation = Aggregation { aggregated: true, attributes: Some(attributes) };
    Ok(options(retention, block_size_for(DurationNs(retention)).0, aggregation))
}

/// The length of blocks that suits a retention.
#[must_use]
pub fn block_size_for(retention: DurationNs) -> DurationNs {
    let suits = BLOCK_SIZES.iter().find(|(longest, _)| retention.0 <= *longest);
    DurationNs(suits.map_or(DAY, |(_, block_size)| *block_size))
}

/// PARITY(m3): the multiple of five minutes below; what should round up there never does.
fn block_size_of_rate(samples_per_hour: i64) -> i64 {
    const STEP: i64 = 5 * MINUTE;
    let exact = SAMPLES_PER_BLOCK * HOUR / samples_per_hour;
    (exact - exact % STEP).clamp(30 * MINUTE, DAY)
}

fn duration(what: &str, text: &str) -> Result<i64, Error> {
    match DurationNs::parse_go(text) {
        Ok(duration) => Ok(duration.0),
        Err(_) => Err(Error::Invalid(format!("invalid {what}: {}", invalid_duration(text)))),
    }
}

fn options(retention: i64, block_size: i64, aggregation: Aggregation) -> NamespaceOptions {
    NamespaceOptions {
        bootstrap_enabled: true,
        flush_enabled: true,
        writes_to_commit_log: true,
        cleanup_enabled: true,
        snapshot_enabled: true,
        retention_options: Some(RetentionOptions {
            retention_period_nanos: retention,
            block_size_nanos: block_size,
            buffer_future_nanos: 2 * MINUTE,
            buffer_past_nanos: 10 * MINUTE,
            block_data_expiry: true,
            block_data_expiry_after_not_access_period_nanos: 5 * MINUTE,
            future_retention_period_nanos: 0,
        }),
        index_options: Some(IndexOptions { enabled: true, block_size_nanos: block_size }),
        cache_blocks_on_retrieve: Some(false),
        aggregation_options: Some(AggregationOptions { aggregations: vec![aggregation] }),
        staging_state: Some(StagingState::default()),
        ..NamespaceOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_suit_the_retention() {
        let of = |hours| block_size_for(DurationNs(hours * HOUR)).0 / MINUTE;
        assert_eq!(
            [1, 12, 13, 24, 48, 168, 169, 720, 8760, 9000].map(of),
            [30, 30, 60, 60, 120, 120, 720, 720, 1440, 1440]
        );
    }

    #[test]
    fn blocks_suit_the_rate() {
        let of = |rate| block_size_of_rate(rate) / MINUTE;
        assert_eq!(of(180), 240);
        assert_eq!(of(i64::MAX), 30);
        assert_eq!(of(1), 1440);
    }
}
