//! The JSON body of Prometheus's query API.
//!
//! Series are written in parallel into buffers of their own, which are then sent one after the
//! other. Budget: 40 ns for a point; times are written once per step, not once per point.

use std::io::Write as _;

use m3rs_core::model::{Labels, is_stale};
use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};
use rayon::slice::ParallelSlice;

use crate::number::{write_float, write_plain, write_short_time, write_time};
use crate::result::{InstantVector, Matrix, MatrixSeries, Points, QueryOutput, Value};
use crate::step::StepGrid;

/// Series that one buffer holds, by points.
const POINTS_PER_PART: usize = 16 * 1024;

/// The most warnings, and infos, that are shown.
const NOTES_MAX: usize = 10;

/// A body in parts, to be sent in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The parts.
    pub parts: Vec<Vec<u8>>,
}

impl Rendered {
    /// The number of bytes of all parts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(Vec::len).sum()
    }

    /// Whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The body in one piece.
    #[must_use]
    pub fn concat(&self) -> Vec<u8> {
        self.parts.concat()
    }
}

/// Writes a result as the body of a successful answer.
#[must_use]
pub fn render(output: &QueryOutput, shows_stats: bool, pool: &rayon::ThreadPool) -> Rendered {
    let mut head = b"{\"status\":\"success\",\"data\":{\"resultType\":\"".to_vec();
    let mut parts = Vec::new();
    match &output.value {
        Value::Scalar { t_ms, v } => {
            head.extend_from_slice(b"scalar\",\"result\":[");
            write_short_time(&mut head, *t_ms);
            head.extend_from_slice(b",\"");
            // PARITY(prometheus): a scalar has no exponent, unlike a sample.
            write_plain(&mut head, *v);
            head.extend_from_slice(b"\"]");
        }
        Value::String { t_ms, text } => {
            head.extend_from_slice(b"string\",\"result\":[");
            write_short_time(&mut head, *t_ms);
            head.push(b',');
            write_text(&mut head, text, Escaping::Html);
            head.push(b']');
        }
        Value::Vector(vector) => {
            head.extend_from_slice(b"vector\",\"result\":[");
            parts = pool.install(|| vector_parts(vector));
        }
        Value::Matrix(matrix) => {
            head.extend_from_slice(b"matrix\",\"result\":[");
            parts = pool.install(|| matrix_parts(matrix));
        }
    }
    let mut tail = Vec::new();
    if matches!(output.value, Value::Vector(_) | Value::Matrix(_)) {
        tail.push(b']');
    }
    if shows_stats {
        write_stats(&mut tail, output);
    }
    tail.push(b'}');
    write_notes(&mut tail, "warnings", &output.warnings, "warning");
    write_notes(&mut tail, "infos", &output.infos, "info");
    tail.push(b'}');
    parts.insert(0, head);
    parts.push(tail);
    Rendered { parts }
}

fn vector_parts(vector: &InstantVector) -> Vec<Vec<u8>> {
    let mut time = b"},\"value\":[".to_vec();
    write_time(&mut time, vector.t_ms);
    time.extend_from_slice(b",\"");
    let len = POINTS_PER_PART / 8;
    vector
        .labels
        .par_chunks(len)
        .zip(vector.values.par_chunks(len))
        .enumerate()
        .map(|(index, (labels, values))| {
            let mut out = Vec::with_capacity(labels.len() * 256);
            for (i, (labels, v)) in labels.iter().zip(values).enumerate() {
                if index + i > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(b"{\"metric\":{");
                write_labels(&mut out, labels);
                out.extend_from_slice(&time);
                write_float(&mut out, *v);
                out.extend_from_slice(b"\"]}");
            }
            out
        })
        .collect()
}

fn matrix_parts(matrix: &Matrix) -> Vec<Vec<u8>> {
    let times = Times::new(&matrix.grid, &matrix.series);
    let mut runs: Vec<&[MatrixSeries]> = Vec::new();
    let (mut start, mut points) = (0, 0);
    for (i, series) in matrix.series.iter().enumerate() {
        points += 8 + match &series.points {
            Points::Steps { values, .. } => values.len(),
            Points::Samples(columns) => columns.ts.len(),
        };
        if points >= POINTS_PER_PART || i + 1 == matrix.series.len() {
            runs.push(&matrix.series[start..=i]);
            (start, points) = (i + 1, 0);
        }
    }
    runs.par_iter()
        .enumerate()
        .map(|(index, run)| {
            let mut out = Vec::with_capacity(POINTS_PER_PART * 40);
            for (i, series) in run.iter().enumerate() {
                if index + i > 0 {
                    out.push(b',');
                }
                write_series(&mut out, series, &times);
            }
            out
        })
        .collect()
}

/// `,[TIME,"` for each step, one after the other.
struct Times {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Times {
    fn new(grid: &StepGrid, series: &[MatrixSeries]) -> Self {
        let mut times = Self { bytes: Vec::new(), ends: vec![0] };
        if series.iter().any(|s| matches!(s.points, Points::Steps { .. })) {
            for t in grid.times() {
                times.bytes.push(b',');
                write_point_start(&mut times.bytes, t);
                times.ends.push(times.bytes.len());
            }
        }
        times
    }

    fn at(&self, step: usize) -> &[u8] {
        &self.bytes[self.ends[step]..self.ends[step + 1]]
    }
}

fn write_point_start(out: &mut Vec<u8>, t_ms: i64) {
    out.push(b'[');
    write_time(out, t_ms);
    out.extend_from_slice(b",\"");
}

fn write_series(out: &mut Vec<u8>, series: &MatrixSeries, times: &Times) {
    out.extend_from_slice(b"{\"metric\":{");
    write_labels(out, &series.labels);
    out.extend_from_slice(b"},\"values\":[");
    let first_point = out.len();
    match &series.points {
        Points::Steps { first, values } => {
            for (i, v) in values.iter().enumerate() {
                if !is_stale(*v) {
                    let skip = usize::from(out.len() == first_point);
                    out.extend_from_slice(&times.at(first + i)[skip..]);
                    write_float(out, *v);
                    out.extend_from_slice(b"\"]");
                }
            }
        }
        Points::Samples(columns) => {
            for (t, v) in columns.ts.iter().zip(&columns.vs) {
                if out.len() > first_point {
                    out.push(b',');
                }
                write_point_start(out, *t);
                write_float(out, *v);
                out.extend_from_slice(b"\"]");
            }
        }
    }
    out.extend_from_slice(b"]}");
}

/// Writes the members of a label set's object.
fn write_labels(out: &mut Vec<u8>, labels: &Labels) {
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_text(out, name, Escaping::Json);
        out.push(b':');
        write_text(out, value, Escaping::Json);
    }
}

/// What is escaped in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escaping {
    /// What JSON demands: PARITY(prometheus) for labels.
    Json,
    /// Also what HTML and JavaScript give a meaning to: PARITY(prometheus) for all other texts.
    Html,
}

/// Writes a JSON string with the escapes that Prometheus uses.
fn write_text(out: &mut Vec<u8>, text: &str, escaping: Escaping) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (i, &b) in bytes.iter().enumerate() {
        let is_html = matches!(b, b'<' | b'>' | b'&' | 0xe2) && escaping == Escaping::Html;
        if b >= 0x20 && b != b'"' && b != b'\\' && !is_html {
            continue;
        }
        let (escape, len): (&[u8], usize) = match b {
            b'"' => (b"\\\"", 1),
            b'\\' => (b"\\\\", 1),
            b'\n' => (b"\\n", 1),
            b'\r' => (b"\\r", 1),
            b'\t' => (b"\\t", 1),
            0xe2 => match bytes.get(i + 1..i + 3) {
                Some([0x80, 0xa8]) => (b"\\u2028", 3),
                Some([0x80, 0xa9]) => (b"\\u2029", 3),
                _ => continue,
            },
            _ => {
                (&[b'\\', b'u', b'0', b'0', HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]], 1)
            }
        };
        out.extend_from_slice(&bytes[start..i]);
        out.extend_from_slice(escape);
        start = i + len;
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

fn write_notes(out: &mut Vec<u8>, field: &str, notes: &[String], kind: &str) {
    if notes.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"");
    out.extend_from_slice(field.as_bytes());
    out.extend_from_slice(b"\":[");
    for (i, note) in notes.iter().take(NOTES_MAX).enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_text(out, note, Escaping::Html);
    }
    if notes.len() > NOTES_MAX {
        out.push(b',');
        let left_out = notes.len() - NOTES_MAX;
        let text = format!("{left_out} more {kind} annotations omitted");
        write_text(out, &text, Escaping::Html);
    }
    out.push(b']');
}

fn write_stats(out: &mut Vec<u8>, output: &QueryOutput) {
    let stats = &output.stats;
    let seconds = stats.time.as_secs_f64();
    // Writing to a vector cannot fail.
    let _ = write!(
        out,
        ",\"stats\":{{\"timings\":{{\"evalTotalTime\":{seconds},\"execTotalTime\":{seconds}}},\
         \"samples\":{{\"totalQueryableSamples\":{},\"peakSamples\":{}}},\
         \"seriesFetched\":\"{}\"}}",
        stats.samples, stats.samples_peak, stats.series
    );
}
