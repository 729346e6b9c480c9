//! PromQL: text in, operators out.

pub mod ast;
pub mod check;
pub mod error;
pub mod function;
pub mod parse;
pub mod print;
pub mod signature;
