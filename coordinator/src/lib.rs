//! The edge of m3rs: what stands between clients and storage.
//!
//! **What it is:** ingest of remote write, the HTTP API of Prometheus and M3 with their bodies and
//! statuses, limits on what comes in, metrics of the program itself.
//!
//! **What it is not:** the meaning of a query, which is `m3rs-query`, and the keeping of samples,
//! which is `m3rs-tsdb`. Both are reached through the seams [`write`] and [`read`].
//!
//! **In → out:** HTTP requests → samples in a [`write::WriteStore`], or a query's answer as JSON.
//!
//! # Invariants
//! - Every byte of a request is hostile: sizes are checked before memory is taken, bodies are
//!   walked by checked readers, and no request can make the process panic.
//! - A write is answered with success only after its samples are durable as configured.
//! - A query stops soon after its client has left.
//! - Errors of the API are JSON with `errorType`, as Prometheus writes them.
#![forbid(unsafe_code)]

mod chunks;
pub mod http;
pub mod ingest;
pub mod limits;
pub mod local;
pub mod metrics;
mod queries;
pub mod read;
pub mod remote_read;
pub mod write;
