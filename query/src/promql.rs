//! PromQL: text in, operators out.

pub mod ast;
pub mod function;
