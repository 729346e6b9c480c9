//! The storage engine: samples and their files.
//!
//! **What it is:** codecs, the commit log, buffers by shard and block window, filesets, snapshots,
//! flush, bootstrap and retention, under one [`Database`] of namespaces.
//!
//! **What it is not:** a network service, or a query language. It runs in any process that gives
//! it a file system and a clock.
//!
//! **In → out:** (series, time, value) → durable files; matchers and a time range → columns.
//!
//! # Invariants
//! - What [`Commit::durable`] acknowledged survives a kill and a power cut (`SyncMode::Group`).
//! - Series refs are durable: a number is never given to a second series while a file names it.
//! - Of several samples of one series and time, the last write wins, on every path.
//! - For each (series, block), newer layers lie over older ones: volume, snapshots, frozen windows,
//!   the open window.
#![forbid(unsafe_code)]

mod activity;
mod blocks;
mod bootstrap;
mod buffer;
mod cache;
mod changes;
mod checkpoint;
mod compact;
mod database;
mod delete;
mod error;
mod exemplar;
mod expire;
mod limits;
mod losses;
mod mediator;
mod merge;
mod metadata;
mod names;
mod namespace;
mod progress;
mod read;
mod removal;
mod scrub;
mod shard;
mod side;
mod write;

pub mod codec;
pub mod commitlog;
pub mod fileset;
pub mod series_block;

pub use activity::{BlockSeries, SeriesStats};
pub use buffer::{Columns, Rich, RichSample, SampleValue, Timed};
pub use database::{Database, DatabaseOptions, FlushReport, InMemory, NamespaceStatus, Status};
pub use delete::Deleted;
pub use error::{CommitLogError, Damage, FilesetError, TsdbError};
pub use exemplar::Exemplar;
pub use limits::{
    ANNOTATION_BYTES_MAX, EXEMPLAR_LABEL_BYTES_MAX, EXEMPLARS_MAX, EXEMPLARS_PER_SERIES_MAX, Limits,
};
pub use losses::KnownLoss;
pub use m3rs_index::{Cardinality, Count, Limited};
pub use mediator::{JobKind, JobStatus};
pub use metadata::{MetadataLimits, MetadataStore};
pub use namespace::{
    Aggregation, CachingOptions, ConfiguredNamespace, DEFAULT_NAMESPACE, Downsample,
    ExtendedOptions, IndexOptions, NAME_BYTES_MAX, Namespace, NamespaceOptions, OptionsError,
    RuntimeOptions, StagingState, TruncateTime, WriteTransforms,
};
pub use progress::{Progress, Stage};
pub use read::{Detail, Most, Select, Selection, Wanted};
pub use scrub::{Quarantined, ScrubReport};
pub use write::{Commit, ResolveError, SeriesHandle, WriteRefusal, WriteSession};
