//! `label_replace`, `label_join` and the end of a query: other labels, the same values.

use std::ops::Range;

use m3rs_core::model::{Labels, METRIC_NAME};

use super::block::{self, SameLabels};
use super::histograms::Histograms;
use super::series::SeriesList;
use super::{Context, Rows, Worker, exchange, open as open_node};
use crate::error::QueryError;
use crate::promql::plan::{Relabel, VectorNode};
use crate::step::StepGrid;

/// Opens a label function.
pub(crate) fn open<'a>(
    input: &'a VectorNode,
    relabel: &'a Relabel,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    let input = open_node(input, grid, ctx)?;
    let old = input.series();
    let runs = exchange::runs(old.len(), 1);
    let mut labels = Vec::with_capacity(old.len());
    let mut pending = Vec::with_capacity(old.len());
    exchange::for_each_ordered(
        ctx,
        runs.len(),
        |index, _| {
            let changed = runs[index].clone().map(|row| {
                let (labels, names_it) = change(relabel, old.labels(row));
                (labels, old.is_pending(row) && !names_it)
            });
            Ok(changed.unzip::<Labels, bool, Vec<_>, Vec<_>>())
        },
        |_, (changed, changed_pending)| {
            labels.extend(changed);
            pending.extend(changed_pending);
            Ok(())
        },
    )?;
    let series = SeriesList::new(labels).with_pending(pending);
    let rows: Box<dyn Rows + 'a> = Box::new(RelabelRows { input, series });
    block::with_unique_labels(rows, SameLabels::Merge, grid.count, ctx)
}

/// Opens the end of a query: names that waited go.
pub(crate) fn open_settled<'a>(
    input: &'a VectorNode,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    let input = open_node(input, grid, ctx)?;
    if !input.series().has_pending() {
        return Ok(input);
    }
    let series = input.series().settled();
    let rows: Box<dyn Rows + 'a> = Box::new(RelabelRows { input, series });
    block::with_unique_labels(rows, SameLabels::Merge, grid.count, ctx)
}

/// The new labels, and whether the function gave a name, which then stays.
fn change(relabel: &Relabel, labels: Labels) -> (Labels, bool) {
    match relabel {
        Relabel::Replace(replace) => match replace.apply(&labels) {
            Some(changed) => (changed, replace.destination() == METRIC_NAME),
            None => (labels, false),
        },
        Relabel::Join(join) => (join.apply(&labels), join.destination() == METRIC_NAME),
    }
}

struct RelabelRows<'a> {
    input: Box<dyn Rows + 'a>,
    series: SeriesList,
}

impl Rows for RelabelRows<'_> {
    fn series(&self) -> &SeriesList {
        &self.series
    }

    fn tells(&self) -> bool {
        self.input.tells()
    }

    fn read(
        &self,
        rows: Range<usize>,
        worker: &mut Worker,
        out: &mut [f64],
    ) -> Result<Histograms, QueryError> {
        self.input.read(rows, worker, out)
    }
}
