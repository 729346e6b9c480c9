//! M3Msg: producers, consumers, and the client of aggregators.

use super::Kind::{Block, Bool, Duration, Float, Int, List, PoolSize, Text, Words};
use super::etcd::{KV_PLACE, PLACEMENT, PLACEMENT_WATCH};
use super::pool::{BUCKETS, OBJECTS, WATERMARK};
use super::process::{CLIENT_TLS, KV_NAMESPACES, RETRY};
use super::{Key, Kind, key};

/// How messages are framed.
const FRAMES: Kind = Block(&[key("maxMessageSize", Int), key("bytesPool", BUCKETS)]);

const BUFFER: Kind = Block(&[
    key("onFullStrategy", Words(&["returnError", "dropOldest"])).or("dropOldest"),
    key("maxBufferSize", Int).or("104857600"),
    key("maxMessageSize", Int).or("1048576"),
    key("closeCheckInterval", Duration).or("1s"),
    key("dropOldestInterval", Duration).or("1s"),
    key("scanBatchSize", Int).or("16"),
    key("allowedSpilloverRatio", Float).or("0.2"),
    key("cleanupRetry", RETRY),
]);

const CONNECTION: Kind = Block(&[
    key("numConnections", Int).or("4"),
    key("dialTimeout", Duration).or("5s"),
    key("writeTimeout", Duration).or("5s"),
    key("keepAlivePeriod", Duration).or("5s"),
    key("resetDelay", Duration).or("2s"),
    key("retry", RETRY),
    key("flushInterval", Duration).or("1s"),
    key("writeBufferSize", Int),
    key("readBufferSize", Int),
    key("abortOnServerClose", Bool),
    key("forcedFlushTimeout", Duration).or("5s"),
]);

const WRITER: &[Key] = &[
    key("topicName", Text).required(),
    key("topicServiceOverride", KV_PLACE),
    key("topicWatchInitTimeout", Duration).or("2s"),
    key("placement", PLACEMENT),
    key("placementServiceOverride", KV_NAMESPACES),
    key("placementWatchInitTimeout", Duration).or("2s"),
    key("messagePool", OBJECTS),
    key("messageRetry", RETRY),
    key("staticMessageRetry", Block(&[key("backoff", List(&Duration))])),
    key("messageQueueNewWritesScanInterval", Duration).or("200ms"),
    key("messageQueueFullScanInterval", Duration).or("5s"),
    key("messageQueueScanBatchSize", Int).or("16"),
    key("initialAckMapSize", Int).or("1024"),
    key("closeCheckInterval", Duration).or("1s"),
    key("ackErrorRetry", RETRY),
    key("encoder", FRAMES),
    key("decoder", FRAMES),
    key("connection", CONNECTION),
    key("ignoreCutoffCutover", Bool),
    key("withoutConsumerScope", Bool),
    key("messageWriterGracefulCloseKVOverride", KV_PLACE),
    key("messageWriterGracefulCloseKey", Text),
];

/// Sends messages of a topic.
pub(super) const PRODUCER: Kind =
    Block(&[key("buffer", BUFFER), key("writer", Block(WRITER)).required()]);

const MESSAGE_POOL: Kind =
    Block(&[key("maxBufferReuseSize", Int), key("size", PoolSize), key("watermark", WATERMARK)]);

/// Takes messages.
pub(super) const CONSUMER: Kind = Block(&[
    key("encoder", FRAMES),
    key("decoder", FRAMES),
    key("messagePool", MESSAGE_POOL),
    key("ackFlushInterval", Duration).or("200ms"),
    key("ackBufferSize", Int).or("1048576"),
    key("connectionWriteBufferSize", Int),
    key("connectionReadBufferSize", Int),
    key("connectionWriteTimeout", Duration),
]);

/// The one hash from metrics to shards.
pub(super) const HASH: Kind = Words(&["murmur32", "zero"]);

const TCP_CONNECTION: Kind = Block(&[
    key("connectionTimeout", Duration),
    key("connectionKeepAlive", Bool),
    key("readTimeout", Duration),
    key("writeTimeout", Duration),
    key("initReconnectThreshold", Int),
    key("maxReconnectThreshold", Int),
    key("reconnectThresholdMultiplier", Int),
    key("maxReconnectDuration", Duration),
    key("writeRetries", RETRY),
    key("tls", CLIENT_TLS),
]);

const TCP_ENCODER: Kind =
    Block(&[key("initBufferSize", Int), key("maxMessageSize", Int), key("bytesPool", BUCKETS)]);

/// A client of aggregators.
pub(super) const AGGREGATOR_CLIENT: Kind = Block(&[
    key("type", Words(&["legacy", "tcp", "m3msg"])).or("legacy"),
    key("m3msg", Block(&[key("producer", PRODUCER).required()])),
    key("placementKV", KV_PLACE),
    key("placementWatcher", PLACEMENT_WATCH),
    key("hashType", HASH),
    key("shardCutoverWarmupDuration", Duration),
    key("shardCutoffLingerDuration", Duration),
    key("encoder", TCP_ENCODER),
    key("flushSize", Int),
    key("flushWorkerCount", Int),
    key("forceFlushEvery", Duration),
    key("maxBatchSize", Int),
    key("maxTimerBatchSize", Int).or("140"),
    key("queueSize", Int),
    key("queueDropType", Words(&["oldest", "current"])),
    key("connection", TCP_CONNECTION),
]);
