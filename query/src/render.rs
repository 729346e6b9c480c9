//! The JSON body of Prometheus's query API.
//!
//! Series are written in parallel into buffers of their own, which are then sent one after the
//! other; a large answer is written batch by batch while it is sent. Budget: 40 ns for a point;
//! times are written once per step, not once per point.

mod operators;
mod stats;

use std::ops::Range;
use std::sync::Arc;

use m3rs_core::model::{Labels, is_stale};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::histogram::{FloatHistogram, write_json};
use crate::number::{write_float, write_plain, write_short_time, write_time};
use crate::result::{InstantVector, Matrix, MatrixSeries, Points, QueryOutput, Value};
use crate::step::StepGrid;
use operators::write_operators;
pub use stats::StatsDetail;
use stats::write_stats;

/// Series that one buffer holds, by points.
const POINTS_PER_PART: usize = 16 * 1024;

/// The most warnings, and infos, that are shown.
const NOTES_MAX: usize = 10;

/// Points that are written before any of them is sent. What a large answer takes as JSON is never
/// in memory as a whole.
const POINTS_PER_BATCH: usize = 256 * 1024;

/// Points that a series without any counts for: its labels are written too.
const POINTS_OF_LABELS: usize = 8;

/// Points that a native histogram counts for.
const POINTS_OF_HISTOGRAM: usize = 16;

/// The body of a successful answer that is being written, some parts at a time.
#[derive(Debug)]
pub struct Rendering {
    output: Arc<QueryOutput>,
    stats: StatsDetail,
    times: Times,
    place: Place,
}

/// How far a [`Rendering`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Head,
    /// The first series that is not written.
    Series(usize),
    Done,
}

impl Rendering {
    /// A body of which nothing is written yet.
    #[must_use]
    pub fn new(output: Arc<QueryOutput>, stats: StatsDetail) -> Self {
        let times = match &output.value {
            Value::Matrix(matrix) => Times::new(&matrix.grid, &matrix.series),
            _ => Times::default(),
        };
        Self { output, stats, times, place: Place::Head }
    }

    /// Whether all parts were taken.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.place == Place::Done
    }

    /// The next parts, to be sent in order; none at the end. A result of up to 262,144 points
    /// comes at once.
    pub(crate) fn next_parts(&mut self, pool: &rayon::ThreadPool) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        let first = match self.place {
            Place::Done => return parts,
            Place::Head => {
                parts.push(head(&self.output.value));
                0
            }
            Place::Series(first) => first,
        };
        let next = self.next_batch(first);
        let batch = first..next;
        match &self.output.value {
            Value::Vector(vector) => parts.extend(vector_parts(pool, vector, batch)),
            Value::Matrix(matrix) => {
                parts.extend(matrix_parts(pool, matrix, &self.times, batch));
            }
            Value::Scalar { .. } | Value::String { .. } => {}
        }
        self.place = if next < series_count(&self.output.value) {
            Place::Series(next)
        } else {
            parts.push(self.tail());
            Place::Done
        };
        parts
    }

    /// The series after the last one of the batch that starts at `first`.
    fn next_batch(&self, first: usize) -> usize {
        let count = series_count(&self.output.value);
        let Value::Matrix(matrix) = &self.output.value else {
            return count.min(first + POINTS_PER_BATCH / POINTS_OF_LABELS);
        };
        let mut points = 0;
        let mut next = first;
        while next < count && points < POINTS_PER_BATCH {
            points += points_of(&matrix.series[next]);
            next += 1;
        }
        next
    }

    fn tail(&self) -> Vec<u8> {
        let output = &self.output;
        let mut tail = Vec::new();
        if matches!(output.value, Value::Vector(_) | Value::Matrix(_)) {
            tail.push(b']');
        }
        write_stats(&mut tail, output, self.stats);
        write_operators(&mut tail, &output.operators);
        tail.push(b'}');
        write_notes(&mut tail, "warnings", &output.warnings, "warning");
        write_notes(&mut tail, "infos", &output.infos, "info");
        tail.push(b'}');
        tail
    }
}

fn series_count(value: &Value) -> usize {
    match value {
        Value::Vector(vector) => vector.labels.len(),
        Value::Matrix(matrix) => matrix.series.len(),
        Value::Scalar { .. } | Value::String { .. } => 0,
    }
}

fn points_of(series: &MatrixSeries) -> usize {
    POINTS_OF_LABELS
        + POINTS_OF_HISTOGRAM * series.histograms.len()
        + match &series.points {
            Points::Steps { values, .. } => values.len(),
            Points::Samples(columns) => columns.ts.len(),
        }
}

/// All before the first series, or the whole of a result that has none.
fn head(value: &Value) -> Vec<u8> {
    let mut head = b"{\"status\":\"success\",\"data\":{\"resultType\":\"".to_vec();
    match value {
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
        Value::Vector(_) => head.extend_from_slice(b"vector\",\"result\":["),
        Value::Matrix(_) => head.extend_from_slice(b"matrix\",\"result\":["),
    }
    head
}

/// Writes runs of series on the pool; a single one here, as waking a thread may take longer.
fn write_runs(
    pool: &rayon::ThreadPool,
    runs: &[Range<usize>],
    write: impl Fn(&Range<usize>) -> Vec<u8> + Sync,
) -> Vec<Vec<u8>> {
    match runs {
        [run] => vec![write(run)],
        runs => pool.install(|| runs.par_iter().map(&write).collect()),
    }
}

fn vector_parts(
    pool: &rayon::ThreadPool,
    vector: &InstantVector,
    batch: Range<usize>,
) -> Vec<Vec<u8>> {
    let mut time = b"},\"value\":[".to_vec();
    write_time(&mut time, vector.t_ms);
    time.extend_from_slice(b",\"");
    let mut histogram_time = b"},\"histogram\":[".to_vec();
    write_time(&mut histogram_time, vector.t_ms);
    histogram_time.push(b',');
    let len = POINTS_PER_PART / POINTS_OF_LABELS;
    let runs: Vec<Range<usize>> =
        batch.clone().step_by(len).map(|first| first..batch.end.min(first + len)).collect();
    write_runs(pool, &runs, |run| {
        let mut out = Vec::with_capacity(run.len() * 256);
        let mut natives = histograms_from(vector, run.start).peekable();
        for i in run.clone() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"metric\":{");
            write_labels(&mut out, &vector.labels[i]);
            if let Some((_, h)) = natives.next_if(|(series, _)| *series == i) {
                out.extend_from_slice(&histogram_time);
                write_json(&mut out, h);
                out.extend_from_slice(b"]}");
            } else {
                out.extend_from_slice(&time);
                write_float(&mut out, vector.values[i]);
                out.extend_from_slice(b"\"]}");
            }
        }
        out
    })
}

/// The histograms of series number `first` and later ones.
fn histograms_from(
    vector: &InstantVector,
    first: usize,
) -> impl Iterator<Item = &(usize, Arc<FloatHistogram>)> {
    let at = vector.histograms.partition_point(|(series, _)| *series < first);
    vector.histograms[at..].iter()
}

fn matrix_parts(
    pool: &rayon::ThreadPool,
    matrix: &Matrix,
    times: &Times,
    batch: Range<usize>,
) -> Vec<Vec<u8>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let (mut start, mut points) = (batch.start, 0);
    for i in batch.clone() {
        points += points_of(&matrix.series[i]);
        if points >= POINTS_PER_PART || i + 1 == batch.end {
            runs.push(start..i + 1);
            (start, points) = (i + 1, 0);
        }
    }
    write_runs(pool, &runs, |run| {
        let mut out = Vec::with_capacity(POINTS_PER_PART * 40);
        for i in run.clone() {
            if i > 0 {
                out.push(b',');
            }
            write_series(&mut out, &matrix.series[i], times);
        }
        out
    })
}

/// `,[TIME,"` for each step, one after the other.
#[derive(Debug, Default)]
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
    out.push(b'}');
    let has_floats = match &series.points {
        Points::Steps { values, .. } => !values.is_empty(),
        Points::Samples(columns) => !columns.ts.is_empty(),
    };
    if has_floats {
        write_floats(out, &series.points, times);
    }
    if !series.histograms.is_empty() {
        write_histograms(out, &series.histograms);
    }
    out.push(b'}');
}

fn write_histograms(out: &mut Vec<u8>, histograms: &[(i64, Arc<FloatHistogram>)]) {
    out.extend_from_slice(b",\"histograms\":[");
    for (i, (t, h)) in histograms.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.push(b'[');
        write_time(out, *t);
        out.push(b',');
        write_json(out, h);
        out.push(b']');
    }
    out.push(b']');
}

fn write_floats(out: &mut Vec<u8>, points: &Points, times: &Times) {
    out.extend_from_slice(b",\"values\":[");
    let first_point = out.len();
    match points {
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
    out.push(b']');
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
pub enum Escaping {
    /// What JSON demands: PARITY(prometheus) for labels.
    Json,
    /// Also what HTML and JavaScript give a meaning to: PARITY(prometheus) for all other texts.
    Html,
}

/// Writes a JSON string with the escapes that Prometheus uses.
pub fn write_text(out: &mut Vec<u8>, text: &str, escaping: Escaping) {
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
