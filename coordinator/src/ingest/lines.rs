//! Bodies of lines: the part that all formats of lines share.
//!
//! A body comes in pieces of whole lines; [`Lines`] keeps what a piece must know of those before,
//! such as the number of the line. A bad line is refused and told with its number, the others are
//! taken.

use m3rs_core::time::TimestampNs;
use memchr::memchr;

use crate::ingest::csv::Csv;
use crate::ingest::exposition::Exposition;
use crate::ingest::influx::Influx;
use crate::ingest::intake::Intake;
use crate::ingest::json_lines::JsonLines;
use crate::ingest::labels::LabelPolicy;
use crate::ingest::{Refusals, WalkCounts};
use crate::write::{StoreError, WriteRefusal, WriteSession};

/// Which format the lines have.
#[derive(Debug)]
pub enum LineFormat {
    /// InfluxDB's line protocol.
    Influx(Influx),
    /// Prometheus's text format, or OpenMetrics.
    Exposition(Exposition),
    /// VictoriaMetrics's JSON lines.
    Json(JsonLines),
    /// CSV.
    Csv(Csv),
}

/// What a request says about all of its lines.
#[derive(Clone, Debug, Default)]
pub struct LineContext {
    /// The time of samples without one.
    pub now: TimestampNs,
    /// Labels of every series. They stand above labels of the same name in a line.
    pub labels: Vec<(String, String)>,
}

impl LineContext {
    /// Whether a label of this name in a line does not count.
    #[inline]
    pub(super) fn overrides(&self, name: &[u8]) -> bool {
        self.labels.iter().any(|(own, _)| own.as_bytes() == name)
    }

    /// Adds the labels of every series.
    #[inline]
    pub(super) fn add_labels<W: WriteSession>(&self, intake: &mut Intake<'_, W>) {
        for (name, value) in &self.labels {
            intake.label(name.as_bytes(), value.as_bytes());
        }
    }
}

/// Why a line was not taken.
#[derive(Debug)]
pub(super) enum LineError {
    /// It is wrong.
    Refused(String),
    /// Nothing can be written now.
    Store(StoreError),
}

impl From<StoreError> for LineError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A line that is wrong.
#[cold]
pub(super) fn refuse(why: impl Into<String>) -> LineError {
    LineError::Refused(why.into())
}

/// A body of lines at work.
#[derive(Debug)]
pub struct Lines {
    format: LineFormat,
    context: LineContext,
    /// Lines that came so far.
    count: u64,
    is_last: bool,
}

impl Lines {
    /// The lines of a request, before the first.
    #[must_use]
    pub fn new(format: LineFormat, context: LineContext) -> Self {
        Self { format, context, count: 0, is_last: false }
    }

    /// Says that the next piece is the last one.
    pub fn end(&mut self) {
        self.is_last = true;
    }

    /// Refuses the next line, which is longer than `limit` and not there.
    pub fn skip_overlong(&mut self, limit: usize, refusals: &mut Refusals) {
        self.count += 1;
        let number = self.count;
        refusals.add_of(|| place(number), 1, &overlong(limit));
    }

    /// Takes a piece of whole lines.
    pub(super) fn walk<W: WriteSession>(
        &mut self,
        piece: &[u8],
        line_bytes_max: usize,
        (session, policy): (&mut W, &LabelPolicy),
        refusals: &mut Refusals,
    ) -> Result<WalkCounts, StoreError> {
        let mut intake = Intake::new(session, policy, refusals);
        let mut rest = piece;
        while !rest.is_empty() {
            let end = memchr(b'\n', rest);
            let line = &rest[..end.unwrap_or(rest.len())];
            rest = end.map_or(&[][..], |end| &rest[end + 1..]);
            self.count += 1;
            let number = self.count;
            if line.len() > line_bytes_max {
                intake.refuse_of(|| place(number), 1, &overlong(line_bytes_max));
                continue;
            }
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let context = &self.context;
            let taken = match &mut self.format {
                LineFormat::Influx(format) => format.line(line, context, &mut intake),
                LineFormat::Exposition(format) => format.line(line, context, &mut intake),
                LineFormat::Json(format) => format.line(line, context, &mut intake),
                LineFormat::Csv(format) => format.line(line, context, &mut intake),
            };
            match taken {
                Ok(()) => {}
                Err(LineError::Refused(why)) => {
                    intake.refuse_of(|| place(number), 1, &WriteRefusal::Malformed(why));
                }
                Err(LineError::Store(error)) => return Err(error),
            }
        }
        if let LineFormat::Exposition(format) = &mut self.format
            && self.is_last
        {
            format.finish(&mut intake)?;
        }
        Ok(*intake.counts())
    }
}

fn place(number: u64) -> String {
    format!("line {number}")
}

fn overlong(limit: usize) -> WriteRefusal {
    WriteRefusal::Malformed(format!("longer than {limit} bytes (ingest.line_bytes_max)"))
}
