//! Runs Prometheus's own test scripts and holds the pass rate.
//!
//! The scripts are those of the Prometheus version that `xtask/prometheus/go.mod` pins. They are
//! not part of this repository: `M3RS_PROMQLTEST_DIR` names their directory, or Go's module cache
//! has them. Without either the test says so and does nothing.
//!
//! Each script runs twice: with the settings that Prometheus runs it with, which delay the removal
//! of names, and with our defaults, with which all queries pass but those that show the delay.
//! `promqltest.table` holds what came out. With Prometheus's settings every query must pass, and
//! by default never fewer than before; if it is more, or a script is new, `M3RS_UPDATE_TABLE=1`
//! writes the new numbers, which belong into the same commit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use m3rs_core::fs::{DiskFs, write_atomic};
use m3rs_query::engine::{Engine, EngineOptions};
use m3rs_query::testdsl::{Failure, Script, run};

const MODULE: &str = "github.com/prometheus/prometheus";

/// What came out of a script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Row {
    queries: usize,
    passed: usize,
    failed: usize,
    /// Those that pass with our default settings.
    passed_by_default: usize,
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
    let text = match std::fs::read_to_string(table_path()) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => panic!("{}: {error}", table_path().display()),
    };
    let rows = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    rows.map(|line| {
        let mut columns = line.split_whitespace();
        let name = columns.next().expect("a script's name").to_owned();
        let mut number = || columns.next().and_then(|c| c.parse().ok()).expect("a number");
        let row = Row {
            queries: number(),
            passed: number(),
            failed: number(),
            passed_by_default: number(),
        };
        (name, row)
    })
    .collect()
}

fn write_table(table: &Table) {
    let mut text = format!(
        "# Written by M3RS_UPDATE_TABLE=1; tests/promqltest.rs says what it means.\n\
         {:26} {:>8} {:>8} {:>8} {:>18}\n",
        "# script", "queries", "passed", "failed", "passed_by_default"
    );
    for (name, row) in table {
        text.push_str(&format!(
            "{name:26} {:8} {:8} {:8} {:18}\n",
            row.queries, row.passed, row.failed, row.passed_by_default
        ));
    }
    write_atomic::<std::io::Error>(&DiskFs, &table_path(), |file| file.write_all(text.as_bytes()))
        .expect("the table is written");
}

/// Whether a script got worse. One with other queries than before cannot.
fn is_worse(was: Row, is: Row) -> bool {
    was.queries == is.queries
        && (is.passed < was.passed
            || is.failed > was.failed
            || is.passed_by_default < was.passed_by_default)
}

fn describe(failures: &[Failure], name: &str, kind: &str) {
    for failure in failures {
        eprintln!("{kind} {name}:{} {}\n    {}", failure.line, failure.query, failure.reason);
    }
}

fn run_script(name: &str, text: &str, engines: &[Engine; 2]) -> Row {
    let script = Script::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let [report, by_default] = engines.each_ref().map(|engine| run(&script, engine));
    describe(&report.failed, name, "failed");
    if std::env::var_os("M3RS_SHOW_BY_DEFAULT").is_some() {
        describe(&by_default.failed, name, "failed by default");
    }
    Row {
        queries: report.evals,
        passed: report.passed,
        failed: report.failed.len(),
        passed_by_default: by_default.passed,
    }
}

fn run_all(scripts: &BTreeMap<String, String>) -> Table {
    let engines = [true, false].map(|delays_name_removal| {
        let options = EngineOptions { delays_name_removal, ..EngineOptions::default() };
        Engine::new(options).expect("query threads")
    });
    let mut table = Table::new();
    for (name, text) in scripts {
        let row = run_script(name, text, &engines);
        eprintln!(
            "{name}: {} queries, {} passed, {} failed; {} pass by default",
            row.queries, row.passed, row.failed, row.passed_by_default
        );
        table.insert(name.clone(), row);
    }
    table
}

#[test]
fn pass_rate_holds() {
    let is_there = |dir: PathBuf| match dir.is_dir() {
        true => Ok(dir),
        false => Err(format!("{} is no directory", dir.display())),
    };
    let dir = match scripts_dir().and_then(is_there) {
        Ok(dir) => dir,
        Err(why) => {
            eprintln!("SKIP: Prometheus's test scripts are not here. {why}");
            return;
        }
    };
    let table = run_all(&scripts(&dir));
    assert!(!table.is_empty(), "no scripts in {}", dir.display());
    for (name, row) in &table {
        assert_eq!((row.failed, row.passed), (0, row.queries), "{name} has queries that fail");
    }
    let expected = read_table();
    let mut worse = Vec::new();
    let mut other = Vec::new();
    for (name, was) in &expected {
        match table.get(name) {
            Some(is) if is_worse(*was, *is) => {
                worse.push(format!("{name}: {was:?} fell to {is:?}"))
            }
            Some(is) if was != is => other.push(format!("{name}: {was:?} became {is:?}")),
            Some(_) => {}
            None => worse.push(format!("{name} is gone")),
        }
    }
    let is_new = |name: &&String| !expected.contains_key(*name);
    other.extend(table.keys().filter(is_new).map(|name| format!("{name} is new")));
    assert!(worse.is_empty(), "{}\nMend the engine.", worse.join("\n"));
    if std::env::var_os("M3RS_UPDATE_TABLE").is_some() {
        write_table(&table);
    } else if !other.is_empty() {
        eprintln!(
            "{}\nThe table may rise: write it anew with M3RS_UPDATE_TABLE=1 and commit it.",
            other.join("\n")
        );
    }
}

#[test]
fn a_fall_is_told_from_a_rise() {
    let was = Row { queries: 10, passed: 8, failed: 2, passed_by_default: 5 };
    assert!(!is_worse(was, was));
    assert!(!is_worse(was, Row { passed: 9, failed: 1, ..was }));
    assert!(is_worse(was, Row { passed: 7, failed: 3, ..was }));
    assert!(is_worse(was, Row { passed_by_default: 4, ..was }));
    assert!(!is_worse(was, Row { queries: 9, passed: 7, ..was }));
}
