//! Hashes whose values others depend on.

mod murmur3;

pub use murmur3::murmur3_32;
