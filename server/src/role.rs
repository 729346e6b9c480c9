//! What one process is: each role wires the rooms that it needs.

pub(crate) mod all;
mod namespace_host;
