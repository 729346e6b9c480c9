//! The reverse index of m3rs: from label names and values to series.
//!
//! **What it is:** dictionaries and postings over series, each known by a `u32` id and its labels;
//! searches by Prometheus matchers; label names and values; segment files.
//!
//! **What it is not:** a store of samples. It knows nothing of time, shards or blocks, and does not
//! decide when to seal.
//!
//! **In → out:** `(id, labels)` in ascending order of ids → sets of ids, label texts, and files
//! that [`Index::open`] reads back.
//!
//! # Invariants
//! - New series go to one growing segment in memory; sealed segments are immutable files.
//! - The ids of segments do not overlap and ascend from one to the next.
//! - A segment stands for all ids of its range: one that it has no document of was forgotten.
//! - A file is checked to its last byte before a search reads it; damage is reported, never guessed
//!   around.
#![forbid(unsafe_code)]

mod aggregate;
mod cardinality;
mod compact;
mod error;
mod found;
mod index;
mod limits;
mod maintain;
mod names;
mod open;
mod postings;
mod projection;
mod regexp;
mod search;
mod segment;
mod state;

pub use cardinality::{Cardinality, Count};
pub use error::IndexError;
pub use found::Found;
pub use index::{Index, Limited, SealedInfo};
pub use limits::{LABELS_LEN_CEILING, Limits};
pub use open::Damage;
pub use search::{PostingsCache, Query};
pub use segment::{Doc, ENDS_LEN, Identity, SectionSize, SegmentSummary, inspect, sums};
