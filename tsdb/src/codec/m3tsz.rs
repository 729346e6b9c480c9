//! M3TSZ: M3's stream of timestamps and values, delta-of-delta and scaled integers or XOR.
//!
//! **What it is:** the appendable codec of open windows and of M3's filesets, compatible with M3
//! to the bit in both directions. The format is drawn in `docs/formats/m3tsz.md`.
//!
//! **What it is not:** a container. A stream has no length, count, version or checksum; whoever
//! stores it keeps those, and must know whether the integer optimisation was on.
//!
//! **In → out:** (nanoseconds, `f64`, unit, annotation) in order → bytes → the same.
//!
//! # Invariants
//! - With [`Exactness::Exact`] every `f64` bit pattern and every `i64` time comes back as it was.
//! - With [`Exactness::Reference`] the bytes are those of M3's encoder for the same calls.
//! - Decoding hostile bytes ends in points or in a [`m3rs_core::Corrupt`]; no panic, no memory
//!   beyond the points and one annotation.
//!
//! Budgets: decode 5 ns, encode 15 ns a sample (`benches/benches/m3tsz.rs`).

mod decimal;
mod decoder;
mod encoder;
mod error;
mod marker;
mod timestamp;
mod value;

pub mod limits;

pub use decoder::{Decoder, DecoderOptions, Point, decode_into, decode_range_into};
pub use encoder::{Encoder, EncoderOptions, Exactness};
pub use error::EncodeError;
pub use timestamp::TimeUnit;
