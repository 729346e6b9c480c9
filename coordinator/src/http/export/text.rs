//! Prometheus's text format, `name{a="b"} value milliseconds`, OpenMetrics, and numbers as text.

use std::io::Write;

use m3rs_core::model::{Labels, METRIC_NAME};
use m3rs_query::source::SampleColumns;

use crate::http::export::SeriesWriter;
use crate::http::export::json::put_seconds;

/// A line for each sample.
pub(super) struct TextWriter {
    name: Vec<u8>,
    put_time: fn(i64, &mut Vec<u8>),
    end: &'static [u8],
}

impl TextWriter {
    /// Prometheus's text format.
    pub(super) fn prometheus() -> Self {
        Self { name: Vec::new(), put_time: put_int, end: b"" }
    }

    /// OpenMetrics 1.0 with timestamps: what `promtool tsdb create-blocks-from openmetrics` takes.
    ///
    /// Families are not told, as OpenMetrics binds names to their types. A staleness marker is
    /// `NaN`.
    pub(super) fn open_metrics() -> Self {
        Self { name: Vec::new(), put_time: put_seconds, end: b"# EOF\n" }
    }
}

impl SeriesWriter for TextWriter {
    fn series(&mut self, labels: &Labels, samples: &SampleColumns, out: &mut Vec<u8>) {
        self.name.clear();
        put_series(labels, &mut self.name);
        for (t, value) in samples.ts.iter().zip(&samples.vs) {
            out.extend_from_slice(&self.name);
            out.push(b' ');
            put_float(*value, out);
            out.push(b' ');
            (self.put_time)(*t, out);
            out.push(b'\n');
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.end);
    }
}

/// Name and labels of a series. Names that are not of Prometheus's old alphabet are quoted.
pub(super) fn put_series(labels: &Labels, out: &mut Vec<u8>) {
    let name = labels.metric_name().unwrap_or_default();
    let is_plain = is_legacy(name, true);
    if is_plain {
        out.extend_from_slice(name.as_bytes());
    }
    let others: Vec<_> = labels.iter().filter(|(name, _)| *name != METRIC_NAME).collect();
    if is_plain && others.is_empty() {
        return;
    }
    out.push(b'{');
    if !is_plain {
        put_quoted(name, out);
    }
    for (at, (name, value)) in others.into_iter().enumerate() {
        if at > 0 || !is_plain {
            out.push(b',');
        }
        match is_legacy(name, false) {
            true => out.extend_from_slice(name.as_bytes()),
            false => put_quoted(name, out),
        }
        out.push(b'=');
        put_quoted(value, out);
    }
    out.push(b'}');
}

fn is_legacy(name: &str, may_have_colons: bool) -> bool {
    !name.is_empty()
        && name.bytes().enumerate().all(|(at, byte)| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => true,
            b'0'..=b'9' => at > 0,
            b':' => may_have_colons,
            _ => false,
        })
}

fn put_quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'"' => out.extend_from_slice(b"\\\""),
            b'\n' => out.extend_from_slice(b"\\n"),
            other => out.push(other),
        }
    }
    out.push(b'"');
}

/// A whole number.
pub(super) fn put_int(number: i64, out: &mut Vec<u8>) {
    write!(out, "{number}").expect("BUG: writing to memory cannot fail");
}

/// The fewest digits that give the same float again, without an exponent.
pub(super) fn put_float(value: f64, out: &mut Vec<u8>) {
    /// Whole numbers up to here are written faster as such.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if value.trunc() == value && value.abs() < WHOLE_MAX && value != 0.0 {
        put_int(value as i64, out);
    } else {
        write!(out, "{value}").expect("BUG: writing to memory cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn float(value: f64) -> String {
        let mut out = Vec::new();
        put_float(value, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn floats_and_names_are_written() {
        for (value, text) in [
            (1.0, "1"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1e21, "1000000000000000000000"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(float(value), text);
        }
        for (labels, text) in [
            (vec![("__name__", "up")], "up"),
            (vec![("__name__", "a:b"), ("x", "q\"\n\\")], "a:b{x=\"q\\\"\\n\\\\\"}"),
            (vec![("__name__", "a.b"), ("c.d", "1")], "{\"a.b\",\"c.d\"=\"1\"}"),
        ] {
            let mut out = Vec::new();
            put_series(&Labels::from_pairs(labels).expect("valid"), &mut out);
            assert_eq!(String::from_utf8(out).expect("UTF-8"), text);
        }
    }

    proptest! {
        #[test]
        fn floats_are_read_again(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            let read: f64 = float(value).parse().expect("a number");
            prop_assert_eq!(read.to_bits(), bits);
        }
    }
}
