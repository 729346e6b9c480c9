//! Configuration files: YAML with `${VAR:default}`, errors that name file, line and column.

mod env;
mod load;

pub use env::{EnvError, Environment, expand};
pub use load::{ConfigError, from_file, from_text};
