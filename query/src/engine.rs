//! The entry: query text or tree in, value out.

use std::sync::Arc;
use std::time::Duration;

use m3rs_core::clock::{SharedClock, SystemClock};
use m3rs_core::time::NS_PER_MS;
use parking_lot::Mutex;

use crate::error::QueryError;
use crate::explain::Explain;
use crate::limits::{Budget, Limits};
use crate::promql::annotation::Annotations;
use crate::promql::ast::{Expr, ValueType};
use crate::promql::exec::step_counts::StepCounts;
use crate::promql::exec::{self, Context, NameRemoval};
use crate::promql::plan::{self, QueryTimes};
use crate::render::Rendering;
use crate::result::{QueryOutput, QueryStats, QueryTimings};
use crate::source::timed::TimedSource;
use crate::source::{Cancel, SeriesSource};
use crate::step::StepGrid;

/// Times beyond this, some 36 million years away, are refused.
const TIME_MAX_MS: i64 = 1 << 60;

/// Stack of a worker: deep expressions are evaluated recursively.
const STACK_BYTES: usize = 16 << 20;

/// Deeper expressions are evaluated on a worker's stack, not on the caller's.
const CALLER_DEPTH_MAX: usize = 64;

/// Settings of an [`Engine`].
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Threads that queries share; 0 is one for each core.
    pub threads: usize,
    /// What one query may use.
    pub limits: Limits,
    /// How old a sample may be to count at an evaluation time, in milliseconds.
    pub lookback_ms: i64,
    /// The step of subqueries that name none, in milliseconds.
    pub subquery_step_ms: i64,
    /// Whether names go at the end of a query instead of with the first operation that makes
    /// another quantity of a metric; Prometheus's feature `promql-delayed-name-removal`.
    pub delays_name_removal: bool,
    /// Whether start timestamps tell of counter resets; Prometheus's feature
    /// `use-start-timestamps`.
    pub uses_start_timestamps: bool,
    /// Measures the time of queries.
    pub clock: SharedClock,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            threads: 0,
            limits: Limits::default(),
            lookback_ms: 5 * 60 * 1000,
            subquery_step_ms: 60 * 1000,
            delays_name_removal: false,
            uses_start_timestamps: true,
            clock: Arc::new(SystemClock::new()),
        }
    }
}

/// Settings of one query, instead of the engine's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryOptions {
    /// How old a sample may be to count at an evaluation time, in milliseconds; with 0 none counts.
    pub lookback_ms: Option<i64>,
    /// The time from start to end; the engine's limit holds as well.
    pub timeout: Option<Duration>,
    /// The step of a range query to the nanosecond, which is what `step()` gives.
    pub step_ns: Option<i64>,
    /// Whether samples are counted by evaluation time.
    pub counts_steps: bool,
    /// Whether the answer tells what each operator did.
    pub explains: bool,
}

/// A query: its tree, and its text, to which positions in warnings refer.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The text.
    pub text: &'a str,
    /// The tree.
    pub expr: &'a Expr,
}

/// Evaluates queries. Owns the threads that do so; many queries may run at once.
///
/// Calls block their thread, which takes part in the work: they belong on a thread for blocking
/// work, never on the IO runtime. Sources are asked for series on the calling thread.
pub struct Engine {
    options: EngineOptions,
    pool: rayon::ThreadPool,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts the engine's threads.
    ///
    /// # Errors
    /// [`QueryError::Internal`] if threads cannot be started.
    pub fn new(options: EngineOptions) -> Result<Self, QueryError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(options.threads)
            .thread_name(|i| format!("query-{i}"))
            .stack_size(STACK_BYTES)
            .build()
            .map_err(|e| QueryError::Internal(format!("query threads did not start: {e}")))?;
        Ok(Self { options, pool })
    }

    /// The settings.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Evaluates a query at one time.
    ///
    /// # Errors
    /// Every kind of [`QueryError`].
    pub fn instant(
        &self,
        source: &dyn SeriesSource,
        query: Query<'_>,
        time_ms: i64,
        options: &QueryOptions,
        cancel: &Cancel,
    ) -> Result<QueryOutput, QueryError> {
        check_time(time_ms)?;
        let times = QueryTimes {
            start_ms: time_ms,
            end_ms: time_ms,
            step_ms: 0,
            step_ns: 0,
            subquery_step_ms: self.options.subquery_step_ms,
        };
        let grid = StepGrid::instant(time_ms);
        self.evaluate(source, query, (grid, times), options, cancel)
    }

    /// Evaluates a query at `start_ms` and every `step_ms` from there while not after `end_ms`.
    ///
    /// # Errors
    /// Every kind of [`QueryError`].
    pub fn range(
        &self,
        source: &dyn SeriesSource,
        query: Query<'_>,
        (start_ms, end_ms, step_ms): (i64, i64, i64),
        options: &QueryOptions,
        cancel: &Cancel,
    ) -> Result<QueryOutput, QueryError> {
        self.check_range((start_ms, end_ms, step_ms))?;
        let times = QueryTimes {
            start_ms,
            end_ms,
            step_ms,
            step_ns: options.step_ns.unwrap_or_else(|| step_ms.saturating_mul(NS_PER_MS)),
            subquery_step_ms: self.options.subquery_step_ms,
        };
        let grid = StepGrid::range(start_ms, end_ms, step_ms);
        self.evaluate(source, query, (grid, times), options, cancel)
    }

    /// Whether a range can be evaluated.
    pub(crate) fn check_range(
        &self,
        (start_ms, end_ms, step_ms): (i64, i64, i64),
    ) -> Result<(), QueryError> {
        check_time(start_ms)?;
        check_time(end_ms)?;
        if end_ms < start_ms {
            return Err(QueryError::Parse(
                "end timestamp must not be before start time".to_owned(),
            ));
        }
        if step_ms <= 0 {
            return Err(QueryError::Parse(
                "zero or negative query resolution step widths are not accepted. \
                 Try a positive integer"
                    .to_owned(),
            ));
        }
        let steps_max = self.options.limits.steps_max as u64;
        if ((end_ms - start_ms) / step_ms).unsigned_abs() > steps_max {
            return Err(QueryError::limit("steps", steps_max));
        }
        Ok(())
    }

    /// Writes the next parts of a result as the body of Prometheus's HTTP API, on the engine's
    /// threads; none at the end. Blocks as long as writing some 262,144 points takes.
    pub fn render(&self, rendering: &mut Rendering) -> Vec<Vec<u8>> {
        rendering.next_parts(&self.pool)
    }

    fn evaluate(
        &self,
        source: &dyn SeriesSource,
        query: Query<'_>,
        (grid, times): (StepGrid, QueryTimes),
        options: &QueryOptions,
        cancel: &Cancel,
    ) -> Result<QueryOutput, QueryError> {
        let depth = plan::depth(query.expr);
        let depth_max = self.options.limits.depth_max;
        if depth > depth_max {
            return Err(QueryError::limit("depth", depth_max as u64));
        }
        let work = || self.evaluate_here(source, query, (grid, times), options, cancel);
        if depth > CALLER_DEPTH_MAX { self.pool.install(work) } else { work() }
    }

    fn evaluate_here(
        &self,
        source: &dyn SeriesSource,
        query: Query<'_>,
        (grid, times): (StepGrid, QueryTimes),
        options: &QueryOptions,
        cancel: &Cancel,
    ) -> Result<QueryOutput, QueryError> {
        let limits = &self.options.limits;
        let started = self.options.clock.monotonic();
        let time_max = options.timeout.map_or(limits.time_max, |t| t.min(limits.time_max));
        let name_removal = match self.options.delays_name_removal {
            true => NameRemoval::AtEnd,
            false => NameRemoval::AtOnce,
        };
        if times.step_ms > 0 {
            check_range_type(query.expr)?;
        }
        let plan = plan::lower(query.expr, times, name_removal)?;
        let planned = self.options.clock.monotonic().saturating_sub(started);
        let source = TimedSource::new(source, &self.options.clock);
        let ctx = Context {
            source: &source,
            pool: &self.pool,
            limits,
            budget: Budget::new(limits),
            cancel,
            clock: &self.options.clock,
            deadline: started.saturating_add(time_max),
            lookback_ms: options
                .lookback_ms
                .unwrap_or(self.options.lookback_ms)
                .clamp(0, TIME_MAX_MS),
            name_removal,
            uses_start_times: self.options.uses_start_timestamps,
            notes: Mutex::new(Annotations::default()),
            selections: Mutex::new(Vec::new()),
            sorting: Mutex::new(Duration::ZERO),
            explain: options.explains.then(Explain::default),
            step_counts: options.counts_steps.then(|| StepCounts::new(grid.count)),
        };
        let value = exec::evaluate(&plan, grid, times.step_ms > 0, &ctx)?;
        let total = self.options.clock.monotonic().saturating_sub(started);
        let preparation = planned.saturating_add(source.selecting());
        // Only series over time are sorted.
        let sort = *ctx.sorting.lock();
        let evaluation = total.saturating_sub(preparation).saturating_sub(sort);
        let queue = Duration::ZERO;
        let timings = QueryTimings { queue, preparation, evaluation, sort, total };
        let stats = QueryStats {
            series: ctx.budget.series_read(),
            samples: ctx.budget.samples_read(),
            samples_peak: ctx.budget.samples_peak(),
            steps: grid.count as u64,
            samples_per_step: ctx.step_counts.map(StepCounts::into_counts).unwrap_or_default(),
            timings,
        };
        let (warnings, infos) = ctx.notes.into_inner().into_texts(query.text);
        let operators = ctx.explain.map(Explain::into_reports).unwrap_or_default();
        Ok(QueryOutput { value, warnings, infos, stats, operators })
    }
}

fn check_range_type(expr: &Expr) -> Result<(), QueryError> {
    let value_type = expr.value_type();
    if matches!(value_type, ValueType::Scalar | ValueType::Vector) {
        return Ok(());
    }
    Err(QueryError::Parse(format!(
        "invalid expression type {:?} for range query, must be Scalar or instant Vector",
        value_type.documented()
    )))
}

fn check_time(ms: i64) -> Result<(), QueryError> {
    if ms.unsigned_abs() > TIME_MAX_MS.unsigned_abs() {
        return Err(QueryError::Parse(format!("time {ms} ms is out of range")));
    }
    Ok(())
}
