//! Runs a plan on one segment.
//!
//! Conditions run from the cheapest to the dearest: known lists first, smallest first; expressions
//! that must scan a dictionary next; exclusions last, as subtractions. Once few candidates are
//! left, the labels of these are read and the remaining conditions are tried on them.

use std::collections::HashMap;

use m3rs_core::Corrupt;

use super::cache::{PostingsCache, Selected};
use super::plan::{Condition, Effect, Plan, Side};
use crate::error::IndexError;
use crate::postings::{Postings, Union};
use crate::regexp::ValueTest;
use crate::segment::{Segment, Term};

/// Sets of fewer values are united anew each time rather than cached.
const CACHED_SET_MIN: usize = 8;

/// The documents of `segment` that satisfy all conditions.
pub(crate) fn search(
    segment: &dyn Segment,
    plan: &Plan,
    cache: &PostingsCache,
) -> Result<Postings, IndexError> {
    let doc_count = segment.doc_count();
    let mut steps = Vec::with_capacity(plan.conditions.len());
    for condition in &plan.conditions {
        match Outcome::of(segment, condition)? {
            Outcome::Nothing => return Ok(Postings::empty()),
            Outcome::Everything => {}
            Outcome::Step(step) => steps.push(step),
        }
    }
    steps.sort_by_key(|s| (s.condition.effect == Effect::Exclude, s.estimate));
    let mut current: Option<Postings> = None;
    for (at, step) in steps.iter().enumerate() {
        if current.as_ref().is_some_and(Postings::is_empty) {
            break;
        }
        let few = match &current {
            Some(docs) => docs.len() <= step.verify_max(segment, plan),
            // At the start only a scan is dearer than reading the labels of a small segment.
            None => step.is_scan() && u64::from(doc_count) <= plan.verify_max as u64,
        };
        if few {
            let list = current.unwrap_or_else(|| Postings::all(doc_count)).to_vec();
            return verify(segment, &steps[at..], list);
        }
        let docs = step.docs(segment, cache)?.below(doc_count);
        current = Some(match (step.condition.effect, current) {
            (Effect::Include, None) => docs,
            (Effect::Include, Some(left)) if left.len() <= docs.len() => left.and(&docs),
            (Effect::Include, Some(left)) => docs.and(&left),
            (Effect::Exclude, None) => Postings::all(doc_count).and_not(&docs),
            (Effect::Exclude, Some(left)) => left.and_not(&docs),
        });
    }
    Ok(current.unwrap_or_else(|| Postings::all(doc_count)))
}

/// What is known of a condition before any postings are read.
enum Outcome<'p> {
    /// No document satisfies it.
    Nothing,
    /// All do.
    Everything,
    Step(Step<'p>),
}

/// A condition on a field that the segment has.
struct Step<'p> {
    condition: &'p Condition,
    field: u32,
    /// Documents that it selects at most, or `u64::MAX` if that takes a scan to know.
    estimate: u64,
    /// Values, if the test names them.
    terms: Option<Vec<Term>>,
}

impl<'p> Outcome<'p> {
    fn of(segment: &dyn Segment, condition: &'p Condition) -> Result<Self, IndexError> {
        let Some(field) = segment.field(&condition.name) else {
            let is_wanted = condition.effect == Effect::Include;
            return Ok(if is_wanted { Self::Nothing } else { Self::Everything });
        };
        let terms = match &condition.test {
            ValueTest::Literal(value) => Some(find(segment, field, std::slice::from_ref(value))?),
            // Looking up more values than there are costs more than trying each.
            ValueTest::Set(set) if set.len() <= segment.value_count(field) as usize => {
                Some(find(segment, field, set)?)
            }
            _ => None,
        };
        let is_known_all = matches!(condition.test, ValueTest::Any | ValueTest::NonEmpty);
        let estimate = match (&terms, condition.side) {
            (Some(terms), Side::Passing) => terms.iter().map(|t| t.len).sum(),
            (None, Side::Passing) if !is_known_all => u64::MAX,
            (_, Side::Rest) if is_known_all => 0,
            (None, Side::Rest) => u64::MAX,
            (Some(_), Side::Rest) | (None, Side::Passing) => segment.field_len(field),
        };
        if estimate == 0 {
            let is_wanted = condition.effect == Effect::Include;
            return Ok(if is_wanted { Self::Nothing } else { Self::Everything });
        }
        Ok(Self::Step(Step { condition, field, estimate, terms }))
    }
}

impl Step<'_> {
    /// Whether the test must be tried on every value.
    fn is_scan(&self) -> bool {
        self.terms.is_none() && self.estimate == u64::MAX
    }

    /// Candidates up to which reading their labels is cheaper than this step.
    fn verify_max(&self, segment: &dyn Segment, plan: &Plan) -> u64 {
        /// A label read and tested costs about as much as four values of a scan.
        const VALUES_PER_READ: u32 = 4;
        /// A scan is kept for later searches, so labels are not read for ever in its place.
        const READS_MAX: u32 = 16_384;
        let scan = if self.is_scan() { segment.value_count(self.field) } else { 0 };
        u64::from(READS_MAX.min(scan / VALUES_PER_READ)).max(plan.verify_max as u64)
    }

    /// The documents that the condition includes or excludes.
    fn docs(&self, segment: &dyn Segment, cache: &PostingsCache) -> Result<Postings, IndexError> {
        let passing = match &self.condition.test {
            ValueTest::Any | ValueTest::NonEmpty => segment.field_postings(self.field)?,
            _ => self.passing(segment, cache)?,
        };
        match self.condition.side {
            Side::Passing => Ok(passing),
            Side::Rest => Ok(segment.field_postings(self.field)?.and_not(&passing)),
        }
    }

    /// The documents whose value passes the test.
    fn passing(
        &self,
        segment: &dyn Segment,
        cache: &PostingsCache,
    ) -> Result<Postings, IndexError> {
        match &self.terms {
            Some(terms) if terms.len() < CACHED_SET_MIN || !segment.is_sealed() => {
                let mut values: Vec<u32> = terms.iter().map(|t| t.value).collect();
                values.sort_unstable();
                unite(segment, self.field, &values)
            }
            _ if segment.is_sealed() => self.passing_sealed(segment, cache),
            _ => self.passing_growing(segment, cache),
        }
    }

    fn passing_sealed(
        &self,
        segment: &dyn Segment,
        cache: &PostingsCache,
    ) -> Result<Postings, IndexError> {
        let (uid, pattern) = (segment.uid(), &self.condition.pattern);
        if let Some(Selected::Docs(docs)) = cache.get(uid, self.field, pattern) {
            return Ok(docs);
        }
        let values = match &self.terms {
            Some(terms) => terms.iter().map(|t| t.value).collect(),
            None => segment.select(self.field, 0, &self.condition.test)?,
        };
        let docs = unite_cheaper(segment, self.field, &values)?;
        cache.put(uid, self.field, pattern, Selected::Docs(docs.clone()));
        Ok(docs)
    }

    /// Scans only the values that came since the pattern was last asked for.
    fn passing_growing(
        &self,
        segment: &dyn Segment,
        cache: &PostingsCache,
    ) -> Result<Postings, IndexError> {
        let (uid, pattern) = (segment.uid(), &self.condition.pattern);
        let (from, known) = match cache.get(uid, self.field, pattern) {
            Some(Selected::Values { scanned, values }) => (scanned, values),
            _ => (0, [].into()),
        };
        let scanned = segment.value_count(self.field);
        let mut added = segment.select(self.field, from, &self.condition.test)?;
        added.retain(|&value| value < scanned);
        let values =
            if added.is_empty() { known } else { known.iter().copied().chain(added).collect() };
        if scanned > from {
            let selected = Selected::Values { scanned, values: values.clone() };
            cache.put(uid, self.field, pattern, selected);
        }
        unite_cheaper(segment, self.field, &values)
    }
}

/// The values of a list that the field has. Their texts ascend, their numbers need not.
fn find(segment: &dyn Segment, field: u32, values: &[String]) -> Result<Vec<Term>, IndexError> {
    let mut terms = Vec::new();
    for value in values.iter().filter(|v| !v.is_empty()) {
        terms.extend(segment.term(field, value)?);
    }
    Ok(terms)
}

fn unite(segment: &dyn Segment, field: u32, values: &[u32]) -> Result<Postings, IndexError> {
    let mut union = Union::default();
    segment.unite(field, values, &mut union)?;
    Ok(union.finish())
}

/// The union of `values`, or what is left of the field without the others if these are fewer.
fn unite_cheaper(
    segment: &dyn Segment,
    field: u32,
    values: &[u32],
) -> Result<Postings, IndexError> {
    /// Values from which the detour over the whole field may pay.
    const DETOUR_MIN: u32 = 64;
    let value_count = segment.value_count(field);
    if value_count < DETOUR_MIN || values.len() <= value_count as usize / 2 {
        return unite(segment, field, values);
    }
    let whole = segment.field_postings(field)?;
    let mut others = Vec::with_capacity(value_count as usize - values.len());
    let mut passing = values.iter().copied().peekable();
    // A growing segment may have got values since: those are cut off with the documents that
    // brought them, but for their documents to be subtracted the count must be taken again.
    for value in 0..segment.value_count(field) {
        if passing.next_if_eq(&value).is_none() {
            others.push(value);
        }
    }
    Ok(whole.and_not(&unite(segment, field, &others)?))
}

/// Tries the remaining conditions on the labels of a few candidates.
fn verify(
    segment: &dyn Segment,
    steps: &[Step<'_>],
    mut candidates: Vec<u32>,
) -> Result<Postings, IndexError> {
    for step in steps {
        if candidates.is_empty() {
            break;
        }
        let mut values = Vec::with_capacity(candidates.len());
        segment.for_each_doc(&candidates, &mut |_, fields, numbers| {
            let at = fields.iter().position(|&f| f == step.field);
            values.push(at.map(|at| numbers[at]));
        })?;
        let passing = step.passing_of(segment, &values)?;
        let wanted = step.condition.wants_passing();
        let mut passing = passing.iter();
        candidates.retain(|_| passing.next() == Some(&wanted));
    }
    Ok(Postings::Sorted(candidates))
}

impl Step<'_> {
    /// For each value number, `None` for an absent label, whether it passes the test.
    fn passing_of(
        &self,
        segment: &dyn Segment,
        values: &[Option<u32>],
    ) -> Result<Vec<bool>, IndexError> {
        let test = &self.condition.test;
        let absent = test.is_match("");
        if let Some(terms) = &self.terms {
            let mut numbers: Vec<u32> = terms.iter().map(|t| t.value).collect();
            numbers.sort_unstable();
            let passes = |v: &Option<u32>| v.map_or(absent, |v| numbers.binary_search(&v).is_ok());
            return Ok(values.iter().map(passes).collect());
        }
        let mut known: HashMap<u32, bool> = HashMap::new();
        let mut text = Vec::new();
        let mut passing = Vec::with_capacity(values.len());
        for value in values {
            let Some(value) = *value else {
                passing.push(absent);
                continue;
            };
            let passes = match known.get(&value) {
                Some(&passes) => passes,
                None => {
                    text.clear();
                    segment.append_value(self.field, value, &mut text)?;
                    let text = std::str::from_utf8(&text)
                        .map_err(|e| Corrupt::new("index value", 0, "UTF-8", e.to_string()))?;
                    let passes = test.is_match(text);
                    known.insert(value, passes);
                    passes
                }
            };
            passing.push(passes);
        }
        Ok(passing)
    }
}
