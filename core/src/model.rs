//! The data model: labels, matchers, samples and native histograms.

mod histogram;
mod label;
mod matcher;
mod metadata;
mod sample;
mod series_id;

pub use histogram::{
    BucketCounts, Counts, HISTOGRAM_BUCKETS_MAX, Histogram, HistogramError, HistogramLayout,
    ResetHint, SCHEMA_CUSTOM, SCHEMA_MAX, SCHEMA_MIN, Span,
};
pub use label::{LabelError, Labels, LabelsBuilder, LabelsIter, METRIC_NAME};
pub use matcher::{MatchOp, Matcher};
pub use metadata::{Metadata, MetricType};
pub use sample::{NORMAL_NAN_BITS, STALE_NAN, STALE_NAN_BITS, Sample, SampleKind, is_stale};
pub use series_id::{put_quoted_id, shard_hash, shard_of, shard_of_hash};
