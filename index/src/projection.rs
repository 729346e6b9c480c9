//! Some labels of many series, for callers that look at no others.

use std::collections::HashMap;

use m3rs_core::model::Labels;

use crate::error::IndexError;
use crate::index::Index;
use crate::segment::Segment;

/// The value of a label that a series does not have.
const ABSENT: u32 = u32::MAX;

/// The labels of a segment's series that are wanted, each set of them once.
struct Projection {
    /// Wanted fields with their names.
    fields: Vec<(u32, String)>,
    /// Numbers of the sets, by the values of the fields.
    numbers: HashMap<Box<[u32]>, u32>,
    sets: Vec<Labels>,
    key: Vec<u32>,
}

impl Projection {
    fn new(segment: &dyn Segment, names: &[String]) -> Self {
        let field = |name: &String| segment.field(name).map(|field| (field, name.clone()));
        let mut fields: Vec<_> = names.iter().filter_map(field).collect();
        fields.sort_unstable();
        fields.dedup();
        Self { fields, numbers: HashMap::new(), sets: Vec::new(), key: Vec::new() }
    }

    /// The number of the set that a document with these fields has.
    fn number(&mut self, fields: &[u32], values: &[u32]) -> u32 {
        let Self { fields: wanted, key, .. } = self;
        key.clear();
        key.extend(wanted.iter().map(|(field, _)| {
            fields.iter().position(|f| f == field).map_or(ABSENT, |at| values[at])
        }));
        if let Some(&number) = self.numbers.get(&**key) {
            return number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(key.as_slice().into(), number);
        number
    }

    /// Reads the texts of the sets that were numbered since the last call.
    fn read_texts(&mut self, segment: &dyn Segment) -> Result<(), IndexError> {
        if self.sets.len() == self.numbers.len() {
            return Ok(());
        }
        let known = self.sets.len();
        self.sets.resize(self.numbers.len(), Labels::empty());
        for (values, &number) in self.numbers.iter().filter(|(_, n)| **n as usize >= known) {
            let mut pairs = Vec::with_capacity(values.len());
            for ((field, name), &value) in self.fields.iter().zip(values) {
                if value != ABSENT {
                    pairs.push((name, crate::aggregate::text(segment, *field, value)?));
                }
            }
            let labels = Labels::from_pairs(pairs).map_err(|e| {
                let want = "valid labels";
                m3rs_core::Corrupt::new("index document", 0, want, e.to_string())
            })?;
            self.sets[number as usize] = labels;
        }
        Ok(())
    }
}

impl Index {
    /// As [`Index::labels_of`], but of the labels of each series those with these names alone;
    /// series then may have the same ones.
    ///
    /// Cost: a row read and a look-up for each series, and the texts of each set of labels once
    /// for each segment.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`].
    pub fn some_labels_of(
        &self,
        ids: &[u32],
        names: &[String],
    ) -> Result<Vec<Option<Labels>>, IndexError> {
        let state = self.state();
        let mut all = Vec::with_capacity(ids.len());
        // Ids mostly ascend, so a segment comes once.
        let mut last: Option<(u64, Projection)> = None;
        let (mut ordinals, mut numbers) = (Vec::new(), Vec::new());
        while let Some(&id) = ids.get(all.len()) {
            let found = state.segment_of(id).and_then(|s| s.ordinal(id).map(|o| (s, o)));
            let Some((segment, ordinal)) = found else {
                all.push(None);
                continue;
            };
            ordinals.clear();
            ordinals.push(ordinal);
            ordinals.extend(ids[all.len() + 1..].iter().map_while(|&id| segment.ordinal(id)));
            let projection = match &mut last {
                Some((uid, projection)) if *uid == segment.uid() => projection,
                other => &mut other.insert((segment.uid(), Projection::new(segment, names))).1,
            };
            numbers.clear();
            segment.for_each_doc(&ordinals, &mut |_, fields, values| {
                numbers.push(projection.number(fields, values));
            })?;
            projection.read_texts(segment)?;
            let sets = &projection.sets;
            all.extend(numbers.iter().map(|&number| Some(sets[number as usize].clone())));
        }
        Ok(all)
    }
}
