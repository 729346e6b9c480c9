//! Names: what is under which path, and the changes that a directory sync makes durable.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Dir,
    File(u64),
}

/// Full paths and what they stand for; the root and the empty path are always directories.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree(BTreeMap<PathBuf, Node>);

/// A change of names that waits for the sync of `dir`.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) dir: PathBuf,
    pub(super) change: Change,
}

/// One change of names, which happens whole or not at all.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Link { path: PathBuf, node: Node },
    Unlink { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf, node: Node },
}

impl Tree {
    pub(super) fn get(&self, path: &Path) -> Option<Node> {
        if path.parent().is_none_or(|p| p == path) {
            return Some(Node::Dir);
        }
        self.0.get(path).copied()
    }

    pub(super) fn children<'a>(&'a self, dir: &'a Path) -> impl Iterator<Item = &'a PathBuf> {
        self.0.keys().filter(move |path| path.parent() == Some(dir))
    }

    /// Paths below `dir`, deepest first, and `dir` itself last.
    pub(super) fn subtree(&self, dir: &Path) -> Vec<PathBuf> {
        self.0.keys().rev().filter(|path| path.starts_with(dir)).cloned().collect()
    }

    pub(super) fn inodes(&self) -> impl Iterator<Item = u64> {
        self.0.values().filter_map(|node| match node {
            Node::File(inode) => Some(*inode),
            Node::Dir => None,
        })
    }

    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Link { path, node } => {
                self.0.insert(path.clone(), *node);
            }
            Change::Unlink { path } => {
                self.0.remove(path);
            }
            Change::Rename { from, to, node: Node::File(inode) } => {
                if self.0.get(from) == Some(&Node::File(*inode)) {
                    self.0.remove(from);
                }
                self.0.insert(to.clone(), Node::File(*inode));
            }
            Change::Rename { from, to, node: Node::Dir } => {
                for path in self.subtree(from) {
                    let node = self.0.remove(&path).unwrap_or(Node::Dir);
                    let suffix = path.strip_prefix(from).unwrap_or(Path::new(""));
                    let moved =
                        if suffix.as_os_str().is_empty() { to.clone() } else { to.join(suffix) };
                    self.0.insert(moved, node);
                }
                self.0.insert(to.clone(), Node::Dir);
            }
        }
    }

    /// Drops every name whose directory is not there.
    pub(super) fn drop_orphans(&mut self) {
        let mut reachable = Self::default();
        // Parents sort before their children.
        for (path, node) in &self.0 {
            if path.parent().is_none_or(|p| reachable.get(p) == Some(Node::Dir)) {
                reachable.0.insert(path.clone(), *node);
            }
        }
        *self = reachable;
    }
}
