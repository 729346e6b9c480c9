//! Whether a text is JSON, and why not, in the words of Go's decoder, which users of M3 know.
//!
//! PARITY(go): the scanner of `encoding/json`.

const NO_KEY: &str = "looking for beginning of object key string";

/// How a text ends that ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As of a stream of values: what follows the first value is not looked at.
    Stream,
    /// As of a whole text.
    Whole,
}

/// Checks the syntax of a text. Memory: a byte for each level of nesting.
///
/// # Errors
/// The first character that cannot stand where it does.
pub fn check_go_json(text: &[u8], ending: Ending) -> Result<(), String> {
    let mut scanner = Scanner { rest: text, is_empty: true, ending, open: Vec::new() };
    scanner.value()?;
    while let Some(&bracket) = scanner.open.last() {
        match (scanner.token()?, bracket) {
            (b',', b'{') => {
                scanner.step();
                if scanner.token()? != b'"' {
                    return Err(scanner.refuse(NO_KEY));
                }
                scanner.key()?;
                scanner.value()?;
            }
            (b',', _) => {
                scanner.step();
                scanner.value()?;
            }
            (b'}', b'{') | (b']', b'[') => {
                scanner.step();
                scanner.open.pop();
            }
            (_, b'{') => return Err(scanner.refuse("after object key:value pair")),
            _ => return Err(scanner.refuse("after array element")),
        }
    }
    match scanner.peek() {
        Some(_) if ending == Ending::Whole => Err(scanner.refuse("after top-level value")),
        _ => Ok(()),
    }
}

struct Scanner<'a> {
    rest: &'a [u8],
    is_empty: bool,
    ending: Ending,
    /// Brackets that are open.
    open: Vec<u8>,
}

impl Scanner<'_> {
    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.first().copied()
    }

    fn step(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
        self.is_empty = false;
    }

    /// The next byte that is no space, which must be there.
    fn token(&mut self) -> Result<u8, String> {
        self.peek().ok_or_else(|| self.end())
    }

    fn end(&self) -> String {
        match self.ending {
            Ending::Whole => "unexpected end of JSON input",
            Ending::Stream if self.is_empty => "EOF",
            Ending::Stream => "unexpected EOF",
        }
        .to_owned()
    }

    /// The error of the next byte.
    fn refuse(&self, context: &str) -> String {
        let Some(&byte) = self.rest.first() else { return self.end() };
        let shown = match byte {
            b'\'' => r"'\''".to_owned(),
            b'"' => r#"'"'"#.to_owned(),
            _ => format!("'{}'", char::from(byte).escape_default()),
        };
        format!("invalid character {shown} {context}")
    }

    /// Passes a value; of an object or array up to the end of its first value.
    fn value(&mut self) -> Result<(), String> {
        loop {
            match self.token()? {
                b'{' => {
                    self.step();
                    match self.token()? {
                        b'}' => self.step(),
                        b'"' => {
                            self.open.push(b'{');
                            self.key()?;
                            continue;
                        }
                        _ => return Err(self.refuse(NO_KEY)),
                    }
                }
                b'[' => {
                    self.step();
                    if self.token()? != b']' {
                        self.open.push(b'[');
                        continue;
                    }
                    self.step();
                }
                b'"' => self.string()?,
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
                _ => return Err(self.refuse("looking for beginning of value")),
            }
            return Ok(());
        }
    }

    /// Passes a key and its colon.
    fn key(&mut self) -> Result<(), String> {
        self.string()?;
        if self.token()? != b':' {
            return Err(self.refuse("after object key"));
        }
        self.step();
        Ok(())
    }

    fn string(&mut self) -> Result<(), String> {
        self.step();
        loop {
            match self.rest.first() {
                None => return Err(self.end()),
                Some(b'"') => {
                    self.step();
                    return Ok(());
                }
                Some(0..0x20) => return Err(self.refuse("in string literal")),
                Some(b'\\') => self.escape()?,
                Some(_) => self.step(),
            }
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        self.step();
        match self.rest.first() {
            None => Err(self.end()),
            Some(b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => {
                self.step();
                Ok(())
            }
            Some(b'u') => {
                self.step();
                for _ in 0..4 {
                    if !self.rest.first().is_some_and(u8::is_ascii_hexdigit) {
                        return Err(self.refuse(r"in \u hexadecimal character escape"));
                    }
                    self.step();
                }
                Ok(())
            }
            Some(_) => Err(self.refuse("in string escape code")),
        }
    }

    fn literal(&mut self, word: &str) -> Result<(), String> {
        self.step();
        for wanted in word.bytes().skip(1) {
            if self.rest.first() != Some(&wanted) {
                let wanted = char::from(wanted);
                return Err(self.refuse(&format!("in literal {word} (expecting '{wanted}')")));
            }
            self.step();
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        if self.rest.first() == Some(&b'-') {
            self.step();
        }
        match self.rest.first() {
            Some(b'0') => self.step(),
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.refuse("in numeric literal")),
        }
        if self.rest.first() == Some(&b'.') {
            self.step();
            self.some_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.rest.first(), Some(b'e' | b'E')) {
            self.step();
            if matches!(self.rest.first(), Some(b'+' | b'-')) {
                self.step();
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn some_digits(&mut self, context: &str) -> Result<(), String> {
        if !self.rest.first().is_some_and(u8::is_ascii_digit) {
            return Err(self.refuse(context));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while self.rest.first().is_some_and(u8::is_ascii_digit) {
            self.step();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, ending: Ending) -> Result<(), String> {
        check_go_json(text.as_bytes(), ending)
    }

    #[test]
    fn syntax_errors_are_those_of_go() {
        for (text, error) in [
            ("{bad", "'b' looking for beginning of object key string"),
            ("[1,]", "']' looking for beginning of value"),
            ("[1 2]", "'2' after array element"),
            (r#"{"a":1,}"#, "'}' looking for beginning of object key string"),
            (r#"{"a" 1}"#, "'1' after object key"),
            (r#"{"a":1 "b":2}"#, r#"'"' after object key:value pair"#),
            (r#"{"a":[{}]]"#, "']' after object key:value pair"),
            ("trie", "'i' in literal true (expecting 'u')"),
            ("NaN", "'N' looking for beginning of value"),
            ("-a", "'a' in numeric literal"),
            ("1.x", "'x' after decimal point in numeric literal"),
            ("1e+'", r"'\'' in exponent of numeric literal"),
            ("\"a\nb\"", r"'\n' in string literal"),
            (r#""\x""#, "'x' in string escape code"),
            (r#""\u12g4""#, r"'g' in \u hexadecimal character escape"),
            ("{} {}", "'{' after top-level value"),
        ] {
            let error = format!("invalid character {error}");
            assert_eq!(check(text, Ending::Whole), Err(error), "{text}");
        }
        for text in ["", "[1,", "tru", r#"{"a"#, r#"{"a":"\"#, "-"] {
            let error = "unexpected end of JSON input".to_owned();
            assert_eq!(check(text, Ending::Whole), Err(error), "{text}");
        }
    }

    #[test]
    fn sound_texts_pass() {
        let all = ["{}", " [ ] ", r#"{"a":{"b":[1,-0.5e-3,"\u00e9"]},"c":[[],{}]}"#, "null", "0"];
        for text in all {
            assert_eq!(check(text, Ending::Whole), Ok(()), "{text}");
        }
        assert_eq!(check("{} {", Ending::Stream), Ok(()));
        assert_eq!(check("", Ending::Stream), Err("EOF".to_owned()));
        assert_eq!(check("[", Ending::Stream), Err("unexpected EOF".to_owned()));
    }
}
