//! What every program of M3 has: logs, metrics, traces, retries, listeners, its name.

use super::Kind::{Address, Any, Block, Bool, Duration, Float, Int, List, Map, Share, Text, Words};
use super::{Key, Kind, TEXTS, key};

/// Tries again after a failure.
pub(super) const RETRY: Kind = Block(&[
    key("initialBackoff", Duration).or("1s"),
    key("backoffFactor", Float).or("2"),
    key("maxBackoff", Duration),
    key("maxRetries", Int).or("2"),
    key("forever", Bool),
    key("jitter", Bool),
]);

/// TLS of a listener.
pub(super) const SERVER_TLS: Kind = Block(&[
    key("mode", Words(&["disabled", "permissive", "enforced"])).required(),
    key("certFile", Text),
    key("keyFile", Text),
    key("clientCAFile", Text),
    key("certificatesTTL", Duration),
    key("mTLSEnabled", Bool),
]);

/// A listener of M3's own protocols.
pub(super) const SERVER: Kind = Block(&[
    key("listenAddress", Address).required(),
    key("retry", RETRY),
    key("keepAliveEnabled", Bool).or("true"),
    key("keepAlivePeriod", Duration).or("10s"),
    key("tls", SERVER_TLS),
]);

const LEVELS: &[&str] = &[
    "debug", "info", "warn", "error", "dpanic", "panic", "fatal", "DEBUG", "INFO", "WARN", "ERROR",
    "DPANIC", "PANIC", "FATAL",
];

/// Logs.
pub(super) const LOGGING: Kind = Block(&[
    key("level", Words(LEVELS)).or("info").used("the level from which lines are logged"),
    key("file", Text).later("lines go to standard error"),
    key("fields", Map(&Any)).later("fields that every line has"),
    key("encoderConfig", ENCODER).ignored("a line has the form that --log-format says"),
]);

const ENCODER: Kind = Block(&[
    key("messageKey", Text),
    key("levelKey", Text),
    key("timeKey", Text),
    key("nameKey", Text),
    key("callerKey", Text),
    key("functionKey", Text),
    key("stacktraceKey", Text),
    key("lineEnding", Text),
    key("levelEncoder", Text),
    key("timeEncoder", Text),
    key("durationEncoder", Text),
    key("callerEncoder", Text),
    key("nameEncoder", Text),
]);

const SCOPE: Kind =
    Block(&[key("prefix", Text), key("reportingInterval", Duration), key("tags", Map(&Text))]);

const PROMETHEUS_METRICS: Kind = Block(&[
    key("handlerPath", Text).or("/metrics").later("the path is /metrics"),
    key("listenAddress", Address).used("a second address for /metrics"),
    key("timerType", Words(&["histogram", "summary"])),
    key("defaultHistogramBuckets", List(&Block(&[key("upper", Float)]))),
    key(
        "defaultSummaryObjectives",
        List(&Block(&[key("percentile", Float), key("allowedError", Float)])),
    ),
    key("onError", Words(&["none", "log", "stderr", "panic"])),
]);

/// Metrics of the program itself.
pub(super) const METRICS: Kind = Block(&[
    key("scope", SCOPE),
    key("prometheus", PROMETHEUS_METRICS),
    key("m3", Any),
    key("samplingRate", Share),
    key("extended", Words(&["none", "simple", "moderate", "detailed", "runtime"])),
    key("sanitization", Words(&["none", "m3", "prometheus"])),
]);

/// What is said of metrics.
pub(super) const OWN_METRICS: &str = "metrics have m3rs's own names and types";

const OPEN_TELEMETRY: Kind = Block(&[
    key("serviceName", Text),
    key("endpoint", Text),
    key("insecure", Bool),
    key("attributes", Map(&Text)),
]);

/// Traces of requests.
pub(super) const TRACING: Kind = Block(&[
    key("serviceName", Text),
    key("backend", Words(&["jaeger", "opentelemetry", "lightstep"])),
    key("opentelemetry", OPEN_TELEMETRY),
    key("jaeger", Any),
    key("lightstep", Any),
]);

/// What is said of traces.
pub(super) const NO_TRACES: &str = "no traces are sent";

/// Profiles of the Go run time.
pub(super) const DEBUG: Kind =
    Block(&[key("mutexProfileFraction", Int), key("blockProfileRate", Int)]);

/// What is said of settings of Go's run time.
pub(super) const NO_GO: &str = "a setting of Go's run time";

/// How the host's name is found.
pub(super) const HOST_ID: Kind = Block(&[
    key("resolver", Words(&["hostname", "config", "environment", "file"])),
    key("value", Text),
    key("envVarName", Text),
    key("file", Block(&[key("path", Text), key("timeout", Duration)])),
    key("hostname", Block(&[key("format", Text)])),
]);

/// TLS of a client.
pub(super) const CLIENT_TLS: Kind = Block(&[
    key("enabled", Bool),
    key("insecureSkipVerify", Bool),
    key("tlsHandshakeOnConnect", Bool),
    key("serverName", Text),
    key("caFile", Text),
    key("certFile", Text),
    key("keyFile", Text),
    key("certificatesTTL", Duration),
]);

/// Query parameters that a limit of a query has.
const PER_QUERY: &[Key] = &[
    key("maxFetchedSeries", Int).or("100000").used("the most series of a query"),
    key("instanceMultiple", Float).later("the limit of a query grows with the number of nodes"),
    key("maxFetchedDocs", Int).used("the most index documents of a query; 0 is no limit"),
    key("maxFetchedRange", Duration).used("the longest time range of a query; 0 is no limit"),
    key("requireExhaustive", Bool).or("true").used("whether a query over a limit is an error"),
    key("maxMetricMetadataStats", Int).or("4").later("how many metrics a header tells of"),
];

/// Limits of queries.
pub(super) const LIMITS: Kind = Block(&[key("perQuery", Block(PER_QUERY))]);

/// Names of namespaces of a service in the KV store.
pub(super) const KV_NAMESPACES: Kind =
    Block(&[key("namespaces", Block(&[key("placement", Text), key("metadata", Text)]))]);

/// Addresses that a client tries.
pub(super) const ENDPOINTS: Kind = TEXTS;
