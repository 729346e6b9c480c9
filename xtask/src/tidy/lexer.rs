//! Tells Rust code from its comments and literals, as far as the rules need it.

/// What a character belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Code.
    Code,
    /// A comment or documentation.
    Comment,
    /// A string, byte string or character literal.
    Literal,
}

/// The text without comments and literals: each of their characters but line ends is a space.
pub(super) fn code_only(text: &str) -> String {
    let parts = parts(text);
    text.chars()
        .zip(parts)
        .map(|(c, part)| if part == Part::Code || c == '\n' { c } else { ' ' })
        .collect()
}

/// The part that each character of `text` belongs to.
pub(super) fn parts(text: &str) -> Vec<Part> {
    let chars: Vec<char> = text.chars().collect();
    let mut parts = vec![Part::Code; chars.len()];
    let mut at = 0;
    while at < chars.len() {
        let (end, part) = token(&chars, at);
        if let Some(slice) = parts.get_mut(at..end) {
            slice.fill(part);
        }
        at = end.max(at + 1);
    }
    parts
}

/// Where the token at `at` ends, and what it is.
fn token(chars: &[char], at: usize) -> (usize, Part) {
    let get = |i: usize| chars.get(at + i).copied().unwrap_or('\0');
    let after_word = at > 0 && chars.get(at - 1).is_some_and(|c| c.is_alphanumeric() || *c == '_');
    match (get(0), get(1)) {
        ('/', '/') => (line_end(chars, at), Part::Comment),
        ('/', '*') => (block_comment_end(chars, at), Part::Comment),
        ('"', _) => (string_end(chars, at + 1), Part::Literal),
        ('r', '"' | '#') if !after_word => raw_string(chars, at, at + 1),
        ('b' | 'c', 'r') if !after_word => raw_string(chars, at, at + 2),
        ('\'', '\\') => (quote_end(chars, at + 3), Part::Literal),
        ('\'', _) if get(2) == '\'' => (at + 3, Part::Literal),
        _ => (at + 1, Part::Code),
    }
}

fn line_end(chars: &[char], from: usize) -> usize {
    (from..chars.len()).find(|&i| chars.get(i) == Some(&'\n')).unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], from: usize) -> usize {
    let mut depth = 0_usize;
    let mut i = from;
    while i < chars.len() {
        match (chars.get(i), chars.get(i + 1)) {
            (Some('/'), Some('*')) => {
                depth += 1;
                i += 1;
            }
            (Some('*'), Some('/')) => {
                depth -= 1;
                i += 1;
                if depth == 0 {
                    return i + 1;
                }
            }
            _ => {}
        }
        i += 1;
    }
    chars.len()
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut i = from;
    while let Some(c) = chars.get(i) {
        match c {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// A raw string whose hashes start at `hashes_at`, or code if it is not one (`r#type`).
fn raw_string(chars: &[char], at: usize, hashes_at: usize) -> (usize, Part) {
    let rest = chars.get(hashes_at..).unwrap_or_default();
    let hashes = rest.iter().take_while(|c| **c == '#').count();
    if rest.get(hashes) != Some(&'"') {
        return (at + 1, Part::Code);
    }
    let mut i = hashes_at + hashes + 1;
    while i < chars.len() {
        let closes = chars.get(i) == Some(&'"')
            && (1..=hashes).all(|k| chars.get(i + k).copied() == Some('#'));
        if closes {
            return (i + 1 + hashes, Part::Literal);
        }
        i += 1;
    }
    (chars.len(), Part::Literal)
}

fn quote_end(chars: &[char], from: usize) -> usize {
    (from..chars.len()).find(|&i| chars.get(i) == Some(&'\'')).map_or(chars.len(), |i| i + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_comments_and_literals() {
        let text = "let a = \"x // y\"; // z\nlet b = '\\''; /* q /* r */ s */ c";
        let code = code_only(text);
        assert_eq!(code.chars().count(), text.chars().count());
        for gone in ["x", "y", "z", "q", "s"] {
            assert!(!code.contains(gone), "{gone} in {code}");
        }
        assert!(code.contains("let b =") && code.ends_with(" c"), "{code}");
    }

    #[test]
    fn knows_raw_strings_and_lifetimes() {
        let code = code_only("f::<'a>(r#\"in \" quote\"#, r#type, br\"x y\", '\\u{1F600}')");
        assert!(code.contains("<'a>") && code.contains("r#type"), "{code}");
        assert!(!code.contains("quote") && !code.contains("x y"), "{code}");
        assert!(!code.contains("1F600"), "{code}");
    }

    #[test]
    fn an_open_literal_ends_with_the_text() {
        assert_eq!(code_only("a \"b").trim(), "a");
        assert_eq!(code_only("a r#\"b").trim(), "a");
        assert_eq!(code_only("a /* b").trim(), "a");
    }
}
