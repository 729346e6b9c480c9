//! Runs scripts and counts what came out.

use std::sync::Arc;

use m3rs_core::model::{Labels, STALE_NAN};

use super::compare::{check_sorted, check_value};
use super::expect::Expectation;
use super::fixed_time;
use super::histogram::{natives_of, to_stored};
use super::{Command, Eval, EvalTime, Load, Script, SequenceValue};
use crate::engine::{Engine, Query, QueryOptions};
use crate::histogram::{FloatHistogram, settle_hints};
use crate::promql::{ParseOptions, parse};
use crate::result::{InstantVector, QueryOutput, Value};
use crate::source::Cancel;
use crate::source::vector::VectorSource;
use crate::step::StepGrid;

/// How far the ends of the range are from the time of an instant query that is also run as one.
const AROUND_MS: i64 = 60_000;

/// What came out of a script.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many queries the script evaluates.
    pub evals: usize,
    /// How many of them gave what they should.
    pub passed: usize,
    /// Those that gave something else.
    pub failed: Vec<Failure>,
}

/// A query that did not give what it should.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The line of the script, from 1.
    pub line: usize,
    /// The query.
    pub query: String,
    /// What happened.
    pub reason: String,
}

/// Runs a script from an empty source; goes on after failures.
#[must_use]
pub fn run(script: &Script, engine: &Engine) -> Report {
    let mut source = VectorSource::new();
    let mut report = Report::default();
    for command in &script.commands {
        match command {
            Command::Clear => source = VectorSource::new(),
            Command::Load(load) => load_into(&mut source, load),
            Command::Eval(eval) => {
                report.evals += 1;
                match evaluate(engine, &source, eval) {
                    Ok(()) => report.passed += 1,
                    Err(reason) => {
                        let (line, query) = (eval.line, eval.query.clone());
                        report.failed.push(Failure { line, query, reason });
                    }
                }
            }
        }
    }
    report
}

/// Evaluates a query; why it did not give what it should.
fn evaluate(engine: &Engine, source: &VectorSource, eval: &Eval) -> Result<(), String> {
    let trial = Trial { engine, source, expect: &eval.expect };
    match eval.time {
        EvalTime::Instant(at_ms) => trial.instant_and_variants(&eval.query, at_ms),
        EvalTime::Range(grid) => trial.range(&eval.query, grid),
    }
}

/// One query with its expectation.
struct Trial<'a> {
    engine: &'a Engine,
    source: &'a VectorSource,
    expect: &'a Expectation,
}

impl Trial<'_> {
    fn instant_and_variants(&self, query: &str, at_ms: i64) -> Result<(), String> {
        self.instant(query, at_ms)?;
        let variants = match fixed_time::variants(query, at_ms) {
            Ok(variants) => variants,
            // A query that does not parse was expected to fail.
            Err(_) => return Ok(()),
        };
        for (query, time_ms) in variants.iter().flat_map(|(q, ts)| ts.iter().map(move |t| (q, *t)))
        {
            self.instant(query, time_ms)
                .map_err(|reason| format!("as {query} at {time_ms} ms: {reason}"))?;
        }
        Ok(())
    }

    fn instant(&self, query: &str, at_ms: i64) -> Result<(), String> {
        let time = EvalTime::Instant(at_ms);
        let Some(output) = self.output(query, time)? else { return Ok(()) };
        check_value(&output.value, self.expect, self.expect.samples_at)?;
        let is_instant_only = self.expect.samples_at.is_some()
            || self.expect.string.is_some()
            || ["start()", "end()", "range()", "step()"].iter().any(|call| query.contains(call));
        if is_instant_only {
            return Ok(());
        }
        let is_scalar = matches!(output.value, Value::Scalar { .. });
        self.middle_of_range(query, at_ms, is_scalar)
            .map_err(|reason| format!("in range mode: {reason}"))
    }

    /// The same result must come out in the middle of a range.
    fn middle_of_range(&self, query: &str, at_ms: i64, is_scalar: bool) -> Result<(), String> {
        let grid = StepGrid { start_ms: at_ms - AROUND_MS, step_ms: AROUND_MS, count: 3 };
        let Value::Matrix(matrix) = self.execute(query, EvalTime::Range(grid))?.value else {
            return Err("a range query gave no matrix".to_owned());
        };
        check_sorted(&matrix)?;
        if self.expect.is_ordered {
            return Ok(());
        }
        let mut middle = InstantVector { t_ms: at_ms, ..InstantVector::default() };
        for series in &matrix.series {
            let value = series.samples(&matrix.grid).find(|(t, _)| *t == at_ms);
            let native = series.histograms.iter().find(|(t, _)| *t == at_ms);
            if value.is_none() && native.is_none() {
                continue;
            }
            middle.histograms.extend(native.map(|(_, h)| (middle.labels.len(), Arc::clone(h))));
            middle.labels.push(series.labels.clone());
            middle.values.push(value.map_or(STALE_NAN, |(_, v)| v));
        }
        let value = match middle.values.first() {
            Some(v) if is_scalar => Value::Scalar { t_ms: at_ms, v: *v },
            _ => Value::Vector(middle),
        };
        check_value(&value, self.expect, None)
    }

    fn range(&self, query: &str, grid: StepGrid) -> Result<(), String> {
        let Some(output) = self.output(query, EvalTime::Range(grid))? else { return Ok(()) };
        check_value(&output.value, self.expect, Some(grid))
    }

    /// Evaluates, and checks failure and annotations; `None` if the query failed as it should.
    fn output(&self, query: &str, time: EvalTime) -> Result<Option<QueryOutput>, String> {
        let output = match (self.execute(query, time), &self.expect.fail) {
            (Err(message), Some(expected)) if expected.matches(&message) => {
                return Ok(None);
            }
            (Err(message), Some(expected)) => {
                let reason = format!("expected failure {expected:?}, failed with: {message}");
                return Err(reason);
            }
            (Err(message), _) => return Err(format!("failed: {message}")),
            (Ok(_), Some(expected)) => {
                return Err(format!("expected failure {expected:?}, but it passed"));
            }
            (Ok(output), None) => output,
        };
        let bare = |notes: &[String]| notes.iter().map(|n| without_place(n)).collect::<Vec<_>>();
        self.expect.check_annotations(&bare(&output.warnings), &bare(&output.infos))?;
        Ok(Some(output))
    }

    fn execute(&self, query: &str, time: EvalTime) -> Result<QueryOutput, String> {
        let expr =
            parse(query, &ParseOptions::default()).map_err(|error| error.message().to_owned())?;
        let (options, cancel) = (QueryOptions::default(), Cancel::new());
        let query = Query { text: query, expr: &expr };
        let output = match time {
            EvalTime::Instant(at) => self.engine.instant(self.source, query, at, &options, &cancel),
            EvalTime::Range(grid) => {
                let times = (grid.start_ms, grid.end_ms(), grid.step_ms.max(1));
                self.engine.range(self.source, query, times, &options, &cancel)
            }
        };
        output.map_err(|error| error.to_string())
    }
}

/// The annotation as Prometheus has it before it knows the query's text: without its place and
/// without the figures of the buckets that were mended.
fn without_place(note: &str) -> String {
    let note = match note.rsplit_once(" (") {
        Some((text, place)) if place.ends_with(')') && is_place(&place[..place.len() - 1]) => text,
        _ => note,
    };
    note.split_once(", from buckets ").map_or(note, |(text, _)| text).to_owned()
}

fn is_place(text: &str) -> bool {
    let is_pair = text
        .split_once(':')
        .is_some_and(|(line, column)| line.parse::<u32>().is_ok() && column.parse::<u32>().is_ok());
    is_pair || text.ends_with(" position")
}

/// Adds series to those that were loaded.
fn load_into(source: &mut VectorSource, load: &Load) {
    for series in &load.series {
        let mut natives = Vec::new();
        for (index, value) in series.values.iter().enumerate() {
            let t_ms = load.gap_ms.saturating_mul(index as i64);
            let start = series.starts.get(index).copied().flatten();
            let start_ms = start.map_or(0, |start| t_ms.saturating_add(start));
            match value {
                SequenceValue::Omitted => {}
                SequenceValue::Float(v) => {
                    source.append_started(&series.labels, t_ms, *v, start_ms);
                }
                SequenceValue::Histogram { h, .. } => natives.push((t_ms, start_ms, Arc::clone(h))),
            }
        }
        add_natives(source, &series.labels, natives);
    }
    if load.with_native {
        for (labels, places) in natives_of(&load.series) {
            let at = |place: usize| load.gap_ms.saturating_mul(place as i64);
            let natives = places.into_iter().map(|(place, h)| (at(place), 0, Arc::new(h)));
            add_natives(source, &labels, natives.collect());
        }
    }
}

/// Adds native histograms with the hints that Prometheus's storage would give them.
fn add_natives(
    source: &mut VectorSource,
    labels: &Labels,
    natives: Vec<(i64, i64, Arc<FloatHistogram>)>,
) {
    let mut hs: Vec<_> = natives.iter().map(|(_, _, h)| Arc::clone(h)).collect();
    settle_hints(None, &mut hs);
    for ((t_ms, start_ms, _), h) in natives.into_iter().zip(hs) {
        source.append_histogram(labels, t_ms, Arc::new(to_stored(&h)), start_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineOptions;

    fn report(text: &str) -> Report {
        let engine = Engine::new(EngineOptions::default()).expect("threads");
        run(&Script::parse(text).expect("valid"), &engine)
    }

    fn line_of(failures: &[Failure]) -> Vec<usize> {
        failures.iter().map(|f| f.line).collect()
    }

    #[test]
    fn right_and_wrong_expectations_are_told_apart() {
        let report = report(
            "load 1m\n\
             up{job=\"a\"} 1+1x10\n\
             up{job=\"b\"} 2+2x10\n\
             \n\
             eval instant at 5m sum(up)\n\
             {} 18\n\
             \n\
             eval instant at 5m sum(up)\n\
             {} 19\n\
             \n\
             eval range from 0 to 2m step 1m up{job=\"a\"}\n\
             up{job=\"a\"} 1 2 3\n\
             \n\
             eval range from 0 to 2m step 1m up{job=\"a\"}\n\
             up{job=\"a\"} 1 2\n\
             \n\
             eval instant at 5m up * on() up\n\
             expect fail\n\
             \n\
             eval instant at 5m up\n\
             expect fail\n\
             \n\
             clear\n\
             eval instant at 5m up\n\
             \n\
             eval instant at 0 1 + 1\n\
             2\n",
        );
        assert_eq!((report.evals, report.passed), (8, 5), "{report:?}");
        assert_eq!(line_of(&report.failed), [8, 14, 20]);
    }

    #[test]
    fn native_histograms_are_judged() {
        let report = report(
            "load_with_nhcb 1m\n\
             h_bucket{le=\"+Inf\"} 1 1\n\
             mixed 1 {{count:1}}\n\
             \n\
             eval instant at 1m count(h_bucket)\n\
             {} 1\n\
             \n\
             eval instant at 1m count(h)\n\
             {} 1\n\
             \n\
             eval instant at 1m mixed\n\
             mixed {{count:1}}\n\
             \n\
             eval instant at 1m mixed\n\
             mixed {{count:2}}\n\
             \n\
             eval range from 0 to 1m step 1m mixed\n\
             mixed 1 {{count:1}}\n",
        );
        assert_eq!(line_of(&report.failed), [14], "{report:?}");
        assert_eq!((report.passed, report.failed.len()), (4, 1), "{report:?}");
    }

    #[test]
    fn places_are_cut_off() {
        assert_eq!(without_place("PromQL info: a (b) (1:12)"), "PromQL info: a (b)");
        assert_eq!(without_place("PromQL info: a (b)"), "PromQL info: a (b)");
        assert_eq!(without_place("a, from buckets 1 to 2, with (1:2)"), "a");
    }
}
