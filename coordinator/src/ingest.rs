//! From bodies of requests to samples in a store.

mod histogram;
mod labels;
mod metadata;
mod receiver;
mod refusals;
mod remote_write;
mod remote_write_2;

pub use labels::{LabelRefusal, describe_series, parse_labels};
pub use metadata::MetadataSource;
pub use receiver::{
    DurableFuture, RemoteWriteReceiver, WriteFailure, WriteOutcome, WriteProtocol, WriteReceiver,
};
pub use refusals::Refusals;
pub(crate) use remote_write::SAMPLE_TAG;
pub use remote_write::{WalkCounts, WalkError, walk_write_request};
pub use remote_write_2::walk_write_request_2;
