//! The `m3rs` binary: wires the rooms together, and nothing else.
#![forbid(unsafe_code)]

mod about;
mod banner;
mod build_info;
mod cli;
mod features;
mod lock_owner;
mod m3;
mod role;
mod settings;
mod signal;

#[cfg(test)]
mod config_page;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

/// Gives memory back from threads of its own, so that requests do not pay for it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let done = match Cli::parse().wanted() {
        Command::Server(args) => role::all::run(&args).map(|()| ExitCode::SUCCESS),
        Command::CheckConfig(args) => m3::check_config(&args),
        Command::Version => {
            print_version();
            Ok(ExitCode::SUCCESS)
        }
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            // Logging may not have started; this line is for the person at the terminal.
            eprintln!("m3rs: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the answer to the command")]
fn print_version() {
    let build = build_info::build_info();
    println!("m3rs {}", build.version);
    for (name, value) in [("commit", build.revision), ("compiler", build.rustc_version)] {
        if !value.is_empty() {
            println!("{name} {value}");
        }
    }
}
