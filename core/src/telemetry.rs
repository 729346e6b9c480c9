//! What operators see from outside: logs, and the count of broken invariants.

pub mod invariant;
pub mod log;
