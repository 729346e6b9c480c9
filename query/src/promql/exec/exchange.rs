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

/// Does `count` pieces of work on the pool and the calling thread, and hands each result to
/// `merge` in order. The first error stops everything.
pub(crate) fn for_each_ordered<T: Send>(
    ctx: &Context<'_>,
    count: usize,
    work: impl Fn(usize, &mut Worker) -> Result<T, QueryError> + Sync,
    merge: impl FnMut(usize, T) -> Result<(), QueryError> + Send,
) -> Result<(), QueryError> {
    let state = Mutex::new(Merge { merge, next: 0, waiting: BTreeMap::new(), error: None });
    let claimed = AtomicUsize::new(0);
    let run = || {
        let mut worker = Worker::default();
        loop {
            let index = claimed.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            let result = ctx.check().and_then(|()| work(index, &mut worker));
            if state.lock().accept(index, result).is_break() {
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
    state.into_inner().error.map_or(Ok(()), Err)
}

/// Results that came out of order wait for those before them. As work is claimed in order, at
/// most as many wait as there are workers.
struct Merge<T, M> {
    merge: M,
    next: usize,
    waiting: BTreeMap<usize, T>,
    error: Option<QueryError>,
}

impl<T, M: FnMut(usize, T) -> Result<(), QueryError>> Merge<T, M> {
    fn accept(&mut self, index: usize, result: Result<T, QueryError>) -> ControlFlow<()> {
        match result {
            Ok(value) => {
                self.waiting.insert(index, value);
            }
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
        while self.error.is_none()
            && let Some(value) = self.waiting.remove(&self.next)
        {
            if let Err(error) = (self.merge)(self.next, value) {
                self.error = Some(error);
            }
            self.next += 1;
        }
        if self.error.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Reads all rows into `out`, run by run; gives the native histograms.
pub(crate) fn read_all<R: Rows + ?Sized>(
    ctx: &Context<'_>,
    rows: &R,
    steps: usize,
    out: &mut [f64],
) -> Result<Histograms, QueryError> {
    let runs = runs(rows.series().len(), steps);
    let run_values = runs.first().map_or(1, |run| run.len() * steps).max(1);
    fill_chunks(ctx, out, run_values, |index, worker, chunk| {
        rows.read(runs[index].clone(), worker, chunk)
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
        }
    }
}
