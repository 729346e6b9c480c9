//! An answer as M3's JSON, for people who look at what a remote read gives.

use std::io;

use bytes::Bytes;
use m3rs_core::model::{Labels, MatchOp};
use m3rs_query::number::write_float;
use m3rs_query::render::{Escaping, write_text};
use m3rs_query::source::SampleColumns;

use super::{PIECE_BYTES, ReadError, ReadQuery, Reading};
use crate::http::time::rfc3339_ms;
use crate::read::AnswerRest;

/// The rest of an answer.
pub(crate) struct JsonAnswer {
    reading: Reading,
    out: Vec<u8>,
    /// The query whose object is open.
    open: Option<usize>,
    /// Whether it has a series already.
    has_series: bool,
    /// Queries whose objects are closed.
    closed: usize,
    samples: u64,
    is_done: bool,
}

impl JsonAnswer {
    /// Writes all that `reading` reads.
    pub(crate) fn new(reading: Reading) -> Self {
        let out = b"{\"queries\":[".to_vec();
        let reading = reading.with_empty_series();
        let (open, has_series) = (None, false);
        Self { reading, out, open, has_series, closed: 0, samples: 0, is_done: false }
    }

    /// The next part of the text; none at the end.
    ///
    /// # Errors
    /// As [`Reading::read_some`], and [`ReadError::TooManySamples`].
    pub(crate) fn text(&mut self) -> Result<Vec<Bytes>, ReadError> {
        while !self.is_done && self.out.len() < PIECE_BYTES {
            self.write_some()?;
        }
        let out = std::mem::take(&mut self.out);
        Ok(if out.is_empty() { Vec::new() } else { vec![Bytes::from(out)] })
    }

    fn write_some(&mut self) -> Result<(), ReadError> {
        if self.open.is_none()
            && let Some(query) = self.reading.queries().get(self.closed)
        {
            if self.closed > 0 {
                self.out.push(b',');
            }
            put_query(&mut self.out, query);
            (self.open, self.has_series, self.samples) = (Some(self.closed), false, 0);
        }
        let limit = self.reading.limits().samples_max;
        let times = self.reading.queries().get(self.closed).map(|q| (q.start_ms, q.end_ms));
        let Self { out, has_series, samples, .. } = self;
        let read = self.reading.read_some(|_, labels, columns| {
            *samples += columns.len() as u64;
            if *samples > limit {
                return Err(ReadError::TooManySamples { limit });
            }
            if std::mem::replace(has_series, true) {
                out.push(b',');
            }
            put_series(out, times.unwrap_or_default(), labels, columns);
            Ok(())
        })?;
        match read {
            Some((_, true)) => {}
            Some((_, false)) => {
                self.out.extend_from_slice(b"]}");
                self.open = None;
                self.closed += 1;
            }
            None => {
                self.out.extend_from_slice(b"]}\n");
                self.is_done = true;
            }
        }
        Ok(())
    }
}

impl AnswerRest for JsonAnswer {
    fn next_pieces(&mut self) -> io::Result<Vec<Bytes>> {
        self.text().map_err(|error| {
            tracing::warn!(%error, "remote read ended early");
            io::Error::other(error)
        })
    }
}

fn put_query(out: &mut Vec<u8>, query: &ReadQuery) {
    out.extend_from_slice(b"{\"query\":{\"matchers\":[");
    for (i, matcher) in query.matchers.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        let kind: &[u8] = match matcher.op {
            MatchOp::Equal => b"EQ",
            MatchOp::NotEqual => b"NEQ",
            MatchOp::Regexp => b"RE",
            MatchOp::NotRegexp => b"NRE",
        };
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(kind);
        out.extend_from_slice(b"\",\"name\":");
        write_text(out, &matcher.name, Escaping::Html);
        out.extend_from_slice(b",\"value\":");
        write_text(out, &matcher.value, Escaping::Html);
        out.push(b'}');
    }
    out.extend_from_slice(b"]},");
    put_times(out, (query.start_ms, query.end_ms));
    out.extend_from_slice(b",\"series\":[");
}

fn put_times(out: &mut Vec<u8>, (start_ms, end_ms): (i64, i64)) {
    let times =
        format!("\"start\":\"{}\",\"end\":\"{}\"", rfc3339_ms(start_ms), rfc3339_ms(end_ms));
    out.extend_from_slice(times.as_bytes());
}

/// Native histograms have no form here.
fn put_series(out: &mut Vec<u8>, times: (i64, i64), labels: &Labels, columns: &SampleColumns) {
    out.push(b'{');
    put_times(out, times);
    out.extend_from_slice(b",\"tags\":[");
    for (i, (name, value)) in labels.iter().enumerate() {
        out.extend_from_slice(if i > 0 { b",[" } else { b"[" });
        write_text(out, name, Escaping::Html);
        out.push(b',');
        write_text(out, value, Escaping::Html);
        out.push(b']');
    }
    out.extend_from_slice(b"],\"datapoints\":[");
    for (i, (t, v)) in columns.ts.iter().zip(&columns.vs).enumerate() {
        out.extend_from_slice(if i > 0 { b",{\"val\":\"" } else { b"{\"val\":\"" });
        write_float(out, *v);
        out.extend_from_slice(b"\",\"ts\":\"");
        out.extend_from_slice(rfc3339_ms(*t).as_bytes());
        out.extend_from_slice(b"\"}");
    }
    out.extend_from_slice(b"]}");
}
