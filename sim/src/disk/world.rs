//! The state of the disk: contents, names, what of both is durable, and the faults to come.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};

use m3rs_core::fs::Space;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Unsynced;
use super::tree::{Change, Node, Pending, Tree};

/// A file's bytes as programs see them, and as they are on the platter.
#[derive(Clone, Debug, Default)]
struct Inode {
    data: Vec<u8>,
    synced: Vec<u8>,
    /// Bytes whose sync failed: the system holds them for clean, the platter never got them.
    doomed: Vec<Range<usize>>,
    /// Bytes of bad sectors.
    unreadable: Range<usize>,
}

impl Inode {
    fn sync(&mut self) {
        let from = self.synced.len().min(self.data.len());
        self.synced.truncate(from);
        self.synced.extend_from_slice(&self.data[from..]);
        Self::wipe(&self.doomed, &mut self.synced);
    }

    fn fail_sync(&mut self) {
        self.doomed.push(self.synced.len().min(self.data.len())..self.data.len());
    }

    fn wipe(ranges: &[Range<usize>], bytes: &mut [u8]) {
        for range in ranges {
            let end = range.end.min(bytes.len());
            if let Some(bytes) = bytes.get_mut(range.start..end) {
                bytes.fill(0);
            }
        }
    }

    /// Puts zeros or older bytes in the place of some behind `from`.
    fn make_hole(bytes: &mut [u8], from: usize, rng: &mut StdRng) {
        let start = rng.random_range(from..=bytes.len());
        let end = rng.random_range(start..=bytes.len());
        if from == 0 || rng.random() {
            bytes[start..end].fill(0);
            return;
        }
        let (old, new) = bytes.split_at_mut(from);
        let old_at = rng.random_range(0..from);
        let hole = new[start - from..end - from].iter_mut();
        hole.zip(old[old_at..].iter().cycle()).for_each(|(byte, old)| *byte = *old);
    }

    /// Comes back from a power cut with what was synced and, if torn, some of the rest.
    fn lose(&mut self, unsynced: Unsynced, rng: &mut StdRng) {
        let mut left = std::mem::take(&mut self.synced);
        let from = left.len();
        if unsynced == Unsynced::Reordered && self.data.len() > from {
            left.extend_from_slice(&self.data[from..]);
            Self::wipe(&self.doomed, &mut left);
            left.truncate(rng.random_range(from..=left.len() * 2).min(left.len()));
            for _ in 0..rng.random_range(1..=3) {
                Self::make_hole(&mut left, from, rng);
            }
        }
        if unsynced == Unsynced::Torn && self.data.len() > from {
            let keep = rng.random_range(from..=self.data.len());
            left.extend_from_slice(&self.data[from..keep]);
            Self::wipe(&self.doomed, &mut left);
            match rng.random_range(0..4) {
                // The length was written, some of the pages were not.
                0 => {
                    let zero = rng.random_range(from..=left.len());
                    left[zero..].fill(0);
                }
                1 => left.resize(rng.random_range(left.len()..=self.data.len()), 0),
                _ => {}
            }
        }
        let unreadable = self.unreadable.clone();
        *self = Self { synced: left.clone(), data: left, doomed: Vec::new(), unreadable };
    }
}

#[derive(Debug)]
pub(super) struct World {
    rng: StdRng,
    inodes: BTreeMap<u64, Inode>,
    inodes_made: u64,
    live: Tree,
    durable: Tree,
    pending: Vec<Pending>,
    locks: BTreeSet<PathBuf>,
    capacity: Option<u64>,
    /// Counts crashes, so that files from before one are refused.
    pub(super) generation: u64,
    pub(super) ops: u64,
    pub(super) failing_syncs: u32,
    pub(super) fail_at: Option<u64>,
    pub(super) crash_at: Option<u64>,
    pub(super) down: bool,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            inodes: BTreeMap::new(),
            inodes_made: 0,
            live: Tree::default(),
            durable: Tree::default(),
            pending: Vec::new(),
            locks: BTreeSet::new(),
            capacity: None,
            generation: 0,
            ops: 0,
            failing_syncs: 0,
            fail_at: None,
            crash_at: None,
            down: false,
        }
    }

    /// The same files, names and faults; its chances are its own.
    pub(super) fn copied(&self, seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            inodes: self.inodes.clone(),
            live: self.live.clone(),
            durable: self.durable.clone(),
            pending: self.pending.clone(),
            locks: self.locks.clone(),
            ..*self
        }
    }

    pub(super) fn crash(&mut self, unsynced: Unsynced) {
        self.generation += 1;
        self.locks.clear();
        self.failing_syncs = 0;
        (self.fail_at, self.crash_at, self.down) = (None, None, false);
        if unsynced == Unsynced::Kept {
            return;
        }
        for pending in std::mem::take(&mut self.pending) {
            if unsynced != Unsynced::Lost && self.rng.random() {
                self.durable.apply(&pending.change);
            }
        }
        self.durable.drop_orphans();
        self.live = self.durable.clone();
        self.drop_unnamed();
        for inode in self.inodes.values_mut() {
            inode.lose(unsynced, &mut self.rng);
        }
    }

    pub(super) fn set_space(&mut self, bytes: Option<u64>) {
        self.capacity = bytes.map(|free| self.used().saturating_add(free));
    }

    pub(super) fn space(&self) -> io::Result<Space> {
        self.check_up()?;
        let total = self.capacity.unwrap_or(u64::MAX);
        Ok(Space { total, free: total.saturating_sub(self.used()) })
    }

    pub(super) fn damage(
        &mut self,
        path: &Path,
        edit: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<()> {
        let inode = self.inode_of(path)?;
        let inode = self.inodes.entry(inode).or_default();
        edit(&mut inode.data);
        inode.synced.clone_from(&inode.data);
        Ok(())
    }

    pub(super) fn make_unreadable(&mut self, path: &Path, range: Range<usize>) -> io::Result<()> {
        let inode = self.inode_of(path)?;
        self.inodes.entry(inode).or_default().unreadable = range;
        Ok(())
    }

    pub(super) fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let inode = self.inode_of(path)?;
        let Some(inode) = self.inodes.get(&inode) else { return Ok(Vec::new()) };
        let end = inode.data.len();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(end);
        let to = from.saturating_add(len).min(end);
        if from < inode.unreadable.end && inode.unreadable.start < to {
            return Err(io::Error::other("simulated bad sector"));
        }
        Ok(inode.data[from..to].to_vec())
    }

    /// Counts an operation and lets it fail if that was asked for.
    fn step(&mut self) -> io::Result<()> {
        self.check_up()?;
        self.ops += 1;
        if self.crash_at.is_some_and(|n| self.ops >= n) {
            self.down = true;
            return self.check_up();
        }
        if self.fail_at == Some(self.ops) {
            self.fail_at = None;
            return Err(io::Error::other("simulated disk error"));
        }
        Ok(())
    }

    fn check_up(&self) -> io::Result<()> {
        if self.down { Err(io::Error::other("simulated machine is down")) } else { Ok(()) }
    }

    fn check_handle(&self, generation: u64) -> io::Result<()> {
        if generation == self.generation {
            return Ok(());
        }
        Err(io::Error::other("file was opened before a simulated crash"))
    }

    fn used(&self) -> u64 {
        self.inodes.values().map(|inode| inode.data.len() as u64).sum()
    }

    /// Frees the contents of files that no name leads to, on the disk or in memory. An open file
    /// without a name is freed too: writing to it goes on, to nowhere.
    fn drop_unnamed(&mut self) {
        let mut named: BTreeSet<u64> = self.live.inodes().chain(self.durable.inodes()).collect();
        for pending in &self.pending {
            if let Change::Link { node: Node::File(inode), .. }
            | Change::Rename { node: Node::File(inode), .. } = &pending.change
            {
                named.insert(*inode);
            }
        }
        self.inodes.retain(|inode, _| named.contains(inode));
    }

    fn change(&mut self, dir: &Path, change: Change) {
        self.live.apply(&change);
        self.pending.push(Pending { dir: dir.to_owned(), change });
    }

    /// The directory of a path, which must be there.
    fn dir_of<'a>(&self, path: &'a Path) -> io::Result<&'a Path> {
        let dir = path.parent().ok_or(ErrorKind::InvalidInput)?;
        match self.live.get(dir) {
            Some(Node::Dir) => Ok(dir),
            Some(Node::File(_)) => Err(ErrorKind::NotADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn inode_of(&self, path: &Path) -> io::Result<u64> {
        self.check_up()?;
        match self.live.get(path) {
            Some(Node::File(inode)) => Ok(inode),
            Some(Node::Dir) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn contents(&self, path: &Path) -> io::Result<&[u8]> {
        let inode = self.inode_of(path)?;
        Ok(self.inodes.get(&inode).map(|i| i.data.as_slice()).unwrap_or_default())
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<u64> {
        self.step()?;
        if self.live.get(path) == Some(Node::Dir) {
            return Err(ErrorKind::IsADirectory.into());
        }
        let dir = self.dir_of(path)?;
        // A new file even under an old name: the old content may come back in a crash until the
        // directory is synced, which is the worst that emptying a file can do.
        self.inodes_made += 1;
        let inode = self.inodes_made;
        self.inodes.insert(inode, Inode::default());
        self.change(dir, Change::Link { path: path.to_owned(), node: Node::File(inode) });
        Ok(inode)
    }

    pub(super) fn write(&mut self, inode: u64, generation: u64, bytes: &[u8]) -> io::Result<()> {
        self.check_handle(generation)?;
        let was_down = self.down;
        let mut result = self.step();
        let mut len = bytes.len();
        if result.is_err() {
            // How much a failed write wrote is unknown; one on a dead machine writes nothing.
            len = if was_down { 0 } else { self.rng.random_range(0..=len) };
        } else if let Some(capacity) = self.capacity {
            let free = usize::try_from(capacity.saturating_sub(self.used())).unwrap_or(len);
            if free < len {
                len = free;
                result = Err(ErrorKind::StorageFull.into());
            }
        }
        if let Some(inode) = self.inodes.get_mut(&inode) {
            inode.data.extend_from_slice(&bytes[..len]);
        }
        result
    }

    pub(super) fn sync(&mut self, inode: u64, generation: u64) -> io::Result<()> {
        self.check_handle(generation)?;
        let mut result = self.step();
        if result.is_ok() {
            result = self.sync_fault();
        }
        if let Some(inode) = self.inodes.get_mut(&inode) {
            match &result {
                Ok(()) => inode.sync(),
                Err(_) if self.down => {}
                Err(_) => inode.fail_sync(),
            }
        }
        result
    }

    fn sync_fault(&mut self) -> io::Result<()> {
        if self.failing_syncs == 0 {
            return Ok(());
        }
        self.failing_syncs -= 1;
        Err(io::Error::other("simulated sync failure"))
    }

    pub(super) fn truncate(&mut self, path: &Path, len: u64) -> io::Result<()> {
        let inode = self.inode_of(path)?;
        self.step()?;
        let inode = self.inodes.entry(inode).or_default();
        inode.data.resize(usize::try_from(len).map_err(|_| ErrorKind::StorageFull)?, 0);
        inode.sync();
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        let node = self.live.get(from).ok_or(ErrorKind::NotFound)?;
        let dir = self.dir_of(to)?;
        match (node, self.live.get(to)) {
            (Node::File(_), Some(Node::Dir)) => return Err(ErrorKind::IsADirectory.into()),
            (Node::Dir, Some(Node::File(_))) => return Err(ErrorKind::NotADirectory.into()),
            (Node::Dir, Some(Node::Dir)) if self.live.children(to).next().is_some() => {
                return Err(ErrorKind::DirectoryNotEmpty.into());
            }
            _ => {}
        }
        let (from, to) = (from.to_owned(), to.to_owned());
        self.change(dir, Change::Rename { from, to, node });
        Ok(())
    }

    pub(super) fn hard_link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        let node = Node::File(self.inode_of(from)?);
        let dir = self.dir_of(to)?;
        if self.live.get(to).is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.change(dir, Change::Link { path: to.to_owned(), node });
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        self.step()?;
        self.inode_of(path)?;
        let dir = self.dir_of(path)?;
        self.change(dir, Change::Unlink { path: path.to_owned() });
        Ok(())
    }

    pub(super) fn remove_dir_all(&mut self, path: &Path) -> io::Result<()> {
        self.step()?;
        match self.live.get(path) {
            Some(Node::Dir) => {}
            Some(Node::File(_)) => return Err(ErrorKind::NotADirectory.into()),
            None => return Err(ErrorKind::NotFound.into()),
        }
        for path in self.live.subtree(path) {
            let dir = path.parent().unwrap_or(Path::new("")).to_owned();
            self.change(&dir, Change::Unlink { path });
        }
        Ok(())
    }

    pub(super) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        self.step()?;
        let ancestors: Vec<&Path> = path.ancestors().collect();
        for dir in ancestors.into_iter().rev() {
            match self.live.get(dir) {
                Some(Node::Dir) => continue,
                Some(Node::File(_)) => return Err(ErrorKind::AlreadyExists.into()),
                None => {}
            }
            let link = Change::Link { path: dir.to_owned(), node: Node::Dir };
            self.live.apply(&link);
            // The seam promises that the directory is durable in its parent, which is synced for
            // it. What was pending in a removed directory of this name is no matter of the new one.
            let durable = &mut self.durable;
            self.pending.retain(|pending| {
                let is_parent = Some(pending.dir.as_path()) == dir.parent();
                if is_parent {
                    durable.apply(&pending.change);
                }
                !is_parent && !pending.dir.starts_with(dir)
            });
            durable.drop_orphans();
            durable.apply(&link);
        }
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        self.step()?;
        self.sync_fault()?;
        match self.live.get(path) {
            Some(Node::Dir) => {}
            Some(Node::File(_)) => return Err(ErrorKind::NotADirectory.into()),
            None => return Err(ErrorKind::NotFound.into()),
        }
        let durable = &mut self.durable;
        self.pending.retain(|pending| {
            if pending.dir == path {
                durable.apply(&pending.change);
            }
            pending.dir != path
        });
        self.drop_unnamed();
        Ok(())
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.check_up()?;
        match self.live.get(dir) {
            Some(Node::Dir) => Ok(self.live.children(dir).cloned().collect()),
            Some(Node::File(_)) => Err(ErrorKind::NotADirectory.into()),
            None => Ok(Vec::new()),
        }
    }

    pub(super) fn is_dir(&self, path: &Path) -> bool {
        self.live.get(path) == Some(Node::Dir)
    }

    pub(super) fn exists(&self, path: &Path) -> bool {
        !self.down && self.live.get(path).is_some()
    }

    pub(super) fn lock(&mut self, path: &Path) -> io::Result<()> {
        self.check_up()?;
        if self.live.get(path).is_none() {
            self.create(path)?;
        }
        if self.locks.insert(path.to_owned()) { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) }
    }

    pub(super) fn unlock(&mut self, path: &Path, generation: u64) {
        if generation == self.generation {
            self.locks.remove(path);
        }
    }
}
