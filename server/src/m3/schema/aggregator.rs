//! The file of an aggregator.

use super::Kind::{
    Address, Any, Block, Bool, Duration, Float, Int, List, Map, Policy, Share, Text, Words,
};
use super::downsample::AGGREGATION_TYPES;
use super::etcd::{ETCD, KV_PLACE, PLACEMENT_WATCH, SERVICE_ID};
use super::message::{AGGREGATOR_CLIENT, CONSUMER, HASH, PRODUCER};
use super::pool::{BUCKETS, NO_POOLS, OBJECTS};
use super::process::{
    DEBUG, HOST_ID, LOGGING, METRICS, NO_GO, OWN_METRICS, RETRY, SERVER, SERVER_TLS,
};
use super::{Key, Kind, TEXTS, key};

const LATER: &str = "aggregators are not here yet";

const RAW_TCP: Kind = Block(&[
    key("listenAddress", Address).required().used("the address of the old raw TCP protocol"),
    key("errorLogLimitPerSecond", Int),
    key("keepAliveEnabled", Bool),
    key("keepAlivePeriod", Duration),
    key("retry", RETRY),
    key("readBufferSize", Int),
    key(
        "protobufIterator",
        Block(&[
            key("initBufferSize", Int),
            key("maxMessageSize", Int),
            key("bytesPool", BUCKETS).ignored(NO_POOLS),
        ]),
    ),
    key("tls", SERVER_TLS),
]);

const HTTP: Kind = Block(&[
    key("listenAddress", Address).required().used("the address of the HTTP API"),
    key("readTimeout", Duration),
    key("writeTimeout", Duration),
]);

const RUNTIME: Kind = Block(&[
    key("kvConfig", KV_PLACE),
    key("writeValuesPerMetricLimitPerSecondKey", Text).required(),
    key("writeValuesPerMetricLimitPerSecond", Int),
    key("writeNewMetricLimitClusterPerSecondKey", Text).required(),
    key("writeNewMetricLimitClusterPerSecond", Int),
    key("writeNewMetricNoLimitWarmupDuration", Duration),
]);

const STREAM: Kind = Block(&[
    key("eps", Float).or("0.001"),
    key("capacity", Int).or("32"),
    key("insertAndCompressEvery", Int).or("1024"),
    key("flushEvery", Int),
    key("streamPool", OBJECTS).ignored(NO_POOLS),
    key("samplePool", OBJECTS).ignored(NO_POOLS),
    key("floatsPool", BUCKETS).ignored(NO_POOLS),
]);

const PLACEMENTS: Kind =
    Block(&[key("kvConfig", KV_PLACE), key("placementWatcher", PLACEMENT_WATCH)]);

const FLUSH_TIMES: Kind = Block(&[
    key("kvConfig", KV_PLACE),
    key("flushTimesKeyFmt", Text).required(),
    key("flushTimesPersistRetrier", RETRY),
]);

const ELECTIONS: Kind = Block(&[
    key(
        "election",
        Block(&[
            key("leaderTimeout", Duration),
            key("resignTimeout", Duration),
            key("ttlSeconds", Int),
        ]),
    ),
    key("serviceID", SERVICE_ID),
    key("leaderValue", Text),
    key("electionKeyFmt", Text).required(),
    key("campaignRetrier", RETRY),
    key("changeRetrier", RETRY),
    key("resignRetrier", RETRY),
    key("campaignStateCheckInterval", Duration),
    key("shardCutoffCheckOffset", Duration),
]);

const JITTER: Kind =
    Block(&[key("flushInterval", Duration).required(), key("maxJitterPercent", Share)]);

const FLUSHES: Kind = Block(&[
    key("checkEvery", Duration).or("1s"),
    key("jitterEnabled", Bool).or("true"),
    key("maxJitters", List(&JITTER)),
    key("numWorkersPerCPU", Share).or("0.5"),
    key("flushTimesPersistEvery", Duration).ignored("M3 reads it and does nothing"),
    key("maxBufferSize", Duration).or("5m"),
    key("forcedFlushWindowSize", Duration).or("10s"),
]);

const SHARD_SET_FILTER: Kind =
    Block(&[key("serviceID", SERVICE_ID).required(), key("shardSet", Any).required()]);

const POLICY_FILTER: Kind = Block(&[
    key("serviceID", SERVICE_ID).required(),
    key("storagePolicies", List(&Policy)).required(),
]);

const PERCENTAGE_FILTER: Kind =
    Block(&[key("serviceID", SERVICE_ID).required(), key("percentage", Share)]);

const ROUTING_FILTER: Kind = Block(&[
    key("serviceID", SERVICE_ID).required(),
    key("isDefault", Bool),
    key("allowedTrafficTypes", TEXTS).required(),
]);

const DYNAMIC_BACKEND: Kind = Block(&[
    key("name", Text),
    key("hashType", HASH),
    key("producer", PRODUCER).required(),
    key("filters", List(&SHARD_SET_FILTER)),
    key("storagePolicyFilters", List(&POLICY_FILTER)),
    key("percentageFilters", List(&PERCENTAGE_FILTER)),
    key("routingPolicyFilters", List(&ROUTING_FILTER)),
    key("routingPolicyConfig", Block(&[key("kvConfig", KV_PLACE), key("kvKey", Text)])),
    key("writer", Block(&[key("bytesPool", BUCKETS), key("encodingTimeSamplingRate", Share)])),
]);

const STATIC_BACKEND: Kind =
    Block(&[key("type", Words(&["blackhole", "logging"])), key("name", Text)]);

const FLUSH_HANDLER: Kind =
    Block(&[key("staticBackend", STATIC_BACKEND), key("dynamicBackend", DYNAMIC_BACKEND)]);

const INNER: &[Key] = &[
    key("hostID", HOST_ID),
    key(
        "instanceID",
        Block(&[key("type", Words(&["host_id", "host_id_port"])).or("host_id_port")]),
    ),
    key("verboseErrors", Bool).or("false"),
    key("aggregationTypes", AGGREGATION_TYPES),
    key("metricPrefix", Text).or("stats."),
    key("counterPrefix", Text).or("counts."),
    key("timerPrefix", Text).or("timers."),
    key("gaugePrefix", Text).or("gauges."),
    key("stream", STREAM),
    key("client", AGGREGATOR_CLIENT),
    key("placementManager", PLACEMENTS).required(),
    key("hashType", HASH).or("murmur32"),
    key("bufferDurationBeforeShardCutover", Duration).or("10m"),
    key("bufferDurationAfterShardCutoff", Duration).or("1h"),
    key("bufferDurationForPastTimedMetric", Duration).or("1m"),
    key("bufferDurationForFutureTimedMetric", Duration).or("1m"),
    key("resignTimeout", Duration).or("5m"),
    key("shutdownWaitTimeout", Duration).or("0s"),
    key("flushTimesManager", FLUSH_TIMES).required(),
    key("electionManager", ELECTIONS).required(),
    key("flushManager", FLUSHES),
    key("flush", Block(&[key("handlers", List(&FLUSH_HANDLER)).required()])).required(),
    key("passthrough", Block(&[key("enabled", Bool).or("false"), key("numWriters", Int)])),
    key("forwarding", Block(&[key("maxSingleDelay", Duration), key("maxConstDelay", Duration)])),
    key("entryTTL", Duration).or("1h"),
    key("entryCheckInterval", Duration).or("1h"),
    key("entryCheckBatchPercent", Share).or("0.01"),
    key("maxTimerBatchSizePerWrite", Int).or("0"),
    key("defaultStoragePolicies", List(&Policy)).or("10s:2d, 1m:40d"),
    key("maxNumCachedSourceSets", Int).or("2"),
    key("discardNaNAggregatedValues", Bool).or("true"),
    key("counterElemPool", OBJECTS).ignored(NO_POOLS),
    key("timerElemPool", OBJECTS).ignored(NO_POOLS),
    key("gaugeElemPool", OBJECTS).ignored(NO_POOLS),
    key("entryPool", OBJECTS).ignored(NO_POOLS),
    key("addToReset", Bool).or("false"),
    key("timedMetricsFlushOffsetEnabled", Bool).or("false"),
    key("featureFlags", List(&Block(&[key("flags", Any), key("filter", Map(&Text))]))),
    key("writesIgnoreCutoffCutover", Bool).or("false"),
];

const M3MSG: Kind = Block(&[key("server", SERVER).required(), key("consumer", CONSUMER)]);

/// What an aggregator reads.
pub(in super::super) const AGGREGATOR: &[Key] = &[
    key("logging", LOGGING).later("how the program logs"),
    key("metrics", METRICS).ignored(OWN_METRICS),
    key("m3msg", M3MSG).later(LATER),
    key("rawtcp", RAW_TCP).later(LATER),
    key("http", HTTP).later(LATER),
    key("kvClient", Block(&[key("etcd", ETCD).required()])).required().later(LATER),
    key("runtimeOptions", RUNTIME).later(LATER),
    key("aggregator", Block(INNER)).later(LATER),
    key("debug", DEBUG).ignored(NO_GO),
];
