//! Which series belong together.

use m3rs_core::model::Labels;

use crate::error::QueryError;
use crate::promql::exec::block::Block;
use crate::promql::exec::series::SeriesList;
use crate::promql::exec::{Context, exchange, has_value};
use crate::promql::labelset::{Dictionary, Projection};
use crate::promql::plan::AggregateNode;
use crate::step::StepGrid;

/// The labels that groups of an aggregation have in common.
pub(super) fn grouping(node: &AggregateNode) -> Projection {
    if node.without {
        Projection::dropping_with_name(&node.labels)
    } else {
        Projection::keeping(&node.labels)
    }
}

/// A dense group number for each row, in order of first appearance.
#[derive(Debug)]
pub(crate) struct Groups {
    of_row: Vec<u32>,
    keys: Dictionary,
}

impl Groups {
    /// Groups rows by the labels that `projection` keeps. One pass on every core; the cost is a
    /// walk over the labels and a look-up for each series.
    pub(crate) fn new(
        series: &SeriesList,
        projection: Projection,
        ctx: &Context<'_>,
    ) -> Result<Self, QueryError> {
        let mut keys = Dictionary::default();
        let of_row = number_rows(&mut keys, series, projection, ctx)?;
        Ok(Self { of_row, keys })
    }

    /// Numbers the rows of another operator with the same groups, and new ones.
    pub(crate) fn extend(
        &mut self,
        series: &SeriesList,
        projection: Projection,
        ctx: &Context<'_>,
    ) -> Result<Vec<u32>, QueryError> {
        number_rows(&mut self.keys, series, projection, ctx)
    }

    /// The group of each row.
    pub(crate) fn numbers(&self) -> &[u32] {
        &self.of_row
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn of_row(&self, row: usize) -> usize {
        self.of_row[row] as usize
    }

    /// The labels of each group.
    pub(crate) fn labels(&self) -> Vec<Labels> {
        (0..self.keys.len()).map(|n| self.keys.labels(n as u32)).collect()
    }

    /// The results of an aggregation of `input`: a row for each group. A name that `by` kept goes
    /// at the end if that of any row of the group does.
    pub(crate) fn series(&self, input: &SeriesList) -> SeriesList {
        let series = SeriesList::new(self.labels());
        if !input.has_pending() {
            return series;
        }
        let mut pending = vec![false; self.len()];
        for (row, group) in self.of_row.iter().enumerate() {
            pending[*group as usize] |= input.is_pending(row);
        }
        series.with_pending(pending)
    }

    /// The rows of each group, in order.
    pub(crate) fn rows(&self) -> Vec<Vec<usize>> {
        let mut rows = vec![Vec::new(); self.len()];
        for (row, group) in self.of_row.iter().enumerate() {
            rows[*group as usize].push(row);
        }
        rows
    }
}

/// Which series of each group came first at the only time of an instant query, whose results stand
/// in that order. Other queries are sorted in the end.
#[derive(Debug)]
pub(super) struct FirstSeen {
    /// By group; empty if order does not matter.
    rows: Vec<usize>,
}

impl FirstSeen {
    pub(super) fn new(groups: usize, grid: StepGrid) -> Self {
        Self { rows: if grid.is_instant() { vec![usize::MAX; groups] } else { Vec::new() } }
    }

    /// Looks at the values of a row. Rows come in order.
    pub(super) fn see(&mut self, group: usize, row: usize, values: &[f64]) {
        if has_value(values) {
            self.mark(group, row);
        }
    }

    /// Takes a row that has something.
    pub(super) fn mark(&mut self, group: usize, row: usize) {
        if let Some(first) = self.rows.get_mut(group) {
            *first = row.min(*first);
        }
    }

    /// The groups in order.
    pub(super) fn order(&self, groups: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..groups).collect();
        if !self.rows.is_empty() {
            order.sort_by_key(|group| self.rows[*group]);
        }
        order
    }

    /// A row for each group, in order.
    pub(super) fn in_order(&self, block: Block, ctx: &Context<'_>) -> Result<Block, QueryError> {
        if self.rows.is_sorted() {
            return Ok(block);
        }
        block.reordered(&self.order(self.rows.len()), ctx)
    }
}

fn number_rows(
    keys: &mut Dictionary,
    series: &SeriesList,
    projection: Projection,
    ctx: &Context<'_>,
) -> Result<Vec<u32>, QueryError> {
    let projection = series.project(projection);
    if projection.is_empty() {
        let number = if series.len() > 0 { keys.number(&[]) } else { 0 };
        return Ok(vec![number; series.len()]);
    }
    let mut of_row = Vec::with_capacity(series.len());
    let runs = exchange::runs(series.len(), 1);
    exchange::for_each_ordered(
        ctx,
        runs.len(),
        |index, _| {
            let mut local = Dictionary::default();
            let mut key = Vec::new();
            let numbers: Vec<u32> = runs[index]
                .clone()
                .map(|row| {
                    projection.apply(series.raw(row), &mut key);
                    local.number(&key)
                })
                .collect();
            Ok((local, numbers))
        },
        |_, (local, numbers)| {
            let global: Vec<u32> =
                (0..local.len()).map(|n| keys.number(local.key(n as u32))).collect();
            of_row.extend(numbers.into_iter().map(|n| global[n as usize]));
            Ok(())
        },
    )?;
    Ok(of_row)
}
