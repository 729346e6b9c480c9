//! What a segment file holds, for people.

use std::path::Path;

use m3rs_core::fs::Fs;

use super::SealedSegment;
use super::format::SECTION_NAMES;
use crate::error::IndexError;
use crate::segment::Segment;

/// One section of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionSize {
    /// The section's name, as in the format's description.
    pub name: &'static str,
    /// Its bytes.
    pub len: u64,
    /// Its CRC-32.
    pub crc: u32,
}

/// The summary of a segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Bytes of the file.
    pub file_len: u64,
    /// Series.
    pub series: u32,
    /// The first id.
    pub first: u32,
    /// The last id.
    pub last: u32,
    /// Label names, each with the number of its values and of its series.
    pub names: Vec<(String, u32, u64)>,
    /// Sections in their order.
    pub sections: Vec<SectionSize>,
}

/// Opens a segment file, which checks every byte, and says what is in it.
///
/// # Errors
/// [`IndexError::Io`], [`IndexError::Version`] and [`IndexError::Corrupt`].
pub fn inspect(fs: &dyn Fs, path: &Path) -> Result<SegmentSummary, IndexError> {
    let segment = SealedSegment::open(fs, path, 0, 0)?;
    let parts = segment.footer.parts.iter().zip(SECTION_NAMES);
    let names = (0..segment.field_count()).map(|field| {
        (segment.field_name(field), segment.value_count(field), segment.field_len(field))
    });
    Ok(SegmentSummary {
        file_len: segment.file_len(),
        series: segment.footer.doc_count,
        first: segment.footer.first,
        last: segment.footer.last,
        names: names.collect(),
        sections: parts
            .map(|(part, name)| SectionSize { name, len: part.len, crc: part.crc })
            .collect(),
    })
}
