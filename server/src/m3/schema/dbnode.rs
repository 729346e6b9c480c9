//! The file of a storage node.

use super::Kind::{
    Address, Any, Block, Bool, Duration, Float, Int, List, PoolSize, Share, Text, Words,
};
use super::client::{CLIENT, ENVIRONMENT, NODES_LATER, PROTO};
use super::coordinator::COORDINATOR;
use super::pool::NO_POOLS;
use super::process::{DEBUG, HOST_ID, LOGGING, METRICS, NO_GO, NO_TRACES, OWN_METRICS, TRACING};
use super::{Key, Kind, TEXTS, key};

const RPC_LATER: &str = "nodes talk to each other once there are clusters";
const OWN_JOBS: &str = "m3rs paces this job by itself";
const OWN_CACHES: &str = "limits.cache_*_bytes bound m3rs's caches";
const OWN_BUFFERS: &str = "files are mapped, and written in sizes of their own";
const CLUSTERS_LATER: &str = "clusters are not here yet";

const INDEX: Kind = Block(&[
    key("maxQueryIDsConcurrency", Int),
    key("maxWorkerTime", Duration),
    key("regexpDFALimit", Int).or("10000"),
    key("regexpFSALimit", Int).or("10000000"),
    key("forwardIndexProbability", Share),
    key("forwardIndexThreshold", Share),
]);

const TRANSFORMS: Kind =
    Block(&[key("truncateBy", Words(&["none", "block"])), key("forceValue", Float)]);

const TICK: Kind = Block(&[
    key("seriesBatchSize", Int),
    key("perSeriesSleepDuration", Duration),
    key("minimumInterval", Duration),
]);

const MIGRATION: Kind = Block(&[key("targetMigrationVersion", Any), key("concurrency", Int)]);

const BOOTSTRAP: Kind = Block(&[
    key("mode", Words(&["default", "prefer_peers", "exclude_commitlog"])).or("default"),
    key("filesystem", Block(&[key("migration", MIGRATION), key("numProcessorsPerCPU", Float)])),
    key("commitlog", Block(&[key("returnUnfulfilledForCorruptCommitLogFiles", Bool).or("false")])),
    key(
        "peers",
        Block(&[
            key("streamShardConcurrency", Int),
            key("streamPersistShardConcurrency", Int),
            key("streamPersistShardFlushConcurrency", Int),
        ]),
    ),
    key("cacheSeriesMetadata", Bool),
    key("indexSegmentConcurrency", Int),
    key("verify", Block(&[key("verifyIndexSegments", Bool)])),
    key("bootstrappers", TEXTS).old("mode says in which order sources are asked"),
    key("fs", Any).old("the key is filesystem now"),
]);

const CACHE: Kind = Block(&[
    key(
        "series",
        Block(&[
            key("policy", Words(&["recently_read", "lru", "all", "none"])),
            key("lru", Block(&[key("maxBlocks", Int), key("eventsChannelSize", Int)])),
        ]),
    ),
    key(
        "postingsList",
        Block(&[
            key("size", Int),
            key("cacheRegexp", Bool),
            key("cacheTerms", Bool),
            key("cacheSearch", Bool),
        ]),
    ),
    key("regexp", Block(&[key("size", Int)])),
]);

const HUGE_PAGES: Kind =
    Block(&[key("hugeTLB", Block(&[key("enabled", Bool), key("threshold", Int)]))]);

const FILESYSTEM: Kind = Block(&[
    key("filePathPrefix", Text).or("/var/lib/m3db").used("the directory of all data"),
    key("writeBufferSize", Int),
    key("dataReadBufferSize", Int),
    key("infoReadBufferSize", Int),
    key("seekReadBufferSize", Int),
    key("throughputLimitMbps", Float).later("limits.persist_bytes_per_second_max is the limit"),
    key("throughputCheckEvery", Int),
    key("newFileMode", Text),
    key("newDirectoryMode", Text),
    key("mmap", HUGE_PAGES),
    key("force_index_summaries_mmap_memory", Bool),
    key("force_bloom_filter_mmap_memory", Bool),
    key("bloomFilterFalsePositivePercent", Float),
]);

const QUEUE: Kind =
    Block(&[key("calculationType", Words(&["fixed", "percpu"])), key("size", Int).required()]);

const COMMIT_LOG: Kind = Block(&[
    key("flushMaxBytes", Int).required().or("524288"),
    key("flushEvery", Duration).required().or("1s"),
    key("queue", QUEUE).required(),
    key("queueChannel", QUEUE),
]);

const REPAIR: Kind = Block(&[
    key("enabled", Bool).or("false"),
    key("type", Words(&["default", "only_compare"])),
    key("strategy", Words(&["default", "full_sweep"])),
    key("force", Bool),
    key("throttle", Duration),
    key("checkInterval", Duration),
    key("concurrency", Int),
    key("debugShadowComparisonsEnabled", Bool),
    key("debugShadowComparisonsPercentage", Float),
]);

const REPLICATED: Kind =
    Block(&[key("name", Text), key("repairEnabled", Bool), key("client", CLIENT)]);

const POOL_KEYS: &[Key] = &[
    key("size", PoolSize),
    key("capacity", Int),
    key("maxCapacity", Int),
    key("lowWatermark", Float),
    key("highWatermark", Float),
    key("count", PoolSize),
    key("buckets", List(&BUCKET)),
    key("initialBatchSize", Int),
    key("maxBatchSize", Int),
    key("watermark", super::pool::WATERMARK),
];

const BUCKET: Kind = Block(&[
    key("count", PoolSize),
    key("size", PoolSize),
    key("capacity", Int),
    key("lowWatermark", Float),
    key("highWatermark", Float),
]);

const POOL: Kind = Block(POOL_KEYS);

const POOLING: Kind = Block(&[
    key("blockAllocSize", Int).or("16"),
    key("thriftBytesPoolAllocSize", Int),
    key("type", Words(&["simple"])).or("simple"),
    key("bytesPool", POOL),
    key("checkedBytesWrapperPool", POOL),
    key("closersPool", POOL),
    key("contextPool", POOL),
    key("seriesPool", POOL),
    key("blockPool", POOL),
    key("encoderPool", POOL),
    key("iteratorPool", POOL),
    key("segmentReaderPool", POOL),
    key("identifierPool", POOL),
    key("fetchBlockMetadataResultsPool", POOL),
    key("fetchBlocksMetadataResultsPool", POOL),
    key("replicaMetadataSlicePool", POOL),
    key("blockMetadataPool", POOL),
    key("blockMetadataSlicePool", POOL),
    key("blocksMetadataPool", POOL),
    key("blocksMetadataSlicePool", POOL),
    key("tagsPool", POOL),
    key("tagIteratorPool", POOL),
    key("indexResultsPool", POOL),
    key("tagEncoderPool", POOL),
    key("tagDecoderPool", POOL),
    key("writeBatchPool", POOL),
    key("bufferBucketPool", POOL),
    key("bufferBucketVersionsPool", POOL),
    key("retrieveRequestPool", POOL),
    key("postingsListPool", POOL),
]);

const FOUND_BY_ETCD: Kind = Block(&[key("env", Text), key("zone", Text), key("endpoints", TEXTS)]);

const DISCOVERY_TYPES: &[&str] =
    &["config", "m3db_single_node", "m3db_cluster", "m3aggregator_cluster"];

const DISCOVERY: Kind = Block(&[
    key("type", Words(DISCOVERY_TYPES)),
    key("m3dbCluster", FOUND_BY_ETCD),
    key("m3AggregatorCluster", FOUND_BY_ETCD),
    key("config", ENVIRONMENT),
]);

const RECENT: Kind = Block(&[key("value", Int), key("lookback", Duration).or("15s")]);

const LIMITS: Kind = Block(&[
    key("maxRecentlyQueriedSeriesBlocks", RECENT),
    key("maxRecentlyQueriedSeriesDiskBytesRead", RECENT),
    key("maxRecentlyQueriedSeriesDiskRead", RECENT),
    key("maxRecentlyQueriedMetadata", RECENT),
    key("maxOutstandingWriteRequests", Int),
    key("maxOutstandingReadRequests", Int),
    key("maxOutstandingRepairedBytes", Int),
    key("maxEncodersPerBlock", Int),
    key("writeNewSeriesPerSecond", Int).later("limits.new_series_per_second_max is the limit"),
]);

const DB: &[Key] = &[
    key("index", INDEX).later("limits.cache_postings_bytes bounds regular expressions"),
    key("transforms", TRANSFORMS).later("a namespace says it, by truncate_time and force_value"),
    key("logging", LOGGING).later("how the program logs"),
    key("metrics", METRICS).ignored(OWN_METRICS),
    key("listenAddress", Address).or("0.0.0.0:9000").used("the address of the node's service"),
    key("clusterListenAddress", Address)
        .or("0.0.0.0:9001")
        .used("the address of the cluster's service"),
    key("httpNodeListenAddress", Address)
        .or("0.0.0.0:9002")
        .used("the address of the node's service by JSON"),
    key("httpClusterListenAddress", Address)
        .or("0.0.0.0:9003")
        .used("the address of the cluster's service by JSON"),
    key("debugListenAddress", Address).or("0.0.0.0:9004").used("the address of profiles"),
    key("hostID", HOST_ID).later(RPC_LATER),
    key("client", CLIENT).later(NODES_LATER),
    key("gcPercentage", Int).or("100").ignored(NO_GO),
    key("tick", TICK).ignored(OWN_JOBS),
    key("bootstrap", BOOTSTRAP).later("a start reads files, then the commit log"),
    key(
        "blockRetrieve",
        Block(&[key("fetchConcurrency", Int), key("cacheBlocksOnRetrieve", Bool)]),
    )
    .ignored("blocks are read where they are mapped"),
    key("cache", CACHE).ignored(OWN_CACHES),
    key("filesystem", FILESYSTEM).ignored(OWN_BUFFERS),
    key("commitlog", COMMIT_LOG).later("--commitlog-sync says when a write is answered"),
    key("repair", REPAIR).later(CLUSTERS_LATER),
    key("replication", Block(&[key("clusters", List(&REPLICATED))])).later(CLUSTERS_LATER),
    key("pooling", POOLING).ignored(NO_POOLS),
    key("discovery", DISCOVERY).later(CLUSTERS_LATER),
    key("hashing", Block(&[key("seed", Int).or("42")])).later(CLUSTERS_LATER),
    key("writeNewSeriesAsync", Bool)
        .or("true")
        .ignored("a series is there before its write is answered"),
    key("writeNewSeriesBackoffDuration", Duration)
        .or("2ms")
        .ignored("a series is there before its write is answered"),
    key("proto", PROTO).later("namespaces of protobuf messages are not kept"),
    key("tracing", TRACING).ignored(NO_TRACES),
    key("limits", LIMITS).later("query and limits in m3rs's own file have the limits"),
    key("wide", Block(&[key("batchSize", Int)])).old("it has no effect"),
    key("tchannel", Block(&[key("maxIdleTime", Duration), key("idleCheckInterval", Duration)]))
        .later(RPC_LATER),
    key("debug", DEBUG).ignored(NO_GO),
    key("forceColdWritesEnabled", Bool).later("a namespace says it, by cold_writes"),
    key("config", ENVIRONMENT).old("the key is discovery.config now"),
    key("fs", FILESYSTEM).old("the key is filesystem now"),
];

/// What a storage node reads, with a coordinator in it if there is one.
pub(in super::super) const DBNODE: &[Key] = &[
    key("coordinator", Block(COORDINATOR)).used("a coordinator in the same process"),
    key("db", Block(DB)).used("the node"),
];
