//! The results of a search.

use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::error::IndexError;
use crate::postings::Postings;
use crate::state::State;

/// What a search found, still as sets of documents.
#[derive(Debug)]
pub struct Found {
    pub(crate) state: Arc<State>,
    /// By segment.
    pub(crate) docs: Vec<Postings>,
}

impl Found {
    /// How many series were found.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.docs.iter().map(Postings::len).sum()
    }

    /// Whether none was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The series, ascending; of those in `among`, if that is given.
    ///
    /// # Errors
    /// [`IndexError::TooMany`] if they are more than `limit`.
    pub fn ids(&self, among: Option<&RoaringBitmap>, limit: usize) -> Result<Vec<u32>, IndexError> {
        let mut parts = Vec::new();
        for (segment, docs) in self.state.segments().zip(&self.docs) {
            if !docs.is_empty() {
                parts.push((segment, self.state.share(segment, among).cut(segment, docs.clone())));
            }
        }
        let matched = parts.iter().map(|(_, docs)| docs.len()).sum();
        if matched > limit as u64 {
            return Err(IndexError::TooMany { matched, limit });
        }
        let mut ids = Vec::new();
        for (segment, docs) in parts {
            segment.append_ids(&docs, &mut ids);
        }
        Ok(ids)
    }
}
