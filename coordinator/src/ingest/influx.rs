//! InfluxDB's line protocol: `measurement,tag=value field=1,other=2i 1700000000000000000`.
//!
//! A field is a series. Its labels are the tags, which are gathered once a line; only the name is
//! another one for each field.
//!
//! Budget: parse and resolve <= 250 ns/value for known series of 10 tags and 10 fields a line.
//!
//! PARITY(victoriametrics): names, the label of the database, strings as numbers, times without a
//! precision. PARITY(m3): the other dialect.

use std::ops::Range;

use m3rs_core::model::METRIC_NAME;
use memchr::{memchr, memchr2};

use crate::ingest::intake::{Intake, SampleTime};
use crate::ingest::lines::{LineContext, LineError, refuse};
use crate::ingest::number;
use crate::write::WriteSession;

/// What times of a body without further ado are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// By their number of digits: seconds, milliseconds, microseconds or nanoseconds.
    #[default]
    ByDigits,
    /// Multiples of so many nanoseconds.
    Ns(i64),
}

impl Precision {
    /// The precision of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(Self::Ns(match name {
            "n" | "ns" => 1,
            "u" | "us" | "\u{b5}" | "\u{3bc}" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        }))
    }

    fn to_ns(self, t: i64) -> Option<i64> {
        let unit = match self {
            Self::Ns(unit) => unit,
            Self::ByDigits => match t.unsigned_abs() {
                100_000_000_000_000_000.. => 1,
                100_000_000_000_000.. => 1_000,
                100_000_000_000.. => 1_000_000,
                _ => 1_000_000_000,
            },
        };
        t.checked_mul(unit)
    }

    /// Now, as exact as times of this precision are.
    fn now(self, now_ns: i64) -> i64 {
        match self {
            Self::Ns(unit) => now_ns - now_ns.rem_euclid(unit),
            Self::ByDigits => now_ns,
        }
    }
}

/// Whose translation to series is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InfluxDialect {
    /// VictoriaMetrics's: names as they are, strings as numbers.
    VictoriaMetrics,
    /// M3's: names of Prometheus's alphabet, no strings.
    M3,
}

/// The line protocol.
#[derive(Debug)]
pub struct Influx {
    dialect: InfluxDialect,
    precision: Precision,
    /// The value of the label `db` of lines that have no tag of this name; empty for none.
    database: Vec<u8>,
    /// The fields of a line.
    fields: Vec<Field>,
    name: Vec<u8>,
    scratch: [Vec<u8>; 2],
}

#[derive(Debug)]
struct Field {
    key: Range<usize>,
    value: f64,
}

/// The label of the database.
const DATABASE: &[u8] = b"db";

impl Influx {
    /// Lines of a request. `database` is empty if it names none.
    #[must_use]
    pub fn new(dialect: InfluxDialect, precision: Precision, database: &str) -> Self {
        Self {
            dialect,
            precision,
            database: database.as_bytes().to_vec(),
            fields: Vec::new(),
            name: Vec::new(),
            scratch: [Vec::new(), Vec::new()],
        }
    }

    /// Takes a line.
    pub(super) fn line<W: WriteSession>(
        &mut self,
        line: &[u8],
        context: &LineContext,
        intake: &mut Intake<'_, W>,
    ) -> Result<(), LineError> {
        let line = line.trim_ascii();
        if line.is_empty() || line[0] == b'#' {
            return Ok(());
        }
        self.parse(line, context, intake).map_err(|error| match error {
            LineError::Refused(why) => refuse(format!("unable to parse '{}': {why}", shown(line))),
            store @ LineError::Store(_) => store,
        })
    }

    fn parse<W: WriteSession>(
        &mut self,
        line: &[u8],
        context: &LineContext,
        intake: &mut Intake<'_, W>,
    ) -> Result<(), LineError> {
        let has_escapes = memchr(b'\\', line).is_some();
        let measurement = stop(line, 0, has_escapes, (b',', b' ')).unwrap_or(line.len());
        let is_m3 = self.dialect == InfluxDialect::M3;
        if measurement == 0 && is_m3 {
            return Err(refuse("missing measurement"));
        }
        intake.begin();
        let head = self.tags(line, measurement, has_escapes, context, intake)?;
        let time = self.take_fields(line, head, has_escapes)?;
        let t = match &line[time..] {
            [] => self.precision.now(context.now.0),
            text => {
                let t = number::int(text).ok_or_else(|| refuse("bad timestamp"))?;
                self.precision.to_ns(t).ok_or_else(|| refuse("time outside range"))?
            }
        };
        self.name.clear();
        push_plain(&mut self.name, &line[..measurement]);
        if measurement > 0 {
            self.name.push(b'_');
        }
        if is_m3 {
            to_alphabet(&mut self.name, Alphabet::Metric);
        }
        self.push_fields(line, SampleTime::of_ns(t), intake)
    }

    /// Gathers the tags, which end where the fields begin.
    fn tags<W: WriteSession>(
        &mut self,
        line: &[u8],
        from: usize,
        has_escapes: bool,
        context: &LineContext,
        intake: &mut Intake<'_, W>,
    ) -> Result<usize, LineError> {
        let is_m3 = self.dialect == InfluxDialect::M3;
        let [name_scratch, value_scratch] = &mut self.scratch;
        let mut has_database = self.database.is_empty();
        let mut at = from;
        while line.get(at) == Some(&b',') {
            let key = at + 1;
            let end = stop(line, key, has_escapes, (b',', b' ')).unwrap_or(line.len());
            let equals = stop(&line[..end], key, has_escapes, (b'=', b'='))
                .ok_or_else(|| refuse("missing tag value"))?;
            at = end;
            let mut name = plain(&line[key..equals], name_scratch);
            let value = plain(&line[equals + 1..end], value_scratch);
            if is_m3 {
                if name.is_empty() || value.is_empty() {
                    let what =
                        if name.is_empty() { "missing tag key" } else { "missing tag value" };
                    return Err(refuse(what));
                }
                if !is_of_alphabet(name, Alphabet::Label) {
                    let mut owned = name.to_vec();
                    to_alphabet(&mut owned, Alphabet::Label);
                    *name_scratch = owned;
                    name = name_scratch;
                }
            }
            has_database |= name == DATABASE;
            if !name.is_empty() && !context.overrides(name) {
                intake.label(name, value);
            }
        }
        if !has_database && !context.overrides(DATABASE) {
            intake.label(DATABASE, &self.database);
        }
        context.add_labels(intake);
        Ok(at)
    }

    /// Reads the fields; says where the time begins, which is perhaps the end of the line.
    fn take_fields(
        &mut self,
        line: &[u8],
        from: usize,
        has_escapes: bool,
    ) -> Result<usize, LineError> {
        self.fields.clear();
        let mut at = skip_spaces(line, from);
        if at == line.len() {
            return Err(refuse("missing fields"));
        }
        loop {
            let equals = stop(line, at, has_escapes, (b'=', b' '))
                .filter(|end| line[*end] == b'=')
                .ok_or_else(|| refuse("missing field value"))?;
            if equals == at {
                return Err(refuse("missing field key"));
            }
            let key = at..equals;
            let value = equals + 1;
            let end = match line.get(value) {
                Some(b'"') => closing_quote(line, value).ok_or_else(|| refuse(UNBALANCED))?,
                _ => memchr2(b',', b' ', &line[value..]).map_or(line.len(), |len| value + len),
            };
            let read = field_value(&line[value..end], self.dialect)?;
            self.fields.extend(read.map(|value| Field { key, value }));
            match line.get(end) {
                Some(b',') => at = end + 1,
                Some(b' ') => return Ok(trimmed(line, skip_spaces(line, end))),
                None => return Ok(end),
                Some(_) => return Err(refuse("invalid field format")),
            }
        }
    }

    fn push_fields<W: WriteSession>(
        &mut self,
        line: &[u8],
        t: SampleTime,
        intake: &mut Intake<'_, W>,
    ) -> Result<(), LineError> {
        let (labels, prefix) = (intake.mark(), self.name.len());
        for field in &self.fields {
            intake.truncate(labels);
            self.name.truncate(prefix);
            push_plain(&mut self.name, &line[field.key.clone()]);
            if self.dialect == InfluxDialect::M3 {
                to_alphabet(&mut self.name[prefix..], Alphabet::MetricTail);
            }
            intake.label(METRIC_NAME.as_bytes(), &self.name);
            let counts = intake.counts();
            counts.series += 1;
            counts.samples += 1;
            if let Some(series) = intake.series(1)? {
                intake.float(series, t, field.value, 0)?;
            }
        }
        Ok(())
    }
}

const UNBALANCED: &str = "unbalanced quotes";

/// The value of a field; `None` for a string that is not kept.
fn field_value(text: &[u8], dialect: InfluxDialect) -> Result<Option<f64>, LineError> {
    let bad_number = || refuse("invalid number");
    Ok(Some(match text {
        [] => return Err(refuse("missing field value")),
        [b'"', inner @ .., b'"'] => match dialect {
            InfluxDialect::VictoriaMetrics => number::float(inner).unwrap_or(0.0),
            InfluxDialect::M3 => return Ok(None),
        },
        [digits @ .., b'i'] if !digits.is_empty() => {
            number::int(digits).ok_or_else(bad_number)? as f64
        }
        [digits @ .., b'u'] if !digits.is_empty() => {
            number::unsigned(digits).ok_or_else(bad_number)? as f64
        }
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => 1.0,
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => 0.0,
        [b't' | b'T' | b'f' | b'F', ..] => return Err(refuse("invalid boolean")),
        number => number::float(number).ok_or_else(bad_number)?,
    }))
}

/// The first of two bytes from `from` on that is not escaped.
#[inline]
fn stop(line: &[u8], from: usize, has_escapes: bool, (a, b): (u8, u8)) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr2(a, b, line.get(at..)?)?;
        if !has_escapes || !is_escaped(line, from, at) {
            return Some(at);
        }
        at += 1;
    }
}

/// Whether an odd number of backslashes stands before `at`.
fn is_escaped(line: &[u8], from: usize, at: usize) -> bool {
    let before = &line[from..at];
    let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
    backslashes % 2 == 1
}

/// The place after the quote that closes the one at `open`.
fn closing_quote(line: &[u8], open: usize) -> Option<usize> {
    let inner = open + 1;
    let mut at = inner;
    loop {
        at += memchr(b'"', line.get(at..)?)?;
        if !is_escaped(line, inner, at) {
            return Some(at + 1);
        }
        at += 1;
    }
}

fn skip_spaces(line: &[u8], from: usize) -> usize {
    from + line[from..].iter().take_while(|byte| **byte == b' ').count()
}

/// `from`, or the end of the line if nothing but spaces follows.
fn trimmed(line: &[u8], from: usize) -> usize {
    if line[from..].trim_ascii().is_empty() { line.len() } else { from }
}

/// A key or tag value without its escapes, in `scratch` if there are any.
#[inline]
fn plain<'a>(text: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if memchr(b'\\', text).is_none() {
        return text;
    }
    scratch.clear();
    push_plain(scratch, text);
    scratch
}

/// A backslash escapes a comma, an equals sign, a space and itself; before others it is one.
#[inline]
fn push_plain(out: &mut Vec<u8>, mut text: &[u8]) {
    while let Some(at) = memchr(b'\\', text) {
        out.extend_from_slice(&text[..at]);
        match text.get(at + 1) {
            Some(escaped @ (b',' | b'=' | b' ' | b'\\')) => {
                out.push(*escaped);
                text = &text[at + 2..];
            }
            _ => {
                out.push(b'\\');
                text = &text[at + 1..];
            }
        }
    }
    out.extend_from_slice(text);
}

/// Which bytes a name may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alphabet {
    Metric,
    MetricTail,
    Label,
}

fn is_allowed(alphabet: Alphabet, at: usize, byte: u8) -> bool {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'_' => true,
        b'0'..=b'9' => at > 0 || alphabet == Alphabet::MetricTail,
        b':' => alphabet != Alphabet::Label,
        _ => false,
    }
}

fn is_of_alphabet(name: &[u8], alphabet: Alphabet) -> bool {
    name.iter().enumerate().all(|(at, byte)| is_allowed(alphabet, at, *byte))
}

/// Puts an underscore in the place of each byte that must not be.
fn to_alphabet(name: &mut [u8], alphabet: Alphabet) {
    for (at, byte) in name.iter_mut().enumerate() {
        if !is_allowed(alphabet, at, *byte) {
            *byte = b'_';
        }
    }
}

/// The beginning of a line, for an error.
fn shown(line: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 128;
    let mut text = String::from_utf8_lossy(&line[..line.len().min(SHOWN_BYTES_MAX)]).into_owned();
    if line.len() > SHOWN_BYTES_MAX {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use m3rs_core::time::TimestampNs;

    use super::*;
    use crate::ingest::LineFormat;
    use crate::ingest::recorded::{Recorded, taken, taken_with};

    fn victoria(text: &str) -> Recorded {
        let format = Influx::new(InfluxDialect::VictoriaMetrics, Precision::Ns(1), "");
        taken(LineFormat::Influx(format), text.as_bytes())
    }

    fn m3(text: &str) -> Recorded {
        let format = Influx::new(InfluxDialect::M3, Precision::Ns(1), "");
        taken(LineFormat::Influx(format), text.as_bytes())
    }

    #[test]
    fn every_field_is_a_series() {
        let text = "cpu,host=a,zone=b usage=1.5,cores=4i,free=18446744073709551615u 1000\n\
                    # a comment\n\n\
                    mem used=t,full=FALSE\r\n  up value=1e3 -5";
        let recorded = victoria(text);
        assert_eq!(
            recorded.samples,
            [
                "cpu_usage{host=\"a\",zone=\"b\"} 1.5 @1000",
                "cpu_cores{host=\"a\",zone=\"b\"} 4 @1000",
                "cpu_free{host=\"a\",zone=\"b\"} 18446744073709552000 @1000",
                "mem_used 1 @7500000000",
                "mem_full 0 @7500000000",
                "up_value 1000 @-5",
            ]
        );
        assert_eq!(recorded.refused, Vec::<String>::new());
        assert_eq!(recorded.counts.samples, 6);
    }

    #[test]
    fn escapes_and_quotes_are_those_of_the_protocol() {
        let recorded = victoria(
            "my\\ cpu\\,x,ta\\=g=va\\ l\\\\ue,b=c\\d f\\ 1=1,s=\"a, b=\\\"c\\\" 7\",n=\"12.5\" 5\n\
             m s=\"7\\\\\" 6",
        );
        assert_eq!(
            recorded.samples,
            [
                "my cpu,x_f 1{b=\"c\\\\d\",ta=g=\"va l\\\\ue\"} 1 @5",
                "my cpu,x_s{b=\"c\\\\d\",ta=g=\"va l\\\\ue\"} 0 @5",
                "my cpu,x_n{b=\"c\\\\d\",ta=g=\"va l\\\\ue\"} 12.5 @5",
                "m_s 0 @6",
            ]
        );
        assert_eq!(recorded.refused, Vec::<String>::new());
    }

    #[test]
    fn bad_lines_are_named_and_the_others_taken() {
        let recorded = victoria(
            "good a=1\nonly_measurement\nm \nm a\nm a=\nm =1\nm a=1,b=x\n\
             m a=1i2\nm a=\"x\nm a=1 z\n\
             m a=1 99999999999999999999\nm,t a=1\nm a=true1\nm a=\"x\"y\nm a=1 2 3\ngood b=2",
        );
        assert_eq!(recorded.samples, ["good_a 1 @7500000000", "good_b 2 @7500000000"]);
        let whys: Vec<(&str, &str)> = recorded
            .refused
            .iter()
            .map(|told| {
                let (place, rest) = told.split_once(": ").expect("a place");
                (place, rest.rsplit_once(": ").expect("a reason").1)
            })
            .collect();
        assert_eq!(
            whys,
            [
                ("line 2", "missing fields"),
                ("line 3", "missing fields"),
                ("line 4", "missing field value"),
                ("line 5", "missing field value"),
                ("line 6", "missing field key"),
                ("line 7", "invalid number"),
                ("line 8", "invalid number"),
                ("line 9", "unbalanced quotes"),
                ("line 10", "bad timestamp"),
                ("line 11", "bad timestamp"),
                ("line 12", "missing tag value"),
                ("line 13", "invalid boolean"),
                ("line 14", "invalid field format"),
                ("line 15", "bad timestamp"),
            ]
        );
        let text = &recorded.refused[0];
        assert_eq!(text, "line 2: unable to parse 'only_measurement': missing fields");
    }

    #[test]
    fn the_database_and_labels_of_the_request_are_labels() {
        let format = || {
            let format = Influx::new(InfluxDialect::VictoriaMetrics, Precision::ByDigits, "main");
            LineFormat::Influx(format)
        };
        let text = b"a,t=1 f=1 1700000000\nb,db=own f=1 1700000000123\n,x=y f=1 1700000000123456\n\
                     c,empty= f=1 1700000000123456789";
        assert_eq!(
            taken(format(), text).samples,
            [
                "a_f{db=\"main\",t=\"1\"} 1 @1700000000000000000",
                "b_f{db=\"own\"} 1 @1700000000123000000",
                "f{db=\"main\",x=\"y\"} 1 @1700000000123456000",
                "c_f{db=\"main\"} 1 @1700000000123456789",
            ]
        );
        let labels = vec![("t".to_owned(), "over".to_owned())];
        let context = LineContext { now: TimestampNs(0), labels };
        assert_eq!(
            taken_with(format(), context, b"a,t=1 f=1").samples,
            ["a_f{db=\"main\",t=\"over\"} 1 @0"]
        );
    }

    #[test]
    fn precisions_scale_times_and_now() {
        for (name, t, now) in [
            ("n", 3i64, 7_500_000_000i64),
            ("ns", 3, 7_500_000_000),
            ("u", 3_000, 7_500_000_000),
            ("us", 3_000, 7_500_000_000),
            ("\u{b5}", 3_000, 7_500_000_000),
            ("ms", 3_000_000, 7_500_000_000),
            ("s", 3_000_000_000, 7_000_000_000),
            ("m", 180_000_000_000, 0),
            ("h", 10_800_000_000_000, 0),
        ] {
            let precision = Precision::named(name).expect(name);
            let format = Influx::new(InfluxDialect::VictoriaMetrics, precision, "");
            let recorded = taken(LineFormat::Influx(format), b"a f=1 3\na f=1");
            assert_eq!(recorded.samples, [format!("a_f 1 @{t}"), format!("a_f 1 @{now}")]);
        }
        assert_eq!(Precision::named("d"), None);
        let hours = Influx::new(InfluxDialect::M3, Precision::Ns(3_600_000_000_000), "");
        let recorded = taken(LineFormat::Influx(hours), b"a f=1 9223372036854775807");
        assert!(recorded.refused[0].ends_with("time outside range"), "{:?}", recorded.refused);
    }

    #[test]
    fn m3_s_names_have_prometheus_s_alphabet() {
        let recorded = m3("my-cpu.load,host-name=a\\ b,0x=1 value=1,9.x=2i,text=\"7\",ok=true 5\n\
             \u{e9} f=1 5\nm,a-b=1,a.b=2 f=1 5\n,x=y f=1\nm s=\"only\" 5\nm,a= f=1");
        assert_eq!(
            recorded.samples,
            [
                "my_cpu_load_value{_x=\"1\",host_name=\"a b\"} 1 @5",
                "my_cpu_load_9_x{_x=\"1\",host_name=\"a b\"} 2 @5",
                "my_cpu_load_ok{_x=\"1\",host_name=\"a b\"} 1 @5",
                "___f 1 @5",
            ]
        );
        let refused = &recorded.refused;
        assert_eq!(refused.len(), 3, "{refused:?}");
        assert!(refused[0].contains("duplicate label name \"a_b\""), "{refused:?}");
        assert!(refused[1].ends_with("missing measurement"), "{refused:?}");
        assert!(refused[2].ends_with("missing tag value"), "{refused:?}");
    }
}
