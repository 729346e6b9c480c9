//! `GET /federate`: the last samples of series, in Prometheus's text format.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::{ACCEPT, CONTENT_TYPE};
use m3rs_core::model::{Counts, Histogram, Labels, Matcher, ResetHint, SCHEMA_CUSTOM, is_stale};
use m3rs_query::number::general;
use m3rs_query::source::{
    Cancel, SampleBatch, SampleColumns, SelectHints, SelectRequest, SourceError, TimeRange,
};

use crate::http::error::ApiError;
use crate::http::exposition::{NameEscaping, is_legacy, put_escaped, put_value};
use crate::http::gate::Turn;
use crate::http::params::Params;
use crate::http::prometheus::{check_ready, matcher_sets};
use crate::http::response::whole;
use crate::http::{App, SharedApp};
use crate::queries::Stop;
use crate::read::{FetchLimits, QueryFailure};

/// The label that every answer has, so that the scraper does not put its own in its place.
const INSTANCE: &str = "instance";

/// `GET /federate`. PARITY(prometheus): errors are plain text.
pub(crate) async fn federate(State(app): State<SharedApp>, request: Request) -> Response {
    answer(&app, request).await.unwrap_or_else(ApiError::into_text_response)
}

async fn answer(app: &SharedApp, request: Request) -> Result<Response, ApiError> {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    let escaping = NameEscaping::from_accept(accept.unwrap_or_default());
    let params = Params::read(app, request).await?;
    let sets = matcher_sets(app, &params, ApiError::bad_data)?;
    check_ready(app)?;
    let end_ms = app.state.clock.now().to_ms().0;
    let range = TimeRange { start_ms: end_ms.saturating_sub(app.state.about.lookback_ms), end_ms };
    let key = app.gate.key(("federate", params.all("match[]").collect::<Vec<_>>()));
    let worker = SharedApp::clone(app);
    let work = move |turn: Turn<'_>| {
        let found = last_samples(&worker, &sets, range, turn.cancel)?;
        Ok::<_, SourceError>(render(&found, escaping))
    };
    let timeout = app.state.limits.query.timeout;
    let text = app.gate.run(timeout, &Stop::default(), key, work).await?;
    let mut response = whole(vec![Bytes::from(text.map_err(QueryFailure::from)?)]);
    let kind = format!("text/plain; version=0.0.4; charset=utf-8; escaping={}", escaping.as_str());
    let kind = HeaderValue::try_from(kind).expect("BUG: the names of schemes are ASCII");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

/// The last sample of a series.
struct Last {
    labels: Labels,
    t_ms: i64,
    value: Value,
}

enum Value {
    Float(f64),
    Histogram(Arc<Histogram>),
}

/// Last samples in the range that are no staleness markers, by metric name; each series once.
fn last_samples(
    app: &App,
    sets: &[Vec<Matcher>],
    range: TimeRange,
    cancel: &Cancel,
) -> Result<Vec<Last>, SourceError> {
    let source = app.state.sources.open(&FetchLimits::default());
    let mut found = Vec::new();
    for matchers in sets {
        let request = SelectRequest {
            matchers: matchers.clone(),
            range,
            hints: SelectHints { last_only: true, ..SelectHints::default() },
            series_max: app.state.limits.query.federate_series_max,
        };
        let selection = source.select(&request, cancel)?;
        let mut batch = SampleBatch::default();
        let mut at = 0;
        while at < selection.series.len() {
            if cancel.is_cancelled() {
                return Err(SourceError::Cancelled);
            }
            selection.reader.read_batch(at..selection.series.len(), &mut batch)?;
            let rows = batch.rows().iter().zip(&selection.series[at..]);
            found.extend(rows.filter_map(|(columns, labels)| last(columns, labels)));
            at += batch.rows().len();
        }
    }
    for note in source.notes() {
        tracing::warn!(note, "federation left something out");
    }
    if sets.len() > 1 {
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        found.dedup_by(|a, b| a.labels == b.labels);
    }
    // Series of one name in order of their labels, which is not that of the names.
    found.sort_by(|a, b| {
        let names = a.labels.metric_name().cmp(&b.labels.metric_name());
        names.then_with(|| a.labels.cmp(&b.labels))
    });
    Ok(found)
}

fn last(columns: &SampleColumns, labels: &Labels) -> Option<Last> {
    let float = columns.ts.last().copied().zip(columns.vs.last().copied());
    let histograms = &columns.histograms;
    let histogram = histograms.ts.last().copied().zip(histograms.hs.last());
    let (t_ms, value) = match (float, histogram) {
        (Some((t, v)), Some((other, _))) if t > other => (t, Value::Float(v)),
        (_, Some((t, h))) => (t, Value::Histogram(Arc::clone(h))),
        (Some((t, v)), None) => (t, Value::Float(v)),
        (None, None) => return None,
    };
    let is_over = match &value {
        Value::Float(v) => is_stale(*v),
        Value::Histogram(h) => h.is_stale(),
    };
    (!is_over).then(|| Last { labels: labels.clone(), t_ms, value })
}

/// Which samples stand under one comment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Untyped,
    Histogram,
    GaugeHistogram,
}

fn render(found: &[Last], escaping: NameEscaping) -> Vec<u8> {
    let mut out = Vec::with_capacity(found.len() * 128);
    let mut open = None;
    for sample in found {
        let Some(name) = sample.labels.metric_name() else { continue };
        let family = match &sample.value {
            Value::Float(_) => Family::Untyped,
            // PARITY(prometheus): text has no exponential buckets.
            Value::Histogram(h) if h.layout.schema != SCHEMA_CUSTOM => continue,
            Value::Histogram(h) if h.reset_hint == ResetHint::Gauge => Family::GaugeHistogram,
            Value::Histogram(_) => Family::Histogram,
        };
        if open != Some((name, family)) {
            open = Some((name, family));
            out.extend_from_slice(b"# TYPE ");
            escaping.put_name(&mut out, name);
            out.extend_from_slice(match family {
                Family::Untyped => b" untyped\n",
                Family::Histogram | Family::GaugeHistogram => b" histogram\n",
            });
        }
        let line = Line { escaping, name, labels: &sample.labels, t_ms: sample.t_ms };
        match &sample.value {
            Value::Float(v) => line.put(&mut out, "", None, *v),
            Value::Histogram(h) => line.put_histogram(&mut out, h),
        }
    }
    out
}

/// What all lines of a sample have.
struct Line<'a> {
    escaping: NameEscaping,
    name: &'a str,
    labels: &'a Labels,
    t_ms: i64,
}

impl Line<'_> {
    fn put(&self, out: &mut Vec<u8>, suffix: &str, bound: Option<f64>, v: f64) {
        let mut separator = b'{';
        if self.escaping == NameEscaping::AllowUtf8 && !is_legacy(self.name) {
            out.push(separator);
            separator = b',';
            self.escaping.put_name(out, &format!("{}{suffix}", self.name));
        } else {
            // The suffix is not escaped again.
            self.escaping.put_name(out, self.name);
            out.extend_from_slice(suffix.as_bytes());
        }
        let mut has_instance = false;
        for (name, value) in self.labels.iter().filter(|(n, _)| *n != m3rs_core::model::METRIC_NAME)
        {
            has_instance |= name == INSTANCE;
            self.put_label(out, separator, name, value);
            separator = b',';
        }
        if !has_instance {
            self.put_label(out, separator, INSTANCE, "");
        }
        if let Some(bound) = bound {
            self.put_label(out, b',', "le", &general(bound));
        }
        out.extend_from_slice(b"} ");
        put_value(out, v);
        out.extend_from_slice(format!(" {}\n", self.t_ms).as_bytes());
    }

    fn put_label(&self, out: &mut Vec<u8>, separator: u8, name: &str, value: &str) {
        out.push(separator);
        self.escaping.put_name(out, name);
        out.extend_from_slice(b"=\"");
        put_escaped(out, value);
        out.push(b'"');
    }

    /// A histogram with custom buckets as a classic one.
    fn put_histogram(&self, out: &mut Vec<u8>, h: &Histogram) {
        let (count, counts): (f64, Vec<f64>) = match &h.counts {
            Counts::Integer(c) => (c.count as f64, c.positive.iter().map(|n| *n as f64).collect()),
            Counts::Float(c) => (c.count, c.positive.clone()),
        };
        let mut below = vec![0.0; h.layout.custom_bounds.len() + 1];
        let mut index = 0i64;
        let mut counts = counts.into_iter();
        for span in &h.layout.positive_spans {
            index += i64::from(span.offset);
            for count in counts.by_ref().take(usize::try_from(span.length).unwrap_or(0)) {
                if let Some(bucket) = usize::try_from(index).ok().and_then(|i| below.get_mut(i)) {
                    *bucket += count;
                }
                index += 1;
            }
        }
        let mut sum = 0.0;
        for (bound, in_bucket) in h.layout.custom_bounds.iter().zip(&below) {
            sum += in_bucket;
            self.put(out, "_bucket", Some(*bound), sum);
        }
        self.put(out, "_bucket", Some(f64::INFINITY), count);
        self.put(out, "_sum", None, h.sum);
        self.put(out, "_count", None, count);
    }
}
