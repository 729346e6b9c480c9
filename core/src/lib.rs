//! The ground floor of m3rs: what every other room may rely on.
//!
//! **What it is:** the data model (labels, matchers, samples), times and durations, checked wire
//! cursors and checksums, hashes, the seams to the world (files, clock, randomness, network,
//! threads), limits, error kinds, configuration loading and telemetry.
//!
//! **What it is not:** domain behaviour. Nothing here knows of shards, queries or HTTP routes.
//!
//! **In → out:** bytes and numbers → typed, validated values. This crate imports no other room.
//!
//! # Invariants
//! - A [`model::Labels`] is sorted by name, has unique non-empty names, non-empty values, and is
//!   valid UTF-8.
//! - Every read of outside bytes goes through [`wire::Cursor`]; it cannot panic.
//! - Time, randomness, files, network and threads are reached through [`clock`], [`rng`], [`fs`],
//!   [`net`] and [`spawn`] alone.

pub mod clock;
pub mod config;
pub mod error;
pub mod fs;
pub mod hash;
pub mod limit;
pub mod model;
pub mod net;
pub mod regexp;
pub mod rng;
pub mod spawn;
pub mod telemetry;
pub mod time;
pub mod wire;

pub use error::{Corrupt, ErrorKind};
