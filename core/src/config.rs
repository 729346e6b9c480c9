//! Configuration files: YAML with `${VAR:default}`, errors that name file, line and column.

mod env;
mod load;
mod merge;
mod scalar;
mod tree;

pub use env::{BareVariables, EnvError, Environment, expand, expand_with};
pub use load::{ConfigError, from_file, from_text, tree_from_file, tree_from_text};
pub use merge::merge;
pub use scalar::Scalar;
pub use tree::{DEPTH_MAX, Entry, NODES_MAX, Node, Place, TEXT_BYTES_MAX, TreeError, Value};
