//! RE2 syntax, as Go's `regexp/syntax` reads it with the Perl and dot-matches-newline flags,
//! rewritten into the syntax of the `regex` crate.
//!
//! Output is built from units that mean the same wherever they stand: an escaped character, a
//! bracketed class of hexadecimal ranges, a group with all its flags written out. Named groups
//! become numbered ones, because Go allows names that Rust does not.

mod class;

use super::{PATTERN_DEPTH_MAX, PATTERN_LEN_MAX, REPEAT_MAX, RegexpError, cut};

/// Rewrites `pattern` for the `regex` crate; the result is one group, not anchored.
///
/// # Errors
/// [`RegexpError`] where Go refuses the pattern, or at a limit.
pub fn translate(pattern: &str) -> Result<String, RegexpError> {
    run(pattern).map(|t| t.pattern)
}

/// A rewritten pattern and the names of its groups; group 0 is the whole match.
pub(super) struct Translated {
    pub(super) pattern: String,
    pub(super) names: Box<[Option<Box<str>>]>,
}

pub(super) fn run(pattern: &str) -> Result<Translated, RegexpError> {
    if pattern.len() > PATTERN_LEN_MAX {
        return Err(RegexpError::TooLong { len: pattern.len() });
    }
    let mut translator = Translator {
        source: pattern,
        rest: pattern,
        out: String::with_capacity(pattern.len() + 8),
        flags: Flags { fold: false, multi_line: false, dot_newline: true, lazy: false },
        frames: Vec::new(),
        names: vec![None],
        atom: None,
        after_repeat: false,
        repeat_product: 1,
    };
    translator.out.push_str("(?s:");
    translator.all()?;
    translator.out.push(')');
    Ok(Translated { pattern: translator.out, names: translator.names.into() })
}

/// What is wrong with a pattern; the place is known to the translator.
type Fault = &'static str;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Flags {
    fold: bool,
    multi_line: bool,
    dot_newline: bool,
    lazy: bool,
}

impl Flags {
    /// Writes the flags as the inside of `(?…:` or `(?…)`. Laziness is written at each repetition.
    fn write(self, out: &mut String) {
        let all = [(self.fold, 'i'), (self.multi_line, 'm'), (self.dot_newline, 's')];
        out.extend(all.iter().filter(|(on, _)| *on).map(|(_, c)| *c));
        if all.iter().any(|(on, _)| !on) {
            out.push('-');
            out.extend(all.iter().filter(|(on, _)| !on).map(|(_, c)| *c));
        }
    }
}

/// The last unit written, which a repetition applies to.
#[derive(Clone, Copy)]
struct Atom {
    start: usize,
    end: usize,
    is_repeated: bool,
    /// Largest product of nested repetition counts inside.
    repeat_product: u32,
}

/// A group that is open.
struct Frame {
    start: usize,
    flags: Flags,
    repeat_product: u32,
}

struct Translator<'p> {
    source: &'p str,
    rest: &'p str,
    out: String,
    flags: Flags,
    frames: Vec<Frame>,
    names: Vec<Option<Box<str>>>,
    atom: Option<Atom>,
    after_repeat: bool,
    repeat_product: u32,
}

impl<'p> Translator<'p> {
    fn all(&mut self) -> Result<(), RegexpError> {
        while !self.rest.is_empty() {
            let at = self.source.len() - self.rest.len();
            let is_repeat = self.one().map_err(|what| self.error(what, at))?;
            self.after_repeat = is_repeat;
            if self.frames.len() > PATTERN_DEPTH_MAX as usize {
                return Err(RegexpError::TooDeep);
            }
        }
        if self.frames.is_empty() {
            Ok(())
        } else {
            Err(self.error("missing closing )", self.source.len()))
        }
    }

    fn error(&self, what: Fault, at: usize) -> RegexpError {
        RegexpError::Syntax { pattern: cut(self.source), what, at }
    }

    /// Reads one element; says whether it was a repetition.
    fn one(&mut self) -> Result<bool, Fault> {
        let Some(c) = self.rest.chars().next() else { return Ok(false) };
        match c {
            '(' => self.open()?,
            ')' => self.close()?,
            '|' => {
                self.bump(1);
                self.out.push('|');
                self.atom = None;
            }
            '^' | '$' => {
                self.bump(1);
                self.unit(|out| out.extend(["(?:", if c == '^' { "^" } else { "$" }, ")"]));
            }
            '.' => {
                self.bump(1);
                self.unit(|out| out.push('.'));
            }
            '[' => {
                let (class, rest) = class::bracketed(self.rest)?;
                self.rest = rest;
                self.unit(|out| out.push_str(&class));
            }
            '*' => return self.repeat(1, 0, None).map(|()| true),
            '+' => return self.repeat(1, 1, None).map(|()| true),
            '?' => return self.repeat(1, 0, Some(1)).map(|()| true),
            '{' => match bounds(self.rest) {
                Some((len, min, max)) => return self.counted(len, min, max).map(|()| true),
                None => {
                    self.bump(1);
                    self.literal('{');
                }
            },
            '\\' => self.escape()?,
            _ => {
                self.bump(c.len_utf8());
                self.literal(c);
            }
        }
        Ok(false)
    }

    fn bump(&mut self, len: usize) {
        self.rest = &self.rest[len..];
    }

    /// Writes something that a repetition may follow.
    fn unit(&mut self, write: impl FnOnce(&mut String)) {
        let start = self.out.len();
        write(&mut self.out);
        let end = self.out.len();
        self.atom = Some(Atom { start, end, is_repeated: false, repeat_product: 1 });
    }

    fn literal(&mut self, c: char) {
        self.unit(|out| {
            let mut buffer = [0; 4];
            regex_syntax::escape_into(c.encode_utf8(&mut buffer), out);
        });
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let rest = self.rest;
        if let Some(text) = rest.strip_prefix(r"\Q") {
            let (quoted, tail) = text.split_once(r"\E").unwrap_or((text, ""));
            for c in quoted.chars() {
                self.literal(c);
            }
            self.rest = tail;
            return Ok(());
        }
        let look = match rest.as_bytes().get(1) {
            Some(b'A') => Some(r"(?:\A)"),
            Some(b'z') => Some(r"(?:\z)"),
            Some(b'b') => Some(r"(?-u:\b)"),
            Some(b'B') => Some(r"(?-u:\B)"),
            _ => None,
        };
        if let Some(look) = look {
            self.bump(2);
            self.unit(|out| out.push_str(look));
            return Ok(());
        }
        if let Some((class, tail)) = class::named(rest)? {
            self.rest = tail;
            self.unit(|out| out.push_str(&class));
            return Ok(());
        }
        let (code, tail) = class::escaped(rest)?;
        self.rest = tail;
        match char::from_u32(code) {
            Some(c) => self.literal(c),
            // A surrogate can be written but occurs in no text.
            None => self.unit(|out| out.push_str(class::NOTHING)),
        }
        Ok(())
    }

    fn repeat(&mut self, len: usize, min: u32, max: Option<u32>) -> Result<(), Fault> {
        let operator = match (min, max) {
            (0, None) => "*".to_owned(),
            (1, None) => "+".to_owned(),
            (0, Some(1)) => "?".to_owned(),
            (_, None) => format!("{{{min},}}"),
            (_, Some(max)) if max == min => format!("{{{min}}}"),
            (_, Some(max)) => format!("{{{min},{max}}}"),
        };
        let Some(mut atom) = self.atom else { return Err("missing argument to repetition") };
        if self.after_repeat {
            return Err("invalid nested repetition operator");
        }
        self.bump(len);
        let mut is_lazy = self.flags.lazy;
        if self.rest.starts_with('?') {
            self.bump(1);
            is_lazy = !is_lazy;
        }
        if atom.is_repeated {
            self.out.insert(atom.end, ')');
            self.out.insert_str(atom.start, "(?:");
            atom.end += 4;
        }
        let operator = operator + if is_lazy { "?" } else { "" };
        self.out.insert_str(atom.end, &operator);
        atom.end += operator.len();
        atom.is_repeated = true;
        self.atom = Some(atom);
        Ok(())
    }

    fn counted(&mut self, len: usize, min: u32, max: Option<u32>) -> Result<(), Fault> {
        let is_bad = min > REPEAT_MAX || max.is_some_and(|max| max > REPEAT_MAX || max < min);
        if is_bad {
            return Err("invalid repeat count");
        }
        self.repeat(len, min, max)?;
        let atom = self.atom.as_mut().ok_or("missing argument to repetition")?;
        atom.repeat_product = atom.repeat_product.saturating_mul(max.unwrap_or(min).max(1));
        self.repeat_product = self.repeat_product.max(atom.repeat_product);
        if atom.repeat_product > REPEAT_MAX {
            return Err("invalid repeat count");
        }
        Ok(())
    }

    fn push_frame(&mut self, flags_inside: Flags) {
        let start = self.out.len();
        self.frames.push(Frame { start, flags: self.flags, repeat_product: self.repeat_product });
        self.repeat_product = 1;
        self.flags = flags_inside;
        self.atom = None;
    }

    fn open(&mut self) -> Result<(), Fault> {
        if let Some(rest) = self.rest.strip_prefix("(?") {
            let named = rest.strip_prefix("P<").or_else(|| rest.strip_prefix('<'));
            return match named {
                Some(named) => self.open_named(named),
                None => self.open_flags(rest),
            };
        }
        self.bump(1);
        self.names.push(None);
        self.push_frame(self.flags);
        self.out.push('(');
        Ok(())
    }

    fn open_named(&mut self, named: &'p str) -> Result<(), Fault> {
        const BAD: Fault = "invalid named capture";
        let (name, rest) = named.split_once('>').ok_or(BAD)?;
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if name.is_empty() || !name.bytes().all(is_word) {
            return Err(BAD);
        }
        if self.names.iter().any(|n| n.as_deref() == Some(name)) {
            return Err("duplicate capture name");
        }
        self.rest = rest;
        self.names.push(Some(name.into()));
        self.push_frame(self.flags);
        self.out.push('(');
        Ok(())
    }

    /// Reads flags up to `:` (a group) or `)` (for the rest of this group).
    fn open_flags(&mut self, rest: &'p str) -> Result<(), Fault> {
        const BAD: Fault = "invalid or unsupported Perl syntax";
        let mut flags = self.flags;
        let (mut value, mut saw_flag, mut saw_minus) = (true, false, false);
        for (at, c) in rest.char_indices() {
            match c {
                'i' => flags.fold = value,
                'm' => flags.multi_line = value,
                's' => flags.dot_newline = value,
                'U' => flags.lazy = value,
                '-' if !saw_minus => {
                    (value, saw_flag, saw_minus) = (false, false, true);
                    continue;
                }
                ':' | ')' if saw_flag || !saw_minus => {
                    self.rest = &rest[at + 1..];
                    self.apply_flags(flags, c);
                    return Ok(());
                }
                _ => return Err(BAD),
            }
            saw_flag = true;
        }
        Err("missing closing )")
    }

    fn apply_flags(&mut self, flags: Flags, end: char) {
        if end == ':' {
            self.push_frame(flags);
        }
        self.flags = flags;
        self.out.push_str("(?");
        flags.write(&mut self.out);
        self.out.push(end);
    }

    fn close(&mut self) -> Result<(), Fault> {
        let frame = self.frames.pop().ok_or("unexpected )")?;
        self.bump(1);
        self.out.push(')');
        let repeat_product = self.repeat_product;
        self.flags = frame.flags;
        self.repeat_product = frame.repeat_product.max(repeat_product);
        let (start, end) = (frame.start, self.out.len());
        self.atom = Some(Atom { start, end, is_repeated: false, repeat_product });
        Ok(())
    }
}

/// Reads `{n}`, `{n,}` or `{n,m}`: the length, and the bounds. Anything else is no repetition.
fn bounds(text: &str) -> Option<(usize, u32, Option<u32>)> {
    let (body, _) = text.strip_prefix('{')?.split_once('}')?;
    let len = body.len() + 2;
    match body.split_once(',') {
        None => number(body).map(|n| (len, n, Some(n))),
        Some((min, "")) => number(min).map(|n| (len, n, None)),
        Some((min, max)) => Some((len, number(min)?, Some(number(max)?))),
    }
}

/// A decimal number without leading zeros; huge ones saturate, and are refused as counts later.
fn number(text: &str) -> Option<u32> {
    let is_plain = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    is_plain.then(|| text.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regexp::AnchoredRegex;

    /// Pattern, a text that matches, a text that does not.
    const ACCEPTED: &[(&str, &str, &str)] = &[
        ("", "", "a"),
        ("a{,2}", "a{,2}", "aa"),
        ("a{2", "a{2", "aa"),
        ("a{x}", "a{x}", "a"),
        ("{", "{", ""),
        ("a{01}", "a{01}", "a"),
        ("a{2}", "aa", "a"),
        ("a{2,}", "aaa", "a"),
        ("a{2,3}?", "aaa", "aaaa"),
        ("}", "}", ""),
        ("]", "]", ""),
        ("[]a]+", "]a", "b"),
        ("[^]a]", "b", "]"),
        ("[a-]", "-", "b"),
        ("[-a]", "-", "b"),
        ("[a-c-e]", "-", "d"),
        ("[a&&b]", "&", "c"),
        ("[+--]|x", ",", "y"),
        ("[a~~b]", "~", "c"),
        ("[[a]", "[", "b"),
        ("[[:alpha:]_]+", "ab_", "1"),
        ("[[:^alpha:]]", "1", "a"),
        ("[[:word:]]", "_", "-"),
        (r"[\d\-x]+", "1-x", "y"),
        (r"[^\D]", "1", "a"),
        (r"\d", "1", "\u{661}"),
        (r"\w", "a", "\u{e9}"),
        (r"\s", "\t", "\u{a0}"),
        (r"\s", "\n", "\u{b}"),
        (r"\W", "\u{e9}", "a"),
        (r"\pN", "\u{661}", "a"),
        (r"\PN", "a", "1"),
        (r"\p{Greek}", "\u{3b1}", "a"),
        (r"\p{^Greek}", "a", "\u{3b1}"),
        (r"\P{^Greek}", "\u{3b1}", "a"),
        (r"[\p{Lu}\d]+", "A1", "a"),
        (r"\x41\x{42}\103", "ABC", "ABD"),
        (r"\0", "\0", "0"),
        (r"\Qa.b*\Ec", "a.b*c", "axbc"),
        (r"\Qa\Eb+", "abb", "aab"),
        (r"\Qab\E+", "abb", "abab"),
        (r"\Qa", "a", "b"),
        (r"\Q\E", "", "a"),
        (r"\_\-\/\ ", "_-/ ", "_-/"),
        (r"\a\f\t\n\r\v", "\u{7}\u{c}\t\n\r\u{b}", ""),
        (r"a\bb|a\b-b", "a-b", "ab"),
        (r"a\Bb", "ab", "a-b"),
        (r"\u{e9}\B\u{e9}", "\u{e9}\u{e9}", "a"),
        ("(?i)abc", "aBC", "abd"),
        ("(?i)k", "\u{212a}", "l"),
        ("a(?i)b|c", "C", "A"),
        ("(?i:a)b", "Ab", "AB"),
        ("(?-s).", "a", "\n"),
        ("(?-s:.)|\\n\\n", "\n\n", "\n"),
        ("(?m)a$\\n^b", "a\nb", "ab"),
        ("a$|b", "a", "a\n"),
        ("^a$", "a", "ba"),
        ("(?ims-U:A)", "a", "b"),
        ("(?)a", "a", "b"),
        ("a(?i)*", "aa", "A"),
        ("a*(?i)*", "aa", "A"),
        ("^*a", "a", "b"),
        ("(|a)*", "aa", "b"),
        ("()", "", "a"),
        ("|a", "", "b"),
        ("a||b", "", "c"),
        ("(?P<n>a)(?<m>b)", "ab", "a"),
        ("(a{30}){30}|b", "b", "a"),
        (r"\x{d800}|a", "a", "b"),
        (r"[\x{d800}a]", "a", "b"),
        (r"[\x{d7ff}-\x{e000}]", "\u{e000}", "a"),
        ("#", "#", ""),
        ("a b", "a b", "ab"),
        ("\u{e9}+", "\u{e9}\u{e9}", "e"),
    ];

    #[test]
    fn what_go_accepts_means_the_same() {
        for (pattern, yes, no) in ACCEPTED {
            let pattern = pattern.replace(r"\u{e9}", "\u{e9}");
            let regex = AnchoredRegex::new(&pattern).expect(&pattern);
            assert!(regex.is_match(yes), "{pattern:?} must match {yes:?}");
            assert!(!regex.is_match(no), "{pattern:?} must not match {no:?}");
        }
    }

    const REFUSED: [&str; 65] = [
        "(",
        ")",
        "a)",
        "(a",
        "a**",
        "a+*",
        "a??+",
        "a{2}{3}",
        "*",
        "+a",
        "?",
        "a|*",
        "(*)",
        "(?i)*",
        "{2}",
        "a{3,2}",
        "a{1001}",
        "a{2,1001}",
        "a{99999999999}",
        "(a{100}){11}",
        "[",
        "[a",
        "[]",
        "[^]",
        "[b-a]",
        r"[a-\d]",
        "[[:foo:]]",
        r"[\b]",
        r"\",
        r"\C",
        r"\Z",
        r"\1",
        r"\8",
        r"\y",
        r"\x",
        r"\x4",
        r"\x{}",
        r"\x{110000}",
        r"\xzz",
        r"\x{41",
        r"\u0041",
        r"\p",
        r"\p{",
        r"\p{Nope}",
        r"\p{sc=Greek}",
        r"\pX",
        "(?x)a",
        "(?u)a",
        "(?R)a",
        "(?i",
        "(?i-)a",
        "(?--i)a",
        "(?=a)",
        "(?!a)",
        "(?<=a)",
        "(?<!a)",
        "(?>a)",
        "(?P<>a)",
        "(?P<a-b>a)",
        "(?P<a",
        "(?P<n>a)(?P<n>b)",
        "(?P=n)",
        "(?#a)",
        r"\e",
        "a++",
    ];

    #[test]
    fn what_go_refuses_is_refused() {
        for pattern in REFUSED {
            let result = AnchoredRegex::new(pattern);
            assert!(
                matches!(result, Err(RegexpError::Syntax { .. } | RegexpError::Compile { .. })),
                "{pattern:?} gave {result:?}"
            );
        }
    }

    #[test]
    fn errors_name_their_place() {
        assert_eq!(
            translate("ab)"),
            Err(RegexpError::Syntax { pattern: "ab)".into(), what: "unexpected )", at: 2 })
        );
    }
}
