//! The client of M3DB's nodes, and how it finds them.

use super::Kind::{Block, Bool, Duration, Float, Int, List, Map, Text, Words};
use super::etcd::{ETCD, SEED_NODES};
use super::process::RETRY;
use super::{Key, Kind, key};

const CLIENT_OVERRIDES: Kind =
    Block(&[key("hostQueueFlushInterval", Duration), key("targetHostQueueFlushSize", Int)]);

const SERVICE: Kind =
    Block(&[key("async", Bool), key("clientOverrides", CLIENT_OVERRIDES), key("service", ETCD)]);

const STATIC_RETENTION: Kind = Block(&[
    key("retentionPeriod", Duration).required(),
    key("futureRetentionPeriod", Duration),
    key("blockSize", Duration).required(),
    key("bufferFuture", Duration).required(),
    key("bufferPast", Duration).required(),
    key("blockDataExpiry", Bool),
    key("blockDataExpiryAfterNotAccessedPeriod", Duration),
]);

const STATIC_NAMESPACE: Kind = Block(&[
    key("id", Text).required(),
    key("bootstrapEnabled", Bool),
    key("flushEnabled", Bool),
    key("writesToCommitLog", Bool),
    key("cleanupEnabled", Bool),
    key("repairEnabled", Bool),
    key("coldWritesEnabled", Bool),
    key("cacheBlocksOnRetrieve", Bool),
    key("retention", STATIC_RETENTION).required(),
    key("index", Block(&[key("enabled", Bool), key("blockSize", Duration)])),
]);

const STATIC_TOPOLOGY: Kind = Block(&[
    key("shards", Int),
    key("replicas", Int),
    key("hosts", List(&Block(&[key("hostID", Text), key("listenAddress", Text)]))),
]);

const STATIC: Kind = Block(&[
    key("async", Bool),
    key("clientOverrides", CLIENT_OVERRIDES),
    key("namespaces", List(&STATIC_NAMESPACE)),
    key("topology", STATIC_TOPOLOGY),
    key("listenAddress", Text),
]);

/// How nodes of a cluster are found.
pub(super) const ENVIRONMENT: Kind = Block(&[
    key("service", ETCD),
    key("services", List(&SERVICE)),
    key("static", STATIC),
    key("statics", List(&STATIC)),
    key("seedNodes", SEED_NODES),
]);

/// Levels of consistency that writes know.
const WRITE_LEVELS: &[&str] = &["none", "one", "majority", "all"];

/// Levels of consistency that reads know.
const READ_LEVELS: &[&str] =
    &["none", "one", "unstrict_majority", "majority", "unstrict_all", "all"];

const CONNECT_LEVELS: &[&str] = &["any", "none", "one", "majority", "all"];

const EQUAL_TIMES: &[&str] = &[
    "iterate_last_pushed",
    "iterate_highest_value",
    "iterate_lowest_value",
    "iterate_highest_frequency_value",
];

const PROTO_SCHEMA: Kind =
    Block(&[key("messageName", Text), key("schemaDeployID", Text), key("schemaFilePath", Text)]);

/// Namespaces of protobuf messages.
pub(super) const PROTO: Kind = Block(&[
    key("enabled", Bool).refused("namespaces of protobuf messages are not kept"),
    key("schema_registry", Map(&PROTO_SCHEMA)),
]);

const CIRCUIT_BREAKER: Kind = Block(&[key(
    "circuitBreakerConfig",
    Block(&[
        key("windowSize", Int),
        key("bucketDuration", Duration),
        key("recoveryTime", Duration),
        key("jitter", Duration),
        key("maxProbeTime", Duration),
        key("minimumRequests", Int),
        key("failureRatio", Float),
        key("probeRatios", List(&Float)),
        key("minimumProbeRequests", Int),
    ]),
)]);

const KEYS: &[Key] = &[
    key("config", ENVIRONMENT),
    key("writeConsistencyLevel", Words(WRITE_LEVELS))
        .or("majority")
        .used("how many replicas must have a write"),
    key("readConsistencyLevel", Words(READ_LEVELS))
        .or("unstrict_majority")
        .used("how many replicas must answer a read"),
    key("connectConsistencyLevel", Words(CONNECT_LEVELS)).or("any"),
    key("writeTimeout", Duration).or("10s"),
    key("fetchTimeout", Duration).or("15s"),
    key("connectTimeout", Duration).or("20s"),
    key("writeRetry", RETRY),
    key("fetchRetry", RETRY),
    key("logErrorSampleRate", Float),
    key("logHostWriteErrorSampleRate", Float),
    key("logHostFetchErrorSampleRate", Float),
    key("backgroundHealthCheckFailLimit", Int).or("4"),
    key("backgroundHealthCheckFailThrottleFactor", Float).or("0.5"),
    key("hashing", Block(&[key("seed", Int)])),
    key("proto", PROTO),
    key("asyncWriteWorkerPoolSize", Int),
    key("asyncWriteMaxConcurrency", Int),
    key("useV2BatchAPIs", Bool),
    key("writeTimestampOffset", Duration),
    key("fetchSeriesBlocksBatchConcurrency", Int),
    key("fetchSeriesBlocksBatchSize", Int).or("4096"),
    key("writeShardsInitializing", Bool).or("true"),
    key("shardsLeavingCountTowardsConsistency", Bool),
    key("shardsLeavingAndInitializingCountTowardsConsistency", Bool),
    key("iterateEqualTimestampStrategy", Words(EQUAL_TIMES)).or("iterate_last_pushed"),
    key("circuitBreakerConfig", CIRCUIT_BREAKER),
];

/// A client of nodes.
pub(super) const CLIENT: Kind = Block(KEYS);

/// What is said of it.
pub(super) const NODES_LATER: &str = "nodes are reached once there are clusters";
