//! tsdb room.

pub mod codec;
