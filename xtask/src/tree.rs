//! The repository's tree: its root and the text files in it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Directories that hold nothing of ours to check.
const SKIPPED_DIRS: &[&str] = &[".git", "target", "m3rs-data", "node_modules", "dist"];

/// What a text file that we write ends in.
const TEXT_EXTENSIONS: &[&str] =
    &["rs", "md", "toml", "yml", "yaml", "proto", "sh", "go", "mod", "ts", "tsx", "css", "html"];

/// The root of the repository.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    root: PathBuf,
}

/// One text file: its path from the root with `/`, and its text.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Path from the repository's root.
    pub(crate) path: String,
    /// The whole text.
    pub(crate) text: String,
}

impl Source {
    /// Whether this is Rust code.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether a program wrote this file.
    pub(crate) fn is_generated(&self) -> bool {
        self.path.split('/').any(|part| part == "generated")
    }
}

impl Tree {
    /// Finds the root from the directory that cargo gives us, or from the present one.
    pub(crate) fn find() -> Result<Self> {
        let start = match std::env::var_os("CARGO_MANIFEST_DIR") {
            Some(dir) => PathBuf::from(dir),
            None => std::env::current_dir().context("no current directory")?,
        };
        for dir in start.ancestors() {
            if dir.join("Cargo.lock").is_file() && dir.join("xtask").is_dir() {
                return Ok(Self { root: dir.to_owned() });
            }
        }
        bail!("{} is not inside the repository", start.display())
    }

    /// The root directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path in the repository.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Reads a file of the repository.
    pub(crate) fn read(&self, path: &str) -> Result<String> {
        fs::read_to_string(self.at(path)).with_context(|| format!("cannot read {path}"))
    }

    /// All text files, sorted by path.
    pub(crate) fn sources(&self) -> Result<Vec<Source>> {
        let mut found = Vec::new();
        self.walk(&self.root, &mut found)?;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn walk(&self, dir: &Path, found: &mut Vec<Source>) -> Result<()> {
        for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if !SKIPPED_DIRS.contains(&name.as_ref()) {
                    self.walk(&path, found)?;
                }
            } else if is_text(&path) {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("{} is not UTF-8 text", path.display()))?;
                found.push(Source { path: self.relative(&path), text });
            }
        }
        Ok(())
    }

    fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().replace('\\', "/")
    }
}

fn is_text(path: &Path) -> bool {
    path.extension().is_some_and(|ext| TEXT_EXTENSIONS.contains(&ext.to_string_lossy().as_ref()))
}
