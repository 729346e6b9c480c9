//! Remote read: series and samples as they are, in the messages of Prometheus.
//!
//! **What it is:** the request as it stands on the wire ([`request`]), the reading of what it asks
//! for ([`reading`]), and the three forms of an answer: streamed chunks, samples in one message,
//! and M3's JSON.
//!
//! **What it is not:** HTTP, which is `http::prometheus::read`.
//!
//! # Invariants
//! - Series of a query are in order of their labels.
//! - Streamed chunks and JSON hold a piece of the answer in memory, whatever its size.
//! - One message of samples is held compressed.

mod json;
mod message;
mod reading;
mod request;
mod samples;
mod streamed;

pub use request::{ReadQuery, ReadRequest, ReadRequestError, ResponseType, parse_read_request};

pub(crate) use json::JsonAnswer;
pub(crate) use reading::{ReadError, Reading};
pub(crate) use samples::samples_answer;
pub(crate) use streamed::ChunkStream;

/// Bytes of an answer that are made at a time.
const PIECE_BYTES: usize = 1 << 20;
