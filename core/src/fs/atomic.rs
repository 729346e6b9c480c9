//! Files that appear whole or not at all.

use std::io;
use std::path::{Path, PathBuf};

use super::{Fs, FsFile};

/// What the name of a file ends in while it is being written; such files are removed at start.
pub const TEMP_SUFFIX: &str = ".tmp";

/// Writes a file so that after a crash it has its old content, its new content, or is absent.
///
/// Order: write `path.tmp`, sync, rename, sync the directory. When this returns `Ok`, the file is
/// durable under its name. On error the temporary file is removed as far as that is possible.
///
/// # Errors
/// What the file system or `fill` says.
pub fn write_atomic<E: From<io::Error>>(
    fs: &dyn Fs,
    path: &Path,
    fill: impl FnOnce(&mut dyn FsFile) -> Result<(), E>,
) -> Result<(), E> {
    let temp = temp_path(path);
    let result = write_temp(fs, &temp, fill).and_then(|()| {
        fs.rename(&temp, path)?;
        let dir = path.parent().unwrap_or(Path::new("."));
        Ok(fs.sync_dir(dir)?)
    });
    if result.is_err() && fs.exists(&temp) {
        // The first error is the one to report; a leftover is removed at the next start.
        drop(fs.remove_file(&temp));
    }
    result
}

fn write_temp<E: From<io::Error>>(
    fs: &dyn Fs,
    temp: &Path,
    fill: impl FnOnce(&mut dyn FsFile) -> Result<(), E>,
) -> Result<(), E> {
    let mut file = fs.create(temp)?;
    fill(file.as_mut())?;
    Ok(file.sync()?)
}

fn temp_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMP_SUFFIX);
    PathBuf::from(name)
}
