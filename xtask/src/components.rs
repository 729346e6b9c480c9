//! The real programs that black-box tests run beside m3rs: Prometheus and promtool.
//!
//! They are built from source by the Go toolchain out of the pinned module `xtask/prometheus` and
//! kept in `target/components/<key>`, where the key is a hash of that module's two lock files.

mod go;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::tree::Tree;

/// The pinned module.
const MODULE_DIR: &str = "xtask/prometheus";

/// The module that holds the programs and their test scripts.
const PROMETHEUS: &str = "github.com/prometheus/prometheus";

/// What could be had of the real components.
#[derive(Debug, Default)]
pub(crate) struct Components {
    prometheus: Option<PathBuf>,
    missing: Vec<String>,
}

impl Components {
    /// The variables by which tests find the components; none for a component that is missing.
    pub(crate) fn env(&self) -> Vec<(&'static str, PathBuf)> {
        let Some(dir) = &self.prometheus else { return Vec::new() };
        vec![
            ("M3RS_PROMETHEUS", dir.join("prometheus")),
            ("M3RS_PROMTOOL", dir.join("promtool")),
            ("M3RS_PROMQLTEST_DIR", dir.join("promqltest")),
        ]
    }

    /// One line for each missing component: what it is, and which tests that leaves out.
    pub(crate) fn missing(&self) -> &[String] {
        &self.missing
    }
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir(tree: &Tree) -> Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .current_dir(tree.root())
        .no_deps()
        .exec()
        .context("cargo metadata failed")?;
    Ok(metadata.target_directory.into_std_path_buf())
}

/// Finds the components, or builds them; what cannot be had is listed, not an error.
pub(crate) fn install(tree: &Tree) -> Result<Components> {
    let module = tree.at(MODULE_DIR);
    let dir = target_dir(tree)?.join("components").join(key(&module)?);
    if is_complete(&dir) {
        println!("    prometheus: found in {}", dir.display());
        return Ok(Components { prometheus: Some(dir), missing: Vec::new() });
    }
    match build(&module, &dir) {
        Ok(()) => Ok(Components { prometheus: Some(dir), missing: Vec::new() }),
        Err(error) => {
            println!("    prometheus: {error:#}");
            let line = "Prometheus (needs Go): the tests against a real Prometheus and \
                        Prometheus's own PromQL scripts are left out";
            Ok(Components { prometheus: None, missing: vec![line.to_owned()] })
        }
    }
}

/// Names a build by what it is built from.
fn key(module: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    for name in ["go.mod", "go.sum"] {
        let bytes = fs::read(module.join(name)).with_context(|| format!("cannot read {name}"))?;
        hash.update(bytes);
    }
    let digest = hash.finalize();
    Ok(digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

fn is_complete(dir: &Path) -> bool {
    ["prometheus", "promtool", "promqltest"].iter().all(|name| dir.join(name).exists())
}

/// Builds into a temporary directory and renames it, so that a half build is never found.
fn build(module: &Path, dir: &Path) -> Result<()> {
    let go = go::find_or_install(module)?;
    let temp = dir.with_extension("tmp");
    if temp.exists() {
        fs::remove_dir_all(&temp).context("cannot remove a half build")?;
    }
    fs::create_dir_all(&temp).with_context(|| format!("cannot make {}", temp.display()))?;
    println!("    prometheus: downloading the pinned modules");
    go.run(&["mod", "download"])?;
    for program in ["prometheus", "promtool"] {
        println!("    {program}: building (minutes when cold)");
        let package = format!("{PROMETHEUS}/cmd/{program}");
        let out = temp.join(program).to_string_lossy().into_owned();
        go.run(&["build", "-mod=readonly", "-buildvcs=false", "-o", &out, &package])?;
    }
    let source = go.run(&["list", "-mod=readonly", "-m", "-f", "{{.Dir}}", PROMETHEUS])?;
    copy_files(&Path::new(&source).join("promql/promqltest/testdata"), &temp.join("promqltest"))?;
    if dir.exists() {
        fs::remove_dir_all(dir).context("cannot remove an incomplete build")?;
    }
    fs::rename(&temp, dir).with_context(|| format!("cannot rename to {}", dir.display()))
}

/// Copies the files of one directory; directories in it are left out.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let path = entry?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name()) {
            fs::copy(&path, to.join(name))
                .with_context(|| format!("cannot copy {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_follows_the_pinned_module() {
        let tree = Tree::find().expect("the repository");
        let module = tree.at(MODULE_DIR);
        let key = key(&module).expect("readable lock files");
        assert_eq!(key.len(), 16);
        let pinned = tree.read("xtask/prometheus/go.mod").expect("go.mod");
        assert!(pinned.contains("require github.com/prometheus/prometheus v0.314.0"), "{pinned}");
    }

    #[test]
    fn a_missing_component_gives_no_variables() {
        assert!(Components::default().env().is_empty());
        let found = Components { prometheus: Some("x".into()), missing: Vec::new() };
        assert_eq!(found.env().len(), 3);
    }
}
