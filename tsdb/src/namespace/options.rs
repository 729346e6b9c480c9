//! How a namespace keeps its samples: every option of M3, and a few of ours.

use m3rs_core::model::Matcher;
use m3rs_core::time::NS_PER_S;

const HOUR_NS: i64 = 3600 * NS_PER_S;

/// How a namespace keeps its samples.
///
/// Block size and shard count are fixed at its creation; all else may change while it serves.
/// [`NamespaceOptions::validate`](super::OptionsError) says what fits together.
#[derive(Clone, Debug, PartialEq)]
pub struct NamespaceOptions {
    /// How long samples are kept, in nanoseconds; 0 keeps them for ever.
    pub retention_ns: i64,
    /// How far ahead of the clock cold writes may be, in nanoseconds; 0 is not beyond
    /// `buffer_future_ns`.
    pub future_retention_ns: i64,
    /// Length of a block, in nanoseconds.
    pub block_size_ns: i64,
    /// How long after its end a block waits for late samples before it is flushed, and without
    /// cold writes how old a sample may be.
    pub buffer_past_ns: i64,
    /// How far in the future a sample may be.
    pub buffer_future_ns: i64,
    /// Number of shards.
    pub shard_count: u16,
    /// Whether samples outside the buffer's window are taken, as long as retention allows.
    pub cold_writes_enabled: bool,
    /// M3's switch for what a start reads; only carried. A start serves what there is, as files
    /// are mapped and not loaded, and no switch takes away what was acknowledged.
    pub bootstrap_enabled: bool,
    /// Whether blocks become volumes. Without, they stay in snapshots and in the log.
    pub flush_enabled: bool,
    /// Whether buffers are put into snapshots. Without, the log is kept until blocks are flushed.
    pub snapshot_enabled: bool,
    /// Whether files are removed once they are outside retention.
    pub cleanup_enabled: bool,
    /// Whether replicas are compared and mended; carried for the cluster.
    pub repair_enabled: bool,
    /// Whether samples go to the commit log. Without, a crash loses those that no file holds yet.
    pub writes_to_commit_log: bool,
    /// Which series matchers find.
    pub index: IndexOptions,
    /// What writes change of samples.
    pub transforms: WriteTransforms,
    /// What the samples are: raw, or aggregates of some resolution. For the coordinator.
    pub aggregations: Vec<Aggregation>,
    /// Whether coordinators may use it.
    pub staging_state: StagingState,
    /// Caching of blocks, as M3 has it; files are mapped here, so these are only carried.
    pub caching: CachingOptions,
    /// Cores for index work; carried for clusters.
    pub runtime: RuntimeOptions,
    /// Options of a plug-in of M3; carried as they are.
    pub extended: Option<ExtendedOptions>,
    /// Most series; 0 is the server's limit (`limits.series_max`).
    pub series_max: u32,
    /// Most new series in a second; 0 is the server's limit
    /// (`limits.new_series_per_second_max`).
    pub new_series_per_second_max: u32,
}

impl Default for NamespaceOptions {
    fn default() -> Self {
        Self {
            retention_ns: 30 * 24 * HOUR_NS,
            future_retention_ns: 0,
            block_size_ns: 2 * HOUR_NS,
            buffer_past_ns: 600 * NS_PER_S,
            buffer_future_ns: 600 * NS_PER_S,
            shard_count: 4,
            cold_writes_enabled: true,
            bootstrap_enabled: true,
            flush_enabled: true,
            snapshot_enabled: true,
            cleanup_enabled: true,
            repair_enabled: false,
            writes_to_commit_log: true,
            index: IndexOptions::default(),
            transforms: WriteTransforms::default(),
            aggregations: vec![Aggregation::Unaggregated],
            staging_state: StagingState::Unknown,
            caching: CachingOptions::default(),
            runtime: RuntimeOptions::default(),
            extended: None,
            series_max: 0,
            new_series_per_second_max: 0,
        }
    }
}

/// Which series matchers find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexOptions {
    /// Whether there is an index. Without, a series is found by all of its labels only.
    pub enabled: bool,
    /// Length of a block of the index, in nanoseconds; 0 is that of the data.
    pub block_size_ns: i64,
    /// A series for which all of these hold is found by all of its labels only; none is, if there
    /// are no matchers.
    pub do_not_index: Vec<Matcher>,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self { enabled: true, block_size_ns: 0, do_not_index: Vec::new() }
    }
}

/// What a write changes of a sample, after its time was found acceptable.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WriteTransforms {
    /// Times are moved back to a multiple of something.
    pub truncate_time: Option<TruncateTime>,
    /// Every value becomes this one.
    pub force_value: Option<f64>,
}

/// To what a time is moved back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TruncateTime {
    /// The start of its block.
    BlockStart,
    /// A multiple of so many nanoseconds since 1970.
    Unit(i64),
}

/// What the samples of a namespace are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregation {
    /// As they were sent.
    Unaggregated,
    /// One for each series and step of time.
    Aggregated {
        /// The step, in nanoseconds.
        resolution_ns: i64,
        /// Which series are sent here.
        downsample: Downsample,
    },
}

/// Which series a namespace of aggregates is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Downsample {
    /// All.
    All,
    /// Those that rules make.
    ByRules,
}

/// How far a namespace's introduction is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StagingState {
    /// Nobody said.
    #[default]
    Unknown,
    /// Nodes are being told of it.
    Initializing,
    /// Coordinators may use it.
    Ready,
}

/// M3's options for blocks in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachingOptions {
    /// Keep blocks that were read from disk.
    pub cache_blocks_on_retrieve: bool,
    /// Forget blocks that were not read for a while.
    pub block_data_expiry: bool,
    /// After how long, in nanoseconds.
    pub block_data_expiry_after_ns: i64,
}

impl Default for CachingOptions {
    fn default() -> Self {
        Self {
            cache_blocks_on_retrieve: false,
            block_data_expiry: true,
            block_data_expiry_after_ns: 300 * NS_PER_S,
        }
    }
}

/// M3's options for the concurrency of index work, as shares of the cores.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RuntimeOptions {
    /// While writing; M3 takes 0.75 if nothing is said.
    pub write_indexing_per_cpu: Option<f64>,
    /// While flushing; M3 takes 0.25 if nothing is said.
    pub flush_indexing_per_cpu: Option<f64>,
}

/// Options that only a plug-in understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedOptions {
    /// Whose they are.
    pub type_name: String,
    /// What they say, opaque.
    pub value: Vec<u8>,
}

/// What configuration says of a namespace. It is made if it is not there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfiguredNamespace {
    /// Its options but for the two below, which are not looked at here.
    pub options: NamespaceOptions,
    /// Its block size, if configuration says one; a namespace that has another is an error.
    pub block_size_ns: Option<i64>,
    /// Its shard count, if configuration says one; a namespace that has another is laid out anew
    /// before the database is open.
    pub shard_count: Option<u16>,
}

impl ConfiguredNamespace {
    /// The options for a namespace that has `existing`, or is new.
    #[must_use]
    pub fn resolve(&self, existing: Option<&NamespaceOptions>) -> NamespaceOptions {
        let own = existing.unwrap_or(&self.options);
        NamespaceOptions {
            block_size_ns: self.block_size_ns.unwrap_or(own.block_size_ns),
            shard_count: self.shard_count.unwrap_or(own.shard_count),
            ..self.options.clone()
        }
    }
}

impl NamespaceOptions {
    /// Length of a block of the index, in nanoseconds.
    #[must_use]
    pub fn index_block_size_ns(&self) -> i64 {
        match self.index.block_size_ns {
            0 => self.block_size_ns,
            size => size,
        }
    }
}
