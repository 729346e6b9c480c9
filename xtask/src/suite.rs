//! `cargo xtask test`: installs the real components, runs every test, smokes the benches.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::components::{self, Components};
use crate::summary::{Follower, Summary};
use crate::tree::Tree;
use crate::{codegen, stage};

/// Runs the whole suite and ends with its summary line.
///
/// # Errors
/// Any failed test; with `CI=true` also a real component that cannot be had.
pub(crate) fn run(tree: &Tree) -> Result<()> {
    let must_have_components = std::env::var("CI").is_ok_and(|v| v == "true" || v == "1");
    let components = stage::run("install components", || components::install(tree))?;
    stage::run("generated sources", || codegen::check(tree))?;
    stage::run("build tests", || {
        stage::command(cargo_test(tree, &components).args(["--quiet", "--no-run"]))
    })?;
    let mut sum = stage::run("tests", || tests(tree, &components))?;
    let benches = stage::run("bench smoke", || bench_smoke(tree));
    if benches.is_err() {
        sum.failed += 1;
    }
    for missing in components.missing() {
        println!("missing: {missing}");
    }
    println!("{sum}");
    benches?;
    if sum.failed > 0 {
        bail!("{} failed", sum.failed);
    }
    if must_have_components && !components.missing().is_empty() {
        bail!("CI=true, and a real component is missing");
    }
    Ok(())
}

fn cargo_test(tree: &Tree, components: &Components) -> Command {
    let mut command = stage::cargo();
    command.current_dir(tree.root()).args(["test", "--workspace"]).envs(components.env());
    command
}

/// Runs all tests; prints a line for each program and, of failed ones, what they said.
fn tests(tree: &Tree, components: &Components) -> Result<Summary> {
    let (reader, writer) = std::io::pipe().context("no pipe")?;
    let mut command = cargo_test(tree, components);
    command
        .args(["--no-fail-fast", "--", "--show-output"])
        .env("CARGO_TERM_COLOR", "never")
        .stdin(Stdio::null())
        .stderr(writer.try_clone().context("no second pipe")?)
        .stdout(writer);
    let mut child = command.spawn().context("cannot start cargo test")?;
    // The command holds the writing ends; the pipe ends only once they are gone.
    drop(command);
    let log_path = components::target_dir(tree)?.join("xtask-test.log");
    let mut log =
        File::create(&log_path).with_context(|| format!("cannot write {}", log_path.display()))?;
    let mut follower = Follower::default();
    let mut sum = Summary::default();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.context("cargo test's output ended early")?;
        let line = String::from_utf8_lossy(&line);
        writeln!(log, "{line}").context("cannot write the log")?;
        let Some(program) = follower.line(&line) else { continue };
        println!("    {}: {}", program.name, program.summary);
        for reason in &program.skips {
            println!("      skipped: {reason}");
        }
        if program.summary.failed > 0 {
            println!("{}", failures(&program.said));
        }
        sum.add(program.summary);
    }
    let status = child.wait().context("cargo test is gone")?;
    if !status.success() && sum.failed == 0 {
        // A program that crashes prints no result line.
        println!("{}", follower.rest().join("\n"));
        sum.failed += 1;
    }
    println!("    the whole output: {}", log_path.display());
    Ok(sum)
}

/// The part of a program's output that tells of its failures.
fn failures(said: &[String]) -> String {
    let from = said.iter().position(|line| line == "failures:").unwrap_or(0);
    said.get(from..).unwrap_or_default().join("\n")
}

/// Runs each bench once: it must still build and run; no figure is taken.
fn bench_smoke(tree: &Tree) -> Result<()> {
    let mut command = stage::cargo();
    command.current_dir(tree.root());
    // The profile of the tests: what they built is used, and no figure is taken.
    command.args(["bench", "--quiet", "-p", "m3rs-benches", "--profile", "dev", "--", "--test"]);
    stage::output(&mut command).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_only_the_failures() {
        let said: Vec<String> =
            ["running 2 tests", "test a ... ok", "failures:", "---- b stdout ----", "boom"]
                .map(str::to_owned)
                .to_vec();
        assert_eq!(failures(&said), "failures:\n---- b stdout ----\nboom");
        assert_eq!(failures(&said[..2]), "running 2 tests\ntest a ... ok");
    }
}
