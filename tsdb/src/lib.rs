//! tsdb room.
