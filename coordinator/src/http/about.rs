//! What the process was told at its start, as clients and operators may see it.

use std::collections::BTreeMap;

use m3rs_core::time::TimestampNs;

/// Facts of a process that do not change. None of them may be a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Settings of the command line, by name, as text.
    pub flags: BTreeMap<String, String>,
    /// The configuration file, as [`without_secrets`] leaves it; empty if there is none.
    pub config_yaml: String,
    /// Which of Prometheus's features are on, by category and name.
    pub features: BTreeMap<&'static str, BTreeMap<&'static str, bool>>,
    /// The directory that relative paths start from.
    pub working_dir: String,
    /// The name of the machine.
    pub hostname: String,
    /// When the process began, which is when it read its configuration, too.
    pub started: TimestampNs,
    /// Threads that work at a time.
    pub cores: usize,
    /// How long samples are kept, as text.
    pub retention: String,
    /// How old a sample may be to count at an evaluation time.
    pub lookback_ms: i64,
}

/// Words in the names of settings whose values nobody else should see.
const SECRET_WORDS: [&str; 7] =
    ["password", "passwd", "secret", "token", "credential", "private_key", "api_key"];

/// What stands in the place of a secret. PARITY(prometheus).
const SECRET: &str = "<secret>";

/// The YAML text with `<secret>` in place of values whose names say that they are secrets, and of
/// passwords in URLs.
#[must_use]
pub fn without_secrets(yaml: &str) -> String {
    let mut out = String::with_capacity(yaml.len());
    // Lines that belong to a secret are indented deeper than its name.
    let mut hidden_below: Option<usize> = None;
    for line in yaml.lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        let is_hidden = |deepest: usize| {
            text.is_empty() || indent > deepest || (indent == deepest && text.starts_with('-'))
        };
        if hidden_below.is_some_and(is_hidden) {
            continue;
        }
        hidden_below = None;
        let (dashes, pair) = split_dashes(text);
        match pair.split_once(':') {
            // A value of a name, or a map in one line with such a name in it.
            Some((name, value)) if is_secret(name) || (value.contains('{') && is_secret(value)) => {
                out.push_str(&format!("{}{dashes}{name}: {SECRET}", &line[..indent]));
                hidden_below = Some(indent + dashes.len());
            }
            _ => out.push_str(&without_passwords(line)),
        }
        out.push('\n');
    }
    out
}

/// The dashes of a list in front of a pair.
fn split_dashes(text: &str) -> (&str, &str) {
    let len = text.len() - text.trim_start_matches(['-', ' ']).len();
    text.split_at(len)
}

fn is_secret(name: &str) -> bool {
    let name = name.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
    !name.starts_with('#') && SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// Hides what stands between `://name:` and `@`.
fn without_passwords(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        rest = after;
        let end = after.find(['/', ' ', '"', '\'']).unwrap_or(after.len());
        let authority = &after[..end];
        if let Some((user, host)) = authority.rsplit_once('@')
            && let Some((name, _)) = user.split_once(':')
        {
            out.push_str(&format!("{name}:{SECRET}@{host}"));
            rest = &after[end..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_nothing_else_is() {
        let yaml = "query:\n  timeout: 5m  # tokens: none\n  db_password: hunter2\n\
                    list:\n  - api_key: |\n      line one\n      line two\n    user: x\n\
                    'Token': \"t\"\nurl: \"http://me:pw@host:1/a?b=c\"\nplain: http://host/@x\n";
        let wanted = "query:\n  timeout: 5m  # tokens: none\n  db_password: <secret>\n\
                      list:\n  - api_key: <secret>\n    user: x\n\
                      'Token': <secret>\nurl: \"http://me:<secret>@host:1/a?b=c\"\n\
                      plain: http://host/@x\n";
        assert_eq!(without_secrets(yaml), wanted);
        let map = "- auth: {user: x, password: y}\n- b: 1\nsecret:\n- a\n- b\n";
        assert_eq!(without_secrets(map), "- auth: <secret>\n- b: 1\nsecret: <secret>\n");
        let nested = "secrets:\n  a: b\n\n  c: d\nafter: 1\n";
        assert_eq!(without_secrets(nested), "secrets: <secret>\nafter: 1\n");
    }
}
