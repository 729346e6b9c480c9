//! The index of one namespace: sealed segments, then one that grows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::Corrupt;
use m3rs_core::fs::{Fs, SharedFs};
use m3rs_core::model::{Labels, Matcher};
use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;

use crate::error::IndexError;
use crate::found::Found;
use crate::limits::{LABELS_LEN_CEILING, Limits};
use crate::open::{self, Damage};
use crate::postings::{Postings, Union};
use crate::search::{Plan, PostingsCache, Query, Share, Tree, search};
use crate::segment::{Doc, Identity, MemorySegment, SealedSegment, Segment};
use crate::state::State;

/// A segment file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedInfo {
    /// The file.
    pub path: PathBuf,
    /// The first id in it.
    pub first: u32,
    /// The last id in it.
    pub last: u32,
    /// Series in it.
    pub series: u32,
    /// Its bytes.
    pub file_len: u64,
}

/// Items in order, perhaps not all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limited<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether the limit cut some off.
    pub truncated: bool,
}

/// A reverse index from labels to series.
///
/// Series are known by ids that the caller gives out in ascending order. All methods may be called
/// from several threads. A search sees every series whose insert returned before it began, and is
/// not held up by inserts, seals and merges but for the short holds of a lock.
#[derive(Debug)]
pub struct Index {
    pub(crate) limits: Limits,
    pub(crate) cache: PostingsCache,
    state: RwLock<Arc<State>>,
    /// Held by an insert; holds the largest id ever seen.
    pub(crate) last: Mutex<Option<u32>>,
    /// Held by a seal or a merge.
    pub(crate) maintenance: Mutex<()>,
    /// Ranges of ids that damaged files claim.
    pub(crate) damaged: Vec<(u32, u32)>,
    /// Sealed segments whose files were found damaged after they were opened.
    rotten: Mutex<BTreeMap<PathBuf, Corrupt>>,
}

impl Index {
    /// An empty index that lives in memory until it is sealed.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let cache = PostingsCache::new(limits.postings_cache_bytes);
        Self::sharing(limits, &cache)
    }

    /// As [`Index::new`], with a cache that other indexes may share.
    #[must_use]
    pub fn sharing(limits: Limits, cache: &PostingsCache) -> Self {
        let state = State::new(MemorySegment::new(cache.next_segment()));
        Self {
            cache: cache.clone(),
            limits,
            state: RwLock::new(Arc::new(state)),
            last: Mutex::new(None),
            maintenance: Mutex::new(()),
            damaged: Vec::new(),
            rotten: Mutex::default(),
        }
    }

    /// Opens the segment files of `dir`, which need not exist.
    ///
    /// Every byte of each file is checked. Temporary files are removed, and so are files whose ids
    /// lie inside a wider, whole file: a crash during a merge leaves these. Damaged files are
    /// reported and left alone; the index lacks their series.
    ///
    /// # Errors
    /// [`IndexError::Io`], [`IndexError::Version`].
    pub fn open(
        fs: &SharedFs,
        dir: &Path,
        limits: Limits,
    ) -> Result<(Self, Vec<Damage>), IndexError> {
        let cache = PostingsCache::new(limits.postings_cache_bytes);
        Self::open_with(fs, dir, (limits, &cache), |_| {})
    }

    /// As [`Index::open`], with a cache that other indexes may share; tells `is_read` how many
    /// bytes of files were read since the last call. In all these are [`Index::file_bytes`].
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn open_with(
        fs: &SharedFs,
        dir: &Path,
        (limits, cache): (Limits, &PostingsCache),
        is_read: impl FnMut(u64),
    ) -> Result<(Self, Vec<Damage>), IndexError> {
        let mut index = Self::sharing(limits, cache);
        let bytes_max = index.limits.automaton_bytes_max;
        let found = open::find(fs.as_ref(), dir, bytes_max, || index.uid(), is_read)?;
        let mut state = State::clone(&index.state.read());
        state.sealed = found.segments.into_iter().map(Arc::new).collect();
        *index.state.write() = Arc::new(state);
        *index.last.lock() = found.last;
        index.damaged = found.damages.iter().map(|d| (d.first, d.last)).collect();
        Ok((index, found.damages))
    }

    pub(crate) fn uid(&self) -> u64 {
        self.cache.next_segment()
    }

    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read())
    }

    /// Adds series; they are visible to searches when this returns.
    ///
    /// Ids ascend, and are larger than all before. They may leave gaps, at 4 bytes per series.
    ///
    /// # Errors
    /// [`IndexError::OutOfOrder`], [`IndexError::LabelsTooLong`], [`IndexError::Full`]: the batch
    /// is taken whole or not at all.
    pub fn insert(&self, docs: &[(u32, Labels)]) -> Result<(), IndexError> {
        let mut scratch = Vec::new();
        let docs: Vec<Doc<'_>> = docs
            .iter()
            .map(|(id, labels)| {
                let labels = labels.as_bytes();
                Doc { id: *id, labels, identity: Identity::of(labels, &mut scratch) }
            })
            .collect();
        self.insert_docs(&docs)
    }

    /// As [`Index::insert`], for callers that have label bytes and identities at hand.
    ///
    /// # Errors
    /// As [`Index::insert`].
    pub fn insert_docs(&self, docs: &[Doc<'_>]) -> Result<(), IndexError> {
        let mut last = self.last.lock();
        let newest = self.check(docs, *last)?;
        let open = Arc::clone(&self.state.read().open);
        open.insert(docs);
        *last = newest;
        Ok(())
    }

    /// Whether [`Index::insert_docs`] would take these now. It still does later, if nobody else
    /// inserts.
    ///
    /// # Errors
    /// As [`Index::insert`].
    pub fn check_docs(&self, docs: &[Doc<'_>]) -> Result<(), IndexError> {
        let last = self.last.lock();
        self.check(docs, *last).map(drop)
    }

    /// The last id once `docs` are inserted after `last`.
    fn check(&self, docs: &[Doc<'_>], last: Option<u32>) -> Result<Option<u32>, IndexError> {
        let mut newest = last;
        let max = self.limits.labels_len_max.min(LABELS_LEN_CEILING);
        for &Doc { id, labels, .. } in docs {
            if let Some(last) = newest.filter(|last| id <= *last) {
                return Err(IndexError::OutOfOrder { id, last });
            }
            let len = labels.len();
            if len > max {
                return Err(IndexError::LabelsTooLong { id, len, max });
            }
            newest = Some(id);
        }
        let held = self.state.read().open.doc_count();
        let max = self.limits.open_series_max;
        if (max.saturating_sub(held) as usize) < docs.len() {
            return Err(IndexError::Full { held, max });
        }
        Ok(newest)
    }

    /// Series in the index.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.state().segments().map(|s| u64::from(s.doc_count())).sum()
    }

    /// Whether the index has no series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The largest id that was ever inserted, or that a file's name says.
    #[must_use]
    pub fn last_id(&self) -> Option<u32> {
        *self.last.lock()
    }

    /// Sealed segments.
    #[must_use]
    pub fn sealed_segments(&self) -> Vec<SealedInfo> {
        self.state().sealed.iter().map(|s| info(s)).collect()
    }

    /// Notes what was found out about the file of a sealed segment: the damage, or that it is
    /// sound. A damaged one is searched on, and stays as it is, unmerged, so that the next opening
    /// finds it.
    pub fn note_checked(&self, path: &Path, found: Option<Corrupt>) {
        let mut rotten = self.rotten.lock();
        match found {
            Some(corrupt) => rotten.insert(path.to_owned(), corrupt),
            None => rotten.remove(path),
        };
    }

    /// Damage of sealed segments that was found after they were opened.
    #[must_use]
    pub fn known_damage(&self) -> Vec<Damage> {
        let rotten = self.rotten.lock();
        if rotten.is_empty() {
            return Vec::new();
        }
        let damage = |s: SealedInfo| {
            let corrupt = rotten.get(&s.path)?.clone();
            Some(Damage { path: s.path, first: s.first, last: s.last, corrupt })
        };
        self.sealed_segments().into_iter().filter_map(damage).collect()
    }

    pub(crate) fn is_rotten(&self, segment: &SealedSegment) -> bool {
        self.rotten.lock().contains_key(segment.path())
    }

    /// Reads the file of a sealed segment again and checks every byte of it; `None` if it is sound,
    /// or was merged away meanwhile. What is found is noted, see [`Index::note_checked`].
    ///
    /// # Errors
    /// [`IndexError::Io`], [`IndexError::Version`].
    pub fn verify_sealed(
        &self,
        fs: &dyn Fs,
        segment: &SealedInfo,
    ) -> Result<Option<Damage>, IndexError> {
        let bytes_max = self.limits.automaton_bytes_max;
        match SealedSegment::open(fs, &segment.path, 0, bytes_max) {
            Ok(_) => {
                self.note_checked(&segment.path, None);
                Ok(None)
            }
            Err(_) if self.sealed_segments().iter().all(|s| s.path != segment.path) => Ok(None),
            Err(IndexError::Corrupt(corrupt)) => {
                let SealedInfo { path, first, last, .. } = segment.clone();
                self.note_checked(&path, Some(corrupt.clone()));
                Ok(Some(Damage { path, first, last, corrupt }))
            }
            Err(other) => Err(other),
        }
    }

    /// Series that no sealed segment holds yet.
    #[must_use]
    pub fn unsealed_len(&self) -> u64 {
        let state = self.state();
        let growing = state.frozen.iter().chain(std::iter::once(&state.open));
        growing.map(|s| u64::from(s.doc_count())).sum()
    }

    /// The labels of a series; `None` if the index does not know the id.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`].
    pub fn labels(&self, id: u32) -> Result<Option<Labels>, IndexError> {
        Ok(self.labels_of(&[id])?.pop().flatten())
    }

    /// The labels of several series, in the order of `ids`.
    ///
    /// Cost: one allocation and one to three microseconds each; ascending ids are read fastest, as
    /// neighbours share most labels.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`].
    pub fn labels_of(&self, ids: &[u32]) -> Result<Vec<Option<Labels>>, IndexError> {
        let mut all = Vec::with_capacity(ids.len());
        self.for_each_labels(ids, |_, bytes| {
            all.push(bytes.map(Labels::from_canonical));
        })?;
        all.into_iter()
            .map(|labels| {
                labels.transpose().map_err(|e| {
                    let what = "index document";
                    Corrupt::new(what, 0, "canonical labels", e.to_string()).into()
                })
            })
            .collect()
    }

    /// Calls `visit` with each id and the canonical bytes of its labels, `None` if it is unknown.
    ///
    /// This spares the allocation of [`Index::labels_of`]. `visit` must not call the index.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`].
    pub fn for_each_labels(
        &self,
        ids: &[u32],
        mut visit: impl FnMut(u32, Option<&[u8]>),
    ) -> Result<(), IndexError> {
        let state = self.state();
        let mut at = 0;
        let mut ordinals = Vec::new();
        while let Some(&id) = ids.get(at) {
            let Some((segment, ordinal)) =
                state.segment_of(id).and_then(|s| s.ordinal(id).map(|o| (s, o)))
            else {
                visit(id, None);
                at += 1;
                continue;
            };
            ordinals.clear();
            ordinals.push(ordinal);
            // As many as follow in the same segment are read together.
            let more = ids[at + 1..].iter().map_while(|&id| segment.ordinal(id));
            ordinals.extend(more);
            let mut run = ids[at..].iter();
            segment.for_each_labels(&ordinals, &mut |_, bytes| {
                if let Some(&id) = run.next() {
                    visit(id, Some(bytes));
                }
            })?;
            at += ordinals.len();
        }
        Ok(())
    }

    /// Calls `visit` with id and identity of each series, in ascending order.
    ///
    /// Segments store identities, so that a table of known series is rebuilt at start without
    /// reading labels. `visit` must not call the index.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`].
    pub fn for_each_identity(
        &self,
        mut visit: impl FnMut(u32, Identity),
    ) -> Result<(), IndexError> {
        self.state().segments().try_for_each(|s| s.for_each_identity(&mut visit))
    }

    /// The series that satisfy all matchers, ascending; all series if there is none.
    ///
    /// # Errors
    /// [`IndexError::Regexp`], [`IndexError::TooMany`] if more than `limit` match,
    /// [`IndexError::Corrupt`].
    pub fn search(&self, matchers: &[Matcher], limit: usize) -> Result<Vec<u32>, IndexError> {
        self.find(matchers)?.ids(None, limit)
    }

    /// Finds the series that satisfy all matchers, and lists none yet.
    ///
    /// # Errors
    /// [`IndexError::Regexp`], [`IndexError::Corrupt`].
    pub fn find(&self, matchers: &[Matcher]) -> Result<Found, IndexError> {
        let plan = Plan::new(matchers, &self.limits)?;
        let state = self.state();
        let mut docs = Vec::new();
        for segment in state.segments() {
            docs.push(search(segment, &plan, &self.cache)?);
        }
        Ok(Found { state, docs })
    }

    /// Finds the series that a tree of conditions wants, and lists none yet.
    ///
    /// # Errors
    /// As [`Index::find`], and [`IndexError::QueryTooLarge`].
    pub fn query(&self, query: &Query) -> Result<Found, IndexError> {
        let tree = Tree::new(query, &self.limits)?;
        let state = self.state();
        let docs: Result<Vec<_>, _> =
            state.segments().map(|segment| tree.search(segment, &self.cache)).collect();
        docs.map(|docs| Found { state, docs })
    }

    /// The series that satisfy one of several sets of matchers, ascending, at most `limit`; of
    /// those in `among`, if that is given.
    ///
    /// # Errors
    /// [`IndexError::Regexp`], [`IndexError::Corrupt`].
    pub fn series(
        &self,
        matcher_sets: &[Vec<Matcher>],
        among: Option<&RoaringBitmap>,
        limit: usize,
    ) -> Result<Limited<u32>, IndexError> {
        let mut ids = Vec::new();
        self.for_each_selected(matcher_sets, among, |segment, docs| {
            if ids.len() <= limit {
                segment.append_ids(&docs, &mut ids);
            }
            Ok(())
        })?;
        let truncated = ids.len() > limit;
        ids.truncate(limit);
        Ok(Limited { items: ids, truncated })
    }

    /// Calls `visit` with each segment and the union of what the sets select in it, as far as it
    /// is in `among`. Without sets that is nothing: callers treat that case apart.
    pub(crate) fn for_each_selected(
        &self,
        matcher_sets: &[Vec<Matcher>],
        among: Option<&RoaringBitmap>,
        mut visit: impl FnMut(&dyn Segment, Postings) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let plans = matcher_sets
            .iter()
            .map(|set| Plan::new(set, &self.limits))
            .collect::<Result<Vec<_>, _>>()?;
        let state = self.state();
        for segment in state.segments() {
            let share = state.share(segment, among);
            if share.is_nothing() {
                continue;
            }
            let mut union = Union::default();
            for plan in &plans {
                union.add(search(segment, plan, &self.cache)?);
            }
            let docs = share.cut(segment, union.finish());
            if !docs.is_empty() {
                visit(segment, docs)?;
            }
        }
        Ok(())
    }

    /// Calls `visit` with each segment, and with what counts of it.
    pub(crate) fn for_each_share(
        &self,
        among: Option<&RoaringBitmap>,
        mut visit: impl FnMut(&dyn Segment, Share<'_>) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let state = self.state();
        state.segments().try_for_each(|segment| visit(segment, state.share(segment, among)))
    }

    /// Takes series out: searches and lists do not show them any more, and files lose them when
    /// they are written anew. Their ids are not given again.
    pub fn forget(&self, ids: &[u32]) {
        self.change(|state| Arc::make_mut(&mut state.gone).extend(ids.iter().copied()));
    }

    /// Whether an id is that of a series which was forgotten and is in no file any more: it lies
    /// in the range of a sealed segment that has no document of it.
    #[must_use]
    pub fn is_forgotten(&self, id: u32) -> bool {
        let state = self.state();
        let at = state.sealed.partition_point(|s| s.id_range().is_some_and(|(_, last)| last < id));
        let Some(segment) = state.sealed.get(at) else { return false };
        segment.id_range().is_some_and(|(first, _)| first <= id) && segment.ordinal(id).is_none()
    }

    pub(crate) fn change(&self, edit: impl FnOnce(&mut State)) {
        let mut current = self.state.write();
        let mut next = State::clone(&current);
        edit(&mut next);
        *current = Arc::new(next);
    }
}

pub(crate) fn info(segment: &SealedSegment) -> SealedInfo {
    let (first, last) = segment.id_range().unwrap_or_default();
    SealedInfo {
        path: segment.path().to_owned(),
        first,
        last,
        series: segment.doc_count(),
        file_len: segment.file_len(),
    }
}
