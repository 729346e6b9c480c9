//! From matchers to documents, one segment at a time.

mod cache;
mod exec;
mod plan;
mod share;

pub use cache::PostingsCache;
pub(crate) use exec::search;
pub(crate) use plan::Plan;
pub(crate) use share::Share;
