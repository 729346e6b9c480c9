//! Namespaces of one database: their options, their coming and going, and their limits.

mod activity;
mod changes;
mod gate;
mod limits;
mod restarts;
mod retirement;
mod switches;
mod world;
