//! Filesets: the immutable files that hold the series blocks of one shard and one block start.
//!
//! **What it is:** a writer that streams series blocks into one file ([`write_fileset`]) and a
//! reader over its mapping ([`FilesetReader`]). Volumes and snapshots have the same format; their
//! [`FilesetKind`] tells them apart.
//!
//! **What it is not:** it knows no codec. A series block is bytes with a [`BlockCodec`] tag, and
//! times that it may share with others.
//!
//! **Format:** `docs/formats/fileset.md`.
//!
//! # Invariants
//! - A file under a fileset's name is whole: it was synced before it got the name.
//! - Loss of one byte is detected, and costs at most one series block or the names of one page.
//!   What blocks share (footer, info, index, columns of times) is there twice; the set of series
//!   can be had from the index.
//! - Series blocks are in the order of their series refs.
//!
//! # Cost
//! Opening reads the footer, the info and the directories: 20 bytes for 128 series.
//! [`FilesetReader::find`] asks the set of series, which is verified once and not unpacked, then
//! touches one index page, which is verified once; a [`Finder`] keeps the page open for the next
//! series. [`FilesetReader::block`] verifies the block each time. No series has a heap object of
//! its own.

mod finder;
mod format;
mod identities;
mod index_page;
mod iterators;
mod names;
mod pages;
mod presence;
mod reader;
mod times;
mod verify;
mod writer;

pub use finder::Finder;
pub use format::{
    BLOCK_BYTES_MAX, BlockCodec, FilesetInfo, FilesetKind, FilesetTotals, LABEL_BYTES_MAX, MAGIC,
    VERSION,
};
pub use iterators::{Entries, Identities};
pub use names::{file_name, parse_file_name};
pub use reader::{FilesetEntry, FilesetReader};
pub(crate) use verify::{ENDS_LEN, sums};
pub use writer::{SeriesBlock, SeriesSink, write_fileset};
