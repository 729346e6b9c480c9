//! VictoriaMetrics's exports, `/api/v1/export` and `/api/v1/export/csv`, and one as OpenMetrics.
//!
//! Series are read in batches while the answer is sent: an export holds the labels of a selector's
//! series, a batch of samples and two pieces of text, whatever its length.
//!
//! Native histograms have no place in these formats and are left out.

mod csv;
mod json;
mod text;

use std::collections::VecDeque;
use std::io;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use m3rs_core::model::{Labels, MatchOp, Matcher};
use m3rs_core::regexp::AnchoredRegex;
use m3rs_query::source::{
    Cancel, SampleBatch, SampleColumns, SelectHints, SelectRequest, Selection, SeriesReader,
    SourceError, TimeRange,
};

use crate::http::SharedApp;
use crate::http::error::ApiError;
use crate::http::gate::Turn;
use crate::http::params::{Params, parse_int};
use crate::http::prometheus::{check_ready, check_text};
use crate::http::response::streamed_as;
use crate::queries::Stop;
use crate::read::{AnswerRest, FetchLimits, QueryFailure, QuerySource};
use csv::CsvWriter;
use json::{JsonWriter, PromApiWriter};
use text::TextWriter;

/// Pieces of an answer have at least this many bytes, but for the last.
const PIECE_BYTES: usize = 256 << 10;

/// Writes series in one format.
trait SeriesWriter: Send {
    /// Writes what stands before all series.
    fn begin(&mut self, _out: &mut Vec<u8>) {}

    /// Writes the samples of a series, of which there are some.
    fn series(&mut self, labels: &Labels, samples: &SampleColumns, out: &mut Vec<u8>);

    /// Writes what stands after all series.
    fn end(&mut self, _out: &mut Vec<u8>) {}
}

/// `GET` or `POST /api/v1/export`.
pub(crate) async fn lines(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    let (content_type, writer): (_, Box<dyn SeriesWriter>) = match params.get("format") {
        Some("promapi") => ("application/json", Box::new(PromApiWriter::default())),
        Some("prometheus") => ("text/plain; charset=utf-8", Box::new(TextWriter::prometheus())),
        // PARITY(victoriametrics): any other word is that of JSON lines.
        _ => {
            let rows_max = match params.get("max_rows_per_line") {
                None => 0,
                Some(text) => parse_int(text)
                    .map_err(|why| ApiError::bad_parameter("max_rows_per_line", why))?,
            };
            let rows_max = usize::try_from(rows_max).unwrap_or(0);
            ("application/stream+json; charset=utf-8", Box::new(JsonWriter::new(rows_max)))
        }
    };
    export(&app, &params, content_type, writer).await
}

/// `GET` or `POST /api/v1/export/csv`.
pub(crate) async fn csv(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    let format = params.get("format").ok_or_else(|| ApiError::bad_data("missing `format` arg"))?;
    let writer = CsvWriter::new(format).map_err(|why| ApiError::bad_parameter("format", why))?;
    export(&app, &params, "text/csv; charset=utf-8", Box::new(writer)).await
}

/// `GET` or `POST /api/v1/export/openmetrics`.
pub(crate) async fn openmetrics(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    export(&app, &params, content_type, Box::new(TextWriter::open_metrics())).await
}

async fn export(
    app: &SharedApp,
    params: &Params,
    content_type: &'static str,
    writer: Box<dyn SeriesWriter>,
) -> Result<Response, ApiError> {
    let now = app.state.clock.now().to_ms().0;
    // PARITY(victoriametrics): from 1970 until now, and a range that ends before it begins is that
    // of its beginning.
    let start_ms = export_time(params, "start", 0)?;
    let end_ms = export_time(params, "end", now)?.max(start_ms);
    let sets = selectors(app, params)?;
    check_ready(app)?;
    let key = app.gate.key(("export", content_type, params.all("match[]").collect::<Vec<_>>()));
    let source = app.state.sources.open(&FetchLimits::default());
    let mut rest = Export {
        source,
        series_max: app.state.limits.query.export_series_max,
        range: TimeRange { start_ms, end_ms },
        sets: sets.into(),
        earlier: Vec::new(),
        open: None,
        batch: SampleBatch::default(),
        writer,
        is_begun: false,
        is_over: false,
    };
    let work = move |_: Turn<'_>| rest.write_pieces().map(|first| (first, rest));
    let timeout = app.state.limits.query.timeout;
    let first = app.gate.run(timeout, &Stop::default(), key, work).await?;
    let (first, rest) = first.map_err(QueryFailure::from)?;
    Ok(streamed_as(HeaderValue::from_static(content_type), first, Box::new(rest)))
}

/// A time of an export; seconds that would be after the year 2106 are milliseconds.
fn export_time(params: &Params, name: &str, default: i64) -> Result<i64, ApiError> {
    /// PARITY(victoriametrics): what it takes for milliseconds.
    const SECONDS_MAX: i64 = 1 << 32;
    match params.get(name).and_then(|text| parse_int(text).ok()) {
        Some(ms) if ms >= SECONDS_MAX => Ok(ms),
        _ => params.time_or(name, default),
    }
}

/// The selectors in `match[]` or `match`, of which there must be one.
fn selectors(app: &SharedApp, params: &Params) -> Result<Vec<Vec<Matcher>>, ApiError> {
    let limit = app.state.limits.query.selectors_max;
    let mut sets = Vec::new();
    for text in params.all("match[]").chain(params.all("match")) {
        if sets.len() == limit {
            let why = format!("more than {limit} selectors (query.selectors_max)");
            return Err(ApiError::bad_parameter("match[]", why));
        }
        let text = check_text(app, "match[]", text)?;
        let refuse = |e: QueryFailure| ApiError::bad_parameter("match[]", e.message);
        sets.push(app.state.queries.selector(text).map_err(refuse)?);
    }
    match sets.is_empty() {
        true => Err(ApiError::bad_data("missing `match[]` arg")),
        false => Ok(sets),
    }
}

/// An export at work.
struct Export {
    source: Box<dyn QuerySource>,
    series_max: usize,
    range: TimeRange,
    /// Selectors whose turn has not come.
    sets: VecDeque<Vec<Matcher>>,
    /// Selectors whose series are written already.
    earlier: Vec<Vec<Condition>>,
    open: Option<Open>,
    batch: SampleBatch,
    writer: Box<dyn SeriesWriter>,
    is_begun: bool,
    is_over: bool,
}

/// The series of one selector.
struct Open {
    matchers: Vec<Matcher>,
    series: Vec<Labels>,
    reader: Box<dyn SeriesReader>,
    next: usize,
}

impl Export {
    /// The next piece; none at the end.
    fn write_pieces(&mut self) -> Result<Vec<Bytes>, SourceError> {
        if self.is_over {
            return Ok(Vec::new());
        }
        let mut out = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 4);
        if !std::mem::replace(&mut self.is_begun, true) {
            self.writer.begin(&mut out);
        }
        while out.len() < PIECE_BYTES {
            if !self.write_batch(&mut out)? {
                self.is_over = true;
                self.writer.end(&mut out);
                for note in self.source.notes() {
                    tracing::warn!(note, "an export is not whole");
                }
                break;
            }
        }
        Ok(vec![Bytes::from(out)])
    }

    /// Writes the next series; says whether there may be more.
    fn write_batch(&mut self, out: &mut Vec<u8>) -> Result<bool, SourceError> {
        let open = match &mut self.open {
            Some(open) => open,
            None => match self.sets.pop_front() {
                Some(matchers) => {
                    self.open.insert(open(&*self.source, self.range, matchers, self.series_max)?)
                }
                None => return Ok(false),
            },
        };
        if open.next == open.series.len() {
            let matchers = std::mem::take(&mut open.matchers);
            self.open = None;
            if !self.sets.is_empty() {
                self.earlier.push(matchers.iter().map(Condition::new).collect::<Result<_, _>>()?);
            }
            return Ok(true);
        }
        open.reader.read_batch(open.next..open.series.len(), &mut self.batch)?;
        let rows = self.batch.rows();
        for (labels, samples) in open.series[open.next..].iter().zip(rows) {
            let holds = |set: &Vec<Condition>| set.iter().all(|condition| condition.holds(labels));
            if !samples.ts.is_empty() && !self.earlier.iter().any(holds) {
                self.writer.series(labels, samples, out);
            }
        }
        open.next += rows.len();
        Ok(true)
    }
}

fn open(
    source: &dyn QuerySource,
    range: TimeRange,
    matchers: Vec<Matcher>,
    series_max: usize,
) -> Result<Open, SourceError> {
    let hints = SelectHints::default();
    let request = SelectRequest { matchers, range, hints, series_max };
    let Selection { series, reader, .. } = source.select(&request, &Cancel::new())?;
    Ok(Open { matchers: request.matchers, series, reader, next: 0 })
}

impl AnswerRest for Export {
    fn next_pieces(&mut self) -> io::Result<Vec<Bytes>> {
        self.write_pieces().map_err(|error| {
            tracing::error!(%error, "an export was cut off");
            io::Error::other(error)
        })
    }
}

/// A matcher that can be asked about labels.
struct Condition {
    name: String,
    op: MatchOp,
    value: String,
    regexp: Option<AnchoredRegex>,
}

impl Condition {
    fn new(matcher: &Matcher) -> Result<Self, SourceError> {
        let Matcher { name, op, value } = matcher.clone();
        let regexp = match op {
            MatchOp::Regexp | MatchOp::NotRegexp => {
                Some(AnchoredRegex::new(&value).map_err(|e| SourceError::Invalid(e.to_string()))?)
            }
            MatchOp::Equal | MatchOp::NotEqual => None,
        };
        Ok(Self { name, op, value, regexp })
    }

    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.name).unwrap_or_default();
        let is_match = || self.regexp.as_ref().is_some_and(|regexp| regexp.is_match(value));
        match self.op {
            MatchOp::Equal => value == self.value,
            MatchOp::NotEqual => value != self.value,
            MatchOp::Regexp => is_match(),
            MatchOp::NotRegexp => !is_match(),
        }
    }
}
