//! The simulator of m3rs: a world that lies, seeded, so that the same seed tells the same lies.
//!
//! **What it is:** implementations of the seams of `m3rs-core` for tests. [`disk::SimFs`] is a
//! disk that forgets what was not synced, fails on command and dies at a chosen operation;
//! [`net::SimNet`] a network whose links are cut and mended; [`clock::SimClock`] a clock that is
//! turned by hand.
//!
//! **What it is not:** a model of one real file system. It keeps the promises that
//! [`m3rs_core::fs::Fs`] makes, and breaks every one that it does not make.

#![forbid(unsafe_code)]

pub mod clock;
pub mod disk;
pub mod net;
