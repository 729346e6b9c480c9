//! Generated types of M3's protobuf messages, named by their packages.
#![allow(missing_docs, unreachable_pub, reason = "generated sources, see cluster/proto")]

pub mod admin;
pub mod commonpb;
pub mod kvpb;
pub mod namespace;
pub mod placementpb;
pub mod topicpb;
