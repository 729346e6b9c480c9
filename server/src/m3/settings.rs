//! What m3rs takes of M3's files, in its own types.
//!
//! Reading also checks what M3 checks at its start: a file whose keys and types are right may still
//! ask for what cannot be.

mod aggregator;
mod coordinator;
mod namespaces;
mod node;
mod remote_backend;
mod values;

pub(crate) use aggregator::AggregatorSettings;
pub(crate) use coordinator::{CoordinatorSettings, Within};
pub(crate) use node::NodeSettings;

/// A setting as people read it: what it is, and its value.
pub(crate) type Told = (&'static str, String);
