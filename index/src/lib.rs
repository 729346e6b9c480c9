//! index room.
