//! Filling groups of a match into a template, by Go's rules.

/// What stands after a dollar sign.
enum Reference<'t> {
    Number(usize),
    Name(&'t str),
}

/// Writes `template` with its references replaced.
pub(super) fn expand(
    template: &str,
    captures: &regex::Captures<'_>,
    names: &[Option<Box<str>>],
) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(tail) = rest.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((reference, tail)) = reference(rest) {
            out.push_str(text_of(&reference, captures, names));
            rest = tail;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

fn text_of<'h>(
    reference: &Reference<'_>,
    captures: &regex::Captures<'h>,
    names: &[Option<Box<str>>],
) -> &'h str {
    let group = match reference {
        Reference::Number(number) => Some(*number),
        Reference::Name(name) => names.iter().position(|n| n.as_deref() == Some(name)),
    };
    group.and_then(|g| captures.get(g)).map_or("", |m| m.as_str())
}

/// Splits `text` after a reference; `None` if it does not start with one.
fn reference(text: &str) -> Option<(Reference<'_>, &str)> {
    let (body, braced) = match text.strip_prefix('{') {
        Some(body) => (body, true),
        None => (text, false),
    };
    let end = body.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(body.len());
    let (name, rest) = body.split_at(end);
    let rest = if braced { rest.strip_prefix('}')? } else { rest };
    if name.is_empty() {
        return None;
    }
    Some((classify(name), rest))
}

/// A number without leading zeros is a group's number, everything else a name.
fn classify(name: &str) -> Reference<'_> {
    let is_number = name.bytes().all(|b| b.is_ascii_digit())
        && (name.len() == 1 || !name.starts_with('0'))
        && name.len() <= 8;
    match name.parse() {
        Ok(number) if is_number => Reference::Number(number),
        _ => Reference::Name(name),
    }
}

#[cfg(test)]
mod tests {
    use crate::regexp::AnchoredRegex;

    fn expand(pattern: &str, text: &str, template: &str) -> Option<String> {
        AnchoredRegex::new(pattern).expect("valid pattern").expand(text, template)
    }

    #[test]
    fn references_follow_go() {
        let table = [
            ("$1", "b"),
            ("${1}x", "bx"),
            ("$1x", ""),
            ("$0", "abc"),
            ("$01", ""),
            ("$2", ""),
            ("$$1", "$1"),
            ("$", "$"),
            ("a$-b", "a$-b"),
            ("${1", "${1"),
            ("${}", "${}"),
            ("$mid-$mid", "b-b"),
            ("${mid}${none}", "b"),
            ("$123456789", ""),
            ("no groups", "no groups"),
            ("$1$1", "bb"),
        ];
        for (template, want) in table {
            let got = expand("a(?P<mid>b)c", "abc", template);
            assert_eq!(got.as_deref(), Some(want), "{template}");
        }
        assert_eq!(expand("a(b)c", "abd", "$1"), None);
    }

    #[test]
    fn groups_that_took_no_part_are_empty() {
        assert_eq!(expand("(a)|(b)", "b", "[$1][$2]").as_deref(), Some("[][b]"));
        assert_eq!(expand("(?P<1>a)(b)", "ab", "$1").as_deref(), Some("a"));
        assert_eq!(expand("(?<x>a+?)(a*)", "aaa", "$x,$2").as_deref(), Some("a,aa"));
        assert_eq!(expand("(?U)(a+)(a*)", "aaa", "$1,$2").as_deref(), Some("a,aa"));
    }
}
