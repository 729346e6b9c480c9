//! The file of a coordinator, which is that of a query server too.

use super::Kind::{
    Address, AggregationType, Any, Block, Bool, Duration, Float, Int, List, Map, Policy, Share,
    Text, Time, Words,
};
use super::client::{CLIENT, NODES_LATER};
use super::downsample::{DOWNSAMPLE, STORAGE_POLICY};
use super::etcd::{ETCD, PLACEMENT};
use super::message::CONSUMER;
use super::pool::{NO_POOLS, OBJECTS, WORKERS};
use super::process::{
    DEBUG, LIMITS, LOGGING, METRICS, NO_GO, NO_TRACES, OWN_METRICS, RETRY, SERVER, TRACING,
};
use super::{Key, Kind, TEXTS, key};

const CLUSTERS_LATER: &str = "placements and namespaces in etcd come with clusters";
const M3MSG_LATER: &str = "aggregated samples are taken once there is M3Msg";
const CARBON_LATER: &str = "Graphite's lines and functions are not here yet";

const DOWNSAMPLE_ALL: Kind = Block(&[key("all", Bool).or("true")]);

const NAMESPACE: Kind = Block(&[
    key("namespace", Text).required(),
    key("type", Words(&["unaggregated", "aggregated"])).or("unaggregated"),
    key("retention", Duration).required(),
    key("resolution", Duration),
    key("downsample", DOWNSAMPLE_ALL),
    key("readOnly", Bool).or("false"),
    key("dataLatency", Duration),
]);

const NAMESPACES: Kind = List(&NAMESPACE);
const NAMESPACES_USED: &str = "namespaces, how long each keeps samples, and at which resolution";

const CLUSTER: Kind = Block(&[
    key("namespaces", NAMESPACES).used(NAMESPACES_USED),
    key("client", CLIENT).later(NODES_LATER),
]);

const ENDPOINT_POLICY: Kind = Block(&[
    key("resolution", Duration),
    key("retention", Duration),
    key("downsample", DOWNSAMPLE_ALL),
]);

const ENDPOINT: Kind =
    Block(&[key("name", Text), key("address", Text), key("storagePolicy", ENDPOINT_POLICY)]);

const REMOTE_BACKEND: Kind = Block(&[
    key("endpoints", List(&ENDPOINT)).used("where samples are sent, and of which policy"),
    key("requestTimeout", Duration).or("60s"),
    key("connectTimeout", Duration).or("5s"),
    key("keepAlive", Duration).or("60s"),
    key("idleConnTimeout", Duration).or("60s"),
    key("maxIdleConns", Int).or("100"),
]);

const FILTER_WORDS: Kind = Words(&["local_only", "remote_only", "allow_all", "allow_none"]);

const ERRORS: Kind = Words(&["fail", "warn", "container"]);

const REMOTE: Kind =
    Block(&[key("name", Text), key("remoteListenAddresses", TEXTS), key("errorBehavior", ERRORS)]);

const RPC: Kind = Block(&[
    key("enabled", Bool),
    key("listenAddress", Address),
    key("remotes", List(&REMOTE)).used("names and addresses of remote zones"),
    key("remoteListenAddresses", TEXTS).used("addresses of one remote zone"),
    key("errorBehavior", ERRORS).or("warn"),
    key("reflectionEnabled", Bool),
]);

const TAG_FILTER: Kind = Block(&[key("name", Text), key("values", TEXTS)]);

const TAG_OPTIONS: Kind = Block(&[
    key("metricName", Text).or("__name__").used("the label that has the name of a metric"),
    key("bucketName", Text).or("le").used("the label that has the bound of a bucket"),
    key("idScheme", Words(&["quoted", "prepend_meta"]))
        .or("quoted")
        .used("how an ID is made of labels"),
    key("filters", List(&TAG_FILTER)).used("series that are not taken"),
    key("allowTagNameDuplicates", Bool).or("false").later("a label twice is refused"),
    key("allowTagValueEmpty", Bool)
        .or("false")
        .later("an empty label is as none, as in Prometheus"),
]);

const SHADOW: Kind = Block(&[key("percent", Float), key("hash", Words(&["xxhash", "murmur3"]))]);

const FORWARD_TARGET: Kind = Block(&[
    key("url", Text),
    key("method", Text).or("POST"),
    key("headers", Map(&Kind::Secret)),
    key("noRetry", Bool),
    key("shadow", SHADOW),
]);

const FORWARDING: Kind = Block(&[key(
    "promRemoteWrite",
    Block(&[
        key("maxConcurrency", Int),
        key("timeout", Duration).or("15s"),
        key("retry", RETRY),
        key("targets", List(&FORWARD_TARGET)),
    ]),
)]);

const INGESTER: Kind = Block(&[
    key("workerPoolSize", Int),
    key("opPool", OBJECTS).ignored(NO_POOLS),
    key("retry", RETRY),
    key("logSampleRate", Share),
]);

const INGEST_HANDLER: Kind = Block(&[
    key("protobufDecoderPool", OBJECTS).ignored(NO_POOLS),
    key("blackholePolicies", List(&Policy)),
]);

const INGEST: Kind = Block(&[
    key("ingester", INGESTER),
    key(
        "m3msg",
        Block(&[
            key("server", SERVER).required(),
            key("handler", INGEST_HANDLER),
            key("consumer", CONSUMER),
        ]),
    )
    .required(),
]);

const CARBON_RULE: Kind = Block(&[
    key("pattern", Text),
    key("contains", Text),
    key("continue", Bool),
    key(
        "aggregation",
        Block(&[key("enabled", Bool).or("true"), key("type", AggregationType).or("mean")]),
    ),
    key("policies", List(&STORAGE_POLICY)),
]);

const NOT_HERE: &str = "it has no effect";

const CARBON_INGESTER: Kind = Block(&[
    key("listenAddress", Address).or("0.0.0.0:7204").used("the address for Graphite's lines"),
    key("maxConcurrency", Int),
    key("rewrite", Block(&[key("cleanup", Bool)])),
    key("rules", List(&CARBON_RULE)),
    key("debug", Any).old(NOT_HERE),
    key("workerPoolSize", Int).old(NOT_HERE),
    key("opPool", OBJECTS).old(NOT_HERE),
    key("retry", RETRY).old(NOT_HERE),
    key("logSampleRate", Share).old(NOT_HERE),
]);

const CARBON: Kind = Block(&[
    key("ingester", CARBON_INGESTER),
    key("limitsFind", LIMITS),
    key("limitsRender", LIMITS),
    key("aggregateNamespacesAllData", Bool),
    key("shiftTimeStart", Duration),
    key("shiftTimeEnd", Duration),
    key("shiftStepsStart", Int),
    key("shiftStepsEnd", Int),
    key("shiftStepsStartWhenAtResolutionBoundary", Int),
    key("shiftStepsEndWhenAtResolutionBoundary", Int),
    key("shiftStepsStartWhenEndAtResolutionBoundary", Int),
    key("shiftStepsEndWhenStartAtResolutionBoundary", Int),
    key("renderPartialStart", Bool),
    key("renderPartialEnd", Bool),
    key("renderSeriesAllNaNs", Bool),
    key("compileEscapeAllNotOnlyQuotes", Bool),
    key("findResultsIncludeBothExpandableAndLeaf", Bool),
]);

const CLASSES: Kind =
    Block(&[key("resultsBuckets", List(&Int)), key("durationBuckets", List(&Duration))]);

const MIDDLEWARE: Kind = Block(&[
    key("logging", Block(&[key("threshold", Duration).or("1s"), key("disabled", Bool)])),
    key(
        "metrics",
        Block(&[
            key("queryEndpointsClassification", CLASSES),
            key("labelEndpointsClassification", CLASSES),
            key("addStatusToLatencies", Bool),
        ]),
    ),
    key("prometheus", Block(&[key("resolutionMultiplier", Int).or("0")])),
]);

const MATCH_TYPES: &[&str] =
    &["EQUAL", "NOTEQUAL", "REGEXP", "NOTREGEXP", "EXISTS", "NOTEXISTS", "ALL"];

const RESTRICTION: Kind =
    Block(&[key("name", Text), key("type", Words(MATCH_TYPES)), key("value", Text)]);

const CONVERSION: Kind = Block(&[
    key("resolutionThresholdForCounterNormalization", Duration),
    key("valueDecreaseTolerance", Float),
    key("valueDecreaseToleranceUntil", Time),
]);

const QUERY: Kind = Block(&[
    key("timeout", Duration).or("30s").used("how long a query may take"),
    key("defaultEngine", Text)
        .or("prometheus")
        .ignored("one engine answers: Prometheus's language"),
    key("consolidation", Block(&[key("matchType", Words(&["ids", "tags"])).or("ids")]))
        .later("series of several clusters are made one"),
    key(
        "prometheus",
        Block(&[
            key("maxSamplesPerQuery", Int).or("100000000").later("query.samples_max is the limit"),
            key("convert", CONVERSION).later("corrections of counters that fall a little"),
        ]),
    ),
    key("restrictTags", Block(&[key("match", List(&RESTRICTION)), key("strip", TEXTS)]))
        .later("matchers that every query has"),
    key("requireLabelsEndpointStartEndTime", Bool).later("label queries need no times"),
    key("requireSeriesEndpointStartEndTime", Bool).later("series queries need no times"),
]);

/// What a coordinator and a query server read.
pub(in super::super) const COORDINATOR: &[Key] = &[
    key("listenAddress", Address).or("0.0.0.0:7201").used("the address of the HTTP API"),
    key("logging", LOGGING).later("how the program logs"),
    key("metrics", METRICS).ignored(OWN_METRICS),
    key("tracing", TRACING).ignored(NO_TRACES),
    key("backend", Text).or("m3db").used("m3db, grpc, noop-etcd or prom-remote"),
    key("clusters", List(&CLUSTER)).later(NODES_LATER),
    key("local", Block(&[key("namespaces", NAMESPACES).used(NAMESPACES_USED)]))
        .used("namespaces of the node in this process"),
    key("clusterManagement", Block(&[key("etcd", ETCD), key("placement", PLACEMENT)]))
        .later(CLUSTERS_LATER),
    key("prometheusRemoteBackend", REMOTE_BACKEND).later("samples are not sent on yet"),
    key(
        "filter",
        Block(&[
            key("read", FILTER_WORDS),
            key("write", FILTER_WORDS),
            key("completeTags", FILTER_WORDS),
        ]),
    )
    .later("zones are asked once there are remote ones"),
    key("rpc", RPC).later("queries between zones are not here yet"),
    key("http", Block(&[key("enableH2C", Bool)])).ignored("HTTP/2 without TLS is always taken"),
    key("tagOptions", TAG_OPTIONS).later("what labels must be"),
    key("readWorkerPoolPolicy", WORKERS).ignored("the number of cores decides"),
    key("writeWorkerPoolPolicy", WORKERS).ignored("the number of cores decides"),
    key("writeForwarding", FORWARDING).later("writes are not sent on yet"),
    key("downsample", Block(DOWNSAMPLE)).later("samples are not aggregated yet"),
    key("ingest", INGEST).later(M3MSG_LATER),
    key("carbon", CARBON).later(CARBON_LATER),
    key("middleware", MIDDLEWARE).later("logs and metrics of requests have m3rs's own settings"),
    key("query", QUERY).later("settings of queries"),
    key("limits", LIMITS).used("limits of queries"),
    key("lookbackDuration", Duration)
        .or("5m")
        .used("how old a sample may be to count at an evaluation time"),
    key("resultOptions", Block(&[key("keepNans", Bool).or("false")]))
        .ignored("results hold NaN where Prometheus's do"),
    key("experimental", Block(&[key("enabled", Bool)])).ignored("M3 reads it and does nothing"),
    key("storeMetricsType", Bool).or("false").later("types of metrics are kept as metadata"),
    key(
        "multiProcess",
        Block(&[
            key("enabled", Bool),
            key("count", Int),
            key("perCPU", Share).or("0.5"),
            key("goMaxProcs", Int),
        ]),
    )
    .ignored("one process uses all cores"),
    key("debug", DEBUG).ignored(NO_GO),
];
