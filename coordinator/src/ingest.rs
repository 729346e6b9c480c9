//! From bodies of requests to samples in a store.

mod encoding;
mod histogram;
mod intake;
mod labels;
mod metadata;
mod otlp;
mod receiver;
mod refusals;
mod relabel;
mod remote_write;
mod remote_write_2;

pub use encoding::Encoding;
pub use intake::{Intake, SampleTime};
pub use labels::{LabelPolicy, LabelRefusal, describe_series, parse_labels};
pub use metadata::MetadataSource;
pub use otlp::{
    DeltaRefusal, DeltaTemporality, DeltaUsage, Otlp, OtlpConfig, OtlpConfigError,
    TranslationStrategy, json_to_protobuf, walk_otlp,
};
pub use receiver::{DurableFuture, Format, Receiver, WriteFailure, WriteOutcome, WriteReceiver};
pub use refusals::Refusals;
pub use relabel::{RelabelAction, RelabelConfig, RelabelError, Relabeler};
pub(crate) use remote_write::SAMPLE_TAG;
pub use remote_write::{WalkCounts, WalkError, walk_write_request};
pub use remote_write_2::walk_write_request_2;
