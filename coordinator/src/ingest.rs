//! From bodies of requests to samples in a store.

mod csv;
mod cutter;
mod encoding;
mod exposition;
mod go_json;
mod histogram;
mod influx;
mod intake;
mod json_lines;
mod labels;
mod lines;
mod m3_json;
mod metadata;
mod number;
mod otlp;
mod receiver;
#[cfg(test)]
mod recorded;
mod refusals;
mod relabel;
mod remote_write;
mod remote_write_2;
mod symbols;
mod time_layout;
mod unpack;

pub use csv::{Csv, CsvFormatError};
pub(crate) use cutter::{CutLimits, LineCutter};
pub use encoding::Encoding;
pub use exposition::{Exposition, ExpositionFormat};
pub(crate) use go_json::go_error;
pub use influx::{Influx, InfluxDialect, Precision};
pub use intake::{Intake, SampleTime};
pub use json_lines::JsonLines;
pub use labels::{LabelPolicy, LabelRefusal, describe_series, parse_labels};
pub use lines::{LineContext, LineFormat, Lines};
pub use m3_json::walk_m3_json;
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
pub use time_layout::TimeLayout;
pub(crate) use unpack::Unpacker;
