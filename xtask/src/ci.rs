//! `cargo xtask ci`: what a change must pass, cheapest first.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::tree::Tree;
use crate::{stage, suite, tidy};

/// Format, lints, tidy, licences (where the tool is installed), then every test.
pub(crate) fn run(tree: &Tree) -> Result<()> {
    stage::run("fmt", || {
        stage::command(stage::cargo().current_dir(tree.root()).args(["fmt", "--all", "--check"]))
    })?;
    stage::run("clippy", || {
        stage::command(stage::cargo().current_dir(tree.root()).args([
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    stage::run("tidy", || tidy::run(tree, false))?;
    if has_cargo_deny() {
        stage::run("deny", || {
            stage::command(stage::cargo().current_dir(tree.root()).args([
                "deny",
                "--all-features",
                "check",
                "bans",
                "licenses",
                "sources",
            ]))
        })?;
    } else {
        println!("==> deny: left out, cargo-deny is not installed");
    }
    suite::run(tree)
}

fn has_cargo_deny() -> bool {
    Command::new("cargo-deny")
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
