//! What the programs of this room share: a fleet to write, and what a process costs.

pub mod fleet;
pub mod process;
pub mod requests;

/// Why a program ends early.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
