//! `topk`, `bottomk` and `limitk`: a few series of each group at each step.

use std::cmp::Ordering;
use std::sync::Arc;

use super::Groups;
use super::group::{FirstSeen, grouping};
use crate::error::QueryError;
use crate::limits::Held;
use crate::number::general;
use crate::promql::annotation::Note;
use crate::promql::ast::AggregateOp;
use crate::promql::exec::block::Block;
use crate::promql::exec::histograms::Histograms;
use crate::promql::exec::scalar::Column;
use crate::promql::exec::series::SeriesList;
use crate::promql::exec::{Context, Rows, exchange, is_absent};
use crate::promql::plan::AggregateNode;
use crate::step::StepGrid;

/// A value and the row that it is from.
#[derive(Clone, Copy, Debug)]
struct Entry {
    v: f64,
    row: u32,
}

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Largest,
    Smallest,
    First,
}

impl Keep {
    /// Whether `a` leaves before `b`. NaN leaves first.
    fn leaves_before(self, a: f64, b: f64) -> bool {
        match self {
            // PARITY(prometheus): those that come first make such a heap, too, and stay in it.
            Self::Largest | Self::First => a.is_nan() || a < b,
            Self::Smallest => a.is_nan() || a > b,
        }
    }

    /// The order in which an instant query shows what was kept.
    fn rank(self, a: f64, b: f64) -> Ordering {
        let numbers = a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()));
        match self {
            Self::Largest => numbers.reverse(),
            Self::Smallest if a.is_nan() || b.is_nan() => numbers.reverse(),
            Self::Smallest => numbers,
            Self::First => Ordering::Equal,
        }
    }
}

/// Opens `topk`, `bottomk` or `limitk`.
pub(super) fn open<'a>(
    node: &AggregateNode,
    input: &dyn Rows,
    param: &Column,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    let keep = match node.op {
        AggregateOp::Topk => Keep::Largest,
        AggregateOp::Bottomk => Keep::Smallest,
        _ => Keep::First,
    };
    let counts = counts(param)?;
    let groups = Groups::new(input.series(), grouping(node), ctx)?;
    let steps = grid.count;
    let mut heaps = Heaps::new(keep, groups.rows().iter().map(Vec::len), &counts, ctx)?;
    let runs = exchange::parts(input.series().len(), steps);
    let mut natives = Histograms::NONE;
    let mut has_ignored = false;
    let mut first_seen = FirstSeen::new(groups.len(), grid);
    exchange::for_each_ordered(
        ctx,
        runs.len(),
        |index, worker| {
            let run = runs[index].clone();
            let mut values = vec![0.0; run.len() * steps];
            let histograms = input.read(run, worker, &mut values)?;
            if keep == Keep::First {
                // Only that there is something counts.
                histograms.iter().for_each(|(cell, _)| values[cell] = 0.0);
            }
            Ok((values, histograms))
        },
        |index, (values, histograms)| {
            if keep == Keep::First {
                natives.append(histograms, runs[index].start * steps);
            } else {
                has_ignored |= histograms.iter().any(|(cell, _)| counts[cell % steps] > 0);
            }
            for (row, values) in runs[index].clone().zip(values.chunks_exact(steps)) {
                first_seen.see(groups.of_row(row), row, values);
                heaps.offer(groups.of_row(row), row, values, &counts);
            }
            Ok(())
        },
    )?;
    if has_ignored {
        ctx.note(node.span, Note::IgnoredInAggregation(node.op));
    }
    let order = first_seen.order(groups.len());
    let block = heaps.into_block((input.series(), &natives), &order, ctx)?;
    Ok(Box::new(block))
}

/// How many to keep at each step.
fn counts(param: &Column) -> Result<Vec<usize>, QueryError> {
    let fault = |text: String| Err(QueryError::Execution(text));
    if param.iter().all(|k| *k < 1.0) {
        return Ok(vec![0; param.len()]);
    }
    if param.iter().any(|k| k.is_nan()) {
        return fault("Parameter value is NaN".to_owned());
    }
    // PARITY(prometheus): the bounds of 64-bit integers are refused, too.
    if let Some(k) = param.iter().find(|k| **k <= i64::MIN as f64) {
        return fault(format!("Scalar value {} underflows int64", general(*k)));
    }
    if let Some(k) = param.iter().find(|k| **k >= i64::MAX as f64) {
        return fault(format!("Scalar value {} overflows int64", general(*k)));
    }
    Ok(param.iter().map(|k| usize::try_from(*k as i64).unwrap_or(0)).collect())
}

/// A heap for each group and step, with room for as many entries as may be kept.
struct Heaps {
    keep: Keep,
    steps: usize,
    /// By group: where its heaps start in `entries`, and how much room each has.
    places: Vec<(usize, usize)>,
    entries: Vec<Entry>,
    lens: Vec<u32>,
    _held: Held,
}

impl Heaps {
    fn new(
        keep: Keep,
        group_sizes: impl Iterator<Item = usize>,
        counts: &[usize],
        ctx: &Context<'_>,
    ) -> Result<Self, QueryError> {
        let steps = counts.len();
        let count_max = counts.iter().copied().max().unwrap_or(0);
        let mut places = Vec::new();
        let mut total: usize = 0;
        for size in group_sizes {
            let room = size.min(count_max);
            places.push((total, room));
            total = total.saturating_add(room.saturating_mul(steps));
        }
        // An entry is as large as two values, a length as half of one.
        let held = ctx.budget.hold_rows(places.len().saturating_add(2 * total / steps), steps)?;
        let entries = vec![Entry { v: 0.0, row: 0 }; total];
        let lens = vec![0; places.len() * steps];
        Ok(Self { keep, steps, places, entries, lens, _held: held })
    }

    fn heap(&self, group: usize, step: usize) -> &[Entry] {
        let (start, room) = self.places[group];
        let start = start + step * room;
        &self.entries[start..start + self.lens[group * self.steps + step] as usize]
    }

    fn heaps(&self) -> impl Iterator<Item = (usize, &[Entry])> {
        let cells = (0..self.places.len()).flat_map(|g| (0..self.steps).map(move |s| (g, s)));
        cells.map(|(group, step)| (step, self.heap(group, step)))
    }

    /// Offers the values of a row to the heaps of its group. Rows come in order.
    fn offer(&mut self, group: usize, row: usize, values: &[f64], counts: &[usize]) {
        let (start, room) = self.places[group];
        let lens = &mut self.lens[group * self.steps..(group + 1) * self.steps];
        for (step, (v, len)) in values.iter().zip(lens).enumerate() {
            let k = counts[step].min(room);
            if is_absent(*v) || k == 0 {
                continue;
            }
            let entry = Entry { v: *v, row: row as u32 };
            let start = start + step * room;
            let filled = *len as usize;
            if filled < k {
                self.entries[start + filled] = entry;
                *len += 1;
                sift_up(&mut self.entries[start..=start + filled], self.keep);
            } else if self.keep != Keep::First {
                let heap = &mut self.entries[start..start + filled];
                let top = heap[0].v;
                let is_better = match self.keep {
                    Keep::Largest => top < *v,
                    _ => top > *v,
                };
                if is_better || (top.is_nan() && !v.is_nan()) {
                    heap[0] = entry;
                    sift_down(heap, self.keep);
                }
            }
        }
    }

    /// The rows that were kept at any step, `natives` in place of the entries that stand for them.
    /// At a single step they stand in order of their rank, group by group in the order of
    /// `groups`.
    fn into_block(
        self,
        (series, natives): (&SeriesList, &Histograms),
        groups: &[usize],
        ctx: &Context<'_>,
    ) -> Result<Block, QueryError> {
        let mut order = Vec::new();
        if self.steps == 1 {
            for group in groups {
                let mut kept = self.heap(*group, 0).to_vec();
                kept.sort_by(|a, b| self.keep.rank(a.v, b.v));
                order.extend(kept.iter().map(|e| e.row as usize));
            }
        } else {
            let mut is_kept = vec![false; series.len()];
            for (_, heap) in self.heaps() {
                heap.iter().for_each(|e| is_kept[e.row as usize] = true);
            }
            order.extend((0..series.len()).filter(|&row| is_kept[row]));
        }
        let mut place_of = vec![0; series.len()];
        for (place, row) in order.iter().enumerate() {
            place_of[*row] = place;
        }
        let mut block = Block::absent(series.reordered(&order), self.steps, ctx)?;
        let mut kept = Vec::new();
        for (step, heap) in self.heaps() {
            for entry in heap {
                let place = place_of[entry.row as usize];
                match natives.get(entry.row as usize * self.steps + step) {
                    Some(h) => kept.push((place * self.steps + step, Arc::clone(h))),
                    None => block.row_mut(place)[step] = entry.v,
                }
            }
        }
        block.count_samples()?;
        block.with_histograms(Histograms::from_unsorted(kept), ctx)
    }
}

/// Rows in the order of a heap of their values that they are put into one by one.
pub(super) fn heap_order(rows: impl Iterator<Item = (usize, f64)>) -> Vec<usize> {
    let mut heap = Vec::new();
    for (row, v) in rows {
        heap.push(Entry { v, row: row as u32 });
        sift_up(&mut heap, Keep::First);
    }
    heap.iter().map(|entry| entry.row as usize).collect()
}

/// Moves the last entry of a heap to its place.
fn sift_up(heap: &mut [Entry], keep: Keep) {
    let mut at = heap.len() - 1;
    while at > 0 {
        let parent = (at - 1) / 2;
        if !keep.leaves_before(heap[at].v, heap[parent].v) {
            break;
        }
        heap.swap(at, parent);
        at = parent;
    }
}

/// Moves the first entry of a heap to its place.
fn sift_down(heap: &mut [Entry], keep: Keep) {
    let mut at = 0;
    loop {
        let left = 2 * at + 1;
        if left >= heap.len() {
            return;
        }
        let right = left + 1;
        let is_right = right < heap.len() && keep.leaves_before(heap[right].v, heap[left].v);
        let child = if is_right { right } else { left };
        if !keep.leaves_before(heap[child].v, heap[at].v) {
            return;
        }
        heap.swap(at, child);
        at = child;
    }
}
