//! sim room.
