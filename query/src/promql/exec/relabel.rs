//! `label_replace` and `label_join`: other labels, the same values.

use std::ops::Range;

use m3rs_core::model::Labels;

use super::block::{self, SameLabels};
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
    exchange::for_each_ordered(
        ctx,
        runs.len(),
        |index, _| {
            let changed = runs[index].clone().map(|row| change(relabel, old.labels(row)));
            Ok(changed.collect::<Vec<Labels>>())
        },
        |_, changed| {
            labels.extend(changed);
            Ok(())
        },
    )?;
    let rows: Box<dyn Rows + 'a> = Box::new(RelabelRows { input, series: SeriesList::new(labels) });
    block::with_unique_labels(rows, SameLabels::Merge, grid.count, ctx)
}

fn change(relabel: &Relabel, labels: Labels) -> Labels {
    match relabel {
        Relabel::Replace(replace) => replace.apply(&labels).unwrap_or(labels),
        Relabel::Join(join) => join.apply(&labels),
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

    fn read(
        &self,
        rows: Range<usize>,
        worker: &mut Worker,
        out: &mut [f64],
    ) -> Result<(), QueryError> {
        self.input.read(rows, worker, out)
    }
}
