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
}

impl<'a> Share<'a> {
    /// All ids in `among` are of series. Cost: a look at one container of the set for each 65,536
    /// ids of the segment.
    pub(crate) fn of(segment: &dyn Segment, among: Option<&'a RoaringBitmap>) -> Self {
        let Some(among) = among else { return Self::Whole };
        let doc_count = segment.doc_count();
        let Some((first, last)) = segment.id_range() else { return Self::Nothing };
        match among.range_cardinality(first..=last) {
            0 => Self::Nothing,
            held if held >= u64::from(doc_count) => Self::Whole,
            _ => Self::Part(among),
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
            Self::Part(among) => {
                let mut ids = Vec::new();
                segment.append_ids(&docs, &mut ids);
                let mut ids = ids.into_iter();
                docs.retain(|_| ids.next().is_some_and(|id| among.contains(id)))
            }
        }
    }
}
