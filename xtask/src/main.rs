//! Checks and chores of the repository: `cargo xtask <ci|test|tidy|codegen>`.
//!
//! **What it is:** the one place that says what a change must pass. `.ci/run` calls `ci`; a
//! developer calls the same stages one by one.
//!
//! **What it is not:** part of the product. It reads and starts things directly, so the seams of
//! `m3rs-core` do not apply here.
#![expect(clippy::disallowed_methods, reason = "a chore touches files and clocks directly")]
#![expect(clippy::print_stdout, reason = "a chore talks to the terminal")]

mod ci;
mod codegen;
mod components;
mod stage;
mod suite;
mod summary;
mod tidy;
mod tree;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Checks and chores of m3rs.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Everything a change must pass: format, lints, tidy, tests.
    Ci,
    /// Build the real components, then run every test and a smoke run of the benches.
    Test,
    /// Check the rules that neither rustfmt nor clippy can see.
    Tidy {
        /// Record the present hashes of the format documents instead of comparing them.
        #[arg(long)]
        bless: bool,
    },
    /// Write the generated sources anew.
    Codegen,
}

fn main() -> ExitCode {
    let outcome = tree::Tree::find().and_then(|tree| match Cli::parse().chore {
        Chore::Ci => ci::run(&tree),
        Chore::Test => suite::run(&tree),
        Chore::Tidy { bless } => tidy::run(&tree, bless),
        Chore::Codegen => codegen::write(&tree),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
