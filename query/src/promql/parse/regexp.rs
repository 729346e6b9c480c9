//! Regular expressions of matchers: are they well-formed (RE2 syntax, as Go has it), and do they
//! match the empty string? The storage compiles them; the parser needs no more than these answers.
//!
//! Names of Unicode classes (`\p{…}`) are not looked up here.

use std::fmt;

/// A malformed regular expression, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RegexpError {
    what: &'static str,
    fragment: String,
}

impl fmt::Display for RegexpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error parsing regexp: {}: `{}`", self.what, self.fragment)
    }
}

const INVALID_RANGE: &str = "invalid character class range";
const INVALID_ESCAPE: &str = "invalid escape sequence";
const INVALID_NAME: &str = "invalid named capture";
const INVALID_PERL: &str = "invalid or unsupported Perl syntax";
const INVALID_REPEAT_COUNT: &str = "invalid repeat count";
const INVALID_REPEAT_OP: &str = "invalid nested repetition operator";
const MISSING_ARGUMENT: &str = "missing argument to repetition operator";
const MISSING_BRACKET: &str = "missing closing ]";
const MISSING_PAREN: &str = "missing closing )";
const NESTS_TOO_DEEPLY: &str = "expression nests too deeply";
const TRAILING_BACKSLASH: &str = "trailing backslash at end of expression";
const UNEXPECTED_PAREN: &str = "unexpected )";

const NESTING_MAX: usize = 1000;
const REPEAT_MAX: u32 = 1000;

const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// Whether the expression, anchored at both ends, matches the empty string.
///
/// # Errors
/// The expression is malformed.
pub(super) fn matches_empty(pattern: &str) -> Result<bool, RegexpError> {
    let mut scan = Scan { pattern, rest: pattern, groups: vec![Group::default()] };
    let mut last_repeat: Option<&str> = None;
    while let Some(first) = scan.rest.chars().next() {
        let before = scan.rest;
        last_repeat = match first {
            '*' | '+' | '?' => {
                let min = u32::from(first == '+');
                let after = &before[1..];
                Some(scan.repeat(Repeat { min, factor: None, after }, last_repeat)?)
            }
            '{' => match repeat_counts(before) {
                Some(counts) => Some(scan.repeat(counts?, last_repeat)?),
                None => {
                    scan.item(Item::CHARACTER);
                    scan.rest = &before[1..];
                    None
                }
            },
            _ => {
                scan.element(first)?;
                None
            }
        };
    }
    let (Some(whole), true) = (scan.groups.pop(), scan.groups.is_empty()) else {
        return Err(error(MISSING_PAREN, pattern));
    };
    Ok(whole.close().is_empty)
}

fn error(what: &'static str, fragment: &str) -> RegexpError {
    RegexpError { what, fragment: fragment.to_owned() }
}

/// What `whole` has in front of `rest`, which is its tail.
fn head<'a>(whole: &'a str, rest: &str) -> &'a str {
    whole.get(..whole.len() - rest.len()).unwrap_or(whole)
}

/// A part of an expression that a repetition may follow.
#[derive(Clone, Copy)]
struct Item {
    /// Whether it matches the empty string.
    is_empty: bool,
    /// The greatest product of counted repetitions that nest in it.
    factor: u32,
}

impl Item {
    const CHARACTER: Self = Self { is_empty: false, factor: 1 };
    const ASSERTION: Self = Self { is_empty: true, factor: 1 };
}

/// An open parenthesis, or the whole expression.
struct Group {
    /// Whether a finished alternative matches the empty string.
    is_empty: bool,
    /// Whether the items of this alternative but the last do.
    is_branch_empty: bool,
    last: Option<Item>,
    factor: u32,
}

impl Default for Group {
    fn default() -> Self {
        Self { is_empty: false, is_branch_empty: true, last: None, factor: 1 }
    }
}

impl Group {
    fn end_branch(&mut self) {
        let last_is_empty = self.last.is_none_or(|last| last.is_empty);
        self.is_empty |= self.is_branch_empty && last_is_empty;
        self.factor = self.last.map_or(self.factor, |last| self.factor.max(last.factor));
        self.is_branch_empty = true;
        self.last = None;
    }

    fn close(mut self) -> Item {
        self.end_branch();
        Item { is_empty: self.is_empty, factor: self.factor }
    }
}

struct Repeat<'a> {
    min: u32,
    /// How often a counted repetition repeats at most; `None` for `*`, `+`, `?`.
    factor: Option<u32>,
    after: &'a str,
}

struct Scan<'a> {
    pattern: &'a str,
    rest: &'a str,
    groups: Vec<Group>,
}

impl<'a> Scan<'a> {
    fn item(&mut self, item: Item) {
        let group = self.groups.last_mut().expect("BUG: the outermost group is never closed");
        if let Some(last) = group.last.replace(item) {
            group.is_branch_empty &= last.is_empty;
            group.factor = group.factor.max(last.factor);
        }
    }

    /// Applies a repetition to the last item; gives the text from its operator on.
    fn repeat(
        &mut self,
        repeat: Repeat<'a>,
        last_repeat: Option<&'a str>,
    ) -> Result<&'a str, RegexpError> {
        let before = self.rest;
        let after = repeat.after.strip_prefix('?').unwrap_or(repeat.after);
        if let Some(last) = last_repeat {
            return Err(error(INVALID_REPEAT_OP, head(last, after)));
        }
        let group = self.groups.last_mut().expect("BUG: the outermost group is never closed");
        let Some(last) = &mut group.last else {
            return Err(error(MISSING_ARGUMENT, head(before, after)));
        };
        last.is_empty |= repeat.min == 0;
        match repeat.factor {
            None => {}
            Some(0) => last.factor = 1,
            Some(factor) => {
                last.factor = last.factor.saturating_mul(factor);
                if factor >= 2 && last.factor > REPEAT_MAX {
                    return Err(error(INVALID_REPEAT_COUNT, head(before, after)));
                }
            }
        }
        self.rest = after;
        Ok(before)
    }

    fn element(&mut self, first: char) -> Result<(), RegexpError> {
        match first {
            '(' => return self.open_group(),
            '|' => {
                self.groups.last_mut().expect("BUG: never closed").end_branch();
            }
            ')' => {
                let closed = self.groups.pop().expect("BUG: the outermost group is never closed");
                if self.groups.is_empty() {
                    return Err(error(UNEXPECTED_PAREN, self.pattern));
                }
                self.item(closed.close());
            }
            '^' | '$' => self.item(Item::ASSERTION),
            '[' => {
                self.rest = skip_class(self.rest)?;
                self.item(Item::CHARACTER);
                return Ok(());
            }
            '\\' => return self.escape(),
            _ => self.item(Item::CHARACTER),
        }
        self.rest = &self.rest[first.len_utf8()..];
        Ok(())
    }

    fn open_group(&mut self) -> Result<(), RegexpError> {
        let whole = self.rest;
        if self.groups.len() > NESTING_MAX {
            return Err(error(NESTS_TOO_DEEPLY, self.pattern));
        }
        let is_group = match whole.strip_prefix("(?") {
            None => {
                self.rest = &whole[1..];
                true
            }
            Some(tail) => self.perl_group(whole, tail)?,
        };
        if is_group {
            self.groups.push(Group::default());
        }
        Ok(())
    }

    /// `(?P<name>`, `(?<name>`, `(?flags:` or `(?flags)`; the last opens no group.
    fn perl_group(&mut self, whole: &'a str, tail: &'a str) -> Result<bool, RegexpError> {
        let named = tail.strip_prefix("P<").or_else(|| tail.strip_prefix('<'));
        if let Some(named) = named.filter(|named| !named.is_empty()) {
            let Some((name, after)) = named.split_once('>') else {
                return Err(error(INVALID_NAME, whole));
            };
            let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if name.is_empty() || !name.bytes().all(is_word) {
                return Err(error(INVALID_NAME, head(whole, after)));
            }
            self.rest = after;
            return Ok(true);
        }
        let mut is_negated = false;
        let mut saw_flag = false;
        let mut after = tail;
        for found in tail.chars() {
            after = &after[found.len_utf8()..];
            match found {
                'i' | 'm' | 's' | 'U' => saw_flag = true,
                '-' if !is_negated => {
                    is_negated = true;
                    saw_flag = false;
                }
                ':' | ')' if saw_flag || !is_negated => {
                    self.rest = after;
                    return Ok(found == ':');
                }
                _ => break,
            }
        }
        Err(error(INVALID_PERL, head(whole, after)))
    }

    fn escape(&mut self) -> Result<(), RegexpError> {
        let tail = &self.rest[1..];
        let item = match tail.chars().next() {
            Some('A' | 'z' | 'B') => Item::ASSERTION,
            // A word boundary needs a word beside it.
            Some('b') => Item::CHARACTER,
            Some('C') => return Err(error(INVALID_ESCAPE, "\\C")),
            Some('Q') => {
                let quoted = &tail[1..];
                let (literal, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
                for _ in literal.chars() {
                    self.item(Item::CHARACTER);
                }
                self.rest = after;
                return Ok(());
            }
            _ => {
                self.rest = skip_escape(self.rest)?;
                self.item(Item::CHARACTER);
                return Ok(());
            }
        };
        self.item(item);
        self.rest = &tail[1..];
        Ok(())
    }
}

/// Counts such as `{2}`, `{2,}` or `{2,5}`; `None` if the brace is a literal one.
fn repeat_counts(text: &str) -> Option<Result<Repeat<'_>, RegexpError>> {
    let (min, rest) = count(text.strip_prefix('{')?)?;
    let (max, rest) = match rest.strip_prefix(',') {
        None => (Some(min), rest),
        Some(rest) if rest.starts_with('}') => (None, rest),
        Some(rest) => count(rest).map(|(max, rest)| (Some(max), rest))?,
    };
    let after = rest.strip_prefix('}')?;
    if min > REPEAT_MAX || max.is_some_and(|max| max > REPEAT_MAX || min > max) {
        return Some(Err(error(INVALID_REPEAT_COUNT, head(text, after))));
    }
    let factor = match max {
        Some(max) => max,
        None => min.max(1),
    };
    Some(Ok(Repeat { min, factor: Some(factor), after }))
}

/// A number without leading zeros; one too great for its type is just too great.
fn count(text: &str) -> Option<(u32, &str)> {
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(len);
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), rest))
}

/// The text behind a class in brackets.
fn skip_class(class: &str) -> Result<&str, RegexpError> {
    let mut rest = &class[1..];
    rest = rest.strip_prefix('^').unwrap_or(rest);
    let mut is_first = true;
    loop {
        if !is_first && let Some(after) = rest.strip_prefix(']') {
            return Ok(after);
        }
        is_first = false;
        if let Some(named) = rest.strip_prefix("[:")
            && let Some((name, after)) = named.split_once(":]")
        {
            if !POSIX_CLASSES.contains(&name.strip_prefix('^').unwrap_or(name)) {
                return Err(error(INVALID_RANGE, head(rest, after)));
            }
            rest = after;
            continue;
        }
        if is_class_escape(rest) {
            rest = skip_escape(rest)?;
            continue;
        }
        let range = rest;
        let low;
        (low, rest) = class_char(rest, class)?;
        if rest.starts_with('-') && rest.len() >= 2 && !rest.starts_with("-]") {
            let high;
            (high, rest) = class_char(&rest[1..], class)?;
            if high < low {
                return Err(error(INVALID_RANGE, head(range, rest)));
            }
        }
    }
}

/// Whether an escape stands for a set of characters.
fn is_class_escape(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next() == Some('\\') && chars.next().is_some_and(|found| "dDsSwWpP".contains(found))
}

fn class_char<'a>(text: &'a str, class: &str) -> Result<(u32, &'a str), RegexpError> {
    let Some(found) = text.chars().next() else {
        return Err(error(MISSING_BRACKET, class));
    };
    if found == '\\' {
        return literal_escape(text);
    }
    Ok((u32::from(found), &text[found.len_utf8()..]))
}

/// The text behind an escape that stands for one character, or for any of a set.
fn skip_escape(text: &str) -> Result<&str, RegexpError> {
    if !is_class_escape(text) {
        return literal_escape(text).map(|(_, after)| after);
    }
    let after = &text[2..];
    if !text[1..].starts_with(['p', 'P']) {
        return Ok(after);
    }
    match after.chars().next() {
        Some('{') => match after.split_once('}') {
            Some((_, after)) => Ok(after),
            None => Err(error(INVALID_RANGE, text)),
        },
        Some(name) => Ok(&after[name.len_utf8()..]),
        None => Err(error(INVALID_RANGE, text)),
    }
}

/// The character that an escape stands for, and the text behind.
fn literal_escape(text: &str) -> Result<(u32, &str), RegexpError> {
    let mut chars = text[1..].chars();
    let Some(found) = chars.next() else { return Err(error(TRAILING_BACKSLASH, "")) };
    let after = chars.as_str();
    let octal_len = after.bytes().take(2).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    let code = match found {
        'a' => 0x07,
        'f' => 0x0c,
        'n' => 0x0a,
        'r' => 0x0d,
        't' => 0x09,
        'v' => 0x0b,
        '0'..='7' if found == '0' || octal_len > 0 => {
            let digits = &text[1..2 + octal_len];
            let code = u32::from_str_radix(digits, 8).unwrap_or_default();
            return Ok((code, &after[octal_len..]));
        }
        'x' => return hex_escape(text, after),
        _ if found.is_ascii() && !found.is_ascii_alphanumeric() => u32::from(found),
        _ => return Err(error(INVALID_ESCAPE, head(text, after))),
    };
    Ok((code, after))
}

/// `\x7f` or `\x{10ffff}`; `after` is what follows the `x`.
fn hex_escape<'a>(text: &'a str, after: &'a str) -> Result<(u32, &'a str), RegexpError> {
    let mut chars = after.chars();
    let is_braced = after.starts_with('{');
    if is_braced {
        chars.next();
    }
    let mut code = 0_u32;
    let mut len = 0;
    while is_braced || len < 2 {
        let found = chars.next();
        match found.and_then(|found| found.to_digit(16)) {
            Some(digit) => code = code * 16 + digit,
            None if is_braced && found == Some('}') && len > 0 => break,
            None => return Err(error(INVALID_ESCAPE, head(text, chars.as_str()))),
        }
        if code > u32::from(char::MAX) {
            return Err(error(INVALID_ESCAPE, head(text, chars.as_str())));
        }
        len += 1;
    }
    Ok((code, chars.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_which_match_the_empty_string() {
        for (pattern, expected) in [
            ("", true),
            (".*", true),
            (".+", false),
            ("a?", true),
            ("a|", true),
            ("|a", true),
            ("a|b", false),
            ("(a|b)*", true),
            ("(a|b*)c", false),
            ("()", true),
            ("(?i)", true),
            ("(?i:a)", false),
            ("(?P<x>a*)(?<y>b?)", true),
            ("^$", true),
            ("\\b", false),
            ("\\B", true),
            ("\\A\\z", true),
            ("x{0,3}", true),
            ("x{0}", true),
            ("x{2,}", false),
            ("x{,3}", false),
            ("(x{10}){100}", false),
            ("[^]a]*", true),
            ("[[:alpha:]-z\\d\\pL\\p{Greek}]", false),
            ("\\Qa*\\E?", false),
            ("\\Q\\E", true),
            ("\\x{41}\\x41\\101\\0\\.", false),
            ("(?:a*?b??)+", true),
        ] {
            assert_eq!(matches_empty(pattern), Ok(expected), "{pattern}");
        }
    }

    #[test]
    fn refuses_in_go_words() {
        for (pattern, message) in [
            ("x(", "missing closing ): `x(`"),
            ("a)b", "unexpected ): `a)b`"),
            ("[a", "missing closing ]: `[a`"),
            ("x[]", "missing closing ]: `[]`"),
            ("[z-a]", "invalid character class range: `z-a`"),
            ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
            ("\\p{Greek", "invalid character class range: `\\p{Greek`"),
            ("*", "missing argument to repetition operator: `*`"),
            ("(*a)", "missing argument to repetition operator: `*`"),
            ("a|{2}", "missing argument to repetition operator: `{2}`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a+?{3}", "invalid nested repetition operator: `+?{3}`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{3,2}", "invalid repeat count: `{3,2}`"),
            ("(a{100}){100}", "invalid repeat count: `{100}`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`"),
            ("(?P<a-b>x)", "invalid named capture: `(?P<a-b>`"),
            ("(?P<a", "invalid named capture: `(?P<a`"),
            ("\\8", "invalid escape sequence: `\\8`"),
            ("\\1", "invalid escape sequence: `\\1`"),
            ("\\C", "invalid escape sequence: `\\C`"),
            ("\\x{110000}", "invalid escape sequence: `\\x{110000`"),
            ("a\\", "trailing backslash at end of expression: ``"),
        ] {
            let error = matches_empty(pattern).expect_err(pattern).to_string();
            assert_eq!(error, format!("error parsing regexp: {message}"), "{pattern}");
        }
        let deep = "(".repeat(5000);
        assert!(matches_empty(&deep).is_err());
    }
}
