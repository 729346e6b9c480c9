//! JSON lines, and the shape of an answer to a range query.

use m3rs_core::model::{Labels, METRIC_NAME, is_stale};
use m3rs_query::source::SampleColumns;

use crate::http::export::SeriesWriter;
use crate::http::export::text::{put_float, put_int};
use crate::http::prometheus::series_list::push_json_string;

/// The most samples in a line if the request does not say: such lines stay below the longest line
/// that an import takes by default.
const ROWS_PER_LINE: usize = 100_000;

/// `{"metric":{…},"values":[…],"timestamps":[…]}` for each series.
pub(super) struct JsonWriter {
    rows_max: usize,
}

impl JsonWriter {
    /// Writes at most `rows_max` samples in a line; 0 for the default.
    pub(super) fn new(rows_max: usize) -> Self {
        Self { rows_max: if rows_max == 0 { ROWS_PER_LINE } else { rows_max } }
    }
}

impl SeriesWriter for JsonWriter {
    fn series(&mut self, labels: &Labels, samples: &SampleColumns, out: &mut Vec<u8>) {
        let values = samples.vs.chunks(self.rows_max);
        for (ts, vs) in samples.ts.chunks(self.rows_max).zip(values) {
            out.extend_from_slice(b"{\"metric\":");
            put_metric(labels, out);
            out.extend_from_slice(b",\"values\":[");
            put_list(vs, out, |value, out| put_value(*value, out));
            out.extend_from_slice(b"],\"timestamps\":[");
            put_list(ts, out, |t, out| put_int(*t, out));
            out.extend_from_slice(b"]}\n");
        }
    }
}

/// The answer of Prometheus to a range query, with raw samples.
#[derive(Default)]
pub(super) struct PromApiWriter {
    has_series: bool,
}

impl SeriesWriter for PromApiWriter {
    fn begin(&mut self, out: &mut Vec<u8>) {
        let head = br#"{"status":"success","data":{"resultType":"matrix","result":["#;
        out.extend_from_slice(head);
    }

    fn series(&mut self, labels: &Labels, samples: &SampleColumns, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.has_series, true) {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"metric\":");
        put_metric(labels, out);
        out.extend_from_slice(b",\"values\":[");
        let rows = samples.ts.iter().zip(&samples.vs);
        for (at, (t, value)) in rows.enumerate() {
            out.extend_from_slice(if at == 0 { b"[" } else { b",[" });
            put_seconds(*t, out);
            out.extend_from_slice(b",\"");
            put_float(*value, out);
            out.extend_from_slice(b"\"]");
        }
        out.extend_from_slice(b"]}");
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"]}}");
    }
}

fn put_list<T>(items: &[T], out: &mut Vec<u8>, put: impl Fn(&T, &mut Vec<u8>)) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        put(item, out);
    }
}

/// Labels as an object, the metric name first.
fn put_metric(labels: &Labels, out: &mut Vec<u8>) {
    let name = labels.metric_name().map(|name| (METRIC_NAME, name));
    let others = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
    out.push(b'{');
    for (at, (name, value)) in name.into_iter().chain(others).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push_json_string(out, name.as_bytes());
        out.push(b':');
        push_json_string(out, value.as_bytes());
    }
    out.push(b'}');
}

/// A value. What JSON has no number for is read again by the import as it was.
fn put_value(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        return put_float(value, out);
    }
    out.extend_from_slice(match value {
        _ if is_stale(value) => b"null",
        f64::INFINITY => b"\"Infinity\"",
        f64::NEG_INFINITY => b"\"-Infinity\"",
        _ => b"\"NaN\"",
    });
}

/// Milliseconds as seconds, without zeros at their end.
pub(super) fn put_seconds(ms: i64, out: &mut Vec<u8>) {
    if ms < 0 {
        out.push(b'-');
    }
    let ms = ms.unsigned_abs();
    out.extend_from_slice((ms / 1000).to_string().as_bytes());
    if !ms.is_multiple_of(1000) {
        let text = format!(".{:03}", ms % 1000);
        out.extend_from_slice(text.trim_end_matches('0').as_bytes());
    }
}
