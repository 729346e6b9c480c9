//! What must come out of a query.

use m3rs_core::model::Labels;
use regex::Regex;

use super::series::SequenceValue;
use crate::step::StepGrid;

/// What must come out of a query.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// Series, in order, each with the values of its steps.
    pub series: Vec<(Labels, Vec<SequenceValue>)>,
    /// A number instead of series.
    pub scalar: Option<f64>,
    /// A text instead of series.
    pub string: Option<String>,
    /// The times of the samples of a range vector, which is the result.
    pub samples_at: Option<StepGrid>,
    /// Whether series must come in the order in which they are listed.
    pub is_ordered: bool,
    /// The query must fail with a message that matches.
    pub fail: Option<TextMatch>,
    /// Warnings, each of which must be there, and no others; empty for no condition.
    pub warnings: Vec<TextMatch>,
    /// Infos, likewise.
    pub infos: Vec<TextMatch>,
    /// Whether there must be no warning.
    pub no_warnings: bool,
    /// Whether there must be no info.
    pub no_infos: bool,
}

impl Expectation {
    /// Adds an `expect` line; `rest` is what follows the word.
    pub(super) fn add_line(&mut self, rest: &str) -> Result<(), String> {
        let (kind, argument) = match rest.split_once(char::is_whitespace) {
            Some((kind, argument)) => (kind, argument.trim()),
            None => (rest, ""),
        };
        if matches!(kind, "ordered" | "no_warn" | "no_info") && !argument.is_empty() {
            return Err(format!("expect {kind} takes no message"));
        }
        match kind {
            "ordered" => self.is_ordered = true,
            "no_warn" => self.no_warnings = true,
            "no_info" => self.no_infos = true,
            "warn" => self.warnings.push(TextMatch::parse(argument)?),
            "info" => self.infos.push(TextMatch::parse(argument)?),
            "fail" if self.fail.is_some() => {
                return Err("multiple expect fail lines are not allowed".to_owned());
            }
            "fail" => self.fail = Some(TextMatch::parse(argument)?),
            other => return Err(format!("invalid expected error/annotation type {other}")),
        }
        if self.no_infos && !self.infos.is_empty() {
            return Err("info and no_info cannot be used together".to_owned());
        }
        if self.no_warnings && !self.warnings.is_empty() {
            return Err("warn and no_warn cannot be used together".to_owned());
        }
        Ok(())
    }

    /// Compares the annotations of a result; both lists are without positions.
    pub(super) fn check_annotations(
        &self,
        warnings: &[String],
        infos: &[String],
    ) -> Result<(), String> {
        check_all("warning", &self.warnings, warnings)?;
        check_all("info", &self.infos, infos)?;
        if self.no_warnings && !warnings.is_empty() {
            return Err(format!("unexpected warnings {warnings:?}"));
        }
        if self.no_infos && !infos.is_empty() {
            return Err(format!("unexpected infos {infos:?}"));
        }
        Ok(())
    }
}

fn check_all(kind: &str, expected: &[TextMatch], found: &[String]) -> Result<(), String> {
    if expected.is_empty() {
        return Ok(());
    }
    if let Some(missing) = expected.iter().find(|e| !found.iter().any(|f| e.matches(f))) {
        return Err(format!("expected {kind} {missing:?}, found {found:?}"));
    }
    match found.iter().find(|f| !expected.iter().any(|e| e.matches(f))) {
        Some(other) => Err(format!("unexpected {kind} {other:?}")),
        None => Ok(()),
    }
}

/// How a message must look.
#[derive(Clone, Debug)]
pub enum TextMatch {
    /// Any message.
    Any,
    /// Exactly this one.
    Exact(String),
    /// One that contains a match.
    Regexp(Box<Regex>),
}

impl TextMatch {
    /// Reads `msg: text`, `regex: expression` or nothing.
    fn parse(argument: &str) -> Result<Self, String> {
        if argument.is_empty() {
            return Ok(Self::Any);
        }
        match argument.split_once(':') {
            Some(("msg", text)) => Ok(Self::Exact(text.trim().to_owned())),
            Some(("regex", text)) => Self::regexp(text.trim()),
            _ => Err(format!("{argument:?} must start with msg: or regex:")),
        }
    }

    pub(super) fn regexp(text: &str) -> Result<Self, String> {
        Regex::new(text).map(|r| Self::Regexp(Box::new(r))).map_err(|error| error.to_string())
    }

    /// Whether a message looks so.
    #[must_use]
    pub fn matches(&self, message: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(text) => text == message,
            Self::Regexp(regex) => regex.is_match(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expectation(lines: &[&str]) -> Result<Expectation, String> {
        let mut expectation = Expectation::default();
        lines.iter().try_for_each(|line| expectation.add_line(line))?;
        Ok(expectation)
    }

    #[test]
    fn annotations_must_match_both_ways() {
        let expected =
            expectation(&["warn msg: one", "warn regex: ^tw", "no_info"]).expect("valid");
        let texts = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let check = |warnings: &[&str], infos: &[&str]| {
            expected.check_annotations(&texts(warnings), &texts(infos))
        };
        assert_eq!(check(&["two", "one"], &[]), Ok(()));
        assert!(check(&["one"], &[]).is_err());
        assert!(check(&["one", "two", "three"], &[]).is_err());
        assert!(check(&["one", "two"], &["info"]).is_err());
        let silent = Expectation::default();
        assert_eq!(silent.check_annotations(&texts(&["any"]), &texts(&["any"])), Ok(()));
    }

    #[test]
    fn contradictions_are_refused() {
        for lines in [
            &["info", "no_info"][..],
            &["no_warn", "warn msg: x"],
            &["fail", "fail"],
            &["ordered x"],
            &["nothing"],
            &["warn text: x"],
            &["warn regex: ("],
        ] {
            assert!(expectation(lines).is_err(), "{lines:?}");
        }
    }
}
