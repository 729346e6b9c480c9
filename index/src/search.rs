//! From matchers to documents, one segment at a time.

mod cache;
mod exec;
mod plan;
mod share;
mod tree;

pub use cache::PostingsCache;
pub(crate) use exec::search;
pub(crate) use plan::Plan;
pub(crate) use share::Share;
pub use tree::Query;
pub(crate) use tree::Tree;
