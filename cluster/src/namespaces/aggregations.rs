//! What is aggregated into namespaces.

use std::collections::BTreeSet;

use m3rs_core::time::duration::DurationNs;

use crate::generated::namespace::{
    AggregatedAttributes, Aggregation, AggregationOptions, DownsampleOptions, Registry,
};

/// The options with their defaults. A kind that is not aggregated has no attributes; one that is
/// gets all series unless it says otherwise.
///
/// # Errors
/// Attributes that are missing, and a resolution that is not positive.
pub(super) fn complete(
    options: Option<AggregationOptions>,
) -> Result<Option<AggregationOptions>, String> {
    let Some(AggregationOptions { aggregations }) = options else { return Ok(None) };
    if aggregations.is_empty() {
        return Ok(None);
    }
    let aggregations = aggregations.into_iter().map(complete_one).collect::<Result<_, _>>()?;
    Ok(Some(AggregationOptions { aggregations }))
}

fn complete_one(aggregation: Aggregation) -> Result<Aggregation, String> {
    if !aggregation.aggregated {
        return Ok(Aggregation::default());
    }
    let attributes = aggregation.attributes;
    let attributes = attributes.ok_or("must set Attributes when aggregated is true")?;
    let resolution = DurationNs(attributes.resolution_nanos);
    if resolution.0 <= 0 {
        return Err(format!("invalid resolution {}. must be greater than 0", resolution.go()));
    }
    let downsample = attributes.downsample_options.unwrap_or(DownsampleOptions { all: true });
    let attributes = AggregatedAttributes { downsample_options: Some(downsample), ..attributes };
    Ok(Aggregation { aggregated: true, attributes: Some(attributes) })
}

/// No two namespaces may have the same resolution and retention: a storage policy names one.
///
/// # Errors
/// The pair that stands twice.
pub(super) fn check_unique(registry: &Registry) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for options in registry.namespaces.values() {
        let retention = options.retention_options.as_ref().map_or(0, |r| r.retention_period_nanos);
        let aggregations = options.aggregation_options.iter().flat_map(|a| &a.aggregations);
        for attributes in aggregations.filter_map(|aggregation| aggregation.attributes.as_ref()) {
            let resolution = attributes.resolution_nanos;
            if !seen.insert((resolution, retention)) {
                let (resolution, retention) = (DurationNs(resolution), DurationNs(retention));
                let pair = format!("resolution={} retention={}", resolution.go(), retention.go());
                return Err(format!(
                    "resolution and retention combination must be unique. \
                     namespace with {pair} already exists"
                ));
            }
        }
    }
    Ok(())
}
