//! Label names and values, from dictionaries and postings.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

use m3rs_core::Corrupt;
use m3rs_core::model::Matcher;
use roaring::RoaringBitmap;

use crate::error::IndexError;
use crate::index::{Index, Limited};
use crate::postings::Postings;
use crate::search::Share;
use crate::segment::Segment;

/// Candidates up to which their labels are read, whatever the size of the dictionary.
const READ_MAX: u64 = 4_096;

impl Index {
    /// The label names of all series, or of those that satisfy one of the sets of matchers; sorted,
    /// at most `limit`. Only series in `among` count, if that is given.
    ///
    /// Cost: without matchers the dictionaries alone are read, of segments all of whose series
    /// count.
    ///
    /// # Errors
    /// [`IndexError::Regexp`], [`IndexError::Corrupt`].
    pub fn label_names(
        &self,
        matcher_sets: &[Vec<Matcher>],
        among: Option<&RoaringBitmap>,
        limit: usize,
    ) -> Result<Limited<String>, IndexError> {
        let mut names = BTreeSet::new();
        self.for_each_counted(matcher_sets, among, |segment, docs| {
            let fields = match docs {
                Some(docs) => fields_of(segment, &docs)?,
                None => (0..segment.field_count()).collect(),
            };
            names.extend(fields.into_iter().map(|f| segment.field_name(f)));
            Ok(())
        })?;
        let truncated = names.len() > limit;
        Ok(Limited { items: names.into_iter().take(limit).collect(), truncated })
    }

    /// The values of a label over all series, or over those that satisfy one of the sets of
    /// matchers; sorted, at most `limit`. Only series in `among` count, if that is given.
    ///
    /// Cost: as [`Index::label_names`].
    ///
    /// # Errors
    /// [`IndexError::Regexp`], [`IndexError::Corrupt`].
    pub fn label_values(
        &self,
        name: &str,
        matcher_sets: &[Vec<Matcher>],
        among: Option<&RoaringBitmap>,
        limit: usize,
    ) -> Result<Limited<String>, IndexError> {
        let mut values = Vec::new();
        self.for_each_counted(matcher_sets, among, |segment, docs| {
            let Some(field) = segment.field(name) else { return Ok(()) };
            let Some(docs) = docs else {
                return segment.for_each_value(field, 0, &mut |_, text, _| {
                    values.push(text.to_owned());
                    ControlFlow::Continue(())
                });
            };
            let rest = u64::from(segment.doc_count()).saturating_sub(docs.len());
            if segment.is_sealed() && rest <= READ_MAX {
                return values_but(segment, field, &docs, &mut values);
            }
            for value in values_of(segment, field, &docs)? {
                values.push(text(segment, field, value)?);
            }
            Ok(())
        })?;
        values.sort_unstable();
        values.dedup();
        let truncated = values.len() > limit;
        values.truncate(limit);
        Ok(Limited { items: values, truncated })
    }

    /// Calls `visit` with each segment of which something counts, and with what does; `None` if
    /// that is the whole segment.
    fn for_each_counted(
        &self,
        matcher_sets: &[Vec<Matcher>],
        among: Option<&RoaringBitmap>,
        mut visit: impl FnMut(&dyn Segment, Option<Postings>) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        if !matcher_sets.is_empty() {
            return self.for_each_selected(matcher_sets, among, |s, docs| visit(s, Some(docs)));
        }
        self.for_each_share(among, |segment, share| match share {
            Share::Nothing => Ok(()),
            Share::Whole => visit(segment, None),
            Share::Part(_) | Share::Rest(_) => {
                let docs = share.cut(segment, Postings::all(segment.doc_count()));
                if docs.is_empty() { Ok(()) } else { visit(segment, Some(docs)) }
            }
        })
    }
}

/// Adds the values of `field` that some of `docs` have, which are nearly all of the segment's:
/// those that more documents have than the few others. Reads the few, and the dictionary.
fn values_but(
    segment: &dyn Segment,
    field: u32,
    docs: &Postings,
    values: &mut Vec<String>,
) -> Result<(), IndexError> {
    let others = Postings::all(segment.doc_count()).and_not(docs).to_vec();
    let mut without: HashMap<u32, u64> = HashMap::new();
    segment.for_each_doc(&others, &mut |_, shape, numbers| {
        if let Some(at) = shape.iter().position(|&f| f == field) {
            *without.entry(numbers[at]).or_default() += 1;
        }
    })?;
    segment.for_each_value(field, 0, &mut |value, text, len| {
        if without.get(&value).is_none_or(|&held| held < len) {
            values.push(text.to_owned());
        }
        ControlFlow::Continue(())
    })
}

/// The text of a value.
pub(crate) fn text(segment: &dyn Segment, field: u32, value: u32) -> Result<String, IndexError> {
    let mut bytes = Vec::new();
    segment.append_value(field, value, &mut bytes)?;
    String::from_utf8(bytes)
        .map_err(|e| Corrupt::new("index value", 0, "UTF-8", e.to_string()).into())
}

/// The fields that some of `docs` have.
fn fields_of(segment: &dyn Segment, docs: &Postings) -> Result<Vec<u32>, IndexError> {
    if docs.len() <= READ_MAX.max(u64::from(segment.field_count())) {
        let mut fields = HashSet::new();
        segment.for_each_doc(&docs.to_vec(), &mut |_, shape, _| fields.extend(shape))?;
        return Ok(fields.into_iter().collect());
    }
    let mut fields = Vec::new();
    for field in 0..segment.field_count() {
        if segment.field_postings(field)?.intersects(docs) {
            fields.push(field);
        }
    }
    Ok(fields)
}

/// The values of `field` that some of `docs` have.
fn values_of(segment: &dyn Segment, field: u32, docs: &Postings) -> Result<Vec<u32>, IndexError> {
    let value_count = segment.value_count(field);
    // A document read costs about as much as a list of postings tried.
    if docs.len() <= READ_MAX.max(u64::from(value_count)) {
        let mut values = HashSet::new();
        segment.for_each_doc(&docs.to_vec(), &mut |_, shape, numbers| {
            if let Some(at) = shape.iter().position(|&f| f == field) {
                values.insert(numbers[at]);
            }
        })?;
        return Ok(values.into_iter().collect());
    }
    let mut values = Vec::new();
    for value in 0..value_count {
        if segment.value_postings(field, value)?.intersects(docs) {
            values.push(value);
        }
    }
    Ok(values)
}
