//! Whether an answer is the documented one.

use serde_json::Value;

use super::page::Example;

/// Stands in a document for what is left out there.
const MORE: &str = "\u{2026}";

/// Members that are other ones each time, by the end of the path: only their types count. `""` is
/// the end of every path.
const VARYING: &[(&str, &[&str])] = &[
    ("", &["evalTotalTime", "resultSortTime", "queryPreparationTime", "innerEvalTime"]),
    ("", &["execQueueTime", "execTotalTime", "openSeconds", "readSeconds"]),
    ("", &["durationSeconds", "remoteAddr"]),
    ("", &["avgDurationSeconds", "sumDurationSeconds", "maxDurationSeconds"]),
    ("/health", &["uptime"]),
    ("/ready", &["log_bytes", "log_uncovered_bytes"]),
    ("/runtimeinfo", &["goroutineCount"]),
    ("/snapshot", &["name"]),
];

/// What is different, if anything is. In a document, a last member or element `…` stands for any
/// further ones.
pub(crate) fn json_differs(example: &Example, documented: &str, got: &str) -> Option<String> {
    let documented = documented
        .replace(&format!("{MORE}}}"), &format!("\"{MORE}\":0}}"))
        .replace(&format!("{MORE}]"), &format!("\"{MORE}\"]"));
    let (documented, got) = match (values(&documented), values(got)) {
        (Ok(documented), Ok(got)) => (documented, got),
        (Err(error), _) => return Some(format!("what is documented is no JSON: {error}")),
        (_, Err(error)) => return Some(format!("the answer is no JSON: {error}")),
    };
    let path = example.target.split('?').next().unwrap_or_default();
    let varying = VARYING.iter().filter(|(end, _)| path.ends_with(end));
    let varying: Vec<&str> = varying.flat_map(|(_, names)| *names).copied().collect();
    value_differs(&Value::Array(documented), &Value::Array(got), "", &varying)
}

/// One value, or several as in JSON lines.
fn values(text: &str) -> Result<Vec<Value>, serde_json::Error> {
    serde_json::Deserializer::from_str(text).into_iter().collect()
}

fn value_differs(documented: &Value, got: &Value, at: &str, varying: &[&str]) -> Option<String> {
    match (documented, got) {
        (Value::Object(wanted), Value::Object(found)) => {
            let is_open = wanted.contains_key(MORE);
            let unknown = found.keys().find(|name| !wanted.contains_key(*name));
            if let Some(name) = unknown.filter(|_| !is_open) {
                return Some(format!("{at}/{name} is not documented"));
            }
            wanted.iter().filter(|(name, _)| *name != MORE).find_map(|(name, value)| {
                let at = format!("{at}/{name}");
                match found.get(name) {
                    None => Some(format!("{at} is not there")),
                    Some(got) if varying.contains(&name.as_str()) => kind_differs(value, got, &at),
                    Some(got) => value_differs(value, got, &at, varying),
                }
            })
        }
        (Value::Array(wanted), Value::Array(found)) => {
            let is_open = wanted.last().is_some_and(|last| last == MORE);
            let wanted = &wanted[..wanted.len() - usize::from(is_open)];
            if found.len() < wanted.len() || (found.len() > wanted.len() && !is_open) {
                let (wanted, found) = (wanted.len(), found.len());
                return Some(format!("{at} has {found} elements, {wanted} are documented"));
            }
            let mut pairs = wanted.iter().zip(found).enumerate();
            pairs.find_map(|(i, (wanted, got))| {
                value_differs(wanted, got, &format!("{at}/{i}"), varying)
            })
        }
        _ => (documented != got).then(|| format!("{at} is {got}, {documented} is documented")),
    }
}

fn kind_differs(documented: &Value, got: &Value, at: &str) -> Option<String> {
    // The router does not know who asks it.
    let is_same = std::mem::discriminant(documented) == std::mem::discriminant(got)
        || (at.ends_with("/remoteAddr") && got.is_null());
    (!is_same).then(|| format!("{at} is {got}, a value like {documented} is documented"))
}

/// What is different, if anything is. In a document, a line `…` stands for any number of lines.
pub(crate) fn text_differs(documented: &str, got: &str) -> Option<String> {
    let mut rest: Vec<&str> = got.lines().collect();
    let mark = format!("{MORE}\n");
    let mut parts = documented.split(&mark).map(str::lines).peekable();
    let mut is_first = true;
    let ends_open = documented.ends_with(MORE);
    while let Some(part) = parts.next() {
        let part: Vec<&str> = part.filter(|line| *line != MORE).collect();
        let is_last = parts.peek().is_none() && !ends_open;
        let place = (0..=rest.len().saturating_sub(part.len()))
            .filter(|at| (*at == 0 || !is_first) && (at + part.len() == rest.len() || !is_last))
            .find(|at| rest[*at..].starts_with(&part));
        let Some(place) = place else { return Some(format!("there is no {part:?} in {rest:?}")) };
        rest.drain(..place + part.len());
        is_first = false;
    }
    None
}
