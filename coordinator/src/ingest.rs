//! From bodies of requests to samples in a store.

mod labels;
mod metadata;
mod receiver;
mod refusals;
mod remote_write;

pub use labels::{LabelRefusal, describe_series, parse_labels};
pub use metadata::{Metadata, MetadataStore, MetricType};
pub use receiver::{DurableFuture, RemoteWriteReceiver, WriteFailure, WriteOutcome, WriteReceiver};
pub use refusals::Refusals;
pub(crate) use remote_write::SAMPLE_TAG;
pub use remote_write::{WalkCounts, WalkError, walk_write_request};
