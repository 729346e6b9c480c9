//! A file system of a few MiB in memory, in a mount namespace of its own.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use m3rs_core::fs::{DiskFs, Fs};

use crate::deadline::Deadline;
use crate::deadline::pause;

/// How long the mount may take.
const MOUNT_TIMEOUT: Duration = Duration::from_secs(20);

/// Mounts, says so, and keeps the namespace for as long as the longest story takes.
const SCRIPT: &str =
    "mount -t tmpfs -o size=\"$2\" m3rs \"$1\" && : >\"$1/mounted\" && exec sleep 600";

/// The file that takes all space.
const FILLER: &str = "filler";

/// A mounted disk; it is gone when dropped.
#[derive(Debug)]
pub(super) struct SmallDisk {
    /// Keeps the namespace.
    holder: Child,
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts a disk of `bytes` at `path`.
    ///
    /// # Errors
    /// The system does not allow it, or lacks the programs; says why.
    pub(super) fn mount(path: &Path, bytes: u64) -> Result<Self, String> {
        DiskFs.create_dir_all(path).expect("a directory");
        let holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh"])
            .arg(path)
            .arg(bytes.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut disk = Self { holder, path: path.to_owned() };
        let deadline = Deadline::after(MOUNT_TIMEOUT);
        while !disk.outside("mounted").exists() {
            if let Some(status) = disk.holder.try_wait().expect("a child") {
                return Err(format!("unshare and mount ended with {status}"));
            }
            if deadline.is_over() {
                return Err(format!("nothing mounted after {MOUNT_TIMEOUT:?}"));
            }
            pause();
        }
        let probe = disk.command("true").status();
        match probe {
            Ok(status) if status.success() => Ok(disk),
            other => Err(format!("nsenter: {other:?}")),
        }
    }

    /// Where the disk is, for programs of [`SmallDisk::command`].
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A command that sees the disk. Its process is the program's own.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--user", "--mount", "--preserve-credentials"])
            .arg(format!("--target={}", self.holder.id()))
            .arg("--")
            .arg(program);
        command
    }

    /// Uses up all space.
    pub(super) fn fill(&self) {
        let path = self.outside(FILLER);
        let mut file =
            OpenOptions::new().create(true).append(true).open(path).expect("a file on the disk");
        let zeros = vec![0; 64 << 10];
        let mut bytes = zeros.len();
        while bytes > 0 {
            match file.write(&zeros[..bytes]) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => bytes /= 2,
                Err(error) => panic!("filling the disk: {error}"),
            }
        }
    }

    /// Gives the space back.
    pub(super) fn empty(&self) {
        DiskFs.remove_file(&self.outside(FILLER)).expect("the filler");
    }

    /// A file of the disk as this process sees it.
    fn outside(&self, name: &str) -> PathBuf {
        let inside = self.path.strip_prefix("/").expect("an absolute path");
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(inside).join(name)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Both fail only if the process has ended and was waited for already.
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}
