//! Running one operator on every core.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::histograms::Histograms;
use super::{Context, Rows, Worker};
use crate::error::QueryError;

/// Values in a run of rows: 256 rows of a day by five minutes stay in the second-level cache.
const RUN_VALUES: usize = 64 * 1024;

/// The most rows in a run.
const RUN_ROWS_MAX: usize = 4096;

/// The least rows in a run, unless steps are very many, so that small queries need no merge.
const RUN_ROWS_MIN: usize = 64;

/// The most values in a run of several rows: subqueries may have very many steps.
const RUN_VALUES_MAX: usize = 1 << 20;

/// Cuts `rows` rows of `steps` values each into runs; the cut depends on `steps` alone.
pub(crate) fn runs(rows: usize, steps: usize) -> Vec<Range<usize>> {
    let steps = steps.max(1);
    let len = (RUN_VALUES / steps).clamp(RUN_ROWS_MIN, RUN_ROWS_MAX);
    let len = len.min(RUN_VALUES_MAX / steps).max(1);
    (0..rows).step_by(len).map(|start| start..rows.min(start + len)).collect()
}

/// Parts that rows are cut into at least, where there are enough: with fewer a core may be idle.
const PARTS_MIN: usize = 16;

/// The least rows in a part: a source reads neighbours together.
const PART_ROWS_MIN: usize = 8;

/// The same for work whose results do not depend on the cut: a run is cut into parts if there are
/// few of them.
pub(crate) fn parts(rows: usize, steps: usize) -> Vec<Range<usize>> {
    let run = runs(rows, steps).first().map_or(1, Range::len);
    let len = rows.div_ceil(PARTS_MIN).max(PART_ROWS_MIN).min(run);
    (0..rows).step_by(len).map(|start| start..rows.min(start + len)).collect()
}

/// Does `count` pieces of work on the pool and the calling thread, and hands each result to
/// `merge` in order. The first error stops everything.
pub(crate) fn for_each_ordered<T: Send>(
    ctx: &Context<'_>,
    count: usize,
    work: impl Fn(usize, &mut Worker) -> Result<T, QueryError> + Sync,
    merge: impl FnMut(usize, T) -> Result<(), QueryError> + Send,
) -> Result<(), QueryError> {
    let results = Mutex::new(Results { next: 0, waiting: BTreeMap::new(), error: None });
    let merge = Mutex::new(merge);
    let claimed = AtomicUsize::new(0);
    let run = || {
        let mut worker = Worker::default();
        loop {
            let index = claimed.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            let result = ctx.check().and_then(|()| work(index, &mut worker));
            if Results::accept(&results, &merge, index, result).is_break() {
                claimed.store(count, Ordering::Relaxed);
            }
        }
    };
    let helpers = ctx.pool.current_num_threads().min(count).saturating_sub(1);
    if helpers == 0 {
        run();
    } else {
        ctx.pool.in_place_scope(|scope| {
            for _ in 0..helpers {
                scope.spawn(|_| run());
            }
            run();
        });
    }
    results.into_inner().error.map_or(Ok(()), Err)
}

/// Results that wait for others to be merged while their workers go on. Who brings more helps.
const WAITING_MAX: usize = 32;

/// Results that came out of order wait for those before them, and all for the one worker that
/// merges.
struct Results<T> {
    next: usize,
    waiting: BTreeMap<usize, T>,
    error: Option<QueryError>,
}

impl<T> Results<T> {
    /// Takes a result, and merges those that are due unless another worker does.
    fn accept(
        results: &Mutex<Self>,
        merge: &Mutex<impl FnMut(usize, T) -> Result<(), QueryError>>,
        index: usize,
        result: Result<T, QueryError>,
    ) -> ControlFlow<()> {
        let is_full = {
            let mut results = results.lock();
            match result {
                Ok(value) => {
                    results.waiting.insert(index, value);
                }
                Err(error) => {
                    results.error.get_or_insert(error);
                }
            }
            results.waiting.len() > WAITING_MAX
        };
        loop {
            let mut merge = match merge.try_lock() {
                Some(merge) => merge,
                None if is_full => merge.lock(),
                None => break,
            };
            while let Some((index, value)) = Self::take_next(results) {
                if let Err(error) = merge(index, value) {
                    results.lock().error.get_or_insert(error);
                }
            }
            drop(merge);
            // One that came after the last look, while the merge was locked, has nobody else.
            let results = results.lock();
            if results.error.is_some() || !results.waiting.contains_key(&results.next) {
                break;
            }
        }
        match results.lock().error {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    }

    /// The next result, if it is there and nothing has failed.
    fn take_next(results: &Mutex<Self>) -> Option<(usize, T)> {
        let mut results = results.lock();
        if results.error.is_some() {
            return None;
        }
        let next = results.next;
        let value = results.waiting.remove(&next)?;
        results.next += 1;
        Some((next, value))
    }
}

/// Reads all rows into `out`, part by part; gives the native histograms.
pub(crate) fn read_all<R: Rows + ?Sized>(
    ctx: &Context<'_>,
    rows: &R,
    steps: usize,
    out: &mut [f64],
) -> Result<Histograms, QueryError> {
    let parts = parts(rows.series().len(), steps);
    let part_values = parts.first().map_or(1, |part| part.len() * steps).max(1);
    fill_chunks(ctx, out, part_values, |index, worker, chunk| {
        rows.read(parts[index].clone(), worker, chunk)
    })
}

/// Cuts `out` into chunks of `chunk_len` values and fills each by one piece of work; gives the
/// native histograms of all.
pub(crate) fn fill_chunks(
    ctx: &Context<'_>,
    out: &mut [f64],
    chunk_len: usize,
    work: impl Fn(usize, &mut Worker, &mut [f64]) -> Result<Histograms, QueryError> + Sync,
) -> Result<Histograms, QueryError> {
    let count = out.len().div_ceil(chunk_len);
    let mut all = Histograms::NONE;
    // Each chunk is taken once; the claim by number is what orders the work.
    let chunks: Vec<Mutex<Option<&mut [f64]>>> =
        out.chunks_mut(chunk_len).map(|chunk| Mutex::new(Some(chunk))).collect();
    for_each_ordered(
        ctx,
        count,
        |index, worker| match chunks[index].lock().take() {
            Some(chunk) => work(index, worker, chunk),
            None => Err(QueryError::Internal("a chunk was claimed twice".to_owned())),
        },
        |index, histograms| {
            all.append(histograms, index * chunk_len);
            Ok(())
        },
    )?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_all_rows_once() {
        for (rows, steps) in
            [(0, 1), (1, 1), (300_000, 1), (4000, 361), (70, 10_000), (70, 100_000)]
        {
            let runs = runs(rows, steps);
            let mut next = 0;
            for run in &runs {
                assert_eq!(run.start, next);
                assert!(run.len() <= RUN_ROWS_MAX && !run.is_empty());
                assert!(run.len() == 1 || run.len() * steps <= RUN_VALUES_MAX);
                next = run.end;
            }
            assert_eq!(next, rows);
            let parts = parts(rows, steps);
            assert!(parts.len() >= runs.len());
            assert!(parts.iter().cloned().flatten().eq(0..rows));
        }
    }
}
