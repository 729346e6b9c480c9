//! Checked readers and writers for bytes that cross a boundary.

mod cursor;
mod go_json;
mod varint;

pub mod checksum;
pub mod header;
pub mod proto;

pub use cursor::Cursor;
pub use go_json::{Ending, check_go_json};
pub use varint::{put_length_prefixed, put_varint, put_zigzag, unzigzag, zigzag};
