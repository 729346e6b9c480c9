//! `docs/config.md`, made from the command line's definition so that it cannot lie.
//!
//! Run the test with `M3RS_BLESS=1` to write the page anew.

use std::fmt::Write;
use std::path::Path;

use clap::{Arg, Command, CommandFactory};
use m3rs_core::fs::{DiskFs, Fs};

use crate::cli::Cli;

/// Where the page is.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/config.md");

fn page() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         Generated from the command line of `m3rs`; `M3RS_BLESS=1 cargo test -p m3rs config_page` \
         writes it anew.\n\n\
         A flag wins over its environment variable, which wins over the default. Durations are \
         written as in Prometheus: `90s`, `12h`, `30d`, `1y`.\n",
    );
    for command in Cli::command().get_subcommands_mut() {
        section(&mut out, command);
    }
    out
}

fn section(out: &mut String, command: &mut Command) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut text = format!("\n## `m3rs {}`\n\n{about}.\n", command.get_name());
    let args: Vec<&Arg> = command.get_arguments().filter(|arg| arg.get_env().is_some()).collect();
    if !args.is_empty() {
        text.push_str("\n| flag | variable | default | meaning |\n|---|---|---|---|\n");
        for arg in args {
            row(&mut text, arg);
        }
    }
    out.push_str(&text);
}

fn row(out: &mut String, arg: &Arg) {
    let mut flag = arg.get_long().map(|long| format!("`--{long}")).unwrap_or_default();
    if arg.get_action().takes_values() {
        for value in arg.get_value_names().unwrap_or_default() {
            write!(flag, " {value}").expect("BUG: a string takes text");
        }
    }
    flag.push('`');
    if let Some(short) = arg.get_short() {
        write!(flag, ", `-{short}`").expect("BUG: a string takes text");
    }
    let env = arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let default: Vec<_> =
        arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    for value in arg.get_possible_values() {
        let Some(meaning) = value.get_help() else { continue };
        let mark = format!("<br>`{}`: {meaning}", value.get_name());
        help.push_str(&mark);
    }
    writeln!(
        out,
        "| {flag} | `{env}` | {} | {help} |",
        if default.is_empty() { String::new() } else { format!("`{}`", default.join(" ")) }
    )
    .expect("BUG: a string takes text");
}

#[test]
fn the_page_says_what_the_program_takes() {
    let path = Path::new(PAGE);
    let fresh = page();
    if std::env::var_os("M3RS_BLESS").is_some() {
        let write = |file: &mut dyn m3rs_core::fs::FsFile| file.write_all(fresh.as_bytes());
        m3rs_core::fs::write_atomic(&DiskFs, path, write).expect("the page can be written");
    }
    let page = DiskFs.read(path).expect("docs/config.md");
    assert!(
        page == fresh.as_bytes(),
        "docs/config.md is old: run `M3RS_BLESS=1 cargo test -p m3rs config_page`"
    );
}
