//! The segments of an index at a moment.

use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::search::Share;
use crate::segment::{MemorySegment, SealedSegment, Segment};

/// The segments at a moment; ids ascend from each to the next.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) sealed: Vec<Arc<SealedSegment>>,
    /// Being sealed; more than one if a seal failed.
    pub(crate) frozen: Vec<Arc<MemorySegment>>,
    pub(crate) open: Arc<MemorySegment>,
    /// Ids that are no series any more and still stand in segments.
    pub(crate) gone: Arc<RoaringBitmap>,
}

impl State {
    /// No segments but one that grows.
    pub(crate) fn new(open: MemorySegment) -> Self {
        let (sealed, frozen, gone) = (Vec::new(), Vec::new(), Arc::default());
        Self { sealed, frozen, open: Arc::new(open), gone }
    }

    /// What counts of a segment: what is in `among`, or without that what is not gone.
    pub(crate) fn share<'a>(
        &'a self,
        segment: &dyn Segment,
        among: Option<&'a RoaringBitmap>,
    ) -> Share<'a> {
        match among {
            Some(among) => Share::of(segment, among),
            None => Share::without(segment, &self.gone),
        }
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = &dyn Segment> {
        let sealed = self.sealed.iter().map(|s| &**s as &dyn Segment);
        let frozen = self.frozen.iter().map(|s| &**s as &dyn Segment);
        sealed.chain(frozen).chain(std::iter::once(&*self.open as &dyn Segment))
    }

    /// The segment whose range of ids holds `id`.
    pub(crate) fn segment_of(&self, id: u32) -> Option<&dyn Segment> {
        let at = self.sealed.partition_point(|s| s.id_range().is_some_and(|(_, last)| last < id));
        if let Some(segment) = self.sealed.get(at) {
            return Some(&**segment);
        }
        let growing = self.frozen.iter().chain(std::iter::once(&self.open));
        growing
            .map(|s| &**s as &dyn Segment)
            .find(|s| s.id_range().is_some_and(|(_, last)| id <= last))
    }
}
