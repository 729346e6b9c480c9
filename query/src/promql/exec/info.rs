//! `info`: labels of info series, such as `target_info`, on the series that they describe.
//!
//! An info series describes those that share its identifying labels. Which one does may change
//! from step to step, and with it the labels of the result.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use m3rs_core::model::{Labels, METRIC_NAME, MatchOp, Matcher};

use super::block::{Block, SameLabels};
use super::histograms::Histograms;
use super::select::{self, Ends, Reach, Selected};
use super::series::SeriesList;
use super::{Context, Rows, is_absent, open as open_node};
use crate::error::QueryError;
use crate::histogram::FloatHistogram;
use crate::limits::Held;
use crate::promql::ast::Span;
use crate::promql::plan::{InfoNode, SelectNode, Shift};
use crate::promql::print::format_labels;
use crate::source::condition::Condition;
use crate::step::StepGrid;

/// PARITY(prometheus): the identifying labels are fixed.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// Stands for "no info series".
const NONE: u32 = u32::MAX;

/// Opens `info`.
pub(crate) fn open<'a>(
    node: &'a InfoNode,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    let base = open_node(&node.input, grid, ctx)?.into_block(ctx, grid.count)?;
    let (names, data): (Vec<Matcher>, Vec<Matcher>) =
        node.matchers.iter().cloned().partition(|m| m.name == METRIC_NAME);
    let names = info_names(names);
    let name_conditions = names.iter().map(Condition::new).collect::<Result<Vec<_>, _>>()?;
    let is_info: Vec<bool> = (0..base.series.len())
        .map(|row| {
            let name = base.series.name(row).unwrap_or_default();
            name_conditions.iter().all(|c| c.holds_for(name))
        })
        .collect();
    let info = match identities(&base, &is_info) {
        Some(identities) => {
            let matchers = identities.into_iter().chain(data.iter().cloned()).chain(names);
            InfoSeries::fetch(matchers.collect(), node.shift, (&base, grid), ctx)?
        }
        None => InfoSeries::default(),
    };
    let data = data.iter().map(Condition::new).collect::<Result<Vec<_>, _>>()?;
    let mut join = Join::new(&base, &info, &data, ctx)?;
    for (row, is_info) in is_info.iter().enumerate() {
        ctx.check()?;
        if base.has_samples(row) {
            join.add_row(row, *is_info)?;
        }
    }
    let block = join.into_block()?.with_unique_labels(SameLabels::Merge, ctx)?;
    Ok(Box::new(block))
}

/// Which metrics are info metrics.
fn info_names(matchers: Vec<Matcher>) -> Vec<Matcher> {
    if matchers.is_empty() {
        return vec![Matcher::equal(METRIC_NAME, "target_info")];
    }
    let is_positive = |m: &Matcher| matches!(m.op, MatchOp::Equal | MatchOp::Regexp);
    if matchers.iter().any(is_positive) {
        return matchers;
    }
    let any_info = Matcher::new(METRIC_NAME, MatchOp::Regexp, ".+_info");
    std::iter::once(any_info).chain(matchers).collect()
}

/// Matchers of the identifying labels of all series to be described; `None` if they have none.
fn identities(base: &Block, is_info: &[bool]) -> Option<Vec<Matcher>> {
    let mut values: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for row in (0..base.series.len()).filter(|row| !is_info[*row] && base.has_samples(*row)) {
        let labels = base.series.labels(row);
        for name in IDENTIFYING {
            if let Some(value) = labels.get(name) {
                values.entry(name).or_default().insert(quoted(value));
            }
        }
    }
    let matcher = |(name, values): (&str, BTreeSet<String>)| {
        let any: Vec<String> = values.into_iter().collect();
        Matcher::new(name, MatchOp::Regexp, any.join("|"))
    };
    if values.is_empty() { None } else { Some(values.into_iter().map(matcher).collect()) }
}

/// A regular expression that matches the text alone.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

/// Info series, and which of each group counts at each step.
#[derive(Default)]
struct InfoSeries {
    labels: Vec<Labels>,
    /// Names of info metrics.
    names: BTreeSet<String>,
    /// Groups by metric and identifying labels.
    groups: HashMap<Labels, usize>,
    /// The series that counts, group by group.
    newest: Vec<u32>,
    steps: usize,
    /// The memory of `newest`.
    _held: Option<Held>,
}

impl InfoSeries {
    fn fetch(
        matchers: Vec<Matcher>,
        shift: Shift,
        (base, grid): (&Block, StepGrid),
        ctx: &Context<'_>,
    ) -> Result<Self, QueryError> {
        let function = Some("info".to_owned());
        let select = SelectNode {
            matchers,
            span: Span::default(),
            shift,
            function,
            skips_buckets: false,
            edges: None,
            lookback_ms: None,
            labels: None,
        };
        // PARITY(prometheus): samples are taken from the times that the first selector of the
        // argument looks at, and count at the times of the query.
        let ends = Ends::new(shift, grid);
        let selected = Selected::new(&select, ends.grid, Reach::Lookback, ctx)?;
        let labels: Vec<Labels> = selected.labels.to_vec();
        let times = Block::collect(&select::times(selected, grid, ctx), grid.count, ctx)?;
        let mut info = Self { labels, steps: grid.count, ..Self::default() };
        let mut group_of = Vec::with_capacity(info.labels.len());
        for labels in &info.labels {
            info.names.insert(labels.metric_name().unwrap_or_default().to_owned());
            let key = labels.retain(|n| n == METRIC_NAME || IDENTIFYING.contains(&n));
            let next = info.groups.len();
            group_of.push(*info.groups.entry(key).or_insert(next));
        }
        info._held = Some(ctx.budget.hold_rows(info.groups.len(), info.steps)?);
        info.newest = vec![NONE; info.groups.len() * info.steps];
        for step in 0..info.steps {
            ctx.check()?;
            let is_read = (0..base.series.len()).any(|row| base.is_present(row, step));
            if is_read {
                info.choose(step, &group_of, &times)?;
            }
        }
        Ok(info)
    }

    /// Chooses the newest series of each group at a step.
    fn choose(&mut self, step: usize, group_of: &[usize], times: &Block) -> Result<(), QueryError> {
        for (row, group) in group_of.iter().enumerate() {
            let time = times.row(row)[step];
            if is_absent(time) {
                if times.histogram(row, step).is_some() {
                    let text = "info sample should be float".to_owned();
                    return Err(QueryError::Execution(text));
                }
                continue;
            }
            let newest = &mut self.newest[group * self.steps + step];
            if *newest != NONE {
                let other = times.row(*newest as usize)[step];
                if other > time {
                    continue;
                }
                if other == time {
                    let at_ms = (time * 1000.0).round();
                    let (a, b) = (&self.labels[*newest as usize], &self.labels[row]);
                    return Err(QueryError::Execution(format!(
                        "found duplicate series for info metric: existing {} @ {at_ms}, new {} @ \
                         {at_ms}",
                        format_labels(a),
                        format_labels(b)
                    )));
                }
            }
            *newest = row as u32;
        }
        Ok(())
    }

    /// The groups that describe a series.
    fn groups_of(&self, labels: &Labels) -> Vec<usize> {
        let identity = labels.retain(|name| IDENTIFYING.contains(&name));
        let group = |name: &String| {
            let mut key = identity.to_builder();
            key.set(METRIC_NAME, name);
            self.groups.get(&key.build()).copied()
        };
        self.names.iter().filter_map(group).collect()
    }
}

/// The rows of the result so far.
struct Join<'a, 'b> {
    base: &'a Block,
    info: &'a InfoSeries,
    /// Conditions on the labels that are taken; all are if there is none.
    data: &'a [Condition<'b>],
    labels: Vec<Labels>,
    pending: Vec<bool>,
    values: Vec<f64>,
    histograms: Vec<(usize, Arc<FloatHistogram>)>,
    held: Held,
    ctx: &'a Context<'a>,
}

impl<'a, 'b> Join<'a, 'b> {
    fn new(
        base: &'a Block,
        info: &'a InfoSeries,
        data: &'a [Condition<'b>],
        ctx: &'a Context<'a>,
    ) -> Result<Self, QueryError> {
        let held = ctx.budget.hold(0)?;
        let (labels, pending) = (Vec::new(), Vec::new());
        let (values, histograms) = (Vec::new(), Vec::new());
        Ok(Self { base, info, data, labels, pending, values, histograms, held, ctx })
    }

    /// Adds a row of the base, as one row for each set of info series that describes it.
    fn add_row(&mut self, row: usize, is_info: bool) -> Result<(), QueryError> {
        let labels = self.base.series.labels(row);
        let groups = if is_info { Vec::new() } else { self.info.groups_of(&labels) };
        let mut targets: HashMap<Vec<u32>, Option<usize>> = HashMap::new();
        let mut chosen = Vec::new();
        for (step, v) in self.base.row(row).iter().enumerate() {
            if !self.base.is_present(row, step) {
                continue;
            }
            chosen.clear();
            let newest = groups.iter().map(|g| self.info.newest[g * self.info.steps + step]);
            chosen.extend(newest.filter(|i| *i != NONE));
            let target = match targets.get(&chosen) {
                Some(target) => *target,
                None => {
                    let described = if is_info {
                        Some(labels.clone())
                    } else {
                        self.describe(&labels, &chosen)?
                    };
                    let target = match described {
                        Some(described) => Some(self.open_row(described, row)?),
                        None => None,
                    };
                    targets.insert(chosen.clone(), target);
                    target
                }
            };
            let Some(target) = target else { continue };
            let cell = target * self.base.steps + step;
            self.values[cell] = *v;
            if let Some(h) = self.base.histogram(row, step) {
                self.histograms.push((cell, Arc::clone(h)));
            }
        }
        Ok(())
    }

    /// The labels of a series with those of its info series; `None` if it is left out.
    fn describe(&self, base: &Labels, chosen: &[u32]) -> Result<Option<Labels>, QueryError> {
        if chosen.is_empty() {
            let is_kept = self.data.iter().all(|c| c.holds_for(""));
            return Ok(is_kept.then(|| base.clone()));
        }
        let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
        for index in chosen {
            for (name, value) in self.info.labels[*index as usize].iter() {
                let is_wanted =
                    self.data.is_empty() || self.data.iter().any(|c| c.matcher.name == name);
                if name == METRIC_NAME || !is_wanted {
                    continue;
                }
                if taken.get(name).is_some_and(|other| *other != value) {
                    return Err(QueryError::Execution(format!("conflicting label: {name}")));
                }
                if base.get(name).is_none() {
                    taken.insert(name, value);
                }
            }
        }
        let mut labels = base.to_builder();
        for (name, value) in taken {
            labels.set(name, value);
        }
        Ok(Some(labels.build()))
    }

    /// Adds a row without values.
    fn open_row(&mut self, labels: Labels, base_row: usize) -> Result<usize, QueryError> {
        self.held.absorb(self.ctx.budget.hold_rows(1, self.base.steps)?);
        let row = self.labels.len();
        self.labels.push(labels);
        self.pending.push(self.base.series.is_pending(base_row));
        self.values.resize((row + 1) * self.base.steps, m3rs_core::model::STALE_NAN);
        Ok(row)
    }

    fn into_block(self) -> Result<Block, QueryError> {
        let series = SeriesList::new(self.labels).with_pending(self.pending);
        let histograms = Histograms::from_unsorted(self.histograms);
        let block = Block::from_values(series, self.values, self.base.steps, self.held)?;
        block.with_histograms(histograms, self.ctx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_metrics_are_named_or_guessed() {
        let not = Matcher::new(METRIC_NAME, MatchOp::NotEqual, "a");
        assert_eq!(info_names(Vec::new()), [Matcher::equal(METRIC_NAME, "target_info")]);
        assert_eq!(info_names(vec![not.clone()]).len(), 2);
        let named = Matcher::equal(METRIC_NAME, "build_info");
        assert_eq!(info_names(vec![not, named]).len(), 2);
    }

    #[test]
    fn values_are_quoted_as_go_does() {
        assert_eq!(quoted("a.b:9090|c-d"), r"a\.b:9090\|c-d");
    }
}
