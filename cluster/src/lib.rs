//! Who owns which shard, and how to reach them.
//!
//! **What it is:** the room for placements, topology, elections, the key-value store trait with its
//! etcd and embedded implementations, the node RPC and the message stream between aggregators and
//! coordinators.
//!
//! **What it is not:** storage (`m3rs-tsdb`) or HTTP (`m3rs-coordinator`).
//!
//! **In → out:** placement protobufs and shard-addressed requests → routed calls to the instances
//! that own the shards.
//!
//! The single-node server needs none of it: every shard is local. The code arrives with clustering.
#![forbid(unsafe_code)]
