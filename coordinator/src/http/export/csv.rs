//! CSV with the columns that the request names.

use m3rs_core::model::Labels;
use m3rs_core::time::TimestampMs;
use m3rs_query::source::SampleColumns;

use crate::http::export::SeriesWriter;
use crate::http::export::text::{put_float, put_int};
use crate::ingest::TimeLayout;

/// A column: a label, the value or the time.
enum Column {
    Label(String),
    Value,
    Seconds,
    Milliseconds,
    Nanoseconds,
    Time(TimeLayout),
}

/// A head line, then a line for each sample.
pub(super) struct CsvWriter {
    columns: Vec<Column>,
    head: String,
    /// The cells of the series at hand that are the same in each line.
    cells: Vec<Vec<u8>>,
}

impl CsvWriter {
    /// Columns with commas between them: names of labels, `__value__`, `__timestamp__` and
    /// `__timestamp__:<format>`.
    ///
    /// # Errors
    /// A format of times that there is not.
    pub(super) fn new(format: &str) -> Result<Self, String> {
        let columns = format.split(',').map(column).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { columns, head: format!("{format}\n"), cells: Vec::new() })
    }
}

fn column(name: &str) -> Result<Column, String> {
    let time = match name {
        "__value__" => return Ok(Column::Value),
        "__timestamp__" => return Ok(Column::Milliseconds),
        _ => match name.strip_prefix("__timestamp__:") {
            Some(time) => time,
            None => return Ok(Column::Label(name.to_owned())),
        },
    };
    Ok(match time {
        "unix_s" => Column::Seconds,
        "unix_ms" => Column::Milliseconds,
        "unix_ns" => Column::Nanoseconds,
        "rfc3339" => Column::Time(TimeLayout::new("2006-01-02T15:04:05.999Z07:00")),
        _ => match time.strip_prefix("custom:") {
            Some(layout) => Column::Time(TimeLayout::new(layout)),
            None => return Err(format!("no such format of times: {time:?}")),
        },
    })
}

impl SeriesWriter for CsvWriter {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head.as_bytes());
    }

    fn series(&mut self, labels: &Labels, samples: &SampleColumns, out: &mut Vec<u8>) {
        self.cells.clear();
        for column in &self.columns {
            let mut cell = Vec::new();
            if let Column::Label(name) = column {
                put_cell(labels.get(name).unwrap_or_default(), &mut cell);
            }
            self.cells.push(cell);
        }
        let mut text = String::new();
        for (&t, &value) in samples.ts.iter().zip(&samples.vs) {
            for (at, (column, cell)) in self.columns.iter().zip(&self.cells).enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                match column {
                    Column::Label(_) => out.extend_from_slice(cell),
                    Column::Value => put_float(value, out),
                    // PARITY(victoriametrics): cut, not rounded.
                    Column::Seconds => put_int(t / 1000, out),
                    Column::Milliseconds => put_int(t, out),
                    Column::Nanoseconds => put_int(TimestampMs(t).to_ns().0, out),
                    Column::Time(layout) => {
                        text.clear();
                        layout.write(TimestampMs(t).to_ns(), &mut text);
                        put_cell(&text, out);
                    }
                }
            }
            out.push(b'\n');
        }
    }
}

/// A text, in quotes if it has a comma, a quote or a line end; a quote in it is there twice.
fn put_cell(text: &str, out: &mut Vec<u8>) {
    if !text.contains(['"', '\'', ',', '\n', '\r']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in text.bytes() {
        out.extend_from_slice(if byte == b'"' { b"\"\"" } else { std::slice::from_ref(&byte) });
    }
    out.push(b'"');
}
