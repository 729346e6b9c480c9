//! coordinator room.
