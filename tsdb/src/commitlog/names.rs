//! Names of segment files: `<sequence, at least 10 digits>.log`.

use std::path::{Path, PathBuf};

use m3rs_core::fs::Fs;

use crate::error::CommitLogError;

const EXTENSION: &str = ".log";
const DIGITS_MIN: usize = 10;

/// The file of segment `sequence` in `dir`.
#[must_use]
pub fn segment_path(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("{sequence:0DIGITS_MIN$}{EXTENSION}"))
}

/// The sequence that a path's file name stands for; `None` for a name that we do not write.
#[must_use]
pub fn parse_segment_name(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let digits = name.strip_suffix(EXTENSION)?;
    let canonical =
        digits.len() == DIGITS_MIN || (digits.len() > DIGITS_MIN && !digits.starts_with('0'));
    if !canonical || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Sequences of all segments in `dir`, ascending; other files are passed over.
///
/// # Errors
/// [`CommitLogError::Io`].
pub fn list_segments(fs: &dyn Fs, dir: &Path) -> Result<Vec<u64>, CommitLogError> {
    let paths = fs.list(dir).map_err(CommitLogError::io(dir))?;
    let mut sequences: Vec<u64> = paths.iter().filter_map(|p| parse_segment_name(p)).collect();
    sequences.sort_unstable();
    Ok(sequences)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for sequence in [0, 1, 42, 9_999_999_999, 10_000_000_000, u64::MAX] {
            let path = segment_path(Path::new("/d"), sequence);
            assert_eq!(parse_segment_name(&path), Some(sequence), "{path:?}");
        }
        assert_eq!(segment_path(Path::new("d"), 7), Path::new("d/0000000007.log"));
    }

    #[test]
    fn foreign_names_are_refused() {
        for name in [
            "1.log",
            "0000000001.log.tmp",
            "000000001.log",
            "00000000001.log",
            "+000000001.log",
            "0000000001",
            "commitlog-0-1.db",
            "99999999999999999999.log",
        ] {
            assert_eq!(parse_segment_name(Path::new(name)), None, "{name}");
        }
    }
}
