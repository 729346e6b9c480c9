//! Runs Prometheus's own test scripts and holds the pass rate.
//!
//! The scripts are those of the Prometheus version that `xtask/prometheus/go.mod` pins. They are
//! not part of this repository: `M3RS_PROMQLTEST_DIR` names their directory, or Go's module cache
//! has them. Without either the test says so and does nothing.
//!
//! `promqltest.table` holds for each script how many queries it has and how many pass. A script
//! must never pass fewer; if it passes more, `M3RS_UPDATE_TABLE=1` writes the new numbers, which
//! belong into the same commit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use m3rs_core::fs::{DiskFs, write_atomic};
use m3rs_query::engine::{Engine, EngineOptions};
use m3rs_query::testdsl::{Failure, Report, Script, run};

const MODULE: &str = "github.com/prometheus/prometheus";

/// Queries of a script, and how many of them pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    evals: usize,
    passed: usize,
}

type Table = BTreeMap<String, Row>;

fn table_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/promqltest.table")
}

/// Where the scripts are, or why that is unknown.
fn scripts_dir() -> Result<PathBuf, String> {
    if let Some(dir) = std::env::var_os("M3RS_PROMQLTEST_DIR") {
        return Ok(PathBuf::from(dir));
    }
    let pins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/prometheus");
    if !pins.join("go.mod").is_file() {
        return Err(format!("M3RS_PROMQLTEST_DIR is not set and {} has no go.mod", pins.display()));
    }
    let output = Command::new("go")
        .args(["list", "-m", "-f", "{{.Dir}}", MODULE])
        .current_dir(&pins)
        .env("GOPROXY", "off")
        .env("GOFLAGS", "-mod=mod")
        .output()
        .map_err(|error| format!("M3RS_PROMQLTEST_DIR is not set and Go does not run: {error}"))?;
    let dir = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || dir.is_empty() {
        return Err(format!("Go's module cache has no {MODULE}: run `go mod download` there"));
    }
    Ok(Path::new(&dir).join("promql/promqltest/testdata"))
}

fn scripts(dir: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(dir).expect("the scripts' directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| path.extension().is_some_and(|ext| ext == "test"))
        .map(|path| {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).expect("a script"))
        })
        .collect()
}

fn read_table() -> Table {
    let text = std::fs::read_to_string(table_path()).unwrap_or_default();
    let rows = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    rows.map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| columns[at].parse().expect("a number of the table");
        (columns[0].to_owned(), Row { evals: number(1), passed: number(2) })
    })
    .collect()
}

fn write_table(table: &Table) {
    let mut text = "# script, queries, passed: written by M3RS_UPDATE_TABLE=1\n".to_owned();
    for (name, row) in table {
        text.push_str(&format!("{name} {} {}\n", row.evals, row.passed));
    }
    write_atomic::<std::io::Error>(&DiskFs, &table_path(), |file| file.write_all(text.as_bytes()))
        .expect("the table is written");
}

fn describe(failures: &[Failure], name: &str, kind: &str) {
    for failure in failures {
        eprintln!("{kind} {name}:{} {}\n    {}", failure.line, failure.query, failure.reason);
    }
}

fn run_all(scripts: &BTreeMap<String, String>) -> BTreeMap<String, Report> {
    let engine = Engine::new(EngineOptions::default()).expect("query threads");
    let mut reports = BTreeMap::new();
    for (name, text) in scripts {
        let script = Script::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let report = run(&script, &engine);
        describe(&report.failed, name, "failed");
        if std::env::var_os("M3RS_SHOW_UNSUPPORTED").is_some() {
            describe(&report.unsupported, name, "unsupported");
        }
        eprintln!(
            "{name}: {} queries, {} passed, {} unsupported, {} failed",
            report.evals,
            report.passed,
            report.unsupported.len(),
            report.failed.len()
        );
        reports.insert(name.clone(), report);
    }
    reports
}

#[test]
fn pass_rate_holds() {
    let dir = match scripts_dir() {
        Ok(dir) => dir,
        Err(why) => {
            eprintln!("skipped: Prometheus's test scripts are not here. {why}");
            return;
        }
    };
    let reports = run_all(&scripts(&dir));
    assert!(!reports.is_empty(), "no scripts in {}", dir.display());
    let row = |report: &Report| Row { evals: report.evals, passed: report.passed };
    let table: Table = reports.iter().map(|(name, report)| (name.clone(), row(report))).collect();
    if std::env::var_os("M3RS_UPDATE_TABLE").is_some() {
        write_table(&table);
        return;
    }
    let expected = read_table();
    let mut differences = Vec::new();
    for name in expected.keys().chain(table.keys().filter(|name| !expected.contains_key(*name))) {
        let (was, is) = (expected.get(name), table.get(name));
        if was != is {
            differences.push(format!("{name}: the table has {was:?}, now it is {is:?}"));
        }
    }
    assert!(
        differences.is_empty(),
        "{}\nIf scripts pass more than before, or are others, write the table anew with \
         M3RS_UPDATE_TABLE=1 and commit it. If one passes less, mend the engine.",
        differences.join("\n")
    );
}
