//! Puts environment variables into configuration text, by the rules that M3's files rely on.

use std::collections::BTreeMap;

/// Where variables come from: the process, or a map in tests.
#[derive(Clone, Debug)]
pub struct Environment(Variables);

#[derive(Clone, Debug)]
enum Variables {
    Process,
    Map(BTreeMap<String, String>),
}

impl Environment {
    /// The variables of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self(Variables::Process)
    }

    /// The given variables and no others.
    #[must_use]
    pub fn of_map(variables: BTreeMap<String, String>) -> Self {
        Self(Variables::Map(variables))
    }

    fn get(&self, name: &str) -> Option<String> {
        match &self.0 {
            Variables::Process => std::env::var(name).ok(),
            Variables::Map(map) => map.get(name).cloned(),
        }
    }
}

/// Why a text could not be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// A variable is not set and has no default.
    #[error("line {line}: variable {name} is not set and has no default")]
    Unset {
        /// Its name.
        name: String,
        /// Line, from 1.
        line: usize,
    },
    /// A `${` has no `}` on its line, or no name.
    #[error("line {line}: `${{` without a name and `}}`")]
    Malformed {
        /// Line, from 1.
        line: usize,
    },
}

/// What becomes of `$NAME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BareVariables {
    /// It is text.
    Kept,
    /// It is a variable, as in M3's files.
    Replaced,
}

/// Replaces `${NAME}` and `${NAME:default}`; `$$` is a dollar sign, any other `$` stays.
///
/// A default of `""` is the empty text. What was put in is not expanded again.
///
/// # Errors
/// A variable without value and default, or a `${` that does not end on its line. Comments are
/// text like any other, as in M3.
pub fn expand(text: &str, environment: &Environment) -> Result<String, EnvError> {
    expand_with(text, environment, BareVariables::Kept)
}

/// As [`expand`], and says what becomes of `$NAME`.
///
/// # Errors
/// As [`expand`].
pub fn expand_with(
    text: &str,
    environment: &Environment,
    bare: BareVariables,
) -> Result<String, EnvError> {
    let mut out = String::with_capacity(text.len());
    for (i, line) in text.split_inclusive('\n').enumerate() {
        expand_line(line, i + 1, environment, bare, &mut out)?;
    }
    Ok(out)
}

fn expand_line(
    text: &str,
    line: usize,
    environment: &Environment,
    bare: BareVariables,
    out: &mut String,
) -> Result<(), EnvError> {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let (inside, after) = after.split_once('}').ok_or(EnvError::Malformed { line })?;
            out.push_str(&value_of(inside, line, environment)?);
            rest = after;
        } else {
            let name = match bare {
                BareVariables::Kept => "",
                BareVariables::Replaced => shell_name(after),
            };
            if name.is_empty() {
                out.push('$');
            } else {
                out.push_str(&value_of(name, line, environment)?);
            }
            rest = after.strip_prefix(name).unwrap_or(after);
        }
    }
    out.push_str(rest);
    Ok(())
}

/// The name at the start of a text: letters, digits and `_`, no digit first; or nothing.
fn shell_name(text: &str) -> &str {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return "";
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

fn value_of(inside: &str, line: usize, environment: &Environment) -> Result<String, EnvError> {
    let (name, default) = match inside.split_once(':') {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if name.is_empty() {
        return Err(EnvError::Malformed { line });
    }
    match (environment.get(name), default) {
        (Some(value), _) => Ok(value),
        (None, Some("\"\"")) => Ok(String::new()),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(EnvError::Unset { name: name.to_owned(), line }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, EnvError> {
        let set = BTreeMap::from([("HOST".to_owned(), "${B}".to_owned())]);
        expand(text, &Environment::of_map(set))
    }

    #[test]
    fn values_and_defaults() {
        for (text, want) in [
            ("a: ${HOST}", "a: ${B}"),
            ("a: ${PORT:7201}", "a: 7201"),
            ("a: ${HOST:x}:${PORT:http://b:1}", "a: ${B}:http://b:1"),
            ("a: ${PORT:\"\"}", "a: "),
            ("a: ${PORT:}", "a: "),
            ("cost: 5$ or $$5 or $x", "cost: 5$ or $5 or $x"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn bare_names_are_variables_in_files_of_m3() {
        let set = BTreeMap::from([("HOST".to_owned(), "h".to_owned())]);
        let environment = Environment::of_map(set);
        let expanded = |text| expand_with(text, &environment, BareVariables::Replaced);
        for (text, want) in [
            ("a: $HOST:1", "a: h:1"),
            ("a: $HOST", "a: h"),
            ("b: ^x$ $1 $$HOST $.", "b: ^x$ $1 $HOST $."),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(want), "{text}");
        }
        let unset = EnvError::Unset { name: "HOSTS".into(), line: 1 };
        assert_eq!(expanded("a: $HOSTS"), Err(unset));
    }

    #[test]
    fn errors_name_the_line() {
        let unset = EnvError::Unset { name: "PORT".into(), line: 2 };
        assert_eq!(expanded("a: 1\nb: ${PORT}\n"), Err(unset));
        assert_eq!(expanded("\n\na: ${PORT\n}"), Err(EnvError::Malformed { line: 3 }));
        assert_eq!(expanded("a: ${:x}"), Err(EnvError::Malformed { line: 1 }));
    }
}
