//! OpenMetrics 1.0 with timestamps: what `promtool tsdb create-blocks-from openmetrics` takes.
//!
//! Families are not told, as OpenMetrics binds names to their types. A staleness marker is `NaN`.

use m3rs_core::model::Labels;
use m3rs_query::source::SampleColumns;

use crate::http::export::SeriesWriter;
use crate::http::export::json::put_seconds;
use crate::http::export::text::{put_float, put_series};

/// A line for each sample, and `# EOF`.
#[derive(Default)]
pub(super) struct OpenMetricsWriter {
    name: Vec<u8>,
}

impl SeriesWriter for OpenMetricsWriter {
    fn series(&mut self, labels: &Labels, samples: &SampleColumns, out: &mut Vec<u8>) {
        self.name.clear();
        put_series(labels, &mut self.name);
        for (t, value) in samples.ts.iter().zip(&samples.vs) {
            out.extend_from_slice(&self.name);
            out.push(b' ');
            put_float(*value, out);
            out.push(b' ');
            put_seconds(*t, out);
            out.push(b'\n');
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"# EOF\n");
    }
}
