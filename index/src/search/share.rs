//! What a restriction to some ids leaves of a segment.

use roaring::RoaringBitmap;

use crate::postings::Postings;
use crate::segment::Segment;

/// How much of a segment is among the ids that are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Share<'a> {
    /// None of its documents: no need to look at it.
    Nothing,
    /// All of them: the restriction costs nothing.
    Whole,
    /// Those in the set, about.
    Part(&'a RoaringBitmap),
    /// Those that are not in the set.
    Rest(&'a RoaringBitmap),
}

impl<'a> Share<'a> {
    /// All ids in `among` are of series. Cost: a look at one container of the set for each 65,536
    /// ids of the segment.
    pub(crate) fn of(segment: &dyn Segment, among: &'a RoaringBitmap) -> Self {
        let doc_count = segment.doc_count();
        let Some((first, last)) = segment.id_range() else { return Self::Nothing };
        match among.range_cardinality(first..=last) {
            0 => Self::Nothing,
            held if held >= u64::from(doc_count) => Self::Whole,
            _ => Self::Part(among),
        }
    }

    /// All but the ids in `gone`.
    pub(crate) fn without(segment: &dyn Segment, gone: &'a RoaringBitmap) -> Self {
        let range = segment.id_range().filter(|_| !gone.is_empty());
        match range.map_or(0, |(first, last)| gone.range_cardinality(first..=last)) {
            0 => Self::Whole,
            _ => Self::Rest(gone),
        }
    }

    pub(crate) fn is_nothing(self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// The documents of `docs` whose ids are asked for.
    pub(crate) fn cut(self, segment: &dyn Segment, docs: Postings) -> Postings {
        match self {
            Self::Nothing => Postings::empty(),
            Self::Whole => docs,
            Self::Part(among) => retain(segment, docs, |id| among.contains(id)),
            Self::Rest(gone) => retain(segment, docs, |id| !gone.contains(id)),
        }
    }
}

/// The documents whose ids `keep` accepts.
fn retain(segment: &dyn Segment, docs: Postings, keep: impl Fn(u32) -> bool) -> Postings {
    let mut ids = Vec::new();
    segment.append_ids(&docs, &mut ids);
    let mut ids = ids.into_iter();
    docs.retain(|_| ids.next().is_some_and(&keep))
}
