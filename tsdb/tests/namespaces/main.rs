//! Namespaces of one database: their options, their coming and going, and their limits.

mod activity;
mod changes;
mod limits;
mod switches;
mod world;
