//! How many series there are of what.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::ops::ControlFlow;

use m3rs_core::model::METRIC_NAME;

use crate::error::IndexError;
use crate::index::Index;
use crate::segment::Segment;
use crate::state::State;

/// A name and a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// What was counted.
    pub name: String,
    /// How many.
    pub count: u64,
}

/// Numbers about an index; lists have the largest first, equal ones by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// Series.
    pub series: u64,
    /// Distinct pairs of label name and value.
    pub label_pairs: u64,
    /// Series by metric name.
    pub series_by_metric: Vec<Count>,
    /// Distinct values by label name.
    pub values_by_label: Vec<Count>,
    /// Bytes of the distinct values by label name.
    pub bytes_by_label: Vec<Count>,
    /// Series by `name=value`.
    pub series_by_pair: Vec<Count>,
}

/// The largest counts seen.
struct Top {
    max: usize,
    heap: BinaryHeap<Reverse<(u64, Reverse<String>)>>,
}

impl Top {
    fn new(max: usize) -> Self {
        Self { max, heap: BinaryHeap::new() }
    }

    fn offer(&mut self, count: u64, name: impl FnOnce() -> String) {
        let smallest = self.heap.peek().map_or(0, |Reverse((count, _))| *count);
        if self.heap.len() >= self.max && count < smallest {
            return;
        }
        self.heap.push(Reverse((count, Reverse(name()))));
        if self.heap.len() > self.max {
            self.heap.pop();
        }
    }

    fn finish(self) -> Vec<Count> {
        let sorted = self.heap.into_sorted_vec();
        sorted.into_iter().map(|Reverse((count, Reverse(name)))| Count { name, count }).collect()
    }
}

impl Index {
    /// Counts series, values and pairs; each list has at most `top` entries.
    ///
    /// Cost: one pass over all dictionaries, which hold the counts, and the labels of forgotten
    /// series that are in files still; no postings are read. Memory: the values of one label at a
    /// time, and those that forgotten series have.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`].
    pub fn cardinality(&self, top: usize) -> Result<Cardinality, IndexError> {
        let mut names: BTreeSet<String> = BTreeSet::new();
        let mut series = 0;
        let state = self.state();
        let mut gone = Vec::new();
        state.segments().try_for_each(|segment| {
            let forgotten = Gone::of(segment, &state)?;
            series += u64::from(segment.doc_count()).saturating_sub(forgotten.series);
            gone.push(forgotten);
            names.extend((0..segment.field_count()).map(|f| segment.field_name(f)));
            Ok::<_, IndexError>(())
        })?;
        let (mut metrics, mut pairs) = (Top::new(top), Top::new(top));
        let (mut labels, mut bytes) = (Top::new(top), Top::new(top));
        let mut label_pairs = 0;
        for name in names {
            let values = value_counts(&state, &gone, &name)?;
            if values.is_empty() {
                continue;
            }
            label_pairs += values.len() as u64;
            for (value, count) in &values {
                pairs.offer(*count, || format!("{name}={value}"));
                if name == METRIC_NAME {
                    metrics.offer(*count, || value.clone());
                }
            }
            labels.offer(values.len() as u64, || name.clone());
            let held = values.iter().map(|(value, _)| value.len() as u64).sum();
            bytes.offer(held, || name.clone());
        }
        Ok(Cardinality {
            series,
            label_pairs,
            series_by_metric: metrics.finish(),
            values_by_label: labels.finish(),
            bytes_by_label: bytes.finish(),
            series_by_pair: pairs.finish(),
        })
    }
}

/// What of a segment was forgotten and stands in it still.
struct Gone {
    series: u64,
    /// Series by field and value.
    by_value: HashMap<(u32, u32), u64>,
}

impl Gone {
    fn of(segment: &dyn Segment, state: &State) -> Result<Self, IndexError> {
        let mut ordinals = Vec::new();
        if let Some((first, last)) = segment.id_range() {
            ordinals.extend(state.gone.range(first..=last).filter_map(|id| segment.ordinal(id)));
        }
        let mut by_value = HashMap::new();
        if !ordinals.is_empty() {
            segment.for_each_doc(&ordinals, &mut |_, fields, values| {
                for pair in fields.iter().copied().zip(values.iter().copied()) {
                    *by_value.entry(pair).or_default() += 1;
                }
            })?;
        }
        Ok(Self { series: ordinals.len() as u64, by_value })
    }
}

/// The values of a label with the number of their series, added up over segments.
fn value_counts(
    state: &State,
    gone: &[Gone],
    name: &str,
) -> Result<Vec<(String, u64)>, IndexError> {
    let mut all: Vec<(String, u64)> = Vec::new();
    for (segment, gone) in state.segments().zip(gone) {
        let Some(field) = segment.field(name) else { continue };
        segment.for_each_value(field, 0, &mut |value, text, len| {
            let forgotten = gone.by_value.get(&(field, value)).copied().unwrap_or(0);
            if len > forgotten {
                all.push((text.to_owned(), len - forgotten));
            }
            ControlFlow::Continue(())
        })?;
    }
    all.sort_unstable();
    all.dedup_by(|next, kept| {
        let is_same = next.0 == kept.0;
        if is_same {
            kept.1 += next.1;
        }
        is_same
    });
    Ok(all)
}
