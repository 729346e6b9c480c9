//! Backups: a further name for every file, in a directory that opens as a data directory.
//!
//! Files other than the log are never changed after they got their names, so that a name costs no
//! copy, and the files of a backup stay when the database removes its own.

use std::path::{Path, PathBuf};

use m3rs_core::fs::Fs;

use super::{Core, Database, Extent};
use crate::checkpoint::Merge;
use crate::error::TsdbError;
use crate::mediator::JobKind;

/// What the names of files and directories end in that are not whole.
const TEMP_SUFFIX: &str = ".tmp";

/// What a backup does with samples that are in memory and in the log alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InMemory {
    /// They are flushed first, so that the backup holds all that was written before it.
    Flushed,
    /// They are left out.
    LeftOut,
}

impl Database {
    /// Makes a backup in the directory `backups/{name}`, whose path is returned. When this returns
    /// it is durable and complete; a backup that was cut off is removed by the next one.
    ///
    /// Writes and reads go on; flushes and compactions wait. **Cost:** a flush, and a name for each
    /// file.
    ///
    /// # Errors
    /// Errors of the file system and the log, and a name that is taken.
    pub fn backup(&self, name: &str, in_memory: InMemory) -> Result<PathBuf, TsdbError> {
        let core = &self.core;
        let _one = core.maintain()?;
        if in_memory == InMemory::Flushed {
            core.jobs.run(JobKind::Flush, || {
                core.checkpoint_of(Merge::All, Extent::Everything).map(drop)
            })?;
        }
        core.link_all(name)
    }
}

impl Core {
    fn link_all(&self, name: &str) -> Result<PathBuf, TsdbError> {
        let (fs, layout) = (self.opener.fs.as_ref(), &self.opener.layout);
        let backups = layout.backups();
        for left in fs.list(&backups).map_err(|error| TsdbError::io("list", &backups, error))? {
            if is_temp(&left) {
                fs.remove_dir_all(&left).map_err(|error| TsdbError::io("remove", &left, error))?;
            }
        }
        let whole = backups.join(name);
        let temp = backups.join(format!("{name}{TEMP_SUFFIX}"));
        if fs.exists(&whole) {
            let source = std::io::ErrorKind::AlreadyExists.into();
            return Err(TsdbError::io("make", &whole, source));
        }
        for part in layout.parts().into_iter().chain([layout.namespaces()]) {
            let Some(part_name) = part.file_name() else { continue };
            link_tree(fs, &part, &temp.join(part_name))?;
        }
        fs.rename(&temp, &whole).map_err(|error| TsdbError::io("rename", &temp, error))?;
        fs.sync_dir(&backups).map_err(|error| TsdbError::io("sync", &backups, error))?;
        Ok(whole)
    }
}

fn is_temp(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(TEMP_SUFFIX.as_bytes()))
}

/// Gives all files below `from` the same names below `to`, durably.
fn link_tree(fs: &dyn Fs, from: &Path, to: &Path) -> Result<(), TsdbError> {
    let mut dirs = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = dirs.pop() {
        fs.create_dir_all(&to).map_err(|error| TsdbError::io("make", &to, error))?;
        for path in fs.list(&from).map_err(|error| TsdbError::io("list", &from, error))? {
            let Some(name) = path.file_name().filter(|_| !is_temp(&path)) else { continue };
            let linked = to.join(name);
            if fs.is_dir(&path) {
                dirs.push((path, linked));
            } else {
                fs.hard_link(&path, &linked)
                    .map_err(|error| TsdbError::io("link", &linked, error))?;
            }
        }
        fs.sync_dir(&to).map_err(|error| TsdbError::io("sync", &to, error))?;
    }
    Ok(())
}
