//! Seals and merges: from memory to files, and from many files to few.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use m3rs_core::fs::Fs;
use roaring::RoaringBitmap;

use crate::compact;
use crate::error::IndexError;
use crate::index::{Index, SealedInfo, info};
use crate::limits::Limits;
use crate::names::segment_path;
use crate::segment::{MemorySegment, SealedSegment, Segment, write};
use crate::state::State;

/// A segment is written anew once one part in so many of it is gone.
const GONE_SHARE: u64 = 4;

impl Index {
    /// Writes all series that are not sealed yet to one file in `dir`; `None` if there are none.
    ///
    /// When this returns, the file is durable, and every series inserted before the call is in it
    /// or in an earlier one. Searches and inserts go on meanwhile. After an error the series stay
    /// in memory, are searched as before, and the next call writes them.
    ///
    /// # Errors
    /// [`IndexError::Io`]; [`IndexError::Corrupt`] if the file does not read back as written.
    pub fn seal(&self, fs: &dyn Fs, dir: &Path) -> Result<Option<SealedInfo>, IndexError> {
        let _one_at_a_time = self.maintenance.lock();
        self.freeze();
        let frozen = self.state().frozen.clone();
        let sources: Vec<&dyn Segment> = frozen.iter().map(|s| &**s as &dyn Segment).collect();
        let Some((sealed, dropped)) = self.write(fs, dir, &sources)? else { return Ok(None) };
        let info = info(&sealed);
        self.change(|state| {
            state.sealed.push(sealed);
            state.frozen.drain(..frozen.len());
            *Arc::make_mut(&mut state.gone) -= &dropped;
        });
        Ok(Some(info))
    }

    /// Lets the open segment grow no more, and opens a fresh one.
    fn freeze(&self) {
        // No insert may still be writing to the segment.
        let _no_insert = self.last.lock();
        let fresh = Arc::new(MemorySegment::new(self.uid()));
        self.change(|state| {
            if state.open.doc_count() > 0 {
                let full = std::mem::replace(&mut state.open, fresh);
                state.frozen.push(full);
            }
        });
    }

    /// Writes segments to one file and opens it; tells which series are gone and not in it.
    fn write(
        &self,
        fs: &dyn Fs,
        dir: &Path,
        sources: &[&dyn Segment],
    ) -> Result<Option<(Arc<SealedSegment>, RoaringBitmap)>, IndexError> {
        let first = sources.first().and_then(|s| s.id_range());
        let last = sources.last().and_then(|s| s.id_range());
        let Some(((first, _), (_, last))) = first.zip(last) else { return Ok(None) };
        fs.create_dir_all(dir).map_err(IndexError::io(dir))?;
        let path = segment_path(dir, first, last);
        let dropped = write(fs, &path, sources, &self.state().gone)?;
        let bytes_max = self.limits.automaton_bytes_max;
        let segment = SealedSegment::open(fs, &path, self.uid(), bytes_max)?;
        Ok(Some((Arc::new(segment), dropped)))
    }

    /// Merges sealed segments until few are left, and writes those anew of which much is gone;
    /// returns the files written. Segments on two sides of a damaged file are not merged.
    ///
    /// Searches and inserts go on meanwhile. A merged file is durable before the files that it
    /// replaces are removed.
    ///
    /// # Errors
    /// [`IndexError::Io`]; [`IndexError::Corrupt`] if a segment cannot be read. What was merged
    /// before stays merged.
    pub fn compact(&self, fs: &dyn Fs, dir: &Path) -> Result<Vec<SealedInfo>, IndexError> {
        let _one_at_a_time = self.maintenance.lock();
        let mut merges = Vec::new();
        loop {
            let state = self.state();
            let sealed = &state.sealed;
            let next = self.next_rewrite(&state).or_else(|| self.next_merge(sealed));
            let Some(range) = next else { return Ok(merges) };
            // What rotted since it was opened must not get a new checksum.
            let mut are_sound = true;
            for source in &sealed[range.clone()] {
                are_sound &= self.verify_sealed(fs, &info(source))?.is_none();
            }
            if !are_sound {
                continue;
            }
            let sources: Vec<&dyn Segment> =
                sealed[range.clone()].iter().map(|s| &**s as &dyn Segment).collect();
            let Some((merged, dropped)) = self.write(fs, dir, &sources)? else {
                return Ok(merges);
            };
            merges.push(info(&merged));
            let kept = merged.path().to_owned();
            self.change(|state| {
                state.sealed.splice(range.clone(), [merged]);
                *Arc::make_mut(&mut state.gone) -= &dropped;
            });
            for old in sealed[range].iter().filter(|s| s.path() != kept) {
                fs.remove_file(old.path()).map_err(IndexError::io(old.path()))?;
            }
            fs.sync_dir(dir).map_err(IndexError::io(dir))?;
        }
    }

    /// The neighbours to merge next. A merged file covers all ids from its first to its last, so
    /// it would hide a damaged file in between: segments on two sides of one stay apart.
    fn next_merge(&self, sealed: &[Arc<SealedSegment>]) -> Option<Range<usize>> {
        let is_joined = |left: &Arc<SealedSegment>, right: &Arc<SealedSegment>| {
            let (first, last) = (info(left).first, info(right).last);
            !self.damaged.iter().any(|&(from, to)| from <= last && first <= to)
        };
        let Limits { segments_max, segment_series_max, .. } = self.limits;
        let is_full = |s: &SealedSegment| u64::from(s.doc_count()) > segment_series_max / 2;
        let is_kept = |s: &Arc<SealedSegment>| is_full(s) || self.is_rotten(s);
        let is_joined = |l: &_, r: &_| is_joined(l, r) && !is_kept(l) && !is_kept(r);
        let mut start = 0;
        for run in sealed.chunk_by(is_joined) {
            let sizes: Vec<u64> = run.iter().map(|s| u64::from(s.doc_count())).collect();
            if let Some(range) = compact::plan(&sizes, segments_max, segment_series_max) {
                return Some(start + range.start..start + range.end);
            }
            start += run.len();
        }
        None
    }

    /// A segment that is to be written anew for itself, as much of it is gone.
    fn next_rewrite(&self, state: &State) -> Option<Range<usize>> {
        let is_due = |segment: &Arc<SealedSegment>| {
            let held = u64::from(segment.doc_count());
            let gone = segment
                .id_range()
                .map_or(0, |(first, last)| state.gone.range_cardinality(first..=last));
            // The last one stays, so that the file has its range.
            held > 1
                && gone > 0
                && gone.saturating_mul(GONE_SHARE) >= held
                && !self.is_rotten(segment)
        };
        let at = state.sealed.iter().position(is_due)?;
        Some(at..at + 1)
    }
}
