//! tsdb room.

pub mod commitlog;
pub mod error;
