//! Queries by the engine of `m3rs-query`.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use m3rs_core::ErrorKind;
use m3rs_core::model::{MatchOp, Matcher};
use m3rs_core::regexp::AnchoredRegex;
use m3rs_query::engine::{Engine, Query, QueryOptions};
use m3rs_query::error::QueryError;
use m3rs_query::promql::ast::{Expr, Selector};
use m3rs_query::promql::print::pretty;
use m3rs_query::promql::{
    ParseError, ParseErrorCause, ParseOptions, parse, parse_metric_selector, tree,
};
use m3rs_query::render::{Rendering, StatsDetail};
use m3rs_query::result::{QueryOutput, Value};
use m3rs_query::result_cache::{ResultCache, ResultCacheCounts};
use m3rs_query::source::Cancel;

use crate::read::{
    AnswerRest, ErrorType, QueryAnswer, QueryFailure, QueryRequest, QueryService, QuerySources,
    QueryTime, SelectorRead, TRUNCATED,
};

/// An engine and the sources that its queries read.
pub struct EngineService {
    engine: Arc<Engine>,
    sources: Arc<dyn QuerySources>,
    parse: ParseOptions,
    results: Option<ResultCache>,
}

impl fmt::Debug for EngineService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineService").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl EngineService {
    /// Queries `sources` with `engine`; texts are parsed as `parse` says.
    #[must_use]
    pub fn new(engine: Arc<Engine>, sources: Arc<dyn QuerySources>, parse: ParseOptions) -> Self {
        Self { engine, sources, parse, results: None }
    }

    /// The same, with results of range queries kept in `results`.
    #[must_use]
    pub fn with_result_cache(self, results: ResultCache) -> Self {
        Self { results: Some(results), ..self }
    }
}

impl QueryService for EngineService {
    fn execute(
        &self,
        request: &QueryRequest,
        cancel: &Cancel,
    ) -> Result<QueryAnswer, QueryFailure> {
        let clock = &self.engine.options().clock;
        let started = clock.monotonic();
        let expr = parse(&request.text, &self.parse).map_err(|e| match e.cause() {
            ParseErrorCause::Evaluation => QueryFailure::new(ErrorType::Execution, e.message()),
            _ => query_parameter(&e),
        })?;
        let parsed = clock.monotonic().saturating_sub(started);
        let query = Query { text: &request.text, expr: &expr };
        let options = QueryOptions {
            lookback_ms: request.lookback_ms,
            timeout: Some(request.timeout),
            counts_steps: request.stats == StatsDetail::PerStep,
            explains: request.explains,
            step_ns: request.step_ns,
        };
        let source = self.sources.open(&request.fetch);
        let mut output = match request.time {
            QueryTime::Instant { time_ms } => {
                self.engine.instant(&*source, query, time_ms, &options, cancel)
            }
            QueryTime::Range { start_ms, end_ms, step_ms } => {
                let times = (start_ms, end_ms, step_ms);
                match &self.results {
                    Some(results) => {
                        results.range(&self.engine, &*source, query, times, &options, cancel)
                    }
                    None => self.engine.range(&*source, query, times, &options, cancel),
                }
            }
        }?;
        output.warnings.extend(source.notes());
        output.warnings.extend(request.warnings.iter().cloned());
        if truncate(&mut output.value, request.limit) {
            output.warnings.push(TRUNCATED.to_owned());
        }
        let timings = &mut output.stats.timings;
        timings.queue = request.queued;
        timings.preparation += parsed;
        timings.total += parsed;
        let is_cut = source.is_cut();
        Ok(QueryAnswer { is_cut, ..self.answer(output, request.stats) })
    }

    fn format(&self, text: &str) -> Result<String, QueryFailure> {
        let expr = parse(text, &self.parse).map_err(|e| bad_data(&e))?;
        Ok(pretty(&expr))
    }

    fn parse(&self, text: &str) -> Result<Expr, QueryFailure> {
        parse(text, &self.parse).map_err(|e| bad_data(&e))
    }

    fn tree(&self, text: &str) -> Result<Bytes, QueryFailure> {
        let expr = parse(text, &self.parse).map_err(|e| bad_data(&e))?;
        Ok(Bytes::from(tree::json(&expr)))
    }

    fn selectors(&self, text: &str) -> Result<Vec<Vec<Matcher>>, QueryFailure> {
        let expr = parse(text, &self.parse).map_err(|e| bad_data(&e))?;
        Ok(expr.selectors().into_iter().map(|selector| selector.matchers.clone()).collect())
    }

    fn reads(&self, text: &str) -> Result<Vec<SelectorRead>, QueryFailure> {
        let expr = parse(text, &self.parse).map_err(|e| bad_data(&e))?;
        let read = |(selector, range_ms): (&Selector, i64)| SelectorRead {
            matchers: selector.matchers.clone(),
            offset_ms: selector.offset_ms,
            range_ms,
        };
        Ok(expr.selectors_with_ranges().into_iter().map(read).collect())
    }

    fn selector(&self, text: &str) -> Result<Vec<Matcher>, QueryFailure> {
        let matchers = parse_metric_selector(text).map_err(|e| bad_data(&e))?;
        for matcher in &matchers {
            if !matches_empty(matcher)? {
                return Ok(matchers);
            }
        }
        let text = "match[] must contain at least one non-empty matcher";
        Err(QueryFailure::new(ErrorType::BadData, text))
    }

    fn result_cache(&self) -> ResultCacheCounts {
        self.results.as_ref().map(ResultCache::counts).unwrap_or_default()
    }
}

impl EngineService {
    fn answer(&self, output: QueryOutput, stats: StatsDetail) -> QueryAnswer {
        let (samples, series) = (output.stats.samples, output.stats.series);
        let engine = Arc::clone(&self.engine);
        let rendering = Rendering::new(Arc::new(output), stats);
        let mut rest = EngineRest { engine, rendering };
        let body = rest.pieces();
        let is_whole = rest.rendering.is_done();
        let rest = (!is_whole).then(|| Box::new(rest) as _);
        QueryAnswer { body, rest, samples, series, is_cut: false }
    }
}

/// A result that is written batch by batch.
struct EngineRest {
    engine: Arc<Engine>,
    rendering: Rendering,
}

impl EngineRest {
    fn pieces(&mut self) -> Vec<Bytes> {
        self.engine.render(&mut self.rendering).into_iter().map(Bytes::from).collect()
    }
}

impl AnswerRest for EngineRest {
    fn next_pieces(&mut self) -> io::Result<Vec<Bytes>> {
        Ok(self.pieces())
    }
}

/// Leaves at most `limit` series, if it is not 0; returns whether there were more.
fn truncate(value: &mut Value, limit: usize) -> bool {
    let len = match value {
        Value::Vector(vector) => vector.labels.len(),
        Value::Matrix(matrix) => matrix.series.len(),
        Value::Scalar { .. } | Value::String { .. } => 0,
    };
    if limit == 0 || len <= limit {
        return false;
    }
    match value {
        Value::Vector(vector) => vector.truncate(limit),
        Value::Matrix(matrix) => matrix.series.truncate(limit),
        Value::Scalar { .. } | Value::String { .. } => {}
    }
    true
}

/// Whether a label that is absent satisfies the matcher.
fn matches_empty(matcher: &Matcher) -> Result<bool, QueryFailure> {
    let regexp_matches = || {
        AnchoredRegex::new(&matcher.value)
            .map(|regexp| regexp.is_match(""))
            .map_err(|error| QueryFailure::new(ErrorType::BadData, error.to_string()))
    };
    Ok(match matcher.op {
        MatchOp::Equal => matcher.value.is_empty(),
        MatchOp::NotEqual => !matcher.value.is_empty(),
        MatchOp::Regexp => regexp_matches()?,
        MatchOp::NotRegexp => !regexp_matches()?,
    })
}

fn bad_data(error: &ParseError) -> QueryFailure {
    QueryFailure::new(ErrorType::BadData, error.to_string())
}

fn query_parameter(error: &dyn fmt::Display) -> QueryFailure {
    QueryFailure::new(ErrorType::BadData, format!("invalid parameter \"query\": {error}"))
}

impl From<QueryError> for QueryFailure {
    fn from(error: QueryError) -> Self {
        if let QueryError::Parse(text) = &error {
            return query_parameter(text);
        }
        // Prometheus calls all failures of storage internal; one that passes is better told so.
        let error_type = match error.kind() {
            ErrorKind::Unavailable => ErrorType::Unavailable,
            _ => ErrorType::from_word(error.error_type()).unwrap_or(ErrorType::Internal),
        };
        Self::new(error_type, error.to_string())
    }
}
