//! `cargo xtask codegen`: generated sources, checked in so that a build needs no generator.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use prost_build::Module;

use crate::tree::Tree;

/// One protobuf file and the source that it becomes.
struct Generated {
    include_dir: &'static str,
    proto: &'static str,
    output: &'static str,
}

const GENERATED: &[Generated] = &[
    Generated {
        include_dir: "coordinator/proto",
        proto: "remote.proto",
        output: "coordinator/src/generated/remote.rs",
    },
    Generated {
        include_dir: "coordinator/proto",
        proto: "remote2.proto",
        output: "coordinator/src/generated/remote2.rs",
    },
    Generated {
        include_dir: "coordinator/proto",
        proto: "otlp.proto",
        output: "coordinator/src/generated/otlp.rs",
    },
];

/// Writes every generated source.
pub(crate) fn write(tree: &Tree) -> Result<()> {
    for item in GENERATED {
        let text = generate(tree, item)?;
        let path = tree.at(item.output);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", item.output))?;
        println!("wrote {}", item.output);
    }
    Ok(())
}

/// Fails if a generated source is not what its protobuf file gives now.
pub(crate) fn check(tree: &Tree) -> Result<()> {
    for item in GENERATED {
        if tree.read(item.output)? != generate(tree, item)? {
            bail!(
                "{} is not what {}/{} gives: run `cargo xtask codegen`",
                item.output,
                item.include_dir,
                item.proto
            );
        }
    }
    Ok(())
}

fn generate(tree: &Tree, item: &Generated) -> Result<String> {
    let files = protox::compile([item.proto], [tree.at(item.include_dir)])
        .with_context(|| format!("{} does not compile", item.proto))?;
    let requests =
        files.file.into_iter().map(|file| (Module::from_parts(["remote"]), file)).collect();
    let sources = prost_build::Config::new().generate(requests).context("prost-build failed")?;
    let body = sources.into_values().next().context("prost-build gave no source")?;
    let head =
        format!("// Written by `cargo xtask codegen` from {}/{}.\n", item.include_dir, item.proto);
    rustfmt(tree, &(head + &body))
}

/// Formats a source as the repository is formatted.
fn rustfmt(tree: &Tree, source: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout", "--config-path"])
        .arg(tree.root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start rustfmt")?;
    let mut stdin = child.stdin.take().context("rustfmt takes no input")?;
    stdin.write_all(source.as_bytes()).context("rustfmt stopped reading")?;
    drop(stdin);
    let output = child.wait_with_output().context("rustfmt is gone")?;
    if !output.status.success() {
        bail!("rustfmt refused the generated source: {}", output.status);
    }
    String::from_utf8(output.stdout).context("rustfmt gave no UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checked_in_sources_are_what_the_generator_gives() {
        let tree = Tree::find().expect("the repository");
        for item in GENERATED {
            let checked_in = tree.read(item.output).expect("a checked-in source");
            let fresh = generate(&tree, item).expect("a fresh source");
            assert!(checked_in == fresh, "{}: run `cargo xtask codegen`", item.output);
        }
    }
}
