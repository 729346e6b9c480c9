//! Who owns which shard, and what a cluster agrees on.
//!
//! **What it is:** the room for the key-value store that a cluster shares, with its embedded
//! implementation, and for what M3 keeps there: placements, topics, namespaces, settings.
//!
//! **What it is not:** storage (`m3rs-tsdb`) or HTTP (`m3rs-coordinator`).
//!
//! **In -> out:** requests of operators, read from M3's JSON, become M3's protobuf values under
//! M3's keys.
//!
//! **Invariant:** what is in the store, M3 can read; what M3 stored can be read here.
#![forbid(unsafe_code)]

mod error;

pub mod generated;
pub mod json;
pub mod kv;
pub mod limits;
pub mod namespaces;
pub mod placement;
pub mod settings;
pub mod topic;

pub use error::Error;
