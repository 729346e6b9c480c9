//! What M3 says at its start about rules of `downsample.rules`.
//!
//! What is wrong with a filter, a template or a rollup stops the start. A mapping rule that says
//! neither policies nor `drop`, or both, does not: M3 logs it and goes on without any rule.

use std::collections::HashSet;

use m3rs_core::config::Node;

use super::check::Checked;
use super::finding::{Finding, shown};

/// The one template of a rollup's name.
const NAME_TEMPLATE: &str = "{{ .MetricName }}";

/// Checks the rules of a file whose keys and types are right.
pub(super) fn check(rules: &Node, checked: &mut Checked) {
    for rule in items(rules, "mappingRules") {
        filter_of(rule, checked);
        mapping(rule, checked);
    }
    for rule in items(rules, "rollupRules") {
        filter_of(rule, checked);
        rollup(rule, checked);
    }
}

fn items<'a>(node: &'a Node, key: &str) -> &'a [Node] {
    node.get(key).map(Node::items).unwrap_or_default()
}

fn text<'a>(node: &'a Node, key: &str) -> &'a str {
    node.get(key).and_then(Node::scalar).map_or("", |scalar| &scalar.text)
}

fn mapping(rule: &Node, checked: &mut Checked) {
    let has_policies = !items(rule, "storagePolicies").is_empty();
    let is_drop = rule.get("drop").and_then(Node::scalar).and_then(|s| s.bool()).unwrap_or(false);
    let why = match (has_policies, is_drop) {
        (true, true) => "has both storagePolicies and drop",
        (false, false) => "has neither storagePolicies nor drop",
        _ => return,
    };
    let name = shown(text(rule, "name"));
    let told = format!("the rule {name} {why}: with it no rule is in force");
    checked.warnings.push(Finding::at(&rule.place, told));
}

fn rollup(rule: &Node, checked: &mut Checked) {
    let name = shown(text(rule, "name"));
    let steps = items(rule, "transforms");
    let mut refuse = |node: &Node, why: &str| {
        checked.errors.push(Finding::at(&node.place, format!("the rule {name} {why}")));
    };
    if steps.is_empty() {
        refuse(rule, "has no transforms");
    }
    for rollup in steps.iter().filter_map(|step| step.get("rollup")) {
        if !items(rollup, "groupBy").is_empty() && !items(rollup, "excludeBy").is_empty() {
            refuse(rollup, "has both groupBy and excludeBy");
        }
        let metric = text(rollup, "metricName");
        if metric.replacen(NAME_TEMPLATE, "", 1).contains("{{") {
            let why = format!("has a metricName with another template than one {NAME_TEMPLATE}");
            refuse(rollup, &why);
        }
    }
}

fn filter_of(rule: &Node, checked: &mut Checked) {
    let Some(node) = rule.get("filter") else { return };
    let filter = text(rule, "filter");
    if let Err(why) = check_filter(filter) {
        let told = format!("the filter \"{}\" {why}", shown(filter));
        checked.errors.push(Finding::at(&node.place, told));
    }
}

/// Checks pairs of tag and pattern with spaces between them, each tag once.
fn check_filter(filter: &str) -> Result<(), String> {
    let mut tags = HashSet::new();
    for pair in filter.split_ascii_whitespace() {
        let Some((tag, pattern)) = pair.split_once(':').filter(|(_, rest)| !rest.contains(':'))
        else {
            return Err(format!("has {}, which is no tag:pattern", shown(pair)));
        };
        if tag.is_empty() || pattern.is_empty() {
            return Err(format!("has {}: tag and pattern are needed", shown(pair)));
        }
        if !tags.insert(tag) {
            return Err(format!("has the tag {} twice", shown(tag)));
        }
        if !is_pattern(pattern) {
            return Err(format!("has {}, which is no pattern", shown(pattern)));
        }
    }
    Ok(())
}

/// Whether a text is a pattern: literal text with one `*`, or with one at each end; `?`; classes
/// in `[]`; alternatives in `{}`, which hold nothing of all this. A leading `!` turns it around.
fn is_pattern(pattern: &str) -> bool {
    let pattern = pattern.strip_prefix('!').unwrap_or(pattern);
    let parts: Vec<&str> = pattern.split('*').collect();
    match parts.as_slice() {
        ["", inner, ""] => !inner.contains(['?', '[', '{']),
        [whole] => is_part(whole),
        [before, after] => is_part(before) && is_part(after),
        _ => false,
    }
}

/// Whether the classes and alternatives of a text without `*` are whole.
fn is_part(part: &str) -> bool {
    let mut rest = part;
    while let Some((_, after)) = rest.split_once(['[', '{']) {
        let is_class = rest.as_bytes().get(rest.len() - after.len() - 1) == Some(&b'[');
        let Some((inside, after)) = after.split_once(if is_class { ']' } else { '}' }) else {
            return false;
        };
        let is_sound = if is_class {
            is_class_sound(inside)
        } else {
            !inside.is_empty() && !inside.contains(['?', '[', '{'])
        };
        if !is_sound {
            return false;
        }
        rest = after;
    }
    true
}

/// Whether a class is characters, or ranges alone if its second character is `-`.
fn is_class_sound(class: &str) -> bool {
    let set = class.strip_prefix('!').unwrap_or(class).as_bytes();
    if class.is_empty() || set.get(1) != Some(&b'-') {
        return !class.is_empty();
    }
    set.chunks(3).all(|range| matches!(range, [from, b'-', to] if from <= to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        for sound in [
            "",
            "__name__:x",
            "  app:a   dc:b ",
            "a:*",
            "a:x* b:*x c:*x* d:x*y",
            "a:?x[a-z]{b,c}",
            "a:!x",
            "a:[a-zA-Z0-9]",
            "a:[!abc]",
        ] {
            assert_eq!(check_filter(sound), Ok(()), "{sound}");
        }
        for broken in [
            "x",
            "app:",
            ":x",
            "app:a:b",
            "app:a app:b",
            "app:a*b*c",
            "app:*a*b",
            "app:*a?b*",
            "app:{ng*,my*}",
            "app:{a,b",
            "app:{}",
            "app:[a",
            "app:[]",
            "app:[z-a]",
            "app:[a-z0]",
        ] {
            assert!(check_filter(broken).is_err(), "{broken}");
        }
    }
}
