//! Why a placement cannot be, or cannot become another.

/// The texts are M3's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// Instances that do not have all of their shards.
    #[error("instances do not have all shards available: [{0}]")]
    NotAvailable(String),
    /// The placement breaks a rule.
    #[error("{0}")]
    Broken(String),
    /// What the change needs is not so.
    #[error("{0}")]
    Inconsistent(String),
    /// A message that is no placement.
    #[error("{0}")]
    Malformed(&'static str),
    /// A replica factor that is not positive.
    #[error("could not build initial placement, invalid replica factor {0}")]
    ReplicaFactor(i32),
    /// A number of shards below zero.
    #[error("could not build initial placement, invalid numShards {0}")]
    ShardCount(i32),
    /// No candidate is new and in the zone.
    #[error("no new instances found in the valid zone")]
    NoCandidates,
    /// No candidate suits.
    #[error("no valid instance in the candidate list")]
    NoneSuits,
    /// The candidates make no shard set.
    #[error("no valid instance for mirror placement in the candidate list")]
    NoShardSet,
    /// The instance is in no placement.
    #[error("instance {0} does not exist in placement")]
    NoInstance(String),
    /// The same in the words of mirrored placements.
    #[error("instance {0} does not exist in the placement")]
    NoMirroredInstance(String),
    /// The same in the words of placements without shards.
    #[error("instance {0} not found in placement")]
    NotFound(String),
    /// The same in the words of replacements.
    #[error("could not remove or replace a instance that does not exist")]
    NothingToReplace,
    /// The instance is in the placement already.
    #[error("instance {0} already exist in the placement")]
    Exists(String),
    /// The same in the words of placements without shards.
    #[error("instance {0} already exist in placement")]
    ExistsUnsharded(String),
    /// The same in the words of sharded placements.
    #[error("the adding instance is already in the placement")]
    AlreadyAdded,
    /// An instance that is there and does not leave is added.
    #[error("the adding instance contains non leaving shards")]
    NotLeaving,
    /// An instance that still takes shards is added.
    #[error("the adding instance contains initializing shards")]
    StillInitializing,
    /// More replicas than isolation groups.
    #[error(
        "not enough isolation groups to take shards, \
         please make sure RF is less than number of isolation groups"
    )]
    IsolationGroups,
    /// A shard of a placement without shards.
    #[error("could not apply shards in non-sharded placement")]
    ShardsOfUnsharded,
    /// The stored placement is of another kind.
    #[error("could not apply {algorithm} algo on the placement")]
    Incompatible {
        /// The kind that was asked for.
        algorithm: &'static str,
    },
    /// A shard has no data yet that its time has not come.
    #[error("could not mark shard {shard} available before cutover time {time}")]
    BeforeCutover {
        /// The shard.
        shard: u32,
        /// The time, as Go prints it.
        time: String,
    },
    /// A shard that leaves is still needed.
    #[error(
        "could not return leaving shard {shard} with cutoff time {time}, \
         max aggregation window {window}"
    )]
    BeforeCutoff {
        /// The shard.
        shard: u32,
        /// The time, as Go prints it.
        time: String,
        /// The window, as Go prints it.
        window: String,
    },
    /// An error about one instance of a shard set.
    #[error("could not mark shards available of instance {id}: {source}")]
    OfInstance {
        /// The instance.
        id: String,
        /// The error.
        source: Box<PlacementError>,
    },
    /// An instance does not fit the others of its host.
    #[error("could not add instance {id} to host {host}, {what} mismatch: {got} and {expected}")]
    HostMismatch {
        /// The instance.
        id: String,
        /// The host.
        host: String,
        /// Of what.
        what: &'static str,
        /// What the instance has.
        got: String,
        /// What the host has.
        expected: String,
    },
    /// A host lacks a port that its partner has.
    #[error("could not find port {port} on host {host}")]
    NoPort {
        /// The port.
        port: u32,
        /// The host.
        host: String,
    },
    /// Nobody has the weight of those who leave.
    #[error("could not find instances with weight {0} in the candidate list")]
    NoWeight(u32),
    /// As many instances must come as leave.
    #[error("could not replace {leaving} instances with {adding} instances for mirrored replace")]
    ReplaceCount {
        /// How many leave.
        leaving: usize,
        /// How many come.
        adding: usize,
    },
    /// The same while candidates are chosen.
    #[error("failed to find {found} replacement instances to replace {leaving} leaving instances")]
    ReplacementCount {
        /// How many were found.
        found: usize,
        /// How many leave.
        leaving: usize,
    },
    /// Instances that are replaced must be at rest.
    #[error("replaced instances must have all their shards available")]
    ReplacedNotAvailable,
    /// Not all shards found a new owner.
    #[error("could not fully replace all shards from {id}, {left} shards left unassigned")]
    PartlyReplaced {
        /// The instance.
        id: String,
        /// How many shards it still has.
        left: usize,
    },
    /// Shards that nobody takes back.
    #[error("there are {count} {state} shards could not be {done} for instance {id}")]
    Stuck {
        /// How many.
        count: usize,
        /// Of which state.
        state: &'static str,
        /// What should have been done.
        done: &'static str,
        /// Of which instance.
        id: String,
    },
}

impl PlacementError {
    /// Whether the request is to blame, and not the state that it met.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        matches!(self, Self::NotAvailable(_) | Self::Broken(_) | Self::Malformed(_))
    }
}
