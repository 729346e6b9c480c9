//! VictoriaMetrics's JSON lines: `{"metric":{"__name__":"up"},"values":[1],"timestamps":[1000]}`.
//!
//! Times are milliseconds. `null` is a staleness marker, which is what VictoriaMetrics makes of
//! one; other values that JSON has no number for are the strings `"NaN"`, `"Infinity"` and
//! `"-Infinity"`. Other members are skipped.
//!
//! One pass over the bytes of a line; numbers go into memory that is used again.

use m3rs_core::model::STALE_NAN;
use memchr::memchr2;

use crate::ingest::intake::{Intake, SampleTime};
use crate::ingest::lines::{LineContext, LineError, refuse};
use crate::ingest::number;
use crate::write::WriteSession;

/// How deep members that are skipped may be nested.
const DEPTH_MAX: usize = 32;

/// The JSON lines of a request.
#[derive(Debug, Default)]
pub struct JsonLines {
    values: Vec<f64>,
    times: Vec<i64>,
    scratch: [Vec<u8>; 2],
}

impl JsonLines {
    /// Takes a line.
    pub(super) fn line<W: WriteSession>(
        &mut self,
        line: &[u8],
        context: &LineContext,
        intake: &mut Intake<'_, W>,
    ) -> Result<(), LineError> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        self.read(line, context, intake)?;
        let samples = self.values.len() as u64;
        let counts = intake.counts();
        counts.series += 1;
        counts.samples += samples;
        let Some(series) = intake.series(samples)? else { return Ok(()) };
        for (&t, &value) in self.times.iter().zip(&self.values) {
            intake.float(series, SampleTime::of_ms(t), value, 0)?;
        }
        Ok(())
    }

    /// Reads all members before anything is taken.
    fn read<W: WriteSession>(
        &mut self,
        line: &[u8],
        context: &LineContext,
        intake: &mut Intake<'_, W>,
    ) -> Result<(), LineError> {
        self.values.clear();
        self.times.clear();
        let (mut has_metric, mut has_values, mut has_times) = (false, false, false);
        let [name_scratch, value_scratch] = &mut self.scratch;
        let mut json = Json { rest: line };
        intake.begin();
        json.expect(b'{')?;
        let mut is_first = true;
        while json.goes_on(b'}', &mut is_first)? {
            let member = json.string(name_scratch)?;
            let seen = match member {
                b"metric" => Some(&mut has_metric),
                b"values" => Some(&mut has_values),
                b"timestamps" => Some(&mut has_times),
                _ => None,
            };
            if let Some(seen) = seen
                && std::mem::replace(seen, true)
            {
                return Err(refuse("a member twice"));
            }
            let kind = match member {
                b"metric" => Member::Metric,
                b"values" => Member::Values,
                b"timestamps" => Member::Times,
                _ => Member::Other,
            };
            json.expect(b':')?;
            match kind {
                Member::Metric => {
                    json.metric([&mut *name_scratch, &mut *value_scratch], context, intake)?;
                }
                Member::Values => json.values(value_scratch, &mut self.values)?,
                Member::Times => json.times(&mut self.times)?,
                Member::Other => json.skip(value_scratch)?,
            }
        }
        if !json.blank().is_empty() {
            return Err(refuse("text after the object"));
        }
        let missing = [
            (has_metric, "no member \"metric\""),
            (!self.values.is_empty(), "no member \"values\", or an empty one"),
            (!self.times.is_empty(), "no member \"timestamps\", or an empty one"),
        ];
        if let Some((_, why)) = missing.into_iter().find(|(is_there, _)| !is_there) {
            return Err(refuse(why));
        }
        if self.values.len() != self.times.len() {
            let (values, times) = (self.values.len(), self.times.len());
            return Err(refuse(format!("{values} values and {times} timestamps")));
        }
        context.add_labels(intake);
        Ok(())
    }
}

enum Member {
    Metric,
    Values,
    Times,
    Other,
}

/// What is left of a line.
struct Json<'a> {
    rest: &'a [u8],
}

impl<'a> Json<'a> {
    /// What is left, without blanks at its start.
    #[inline]
    fn blank(&mut self) -> &'a [u8] {
        let blanks = self.rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r')).count();
        self.rest = &self.rest[blanks..];
        self.rest
    }

    fn expect(&mut self, byte: u8) -> Result<(), LineError> {
        match self.blank().split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                Ok(())
            }
            _ => Err(self.unexpected(&format!("{:?}", char::from(byte)))),
        }
    }

    #[cold]
    fn unexpected(&self, wanted: &str) -> LineError {
        const SHOWN_BYTES_MAX: usize = 32;
        let shown = &self.rest[..self.rest.len().min(SHOWN_BYTES_MAX)];
        refuse(format!("JSON: expected {wanted}, got {:?}", String::from_utf8_lossy(shown)))
    }

    /// Whether another item of a list or object follows; takes the comma or the end.
    #[inline]
    fn goes_on(&mut self, end: u8, is_first: &mut bool) -> Result<bool, LineError> {
        let first = self.blank().first().copied();
        let is_start = std::mem::replace(is_first, false);
        if first == Some(end) {
            self.rest = &self.rest[1..];
            return Ok(false);
        }
        if is_start {
            return Ok(true);
        }
        self.expect(b',')?;
        // A comma before the end.
        match self.blank().first() == Some(&end) {
            true => Err(self.unexpected("an item")),
            false => Ok(true),
        }
    }

    /// A string, in `scratch` if it has escapes.
    #[inline]
    fn string<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], LineError>
    where
        'a: 's,
    {
        let inner = self.blank().strip_prefix(b"\"").ok_or_else(|| self.unexpected("a string"))?;
        let open = || refuse("JSON: a string without an end");
        let mut at = memchr2(b'"', b'\\', inner).ok_or_else(open)?;
        if inner[at] == b'"' {
            self.rest = &inner[at + 1..];
            return Ok(&inner[..at]);
        }
        scratch.clear();
        let mut from = 0;
        loop {
            scratch.extend_from_slice(&inner[from..at]);
            if inner[at] == b'"' {
                self.rest = &inner[at + 1..];
                return Ok(scratch);
            }
            from = at + 1 + unescape(&inner[at + 1..], scratch)?;
            at = from + memchr2(b'"', b'\\', &inner[from..]).ok_or_else(open)?;
        }
    }

    fn metric<W: WriteSession>(
        &mut self,
        [name_scratch, value_scratch]: [&mut Vec<u8>; 2],
        context: &LineContext,
        intake: &mut Intake<'_, W>,
    ) -> Result<(), LineError> {
        self.expect(b'{')?;
        let mut is_first = true;
        while self.goes_on(b'}', &mut is_first)? {
            let name = self.string(name_scratch)?;
            self.expect(b':')?;
            let value = self.string(value_scratch)?;
            // PARITY(victoriametrics): a label without a name is none.
            if !name.is_empty() && !context.overrides(name) {
                intake.label(name, value);
            }
        }
        Ok(())
    }

    fn values(&mut self, scratch: &mut Vec<u8>, to: &mut Vec<f64>) -> Result<(), LineError> {
        self.expect(b'[')?;
        let mut is_first = true;
        while self.goes_on(b']', &mut is_first)? {
            let value = match self.rest.first() {
                Some(b'"') => {
                    let text = self.string(scratch)?;
                    special(text).ok_or_else(|| refuse("JSON: a string that is no value"))?
                }
                Some(b'n') => {
                    self.word(b"null")?;
                    STALE_NAN
                }
                _ => {
                    let number = self.number();
                    let is_number =
                        number.first().is_some_and(|b| *b == b'-' || b.is_ascii_digit());
                    let value = number::float(number).filter(|_| is_number);
                    value.ok_or_else(|| refuse("JSON: a value that is no number"))?
                }
            };
            to.push(value);
        }
        Ok(())
    }

    fn times(&mut self, to: &mut Vec<i64>) -> Result<(), LineError> {
        self.expect(b'[')?;
        let mut is_first = true;
        while self.goes_on(b']', &mut is_first)? {
            let number = self.number();
            let time = number::int(number);
            to.push(time.ok_or_else(|| refuse("JSON: a timestamp that is no whole number"))?);
        }
        Ok(())
    }

    /// The bytes up to the end of a number, or of what stands in its place.
    #[inline]
    fn number(&mut self) -> &'a [u8] {
        let is_end = |b: &u8| matches!(b, b',' | b']' | b'}' | b' ' | b'\t');
        let end = self.rest.iter().position(is_end).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        number
    }

    fn word(&mut self, word: &[u8]) -> Result<(), LineError> {
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(self.unexpected("a value")),
        }
    }

    /// Skips a value of any kind. What closes each open list or object is kept in a bounded list.
    fn skip(&mut self, scratch: &mut Vec<u8>) -> Result<(), LineError> {
        let mut open = [0u8; DEPTH_MAX];
        let mut depth = 0;
        loop {
            match self.blank().first() {
                Some(first @ (b'{' | b'[')) => {
                    let closes = if *first == b'{' { b'}' } else { b']' };
                    let place = open
                        .get_mut(depth)
                        .ok_or_else(|| refuse(format!("JSON: nested deeper than {DEPTH_MAX}")))?;
                    *place = closes;
                    depth += 1;
                    self.rest = &self.rest[1..];
                    if self.blank().first() != Some(&closes) {
                        self.skip_name(closes, scratch)?;
                        continue;
                    }
                }
                Some(b'"') => {
                    self.string(scratch)?;
                }
                Some(b't') => self.word(b"true")?,
                Some(b'f') => self.word(b"false")?,
                Some(b'n') => self.word(b"null")?,
                _ => {
                    let number = self.number();
                    number::float(number).ok_or_else(|| self.unexpected("a value"))?;
                }
            }
            // A value is over: its lists and objects may be, too.
            loop {
                let Some(closes) = depth.checked_sub(1).map(|last| open[last]) else {
                    return Ok(());
                };
                if self.blank().first() != Some(&closes) {
                    self.expect(b',')?;
                    self.skip_name(closes, scratch)?;
                    break;
                }
                self.rest = &self.rest[1..];
                depth -= 1;
            }
        }
    }

    /// Skips the name of a member, if it is one of an object.
    fn skip_name(&mut self, closes: u8, scratch: &mut Vec<u8>) -> Result<(), LineError> {
        if closes == b'}' {
            self.string(scratch)?;
            self.expect(b':')?;
        }
        Ok(())
    }
}

/// A value that JSON has no number for.
fn special(text: &[u8]) -> Option<f64> {
    Some(match text {
        b"NaN" | b"nan" => number::NAN,
        b"Infinity" | b"infinity" | b"Inf" | b"inf" => f64::INFINITY,
        b"-Infinity" | b"-infinity" | b"-Inf" | b"-inf" => f64::NEG_INFINITY,
        b"null" | b"Null" => STALE_NAN,
        _ => return None,
    })
}

/// Adds what the escape after a backslash means to `out`; returns its length.
fn unescape(text: &[u8], out: &mut Vec<u8>) -> Result<usize, LineError> {
    let bad = || refuse("JSON: a bad escape");
    let byte = match text.first().ok_or_else(bad)? {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'f' => 12,
        byte @ (b'"' | b'\\' | b'/') => *byte,
        b'u' => {
            let (c, len) = unicode(text).ok_or_else(bad)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(len);
        }
        _ => return Err(bad()),
    };
    out.push(byte);
    Ok(1)
}

/// The character of `u0041` or of the two halves `ud83d\ude00`, and the length of its escape.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let half = |from: usize| {
        let digits = text.get(from..from + 4)?;
        digits.iter().try_fold(0u32, |all, digit| Some(all * 16 + char::from(*digit).to_digit(16)?))
    };
    let first = half(1)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, 5));
    }
    let second = half(7).filter(|_| text.get(5..7) == Some(b"\\u"))?;
    let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    Some((char::from_u32(0x10000 + ((first - 0xd800) << 10) + low)?, 11))
}

#[cfg(test)]
mod tests {
    use m3rs_core::model::{NORMAL_NAN_BITS, STALE_NAN_BITS};

    use super::*;
    use crate::ingest::LineFormat;
    use crate::ingest::recorded::{Recorded, taken};

    fn read(text: &str) -> Recorded {
        taken(LineFormat::Json(JsonLines::default()), text.as_bytes())
    }

    #[test]
    fn members_come_in_any_order_and_others_are_skipped() {
        let text = "{\"metric\":{\"__name__\":\"up\",\"job\":\"a\"},\"values\":[1,2.5],\
                    \"timestamps\":[10,20]}\n\
                    \n\
                    { \"timestamps\" : [ 30 ] , \"x\" : {\"a\":[1,{\"b\":null}],\"c\":{}}, \
                    \"y\":[[],\"]\"],\
                    \"values\":[-1e3],\
                    \"metric\":{\"q\\u00e9\\ud83d\\ude00\":\"a\\n\\\"\\/\",\"\":\"z\",\
                    \"__name__\":\"b\"} }\r\n";
        let recorded = read(text);
        assert_eq!(recorded.refused, Vec::<String>::new());
        assert_eq!(
            recorded.samples,
            [
                "up{job=\"a\"} 1 @10000000",
                "up{job=\"a\"} 2.5 @20000000",
                "b{q\u{e9}\u{1f600}=\"a\\n\\\"/\"} -1000 @30000000",
            ]
        );
        assert_eq!((recorded.counts.series, recorded.counts.samples), (2, 3));
    }

    #[test]
    fn values_that_are_no_numbers_of_json() {
        let text = "{\"metric\":{\"__name__\":\"a\"},\"timestamps\":[1,2,3,4,5],\
                    \"values\":[null,\"NaN\",\"Infinity\",\"-Infinity\",\"-Inf\"]}";
        let infinity = f64::INFINITY.to_bits();
        let minus = f64::NEG_INFINITY.to_bits();
        assert_eq!(read(text).bits, [STALE_NAN_BITS, NORMAL_NAN_BITS, infinity, minus, minus]);
    }

    #[test]
    fn bad_lines_are_named_and_the_others_taken() {
        let good = "{\"metric\":{\"__name__\":\"a\"},\"values\":[1],\"timestamps\":[1]}";
        let metric = "{\"metric\":{\"__name__\":\"a\"}";
        let nested = "[".repeat(33);
        let bad = [
            "hello".to_owned(),
            "{".to_owned(),
            "{}".to_owned(),
            format!("{good}x"),
            format!("{metric},\"values\":[],\"timestamps\":[]}}"),
            format!("{metric},\"values\":[1,2],\"timestamps\":[1]}}"),
            format!("{metric},\"values\":[1],\"timestamps\":[1.5]}}"),
            format!("{metric},\"values\":[inf],\"timestamps\":[1]}}"),
            format!("{metric},\"values\":[\"x\"],\"timestamps\":[1]}}"),
            format!("{metric},\"values\":[1,],\"timestamps\":[1]}}"),
            format!("{metric},\"values\":[1],\"values\":[1],\"timestamps\":[1]}}"),
            "{\"metric\":{\"a\":1},\"values\":[1],\"timestamps\":[1]}".to_owned(),
            "{\"metric\":[],\"values\":[1],\"timestamps\":[1]}".to_owned(),
            "{\"metric\":{\"a\":\"\\ud800\"},\"values\":[1],\"timestamps\":[1]}".to_owned(),
            format!("{{\"x\":{nested}"),
            format!("{metric},\"values\":[1],\"timestamps\":[99999999999999999999]}}"),
        ];
        for line in &bad {
            let recorded = read(&format!("{good}\n{line}\n{good}"));
            assert_eq!(recorded.samples.len(), 2, "{line}");
            assert_eq!(recorded.refused.len(), 1, "{line}");
            assert!(recorded.refused[0].starts_with("line 2: "), "{:?}", recorded.refused);
        }
        assert!(read(&bad[14]).refused[0].contains("nested deeper than 32"));
        let no_name = read("{\"metric\":{\"a\":\"b\"},\"values\":[1,2],\"timestamps\":[1,2]}");
        assert_eq!(no_name.refused, ["{a=\"b\"}: the label __name__ is missing"]);
    }

    #[test]
    fn every_prefix_is_refused_without_a_panic() {
        let line = "{\"metric\":{\"__name__\":\"a\\u0041\"},\"x\":[{\"y\":1}],\
                    \"values\":[1,\"NaN\"],\
                    \"timestamps\":[1,-2]}";
        assert_eq!(read(line).samples.len(), 2);
        for end in 1..line.len() {
            assert_eq!(read(&line[..end]).refused.len(), 1, "{}", &line[..end]);
        }
    }
}
