//! etcd, and what M3 keeps in it.

use super::Kind::{Block, Bool, Duration, Int, List, Text};
use super::process::{ENDPOINTS, RETRY};
use super::{Kind, TEXTS, key};

const KEEP_ALIVE: Kind = Block(&[
    key("enabled", Bool),
    key("period", Duration),
    key("jitter", Duration),
    key("timeout", Duration),
]);

const TLS: Kind = Block(&[key("crtPath", Text), key("caCrtPath", Text), key("keyPath", Text)]);

const CLUSTER: Kind = Block(&[
    key("zone", Text),
    key("endpoints", ENDPOINTS),
    key("keepAlive", KEEP_ALIVE),
    key("tls", TLS),
    key("autoSyncInterval", Duration),
    key("dialTimeout", Duration),
]);

/// A client of etcd.
pub(super) const ETCD: Kind = Block(&[
    key("env", Text),
    key("zone", Text),
    key("service", Text).required(),
    key("cacheDir", Text),
    key("etcdClusters", List(&CLUSTER)),
    key("m3sd", Block(&[key("initTimeout", Duration)])),
    key("watchWithRevision", Int),
    key("newDirectoryMode", Int),
    key("retry", RETRY),
    key("requestTimeout", Duration),
    key("watchChanInitTimeout", Duration),
    key("watchChanCheckInterval", Duration),
    key("watchChanResetInterval", Duration),
    key("enableFastGets", Bool),
]);

/// Where in the KV store something is.
pub(super) const KV_PLACE: Kind =
    Block(&[key("zone", Text), key("environment", Text), key("namespace", Text)]);

/// The name of a service.
pub(super) const SERVICE_ID: Kind =
    Block(&[key("name", Text), key("environment", Text), key("zone", Text)]);

/// How placements are changed.
pub(super) const PLACEMENT: Kind = Block(&[
    key("allowPartialReplace", Bool),
    key("allowAllZones", Bool),
    key("addAllCandidates", Bool),
    key("isSharded", Bool),
    key("shardStateMode", Kind::Any),
    key("isMirrored", Bool),
    key("skipPortMirroring", Bool),
    key("isStaged", Bool),
    key("validZone", Text),
]);

/// A watch on a placement.
pub(super) const PLACEMENT_WATCH: Kind =
    Block(&[key("key", Text).required(), key("initWatchTimeout", Duration)]);

const TRANSPORT_SECURITY: Kind = Block(&[
    key("caFile", Text),
    key("certFile", Text),
    key("keyFile", Text),
    key("trustedCaFile", Text),
    key("clientCertAuth", Bool),
    key("autoTls", Bool),
]);

const SEED_NODE: Kind =
    Block(&[key("hostID", Text), key("endpoint", Text), key("clusterState", Text)]);

/// etcd within a node.
pub(super) const SEED_NODES: Kind = Block(&[
    key("rootDir", Text),
    key("initialAdvertisePeerUrls", TEXTS),
    key("advertiseClientUrls", TEXTS),
    key("listenPeerUrls", TEXTS),
    key("listenClientUrls", TEXTS),
    key("initialCluster", List(&SEED_NODE)),
    key("clientTransportSecurity", TRANSPORT_SECURITY),
    key("peerTransportSecurity", TRANSPORT_SECURITY),
]);
