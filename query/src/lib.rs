//! The query engine: the meaning of PromQL.
//!
//! **What it is:** parser front, AST with spans, plan, streaming operators, functions, results.
//!
//! **What it is not:** storage. Samples come through [`source::SeriesSource`] alone, so the same
//! operators serve local shards, remote nodes and vectors in tests.
//!
//! **In → out:** query text, time grid, limits and a source → series of steps, or a typed error.
//!
//! # Invariants
//! - The engine never panics on a query; a limit answers with its name, value and setting.
//! - Results do not depend on how many threads ran: partial results merge in a fixed order.
//! - In columns of steps, "no value here" is the bit pattern of the staleness marker, which no
//!   operation can produce from values.
#![forbid(unsafe_code)]

pub mod engine;
pub mod error;
pub mod explain;
pub mod histogram;
pub mod limits;
pub mod number;
pub mod promql;
pub mod render;
pub mod result;
pub mod result_cache;
pub mod source;
pub mod step;
pub mod testdsl;
