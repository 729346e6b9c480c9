//! PromQL: text in, operators out.

pub(crate) mod annotation;
pub mod ast;
mod check;
pub mod error;
pub(crate) mod exec;
pub mod function;
pub(crate) mod labelset;
pub mod operations;
pub mod parse;
pub(crate) mod plan;
pub mod print;
pub mod signature;
pub mod tree;

pub use error::{ParseError, ParseErrorCause};
pub use parse::{ParseLimits, ParseOptions, parse, parse_duration_ms, parse_metric_selector};
pub use signature::functions;
