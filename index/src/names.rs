//! Names of an index' files.

use std::path::{Path, PathBuf};

const PREFIX: &str = "segment-";
const SUFFIX: &str = ".idx";

/// `segment-<first id>-<last id>.idx`, both with ten digits, so that names sort as ids do.
pub(crate) fn segment_path(dir: &Path, first: u32, last: u32) -> PathBuf {
    dir.join(format!("{PREFIX}{first:010}-{last:010}{SUFFIX}"))
}

/// What the name of a segment ends in that is to replace all others, until it has.
const REPLACING: &str = ".replacing";

/// What the name of a file ends in that was set aside.
const DAMAGED: &str = ".damaged";

/// The name of the segment at `path` before it replaces all others.
pub(crate) fn replacing_path(path: &Path) -> PathBuf {
    with_suffix(path, REPLACING)
}

/// The segment that a file is to become once it has replaced all others; `None` for other files.
pub(crate) fn replaces(path: &Path) -> Option<PathBuf> {
    let becomes = PathBuf::from(path.to_str()?.strip_suffix(REPLACING)?);
    segment_range(&becomes).map(|_| becomes)
}

/// The name under which a segment is set aside.
pub(crate) fn damaged_path(path: &Path) -> PathBuf {
    with_suffix(path, DAMAGED)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The ids that a segment file's name says; `None` for other files.
pub(crate) fn segment_range(path: &Path) -> Option<(u32, u32)> {
    let name = path.file_name()?.to_str()?;
    let (first, last) = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split_once('-')?;
    let number = |text: &str| {
        let is_ours = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit());
        if is_ours { text.parse::<u32>().ok() } else { None }
    };
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_others_are_left_alone() {
        for (first, last) in [(0, 0), (7, 4_294_967_295)] {
            let path = segment_path(Path::new("dir"), first, last);
            assert_eq!(segment_range(&path), Some((first, last)));
            let replacing = replacing_path(&path);
            assert_eq!((segment_range(&replacing), replaces(&replacing)), (None, Some(path)));
        }
        for other in [
            "segment-1-2.idx",
            "segment-0000000002-0000000001.idx",
            "segment-0000000001-9999999999.idx",
            "segment-+000000001-0000000002.idx",
            "segment-0000000001-0000000002.idx.tmp",
            "x",
        ] {
            assert_eq!(segment_range(Path::new(other)), None, "{other}");
        }
    }
}
