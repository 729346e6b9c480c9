//! The parser against what others say of the same texts: Prometheus's own test scripts and
//! function table where they are at hand, and the promql-parser crate.
//!
//! Prometheus is looked for in the Go module cache (`GOMODCACHE`, `GOPATH` or `$HOME/go`); further
//! scripts in the directory that `M3RS_PROMQLTEST_DIR` names. What is absent is skipped, aloud.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use m3rs_query::promql::ast::ValueType;
use m3rs_query::promql::error::ParseErrorCause;
use m3rs_query::promql::parse::ParseLimits;
use m3rs_query::promql::signature::{Variadic, signature, signatures};
use m3rs_query::promql::{ParseOptions, parse, print};

const MODULE: &str = "github.com/prometheus/prometheus@v0.314.0";

fn prometheus_dir() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = variable("GOMODCACHE")
        .or_else(|| variable("GOPATH").map(|path| path.join("pkg/mod")))
        .or_else(|| variable("HOME").map(|path| path.join("go/pkg/mod")))?;
    Some(cache.join(MODULE)).filter(|path| path.is_dir())
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skip(what: &str) {
    eprintln!("SKIP: {what} is not at hand");
}

fn scripts(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("the directory of scripts");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|found| found == "test")).collect();
    paths.sort();
    paths
}

/// The expression of an `eval` line.
fn expression(line: &str) -> Option<&str> {
    let line = line.trim();
    let (command, rest) = line.split_once(char::is_whitespace)?;
    if command != "eval" && !command.starts_with("eval_") {
        return None;
    }
    let (kind, rest) = rest.trim_start().split_once(char::is_whitespace)?;
    let words = |text: &str, count: usize| -> Option<usize> {
        let mut at = 0;
        for _ in 0..count {
            let tail = &text[at..];
            let tail = &tail[tail.len() - tail.trim_start().len()..];
            at = text.len() - tail.len() + tail.find(char::is_whitespace)?;
        }
        Some(at)
    };
    let rest = rest.trim_start();
    let skipped = match kind {
        "instant" if rest.starts_with("at ") => words(rest, 2)?,
        "instant" => 0,
        "range" => words(rest, 6)?,
        _ => return None,
    };
    Some(rest[skipped..].trim())
}

#[test]
fn takes_every_expression_of_the_scripts() {
    let mut dirs = Vec::new();
    match prometheus_dir() {
        Some(dir) => dirs.push(dir.join("promql/promqltest/testdata")),
        None => skip(MODULE),
    }
    match std::env::var_os("M3RS_PROMQLTEST_DIR") {
        Some(dir) => dirs.push(dir.into()),
        None => skip("M3RS_PROMQLTEST_DIR"),
    }
    let options = ParseOptions::default();
    for dir in dirs {
        let mut count = 0;
        for path in scripts(&dir) {
            let script = std::fs::read_to_string(&path).expect("a script");
            for text in script.lines().filter_map(expression) {
                count += 1;
                match parse(text, &options) {
                    Ok(_) => assert_round_trip(text),
                    // Strings of any bytes are the one thing that we do not take.
                    Err(error) => {
                        let (cause, message) = match text.contains("count_values") {
                            true => (ParseErrorCause::Evaluation, "invalid label name"),
                            false => (ParseErrorCause::Unsupported, "not valid UTF-8"),
                        };
                        assert_eq!(error.cause(), cause, "{text}: {error}");
                        assert!(error.message().contains(message), "{text}: {error}");
                        assert!(text.contains("\\x"), "{text}: {error}");
                    }
                }
            }
        }
        assert!(count >= 1600, "{} has only {count} expressions", dir.display());
    }
}

fn assert_round_trip(text: &str) {
    let expr = parse(text, &ParseOptions::default()).expect("was parsed before");
    // Printing may write numbers out, so that the text grows.
    let limits = ParseLimits { bytes_max: 1 << 20, nesting_max: 300, operators_max: 3000 };
    let options = ParseOptions { limits, ..ParseOptions::default() };
    let normalized = format!("{:?}", expr.clone().normalized());
    for printed in [expr.to_string(), print::pretty(&expr)] {
        let again = parse(&printed, &options).unwrap_or_else(|error| panic!("{printed}: {error}"));
        assert_eq!(format!("{:?}", again.normalized()), normalized, "{text} became {printed}");
    }
}

#[test]
fn knows_the_functions_of_prometheus() {
    let Some(dir) = prometheus_dir() else { return skip(MODULE) };
    let source = std::fs::read_to_string(dir.join("promql/parser/functions.go")).expect("a table");
    let theirs = function_table(&source);
    assert!(theirs.len() > 80, "the table was not understood");
    let ours: BTreeMap<_, _> = signatures()
        .iter()
        .filter(|signature| !signature.extension)
        .map(|signature| {
            let variadic = match signature.variadic {
                Variadic::Fixed => 0,
                Variadic::UpTo(count) => i64::try_from(count).expect("a small number"),
                Variadic::Any => -1,
            };
            let args = signature.args.to_vec();
            let row = (args, variadic, Some(signature.returns), signature.experimental);
            (signature.name.to_owned(), row)
        })
        .collect();
    assert_eq!(ours, theirs);
}

type Row = (Vec<ValueType>, i64, Option<ValueType>, bool);

/// Reads the rows of a Go table of functions.
fn function_table(source: &str) -> BTreeMap<String, Row> {
    let value_type = |text: &str| match text.trim().trim_end_matches(',') {
        "ValueTypeVector" => ValueType::Vector,
        "ValueTypeMatrix" => ValueType::Matrix,
        "ValueTypeScalar" => ValueType::Scalar,
        "ValueTypeString" => ValueType::String,
        other => panic!("{other} is no type"),
    };
    let mut rows = BTreeMap::new();
    let mut row: Option<(String, Row)> = None;
    for line in source.lines() {
        if let Some(name) = line.strip_prefix("\t\"").and_then(|line| line.strip_suffix("\": {")) {
            row = Some((name.to_owned(), (Vec::new(), 0, None, false)));
        }
        if line == "\t}," {
            rows.extend(row.take());
        }
        let (Some((_, row)), Some((field, value))) = (&mut row, line.trim().split_once(':')) else {
            continue;
        };
        let value = value.trim().trim_end_matches(',');
        match field {
            "ArgTypes" => {
                let types = value.trim_start_matches("[]ValueType{").trim_end_matches('}');
                row.0 = types.split(',').filter(|text| !text.is_empty()).map(value_type).collect();
            }
            "Variadic" => row.1 = value.parse().expect("a number"),
            "ReturnType" => row.2 = Some(value_type(value)),
            "Experimental" => row.3 = value == "true",
            _ => {}
        }
    }
    rows
}

#[test]
fn the_function_table_is_sorted() {
    for signature_of in signatures() {
        assert_eq!(signature(signature_of.name), Some(signature_of));
        let (min, max) = signature_of.arg_counts();
        assert!(max.is_none_or(|max| min <= max));
        assert!(signature_of.args.iter().filter(|arg| **arg == ValueType::Matrix).count() <= 1);
    }
    assert!(signatures().is_sorted_by_key(|signature| signature.name));
    assert_eq!(signature("no_such_function"), None);
    assert!(signature("rate").is_some_and(|signature| signature.ranges()));
    assert!(signature("abs").is_some_and(|signature| !signature.ranges()));
}

/// Queries of the kind that dashboards send.
const COMMON: &[&str] = &[
    "up",
    "up{job=\"api\",instance!~\"10\\\\..*\"}",
    "rate(http_requests_total{job=\"api\"}[5m])",
    "sum by (job) (rate(http_requests_total[5m]))",
    "sum(rate(http_requests_total[5m])) by (job, instance)",
    "histogram_quantile(0.99, sum by (le) (rate(request_duration_seconds_bucket[5m])))",
    "100 * (1 - avg by (instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[5m])))",
    "topk(10, sum without (instance) (rate(errors_total[1h])))",
    "increase(foo[1d]) / on (job) group_left (team) owner > bool 5",
    "max_over_time(rate(foo[5m])[1h:1m] offset 1d)",
    "label_replace(up, \"host\", \"$1\", \"instance\", \"(.*):.*\")",
    "foo @ 1609746000 - foo @ end()",
    "absent(up{job=\"x\"}) or vector(0)",
    "a and on (x) b unless ignoring (y) c",
    "-foo ^ 2 + 3 * -4 % 5",
    "predict_linear(node_filesystem_free_bytes[4h], 4 * 3600) < 0",
    "count_values(\"version\", build_version)",
    "quantile_over_time(0.95, latency[1h])",
    "sum(rate(a[5m])) by (x) / ignoring (y) group_right () b",
    "{__name__=~\"node_.*\",job=\"n\"}",
];

#[test]
fn agrees_with_the_promql_parser_crate() {
    for text in COMMON {
        let ours = parse(text, &ParseOptions::default()).unwrap_or_else(|e| panic!("{text}: {e}"));
        let theirs = promql_parser::parser::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_round_trip(text);
        // What the crate prints of its tree must be the same query to us.
        let again = parse(&theirs.to_string(), &ParseOptions::default())
            .unwrap_or_else(|error| panic!("{theirs}: {error}"));
        assert_eq!(
            format!("{:?}", again.normalized()),
            format!("{:?}", ours.normalized()),
            "{text} is {theirs} to the crate"
        );
    }
    for text in ["", "a b", "sum(", "foo{a=b}", "rate(foo)", "1 == 1", "{}", "foo[5m", "a +"] {
        assert!(parse(text, &ParseOptions::default()).is_err(), "{text}");
        assert!(promql_parser::parser::parse(text).is_err(), "{text}");
    }
}
