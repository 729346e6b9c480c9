//! `cargo xtask codegen`: generated sources, checked in so that a build needs no generator.
//!
//! A protobuf file becomes one source. Packages that use each other become modules side by side,
//! and their descriptors one more file, for code that needs names at run time.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use prost::Message;
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
    Generated {
        include_dir: "cluster/proto",
        proto: "admin.proto",
        output: "cluster/src/generated/admin.rs",
    },
    Generated {
        include_dir: "cluster/proto",
        proto: "common.proto",
        output: "cluster/src/generated/commonpb.rs",
    },
    Generated {
        include_dir: "cluster/proto",
        proto: "kv.proto",
        output: "cluster/src/generated/kvpb.rs",
    },
    Generated {
        include_dir: "cluster/proto",
        proto: "namespace.proto",
        output: "cluster/src/generated/namespace.rs",
    },
    Generated {
        include_dir: "cluster/proto",
        proto: "placement.proto",
        output: "cluster/src/generated/placementpb.rs",
    },
    Generated {
        include_dir: "cluster/proto",
        proto: "topic.proto",
        output: "cluster/src/generated/topicpb.rs",
    },
];

/// Protobuf files whose descriptors are kept.
const DESCRIBED: &[&str] = &[
    "admin.proto",
    "common.proto",
    "kv.proto",
    "namespace.proto",
    "placement.proto",
    "topic.proto",
];

const DESCRIBED_DIR: &str = "cluster/proto";
const DESCRIPTORS: &str = "cluster/src/generated/descriptors.bin";

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
    fs::write(tree.at(DESCRIPTORS), descriptors(tree)?)
        .with_context(|| format!("cannot write {DESCRIPTORS}"))?;
    println!("wrote {DESCRIPTORS}");
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
    let kept = fs::read(tree.at(DESCRIPTORS)).with_context(|| format!("no {DESCRIPTORS}"))?;
    if kept != descriptors(tree)? {
        bail!("{DESCRIPTORS} is not what {DESCRIBED_DIR} gives: run `cargo xtask codegen`");
    }
    Ok(())
}

/// The descriptors of [`DESCRIBED`] and of what they import, without comments.
fn descriptors(tree: &Tree) -> Result<Vec<u8>> {
    let mut files = protox::compile(DESCRIBED, [tree.at(DESCRIBED_DIR)])
        .with_context(|| format!("{DESCRIBED_DIR} does not compile"))?;
    for file in &mut files.file {
        file.source_code_info = None;
    }
    Ok(files.encode_to_vec())
}

fn generate(tree: &Tree, item: &Generated) -> Result<String> {
    let files = protox::compile([item.proto], [tree.at(item.include_dir)])
        .with_context(|| format!("{} does not compile", item.proto))?;
    let module_of =
        |package: &str| Module::from_parts(package.split('.').filter(|part| !part.is_empty()));
    let own = files.file.iter().find(|file| file.name() == item.proto);
    let own = module_of(own.context("protox forgot the file itself")?.package());
    let requests = files.file.into_iter().map(|file| (module_of(file.package()), file)).collect();
    let mut config = prost_build::Config::new();
    config.btree_map(["."]);
    if item.include_dir == DESCRIBED_DIR {
        config.enable_type_names();
    }
    let mut sources = config.generate(requests).context("prost-build failed")?;
    let body = sources.remove(&own).context("prost-build gave no source")?;
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
