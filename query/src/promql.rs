//! PromQL: text in, operators out.

pub mod ast;
mod check;
pub mod error;
pub mod function;
pub mod parse;
pub mod print;
pub mod signature;

pub use error::ParseError;
pub use parse::{ParseOptions, parse, parse_duration_ms, parse_metric_selector};
