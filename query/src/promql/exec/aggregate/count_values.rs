//! `count_values`: how many series have each value.

use hashbrown::HashMap;
use m3rs_core::model::{Labels, METRIC_NAME, STALE_NAN};

use super::Groups;
use crate::error::QueryError;
use crate::limits::Held;
use crate::number::write_plain;
use crate::promql::exec::block::Block;
use crate::promql::exec::series::SeriesList;
use crate::promql::exec::{Context, Rows, is_absent};
use crate::promql::labelset::Projection;
use crate::promql::plan::AggregateNode;
use crate::step::StepGrid;

/// Rows between two looks at the query's time.
const ROWS_PER_CHECK: usize = 1024;

/// Opens `count_values`. Each distinct value of a group makes a series.
pub(super) fn open<'a>(
    node: &AggregateNode,
    input: Box<dyn Rows + 'a>,
    label: &str,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    let groups = Groups::new(input.series(), base(node, label), ctx)?;
    // PARITY(prometheus): `without` may name the new label, which then is left out again.
    let sets_label =
        !node.without || (label != METRIC_NAME && !node.labels.iter().any(|l| l == label));
    let block = input.into_block(ctx, grid.count)?;
    let mut counts = Counts { steps: grid.count, ..Counts::default() };
    for row in 0..block.series.len() {
        if row.is_multiple_of(ROWS_PER_CHECK) {
            ctx.check()?;
        }
        counts.add(groups.of_row(row), block.row(row), sets_label, ctx)?;
    }
    for (cell, h) in block.histograms.iter() {
        let value = match sets_label {
            true => CountedValue::Histogram(h.to_string()),
            false => CountedValue::Any,
        };
        let place = counts.place(groups.of_row(cell / grid.count), value, ctx)?;
        counts.values[place * grid.count + cell % grid.count] += 1.0;
    }
    drop(block);
    let bases = groups.labels();
    let labels =
        counts.keys.iter().map(|(group, value)| with_value(&bases[*group], label, value)).collect();
    let mut values = counts.values;
    values.iter_mut().filter(|v| **v == 0.0).for_each(|v| *v = STALE_NAN);
    drop(counts.held);
    let held = ctx.budget.hold_rows(values.len(), 1)?;
    let block = Block::from_values(SeriesList::new(labels), values, grid.count, held)?;
    Ok(Box::new(block))
}

/// The labels of a result but the one for the value.
fn base(node: &AggregateNode, label: &str) -> Projection {
    if node.without {
        let mut names = node.labels.clone();
        names.push(label.to_owned());
        Projection::dropping_with_name(&names)
    } else {
        let names: Vec<&String> = node.labels.iter().filter(|l| *l != label).collect();
        Projection::keeping(&names)
    }
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum CountedValue {
    /// Anything: the label is left out again.
    Any,
    /// A float by its bits.
    Float(u64),
    /// A native histogram by its text.
    Histogram(String),
}

fn with_value(base: &Labels, label: &str, value: &CountedValue) -> Labels {
    let mut float = Vec::new();
    let text = match value {
        CountedValue::Any => return base.clone(),
        CountedValue::Float(bits) => {
            write_plain(&mut float, f64::from_bits(*bits));
            String::from_utf8_lossy(&float)
        }
        CountedValue::Histogram(text) => text.into(),
    };
    let mut labels = base.to_builder();
    labels.set(label, &text);
    labels.build()
}

/// Counts by group and value, at each step.
#[derive(Default)]
struct Counts {
    steps: usize,
    places: HashMap<(usize, CountedValue), usize>,
    keys: Vec<(usize, CountedValue)>,
    values: Vec<f64>,
    held: Vec<Held>,
}

impl Counts {
    fn add(
        &mut self,
        group: usize,
        row: &[f64],
        by_value: bool,
        ctx: &Context<'_>,
    ) -> Result<(), QueryError> {
        let mut last: Option<(u64, usize)> = None;
        for (step, v) in row.iter().enumerate() {
            if is_absent(*v) {
                continue;
            }
            // Every NaN has the same text.
            let bits = match (by_value, v.is_nan()) {
                (false, _) => 0,
                (true, true) => f64::NAN.to_bits(),
                (true, false) => v.to_bits(),
            };
            let place = match last {
                Some((b, place)) if b == bits => place,
                _ if by_value => self.place(group, CountedValue::Float(bits), ctx)?,
                _ => self.place(group, CountedValue::Any, ctx)?,
            };
            last = Some((bits, place));
            self.values[place * self.steps + step] += 1.0;
        }
        Ok(())
    }

    fn place(
        &mut self,
        group: usize,
        value: CountedValue,
        ctx: &Context<'_>,
    ) -> Result<usize, QueryError> {
        let key = (group, value);
        if let Some(place) = self.places.get(&key) {
            return Ok(*place);
        }
        let place = self.keys.len();
        self.held.push(ctx.budget.hold_rows(1, self.steps)?);
        self.keys.push(key.clone());
        self.places.insert(key, place);
        self.values.resize((place + 1) * self.steps, 0.0);
        Ok(place)
    }
}
