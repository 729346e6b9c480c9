//! CSV: each column is a label, a value or the time, as the request says.
//!
//! PARITY(victoriametrics): the words of the format, quotes of both kinds, columns that are empty
//! or too many, and a first line that is a header.

use std::ops::Range;

use m3rs_core::model::METRIC_NAME;
use m3rs_core::time::{NS_PER_S, TimestampNs};
use memchr::memchr;

use crate::ingest::intake::{Intake, SampleTime};
use crate::ingest::lines::{LineContext, LineError, refuse};
use crate::ingest::number;
use crate::ingest::time_layout::TimeLayout;
use crate::write::WriteSession;

/// The most columns that a format may name.
const COLUMNS_MAX: usize = 64 * 1024;

/// Why a text is no format of columns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvFormatError {
    /// Not of three parts.
    #[error("entry {0:?} is not <column>:<type>:<context>")]
    Entry(String),
    /// No number of a column.
    #[error("entry {0:?}: the column is not a number from 1 to 65536")]
    Column(String),
    /// No type of a column.
    #[error("entry {0:?}: the type is not time, label or metric")]
    Type(String),
    /// No format of times.
    #[error(
        "entry {0:?}: the time is not unix_s, unix_ms, unix_ns, rfc3339 or custom:<layout of Go>"
    )]
    Time(String),
    /// A label or metric without a name.
    #[error("entry {0:?}: no name")]
    NoName(String),
    /// A column twice, or two of times.
    #[error("entry {0:?}: there is another one for this column or for the time")]
    Twice(String),
    /// No value.
    #[error("no column is a metric")]
    NoMetric,
}

/// What a column is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Ignored,
    Time(TimeFormat),
    Label(Vec<u8>),
    Metric(Vec<u8>),
}

/// How the time is written.
#[derive(Clone, Debug, PartialEq, Eq)]
enum TimeFormat {
    /// Multiples of so many nanoseconds.
    Unix(i64),
    Layout(TimeLayout),
}

impl TimeFormat {
    fn parse(&self, text: &[u8]) -> Option<TimestampNs> {
        match self {
            Self::Unix(unit) => Some(TimestampNs(number::int(text)?.checked_mul(*unit)?)),
            Self::Layout(layout) => layout.parse(std::str::from_utf8(text).ok()?),
        }
    }
}

/// The CSV lines of a request.
#[derive(Debug)]
pub struct Csv {
    columns: Vec<Column>,
    is_first: bool,
    /// Fields of the line at hand, which are in `unquoted` if they had quotes in them.
    fields: Vec<CsvField>,
    unquoted: Vec<u8>,
    /// Columns of values, and the values.
    values: Vec<(usize, f64)>,
}

#[derive(Clone, Debug)]
enum CsvField {
    Plain(Range<usize>),
    Unquoted(Range<usize>),
}

impl CsvField {
    fn text<'a>(&self, line: &'a [u8], unquoted: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Plain(range) => &line[range.clone()],
            Self::Unquoted(range) => &unquoted[range.clone()],
        }
    }
}

impl Csv {
    /// Lines of the columns that `format` tells: `<column>:<type>:<context>`, with commas between
    /// them.
    ///
    /// # Errors
    /// The first entry that cannot be.
    pub fn new(format: &str) -> Result<Self, CsvFormatError> {
        let mut columns = Vec::new();
        for entry in format.split(',') {
            let own = || entry.to_owned();
            let (number, rest) =
                entry.split_once(':').ok_or_else(|| CsvFormatError::Entry(own()))?;
            let (kind, name) = rest.split_once(':').ok_or_else(|| CsvFormatError::Entry(own()))?;
            let number: usize = number.parse().map_err(|_| CsvFormatError::Column(own()))?;
            if !(1..=COLUMNS_MAX).contains(&number) {
                return Err(CsvFormatError::Column(own()));
            }
            let column = match kind {
                "time" => {
                    Column::Time(time_format(name).ok_or_else(|| CsvFormatError::Time(own()))?)
                }
                "label" | "metric" if name.is_empty() => return Err(CsvFormatError::NoName(own())),
                "label" => Column::Label(name.as_bytes().to_vec()),
                "metric" => Column::Metric(name.as_bytes().to_vec()),
                _ => return Err(CsvFormatError::Type(own())),
            };
            let is_time = |column: &Column| matches!(column, Column::Time(_));
            if columns.len() < number {
                columns.resize(number, Column::Ignored);
            }
            let is_twice = columns[number - 1] != Column::Ignored
                || (is_time(&column) && columns.iter().any(is_time));
            if is_twice {
                return Err(CsvFormatError::Twice(own()));
            }
            columns[number - 1] = column;
        }
        if !columns.iter().any(|column| matches!(column, Column::Metric(_))) {
            return Err(CsvFormatError::NoMetric);
        }
        let (fields, unquoted, values) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { columns, is_first: true, fields, unquoted, values })
    }

    /// Takes a line.
    pub(super) fn line<W: WriteSession>(
        &mut self,
        line: &[u8],
        context: &LineContext,
        intake: &mut Intake<'_, W>,
    ) -> Result<(), LineError> {
        if line.is_empty() {
            return Ok(());
        }
        let is_first = std::mem::replace(&mut self.is_first, false);
        self.split(line)?;
        if is_first && self.is_header(line) {
            return Ok(());
        }
        let (found, wanted) = (self.fields.len(), self.columns.len());
        if found < wanted {
            return Err(refuse(format!("{found} columns, the format has {wanted}")));
        }
        let mut t = SampleTime::of_ns(context.now.0);
        intake.begin();
        self.values.clear();
        for (at, (column, field)) in self.columns.iter().zip(&self.fields).enumerate() {
            let text = field.text(line, &self.unquoted);
            if text.is_empty() {
                continue;
            }
            let bad = |what| {
                let shown = String::from_utf8_lossy(&text[..text.len().min(64)]);
                refuse(format!("column {}: cannot parse {what} {shown:?}", at + 1))
            };
            match column {
                Column::Ignored => {}
                Column::Time(format) => {
                    t = SampleTime::of_ns(format.parse(text).ok_or_else(|| bad("time"))?.0);
                }
                Column::Label(name) if context.overrides(name) => {}
                Column::Label(name) => intake.label(name, text),
                Column::Metric(_) => {
                    self.values.push((at, number::float(text).ok_or_else(|| bad("value"))?));
                }
            }
        }
        context.add_labels(intake);
        let labels = intake.mark();
        for &(at, value) in &self.values {
            let Column::Metric(name) = &self.columns[at] else { continue };
            intake.truncate(labels);
            intake.label(METRIC_NAME.as_bytes(), name);
            let counts = intake.counts();
            counts.series += 1;
            counts.samples += 1;
            if let Some(series) = intake.series(1)? {
                intake.float(series, t, value, 0)?;
            }
        }
        Ok(())
    }

    /// Whether a time or a value of the line is none.
    fn is_header(&self, line: &[u8]) -> bool {
        self.columns.iter().zip(&self.fields).any(|(column, field)| {
            let text = field.text(line, &self.unquoted);
            match column {
                _ if text.is_empty() => false,
                Column::Time(format) => format.parse(text).is_none(),
                Column::Metric(_) => number::float(text).is_none(),
                Column::Ignored | Column::Label(_) => false,
            }
        })
    }

    /// Finds the fields that the format has columns for.
    fn split(&mut self, line: &[u8]) -> Result<(), LineError> {
        self.fields.clear();
        self.unquoted.clear();
        let mut at = 0;
        while self.fields.len() < self.columns.len() {
            let end = match line.get(at) {
                Some(quote @ (b'"' | b'\'')) => {
                    let (field, end) = self.unquote(line, at, *quote)?;
                    self.fields.push(field);
                    end
                }
                _ => {
                    let rest = &line[at..];
                    let end = at + memchr(b',', rest).unwrap_or(rest.len());
                    self.fields.push(CsvField::Plain(at..end));
                    end
                }
            };
            match line.get(end) {
                None => return Ok(()),
                Some(b',') => at = end + 1,
                Some(_) => return Err(refuse("no comma after a quoted column")),
            }
        }
        Ok(())
    }

    /// A field that begins with a quote, and the place after it. A quote twice is one.
    fn unquote(
        &mut self,
        line: &[u8],
        open: usize,
        quote: u8,
    ) -> Result<(CsvField, usize), LineError> {
        let unclosed = || refuse("a quote without its end");
        let close = |from: usize| {
            let rest = line.get(from..)?;
            memchr(quote, rest).map(|len| from + len)
        };
        let mut at = close(open + 1).ok_or_else(unclosed)?;
        if line.get(at + 1) != Some(&quote) {
            return Ok((CsvField::Plain(open + 1..at), at + 1));
        }
        let (start, mut from) = (self.unquoted.len(), open + 1);
        while line.get(at + 1) == Some(&quote) {
            self.unquoted.extend_from_slice(&line[from..=at]);
            from = at + 2;
            at = close(from).ok_or_else(unclosed)?;
        }
        self.unquoted.extend_from_slice(&line[from..at]);
        Ok((CsvField::Unquoted(start..self.unquoted.len()), at + 1))
    }
}

fn time_format(name: &str) -> Option<TimeFormat> {
    Some(match name {
        "unix_s" => TimeFormat::Unix(NS_PER_S),
        "unix_ms" => TimeFormat::Unix(1_000_000),
        "unix_ns" => TimeFormat::Unix(1),
        "rfc3339" => TimeFormat::Layout(TimeLayout::rfc3339()),
        _ => TimeFormat::Layout(TimeLayout::new(name.strip_prefix("custom:")?)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::LineFormat;
    use crate::ingest::recorded::{Recorded, taken};

    fn read(format: &str, text: &str) -> Recorded {
        taken(LineFormat::Csv(Csv::new(format).expect("a format")), text.as_bytes())
    }

    #[test]
    fn columns_are_what_the_format_says() {
        let format = "1:metric:temperature,2:metric:humidity,4:label:city,5:time:unix_s";
        let text = "ask,bid,x,town,t\n1,2,x,Kyiv,3\n4,,x,\"a \"\"b\"\", c\",5,further\n\
                    ,7,x,'it''s',\n,,,,";
        let recorded = read(format, text);
        assert_eq!(
            recorded.samples,
            [
                "temperature{city=\"Kyiv\"} 1 @3000000000",
                "humidity{city=\"Kyiv\"} 2 @3000000000",
                "temperature{city=\"a \\\"b\\\", c\"} 4 @5000000000",
                "humidity{city=\"it's\"} 7 @7500000000",
            ]
        );
        assert_eq!(recorded.refused, Vec::<String>::new());
    }

    #[test]
    fn times_have_formats() {
        for (format, text) in [
            ("unix_s", "1709211845"),
            ("unix_ms", "1709211845000"),
            ("unix_ns", "1709211845000000000"),
            ("rfc3339", "2024-02-29T15:04:05+02:00"),
            ("custom:2006-01-02 15:04:05", "2024-02-29 13:04:05"),
        ] {
            let recorded = read(&format!("1:time:{format},2:metric:a"), &format!("{text},1"));
            assert_eq!(recorded.samples, ["a 1 @1709211845000000000"], "{format}");
        }
    }

    #[test]
    fn bad_lines_are_named_and_the_others_taken() {
        let recorded = read(
            "1:metric:a,2:time:unix_ms",
            "1,1\nx,2\n3\n4,\"5\n6,'7'x\n8,9e3\n10,11\n\n9223372036854775807,9223372036854775807",
        );
        assert_eq!(recorded.samples, ["a 1 @1000000", "a 10 @11000000"]);
        assert_eq!(
            recorded.refused,
            [
                "line 2: column 1: cannot parse value \"x\"",
                "line 3: 1 columns, the format has 2",
                "line 4: a quote without its end",
                "line 5: no comma after a quoted column",
                "line 6: column 2: cannot parse time \"9e3\"",
                "line 9: column 2: cannot parse time \"9223372036854775807\"",
            ]
        );
    }

    #[test]
    fn bad_formats_are_named() {
        for (format, error) in [
            ("", CsvFormatError::Entry(String::new())),
            ("1:metric", CsvFormatError::Entry("1:metric".into())),
            ("0:metric:a", CsvFormatError::Column("0:metric:a".into())),
            ("65537:metric:a", CsvFormatError::Column("65537:metric:a".into())),
            ("x:metric:a", CsvFormatError::Column("x:metric:a".into())),
            ("1:value:a", CsvFormatError::Type("1:value:a".into())),
            ("1:label:", CsvFormatError::NoName("1:label:".into())),
            ("1:time:unix", CsvFormatError::Time("1:time:unix".into())),
            ("1:metric:a,1:metric:b", CsvFormatError::Twice("1:metric:b".into())),
            ("1:time:unix_s,2:time:unix_s", CsvFormatError::Twice("2:time:unix_s".into())),
            ("1:label:a", CsvFormatError::NoMetric),
        ] {
            assert_eq!(Csv::new(format).expect_err(format), error, "{format}");
        }
        assert!(Csv::new("65536:metric:a").is_ok());
    }
}
