//! Names of fileset files: `<block start in ns>-<volume>.fileset`.

use std::path::Path;

const EXTENSION: &str = ".fileset";

/// The file name of a volume.
#[must_use]
pub fn file_name(block_start_ns: i64, volume: u32) -> String {
    format!("{block_start_ns}-{volume}{EXTENSION}")
}

/// Block start and volume from a path's file name; `None` for a name that we do not write.
#[must_use]
pub fn parse_file_name(path: &Path) -> Option<(i64, u32)> {
    let name = path.file_name()?.to_str()?;
    let (start, volume) = name.strip_suffix(EXTENSION)?.rsplit_once('-')?;
    let parsed = (start.parse().ok()?, volume.parse().ok()?);
    // Numbers have several spellings, names have one.
    (file_name(parsed.0, parsed.1) == name).then_some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for (start, volume) in
            [(0, 0), (-7_200_000_000_000, 3), (i64::MIN, 1), (i64::MAX, u32::MAX)]
        {
            let name = file_name(start, volume);
            assert_eq!(parse_file_name(&Path::new("/d").join(&name)), Some((start, volume)));
        }
    }

    #[test]
    fn foreign_names_are_refused() {
        for name in [
            "fileset-0-1-data.db",
            "1-1.fileset.tmp",
            "1-1.fileset.damaged",
            "01-1.fileset",
            "+1-1.fileset",
            "1-01.fileset",
            "-0-1.fileset",
            "1-+1.fileset",
            "1--1.fileset",
            "1-4294967296.fileset",
            "1.fileset",
            ".fileset",
        ] {
            assert_eq!(parse_file_name(Path::new(name)), None, "{name}");
        }
    }
}
