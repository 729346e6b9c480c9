//! What two answers say about each other, after all that is known.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::compare::RELAXED;
use crate::http_client::Answer;
use crate::question::Question;

/// What came of one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The answers say the same.
    Same,
    /// PARITY(prometheus): it answers now so, now so, where the order of series is that of a hash
    /// map: ties of `topk` and `limitk` in range queries, and the series that an error names.
    Undefined,
    /// PARITY(prometheus): it panicked over the query, or asked too much of its own index, and says
    /// so instead of an answer.
    Panicked,
    /// PARITY(prometheus): it lets strings be other bytes than UTF-8, ours are text.
    NotText,
    /// PARITY(prometheus): its text of a query is not the query, as `info(a, )` for `info(a, {})`;
    /// ours always is.
    BetterFormat,
    /// A difference that is known and named in [`KNOWN`].
    Known(&'static str),
    /// This differs.
    Different(String),
}

/// What may be said of a difference without asking again.
pub(crate) fn known(question: &Question, expected: &Answer, got: &Answer) -> Option<Verdict> {
    let answers = Answers {
        query: question.query.render(),
        is_one_step: question.is_one_step(),
        expected: expected.json(),
        got: got.json(),
    };
    let internal =
        ["unexpected error: runtime error: ", "expanding series: unexpected all postings"];
    if internal.iter().any(|start| answers.error().starts_with(start)) {
        return Some(Verdict::Panicked);
    }
    if let (Some(expected), Some(got)) =
        (answers.expected["data"].as_str(), answers.got["data"].as_str())
        && bare(expected) == bare(got)
    {
        return Some(Verdict::BetterFormat);
    }
    if answers.got_error().ends_with("is not supported: it is not valid UTF-8") {
        return Some(Verdict::NotText);
    }
    KNOWN.iter().find(|(_, is)| is(&answers)).map(|(name, _)| Verdict::Known(name))
}

/// A query and both answers to it.
struct Answers {
    query: String,
    /// Whether it is a range query that ends where it starts.
    is_one_step: bool,
    expected: Value,
    got: Value,
}

type IsKnown = fn(&Answers) -> bool;

/// Differences that wait to be mended; each run tells how often it met them.
const KNOWN: &[(&str, IsKnown)] = &[
    ("place of a wrong duration", |a| {
        let faults = ["must be greater than 0", "by zero", "is NaN or infinite", "out of range"];
        let is_one = |error: &str| {
            faults.iter().any(|fault| error.ends_with(fault)) && !error.contains("parse error")
        };
        is_one(a.got_error()) && (is_one(a.error()) || a.error().contains("for range query"))
    }),
    ("order of faults", |a| {
        let early = [
            " modifier can only be used with: ",
            "in label_join(): ",
            "in label_replace(): ",
            "smoothing factor. ",
        ];
        let start = |error: &str| error.chars().take(20).collect::<String>();
        let both = a.expected["errorType"] == "execution" && a.got["errorType"] == "execution";
        both && start(a.error()) != start(a.got_error())
            || early.iter().any(|fault| a.got_error().contains(fault))
            || a.error() == "invalid label name \"\"" && !a.got_error().is_empty()
    }),
    ("label of a quantile of -0", |a| {
        let without_sign = |answer: &Value| answer.to_string().replace("\"-0.0\"", "\"0.0\"");
        a.query.contains("histogram_quantiles(")
            && without_sign(&a.expected["data"]) == without_sign(&a.got["data"])
    }),
    ("labels of absent() with several matchers of one name", |a| {
        a.query.contains("absent") && a.query.contains("=\"") && a.query.contains('!')
    }),
    ("timestamp() and start_timestamp() of a signed selector", |a| {
        a.query.contains("start_timestamp(")
            || a.query.contains("timestamp(") && a.query.contains('+')
    }),
    ("labels of quantiles that vary", |a| a.query.contains("histogram_quantiles(")),
    ("info() of what is not now", |a| {
        a.query.contains("info(") && (a.query.contains("offset") || a.query.contains('@'))
    }),
    ("trim operators", |a| a.got_error().contains("the operator ")),
    ("NaN among the parameters of quantile", |a| {
        let (expected, got) = a.notes(str::to_owned);
        let is_nan = |note: &String| note.contains("quantile value") && note.contains("got NaN");
        a.same_data() && expected.is_subset(&got) && expected.iter().any(is_nan)
    }),
    ("step() of a range query without a range", |a| a.query.contains("step()") && a.is_one_step),
    ("range() and step() in seconds", |a| {
        (a.query.contains("range()") || a.query.contains("step()"))
            && a.error() == a.got_error()
            && RELAXED.difference_of(&a.expected, &a.got).is_none()
    }),
    ("order of chosen series, in ties and errors", |a| {
        let choosers = ["limitk", "limit_ratio", "topk", "bottomk", "sort"];
        let choosers = choosers.iter().filter(|name| a.query.contains(**name)).count();
        let duplicates = |error: &str| error.starts_with("found duplicate series");
        let sums = ["avg", "stddev", "stdvar"].iter().any(|name| a.query.contains(name));
        choosers > 1
            || a.query.matches("limit").count() > 1
            || choosers == 1 && (duplicates(a.error()) && duplicates(a.got_error()) || sums)
            || choosers == 1 && (a.query.contains("by (") || a.query.contains("without ("))
    }),
    ("parameter of an aggregation of what does not vary", |a| {
        ["topk", "bottomk", "quantile", "limit"].iter().any(|name| a.query.contains(name))
            && (a.query.contains('@') || a.query.contains("vector("))
    }),
    ("one note at several places", |a| {
        let (expected, got) = a.notes(str::to_owned);
        let (expected_texts, got_texts) = a.notes(without_place);
        let mut texts = got_texts.difference(&expected_texts);
        a.same_data() && got.len() > expected.len() && texts.all(|text| text.contains("omitted"))
    }),
    ("count of buckets that are not monotonic", |a| {
        let (expected, got) = a.notes(without_count);
        a.same_data() && expected == got
    }),
    ("sort in a range query of one step", |a| {
        let (expected, mut got) = a.notes(without_count);
        got.extend(expected.iter().filter(|note| note.contains("sort is ineffective")).cloned());
        a.same_data() && expected == got
    }),
    ("notes of a side that meets nothing", |a| {
        let (expected, got) = a.notes(without_count);
        a.same_data() && got.is_subset(&expected)
    }),
    ("error of an argument of start_timestamp()", |a| {
        a.query.contains("start_timestamp(") && !a.error().is_empty() && a.is_empty()
    }),
    ("@ of a subquery beside an argument that varies", |a| {
        ["predict_linear(", "quantile_over_time("].iter().any(|name| a.query.contains(name))
            && a.query.contains('@')
            && a.query.contains(':')
    }),
    ("order of texts that natural sort cannot order", |a| a.query.contains("sort_by_label")),
    ("timestamp() of @ and offset", |a| {
        a.query.contains("timestamp(") && a.query.contains('@') && a.query.contains("offset")
    }),
    ("quotes around label names in errors", |a| {
        let plain = |text: &str| text.replace("\"server.name\"", "server.name");
        !a.error().is_empty() && plain(a.error()) == plain(a.got_error())
    }),
];

impl Answers {
    fn error(&self) -> &str {
        self.expected["error"].as_str().unwrap_or_default()
    }

    fn got_error(&self) -> &str {
        self.got["error"].as_str().unwrap_or_default()
    }

    fn same_data(&self) -> bool {
        RELAXED.data(&self.expected["data"], &self.got["data"]).is_none()
            && self.error() == self.got_error()
    }

    /// Whether our answer is an empty result.
    fn is_empty(&self) -> bool {
        self.got["data"]["result"].as_array().is_some_and(Vec::is_empty)
    }

    /// Warnings and infos of both, rewritten.
    fn notes(&self, rewrite: fn(&str) -> String) -> (BTreeSet<String>, BTreeSet<String>) {
        let of = |answer: &Value| {
            let lists = ["warnings", "infos"].map(|name| answer[name].clone());
            let notes = lists.iter().filter_map(Value::as_array).flatten();
            notes.filter_map(Value::as_str).map(rewrite).collect()
        };
        (of(&self.expected), of(&self.got))
    }
}

/// A query without what the two may write differently: parentheses around a duration, which lose
/// their meaning when left out; the sign of an infinite base; `{}`; and the milliseconds, of which
/// Prometheus loses one at times.
fn bare(query: &str) -> String {
    let text: String =
        query.chars().filter(|c| !"(){}+".contains(*c) && !c.is_whitespace()).collect();
    let mut parts =
        text.split("ms").map(|part| part.trim_end_matches(|c: char| c.is_ascii_digit()));
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "ms" + part)
}

/// A note without its line and column.
fn without_place(note: &str) -> String {
    let note = without_count(note);
    note.rsplit_once(" (").map_or(&*note, |(text, _)| text).to_owned()
}

/// A note without the number of samples in it.
fn without_count(note: &str) -> String {
    match note.split_once(", over ") {
        Some((text, rest)) => {
            format!("{text}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        None => note.to_owned(),
    }
}
