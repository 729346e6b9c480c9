//! Reads scripts, line by line.

use super::expect::{Expectation, TextMatch};
use super::series::{parse_series, parse_starts};
use super::{Command, Eval, EvalTime, Load};
use crate::promql::parse::parse_units_ms;
use crate::step::StepGrid;

/// A script: commands in order.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// The commands.
    pub commands: Vec<Command>,
}

/// A fault of a script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// The first line that is not of the language. Queries are not looked at.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut lines = Lines::new(text);
        let mut commands = Vec::new();
        while let Some(line) = lines.next_command() {
            let word = line.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
            let command = if word == "clear" {
                Ok(Command::Clear)
            } else if word.starts_with("load") {
                read_load(line, &mut lines).map(Command::Load)
            } else if word.starts_with("eval") {
                read_eval(line, &mut lines).map(|eval| Command::Eval(Box::new(eval)))
            } else {
                Err(format!("invalid command {line:?}"))
            };
            commands.push(command.map_err(|message| ScriptError { line: lines.at, message })?);
        }
        Ok(Self { commands })
    }
}

/// Lines without comments and without white space around them. An empty line ends a command.
struct Lines<'a> {
    lines: std::str::Lines<'a>,
    /// Number of the line read last, from 1.
    at: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { lines: text.lines(), at: 0 }
    }

    fn next(&mut self) -> Option<&'a str> {
        let line = self.lines.next()?.trim();
        self.at += 1;
        Some(if line.starts_with('#') { "" } else { line })
    }

    /// The next line that is not empty.
    fn next_command(&mut self) -> Option<&'a str> {
        loop {
            let line = self.next()?;
            if !line.is_empty() {
                return Some(line);
            }
        }
    }

    /// The next line of the same command.
    fn next_part(&mut self) -> Option<&'a str> {
        self.next().filter(|line| !line.is_empty())
    }
}

fn read_load(line: &str, lines: &mut Lines<'_>) -> Result<Load, String> {
    let mut words = line.split_whitespace();
    let with_native = match words.next() {
        Some("load") => false,
        Some("load_with_nhcb") => true,
        _ => return Err("a load command is load[_with_nhcb] <step>".to_owned()),
    };
    let (Some(gap), None) = (words.next(), words.next()) else {
        return Err("a load command takes the distance of samples".to_owned());
    };
    let gap_ms = duration(gap)?;
    let mut series = Vec::new();
    let mut waiting = None;
    let alone = || Err("@st line has no following sample line".to_owned());
    while let Some(part) = lines.next_part() {
        if let Some(starts) = parse_starts(part)? {
            if waiting.replace(starts).is_some() {
                return alone();
            }
            continue;
        }
        let mut described = parse_series(part)?;
        if let Some((labels, starts)) = waiting.take() {
            if labels != described.labels {
                return Err("@st metric does not match the following sample line metric".to_owned());
            }
            if starts.len() != described.values.len() {
                let (have, need) = (starts.len(), described.values.len());
                return Err(format!("@st line has {have} values but sample line has {need}"));
            }
            described.starts = starts;
        }
        series.push(described);
    }
    if waiting.is_some() {
        return alone();
    }
    Ok(Load { gap_ms, series, with_native })
}

fn read_eval(line: &str, lines: &mut Lines<'_>) -> Result<Eval, String> {
    let number = lines.at;
    let mut expect = Expectation::default();
    let (word, rest) = split_word(line);
    match word {
        "eval" => {}
        "eval_fail" => expect.fail = Some(TextMatch::Any),
        "eval_ordered" => expect.is_ordered = true,
        "eval_warn" => expect.warnings.push(TextMatch::Any),
        "eval_info" => expect.infos.push(TextMatch::Any),
        other => return Err(format!("invalid evaluation command {other:?}")),
    }
    let (mut time, query) = read_time(rest)?;
    let is_instant = matches!(time, EvalTime::Instant(_));
    if let Some(end_ms) = read_expectation(lines, &mut expect, is_instant)? {
        time = EvalTime::Instant(end_ms);
    }
    Ok(Eval { line: number, query: query.to_owned(), time, expect })
}

/// `instant at <time> <query>` or `range from <start> to <end> step <step> <query>`.
fn read_time(text: &str) -> Result<(EvalTime, &str), String> {
    let (kind, rest) = split_word(text);
    let (time, query) = match kind {
        "instant" => {
            let (at, query) = argument(rest, "at")?;
            (EvalTime::Instant(duration(at)?), query)
        }
        "range" => {
            let (from, rest) = argument(rest, "from")?;
            let (to, rest) = argument(rest, "to")?;
            let (step, query) = argument(rest, "step")?;
            (EvalTime::Range(grid(from, to, step)?), query)
        }
        other => return Err(format!("a query is evaluated instant or range, not {other:?}")),
    };
    if query.is_empty() {
        return Err("an evaluation command ends with a query".to_owned());
    }
    Ok((time, query))
}

/// Reads what follows an evaluation command, up to an empty line, a number or an old-style
/// message; gives the end of an expected range vector, when the query is to be evaluated.
fn read_expectation(
    lines: &mut Lines<'_>,
    expect: &mut Expectation,
    is_instant: bool,
) -> Result<Option<i64>, String> {
    let mut end_ms = None;
    while let Some(line) = lines.next_part() {
        if let Some(message) = line.strip_prefix("expected_fail_message") {
            expect.fail = Some(TextMatch::Exact(message.trim().to_owned()));
            break;
        } else if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
            expect.fail = Some(TextMatch::regexp(pattern.trim())?);
            break;
        } else if let Some(times) = line.strip_prefix("expect range vector") {
            let (from, rest) = argument(times.trim_start(), "from")?;
            let (to, rest) = argument(rest, "to")?;
            let (step, _) = argument(rest, "step")?;
            expect.samples_at = Some(grid(from, to, step)?);
            end_ms = Some(duration(to)?);
        } else if let Some(text) = line.strip_prefix("expect string") {
            expect.string = Some(string(text.trim())?);
        } else if let Some(rest) = line.strip_prefix("expect ") {
            expect.add_line(rest.trim_start())?;
        } else if let Some(number) = number(line) {
            expect.scalar = Some(number);
            break;
        } else {
            let series = parse_series(line)?;
            if is_instant && expect.samples_at.is_none() && series.values.len() > 1 {
                return Err("an instant query has one value for each series".to_owned());
            }
            expect.series.push((series.labels, series.values));
        }
    }
    Ok(end_ms)
}

/// The word `name`, its argument, and the rest.
fn argument<'a>(text: &'a str, name: &str) -> Result<(&'a str, &'a str), String> {
    let (word, rest) = split_word(text);
    if word != name {
        return Err(format!("expected {name:?} before {text:?}"));
    }
    Ok(split_word(rest))
}

fn split_word(text: &str) -> (&str, &str) {
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

fn duration(text: &str) -> Result<i64, String> {
    parse_units_ms(text).map_err(|error| error.to_string())
}

fn grid(from: &str, to: &str, step: &str) -> Result<StepGrid, String> {
    let (start, end, step_ms) = (duration(from)?, duration(to)?, duration(step)?);
    if end < start {
        return Err(format!("the end {to} is before the start {from}"));
    }
    if step_ms < 1 {
        return Err(format!("the step {step} is not positive"));
    }
    Ok(StepGrid::range(start, end, step_ms))
}

/// A number alone on its line: a scalar result.
fn number(text: &str) -> Option<f64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    match hexadecimal {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok().map(|n| sign * n as f64),
        None => text.parse().ok(),
    }
}

/// A quoted text; in double quotes with escapes, which are read as PromQL's.
fn string(text: &str) -> Result<String, String> {
    let bad = || format!("{text} is no quoted text");
    if !text.starts_with(['"', '`']) {
        return Err(bad());
    }
    let parsed = crate::promql::parse(text, &Default::default()).map_err(|_| bad())?;
    match parsed.kind {
        crate::promql::ast::ExprKind::String(text) => Ok(text),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testdsl::SequenceValue;

    const SCRIPT: &str = r#"
# A comment.
load 5m
    up{job="a"}  1+1x3
    # Also one, which ends the command.
clear

load_with_nhcb 10s
    x_bucket{le="1"}@st -1mx1
    x_bucket{le="1"} 1 2

eval instant at 50m up > 2
    expect ordered
    expect no_warn
    {job="a"} 3

eval_fail range from 0 to 1m step 30s -{job="api"}
    expected_fail_message no such thing
eval instant at 0 1 + 1
    2
eval instant at 1m30s "a"
    expect string "a\n"

eval instant at 1m up[1m]
    expect range vector from 10s to 1m step 10s
    up 1 2 3
"#;

    fn evals(script: &Script) -> Vec<&Eval> {
        let mut evals = Vec::new();
        for command in &script.commands {
            if let Command::Eval(eval) = command {
                evals.push(&**eval);
            }
        }
        evals
    }

    #[test]
    fn commands_are_read() {
        let script = Script::parse(SCRIPT).expect("valid");
        assert!(matches!(&script.commands[0], Command::Load(l) if l.gap_ms == 300_000));
        assert!(matches!(script.commands[1], Command::Clear));
        let Command::Load(load) = &script.commands[2] else { panic!("no load") };
        assert!(load.with_native && load.series.len() == 1 && !load.series[0].starts.is_empty());
        let evals = evals(&script);
        assert_eq!(evals.len(), 5);
        assert_eq!((evals[0].line, evals[0].query.as_str()), (12, "up > 2"));
        assert_eq!(evals[0].time, EvalTime::Instant(3_000_000));
        assert!(evals[0].expect.is_ordered && evals[0].expect.no_warnings);
        assert_eq!(evals[0].expect.series[0].1, [SequenceValue::Float(3.0)]);
        assert_eq!(evals[1].time, EvalTime::Range(StepGrid::range(0, 60_000, 30_000)));
        let fail = evals[1].expect.fail.as_ref().expect("fails");
        assert!(fail.matches("no such thing") && !fail.matches("another"));
        assert_eq!(evals[2].expect.scalar, Some(2.0));
        assert_eq!(evals[3].expect.string.as_deref(), Some("a\n"));
        assert_eq!(evals[4].expect.samples_at.map(|g| g.count), Some(6));
    }

    #[test]
    fn faults_name_their_line() {
        for (text, line) in [
            ("foo", 1),
            ("\nload", 2),
            ("load 5x", 1),
            ("load 5m\n m 1\n m{ 2", 3),
            ("eval instant at 5m", 1),
            ("eval instant 5m up", 1),
            ("eval range from 1m to 0 step 1m up", 1),
            ("eval range from 0 to 1m step 0 up", 1),
            ("eval_maybe instant at 5m up", 1),
            ("eval instant at 5m up\n up 1 2", 2),
            ("eval instant at 5m up\n expect string up", 2),
            ("load 5m\n m@st 1m", 2),
        ] {
            assert_eq!(Script::parse(text).expect_err(text).line, line, "{text}");
        }
    }

    #[test]
    fn numbers_alone() {
        assert_eq!(number("0x1F"), Some(31.0));
        assert_eq!(number("-Inf"), Some(f64::NEG_INFINITY));
        assert_eq!(number("1e3"), Some(1000.0));
        assert!(number("NaN").expect("a number").is_nan());
        assert_eq!(number("up 1"), None);
    }
}
