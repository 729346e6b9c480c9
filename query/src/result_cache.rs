//! Results of range queries that are asked again over a range that ends later.
//!
//! A dashboard asks the same query every few seconds, over a range that has moved by a little. The
//! steps that both ranges have are the same, as long as no sample came or went that they look at.
//! The source tells the earliest time that changed ([`Changes`]), the query how far its steps look
//! ([`reach`]): steps that end before it are taken from the last result, the others are evaluated.
//!
//! A result is kept only if it is whole and each step stands for itself: not if it came with a
//! warning or an info, if the query fixes a time (`@`) or asks for its own range, or if storage
//! left something out. What is answered is what an evaluation would give, up to the rounding of
//! sums over more series than one thread adds up at once.
//!
//! Cost: a copy of the result for keeping, and one for answering.

mod reach;
mod stitch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::engine::{Engine, Query, QueryOptions};
use crate::error::QueryError;
use crate::result::{Matrix, Points, QueryOutput, QueryStats, Value};
use crate::source::{Cancel, Changes, SeriesSource};
use crate::step::StepGrid;
use reach::Reach;

/// What a result is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    set: u64,
    text: String,
    step_ms: i64,
    /// The step to the nanosecond.
    step_ns: Option<i64>,
    /// The first evaluation time, up to whole steps.
    phase_ms: i64,
    lookback_ms: i64,
}

/// A result that was kept.
#[derive(Debug)]
struct Kept {
    /// When it was true.
    mark: u64,
    matrix: Matrix,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Arc<Kept>> for ByBytes {
    fn weight(&self, key: &Key, kept: &Arc<Kept>) -> u64 {
        /// What a histogram takes, roughly.
        const HISTOGRAM_BYTES: usize = 512;
        let series = kept.matrix.series.iter().map(|series| {
            let values = match &series.points {
                Points::Steps { values, .. } => values.len() * size_of::<f64>(),
                Points::Samples(columns) => columns.ts.len() * 2 * size_of::<f64>(),
            };
            let labels = series.labels.as_bytes().len();
            128 + labels + values + series.histograms.len() * HISTOGRAM_BYTES
        });
        (256 + key.text.len() + series.sum::<usize>()) as u64
    }
}

/// Counts of a [`ResultCache`] since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResultCacheCounts {
    /// Queries that took steps from a result before.
    pub hits: u64,
    /// Queries that could have, had there been one.
    pub misses: u64,
    /// Queries of a kind that is not kept.
    pub bypasses: u64,
    /// Steps that were taken.
    pub steps_reused: u64,
    /// Bytes that are kept.
    pub bytes: u64,
}

/// Keeps results of range queries. All methods may be called from any thread.
pub struct ResultCache {
    results: Cache<Key, Arc<Kept>, ByBytes>,
    hits: AtomicU64,
    misses: AtomicU64,
    bypasses: AtomicU64,
    steps_reused: AtomicU64,
}

impl std::fmt::Debug for ResultCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResultCache").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

/// Results that a cache of a gibibyte is thought to hold.
const RESULTS_PER_GIB: u64 = 16 * 1024;

impl ResultCache {
    /// A cache of at most `bytes`, roughly.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let results = usize::try_from(bytes / (1 << 30) * RESULTS_PER_GIB).unwrap_or(usize::MAX);
        Self {
            results: Cache::with_weighter(results.max(1024), bytes, ByBytes),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            bypasses: AtomicU64::new(0),
            steps_reused: AtomicU64::new(0),
        }
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> ResultCacheCounts {
        ResultCacheCounts {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bypasses: self.bypasses.load(Ordering::Relaxed),
            steps_reused: self.steps_reused.load(Ordering::Relaxed),
            bytes: self.results.weight(),
        }
    }

    /// Evaluates a range query as [`Engine::range`] does. Statistics are those of the steps that
    /// were evaluated.
    ///
    /// # Errors
    /// As [`Engine::range`].
    pub fn range(
        &self,
        engine: &Engine,
        source: &dyn SeriesSource,
        query: Query<'_>,
        times: (i64, i64, i64),
        options: &QueryOptions,
        cancel: &Cancel,
    ) -> Result<QueryOutput, QueryError> {
        engine.check_range(times)?;
        let (start_ms, end_ms, step_ms) = times;
        let grid = StepGrid::range(start_ms, end_ms, step_ms);
        let evaluate = |grid: StepGrid| {
            // The end as asked for, which need not be a step.
            engine.range(source, query, (grid.start_ms, end_ms, step_ms), options, cancel)
        };
        let lookback_ms = options.lookback_ms.unwrap_or(engine.options().lookback_ms);
        let reach = reach::reach(query.expr, lookback_ms, engine.options().subquery_step_ms);
        // One evaluation time alone is another kind of query.
        let is_kept = !options.explains && !options.counts_steps && grid.count >= 3;
        let (Some(changes), Some(reach), true) = (source.changes(), reach, is_kept) else {
            self.bypasses.fetch_add(1, Ordering::Relaxed);
            return evaluate(grid);
        };
        let key = Key {
            set: changes.set(),
            text: query.text.to_owned(),
            step_ms,
            step_ns: options.step_ns,
            phase_ms: start_ms.rem_euclid(step_ms),
            lookback_ms,
        };
        let mark = changes.mark();
        let mut output = match self.reuse(&key, (grid, reach), changes) {
            None => evaluate(grid)?,
            Some(whole) if whole.grid == grid => answer(whole),
            Some(head) => {
                let rest = grid.time_ms(head.grid.count);
                let mut output = evaluate(StepGrid::range(rest, grid.end_ms(), step_ms))?;
                output.value = match output.value {
                    Value::Matrix(tail) => Value::Matrix(stitch::join(head, tail, grid)),
                    other => other,
                };
                output
            }
        };
        output.stats.steps = grid.count as u64;
        let is_clean = output.warnings.is_empty() && output.infos.is_empty() && changes.is_whole();
        match &output.value {
            Value::Matrix(matrix) if is_clean => {
                self.results.insert(key, Arc::new(Kept { mark, matrix: matrix.clone() }));
            }
            _ => {
                self.results.remove(&key);
            }
        }
        Ok(output)
    }

    /// The first steps of `grid`, as far as the result before has them and they still hold.
    fn reuse(
        &self,
        key: &Key,
        (grid, reach): (StepGrid, Reach),
        changes: &dyn Changes,
    ) -> Option<Matrix> {
        let found = self.results.get(key).and_then(|kept| {
            let steps = steps_that_hold(&kept, (grid, reach), changes)?;
            Some(stitch::cut(&kept.matrix, steps))
        });
        match &found {
            None => self.misses.fetch_add(1, Ordering::Relaxed),
            Some(head) => {
                self.steps_reused.fetch_add(head.grid.count as u64, Ordering::Relaxed);
                self.hits.fetch_add(1, Ordering::Relaxed)
            }
        };
        found
    }
}

/// The steps of `grid`, from its first on, that a result has and that still hold.
fn steps_that_hold(
    kept: &Kept,
    (grid, reach): (StepGrid, Reach),
    changes: &dyn Changes,
) -> Option<StepGrid> {
    let known = kept.matrix.grid;
    let oldest = changes.oldest();
    if known.start_ms > grid.start_ms || grid.start_ms.saturating_sub(reach.behind_ms) < oldest {
        return None;
    }
    let mut last_ms = known.end_ms().min(grid.end_ms());
    if let Some(earliest) = changes.earliest_since(kept.mark) {
        let before = earliest.saturating_sub(1).saturating_sub(reach.ahead_ms);
        last_ms = last_ms.min(before);
    }
    if last_ms < grid.start_ms {
        return None;
    }
    let mut count = usize::try_from((last_ms - grid.start_ms) / grid.step_ms).ok()? + 1;
    // What is evaluated is again a range.
    if grid.count - count == 1 {
        count -= 1;
    }
    (count > 0).then_some(StepGrid { count, ..grid })
}

/// The answer where nothing is left to evaluate.
fn answer(matrix: Matrix) -> QueryOutput {
    QueryOutput {
        value: Value::Matrix(matrix),
        warnings: Vec::new(),
        infos: Vec::new(),
        stats: QueryStats::default(),
        operators: Vec::new(),
    }
}
