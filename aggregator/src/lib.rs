//! Streams of samples in, rollups out.
//!
//! **What it is:** the room for aggregation types, windows by resolution, mapping and rollup rules,
//! transformations, pipelines, and the flush protocol of leader and follower.
//!
//! **What it is not:** storage of the results (they leave through a sink trait), or the parsing of
//! ingest protocols (`m3rs-coordinator`).
//!
//! **In → out:** (metric id, value, time, rules) → aggregated samples stamped with the end of
//! their window, by storage policy.
//!
//! No write passes through it yet. The code arrives with downsampling.
#![forbid(unsafe_code)]
