//! What two answers say about each other, after all that is known.

use serde_json::Value;

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
    let answers =
        Answers { query: question.query.render(), expected: expected.json(), got: got.json() };
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
    expected: Value,
    got: Value,
}

type IsKnown = fn(&Answers) -> bool;

/// Differences that stay; each run tells how often it met them.
const KNOWN: &[(&str, IsKnown)] = &[
    // Neither of two texts comes first, and then it is the sorting that decides.
    ("order of texts that natural sort cannot order", |a| a.query.contains("sort_by_label")),
];

impl Answers {
    fn error(&self) -> &str {
        self.expected["error"].as_str().unwrap_or_default()
    }

    fn got_error(&self) -> &str {
        self.got["error"].as_str().unwrap_or_default()
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
