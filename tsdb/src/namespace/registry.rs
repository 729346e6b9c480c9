//! Which series is which: from the bytes of a request, or from labels, to refs, shards and slots.
//!
//! # The order memo
//! Senders repeat their series in the same order. Encodings are kept in the order in which they
//! were first met, so the one that follows a known encoding is a good guess for what follows it in
//! a request: the guess costs the hash of the request's bytes and one look at the next entry, and
//! no label is walked. A guess is proven, never trusted: all 128 bits of the keyed hash must agree.
//! Where an order changes, one look-up in the table finds the place to go on from.
//!
//! Memory per series: 32 bytes and a slot of 5 to 10 for each encoding, 16 and such a slot for the
//! series.

use std::fmt;

use hashbrown::HashTable;
use m3rs_core::model::Labels;
use m3rs_index::{Index, IndexError};
use parking_lot::{RwLock, RwLockReadGuard};
use roaring::RoaringBitmap;
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_secret};

use super::rows::Rows;
use crate::buffer::Slot;

/// Random bytes of this process. A match of 128 bits is taken as identity of request bytes, so
/// nobody outside may know how they are hashed.
#[derive(Clone)]
pub(crate) struct Secret([u8; Secret::LEN]);

impl Secret {
    /// Bytes that xxh3 wants.
    pub(crate) const LEN: usize = 192;

    pub(crate) fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Encodings or refs that are looked at under one hold of the lock.
const SLICE: usize = 1 << 14;

/// The series of an encoding that was forgotten.
const NO_SERIES: u32 = u32::MAX;

/// Where a series lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) shard: u16,
    pub(crate) slot: Slot,
}

impl Place {
    /// A ref that no series has: a log that lost the entry of a series leaves such gaps.
    pub(crate) const GAP: Self = Self { shard: u16::MAX, slot: Slot::MAX };
}

/// A label set as a request wrote it.
#[derive(Clone, Copy, Debug)]
struct Encoding {
    /// Keyed hash of its bytes.
    hash: u128,
    series: u32,
    slot: Slot,
    shard: u16,
    /// Its length; 0 if it is too long to be guessed.
    len: u16,
}

const _: () = assert!(size_of::<Encoding>() == 32, "the budget of memory per series");

/// An encoding to be remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewEncoding {
    /// [`Registry::hash_encoding`] of its bytes.
    pub(crate) hash: u128,
    /// The number of its bytes.
    pub(crate) len: usize,
    pub(crate) series: u32,
}

/// A known encoding's place in the order of encodings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoPosition(u32);

/// The tables of a namespace. Look-ups share a lock; making a series takes it for itself.
#[derive(Debug)]
pub(crate) struct Registry {
    secret: Secret,
    tables: RwLock<Tables>,
}

/// What the registry's lock guards.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// In the order in which they were met. Several may lead to one series.
    encodings: Vec<Encoding>,
    /// Numbers of encodings by their hash.
    by_encoding: HashTable<u32>,
    /// Refs by half the hash of their canonical labels. Labels are compared before a hit counts.
    by_labels: HashTable<u32>,
    /// Places and those halves, by ref.
    rows: Rows,
    /// Series that are about to be retired.
    doomed: RoaringBitmap,
}

impl Tables {
    /// The series that the bytes with this hash were resolved to before.
    #[inline]
    pub(crate) fn by_encoding(&self, hash: u128) -> Option<(u32, Place, MemoPosition)> {
        let all = &self.encodings;
        let at = *self.by_encoding.find(hash as u64, |&at| all[at as usize].hash == hash)?;
        let found = &all[at as usize];
        let place = Place { shard: found.shard, slot: found.slot };
        Some((found.series, place, MemoPosition(at)))
    }

    /// The length of the encoding that follows the one at `position`, if it can be guessed.
    #[inline]
    pub(crate) fn next_len(&self, position: MemoPosition) -> Option<usize> {
        let next = self.encodings.get(position.0 as usize + 1)?;
        (next.len > 0).then_some(usize::from(next.len))
    }

    /// The series of the encoding that follows the one at `position`, if its bytes have this hash.
    #[inline]
    pub(crate) fn next_is(
        &self,
        position: MemoPosition,
        hash: u128,
    ) -> Option<(u32, Place, MemoPosition)> {
        let next = self.encodings.get(position.0 as usize + 1)?;
        if next.hash != hash || next.series == NO_SERIES {
            return None;
        }
        let place = Place { shard: next.shard, slot: next.slot };
        Some((next.series, place, MemoPosition(position.0 + 1)))
    }

    /// Where the series lives; `None` for a ref that no series has.
    #[inline]
    pub(crate) fn place(&self, series: u32) -> Option<Place> {
        self.rows.place(series)
    }

    /// The number of series.
    pub(crate) fn series_count(&self) -> u64 {
        self.rows.live()
    }

    /// The next ref that no series has.
    pub(crate) fn next_ref(&self) -> u32 {
        self.rows.len()
    }

    /// The ref of the series with exactly these labels, whose XXH3-128 is `labels_hash`.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`].
    pub(crate) fn find(
        &self,
        labels: &Labels,
        labels_hash: u128,
        index: &Index,
    ) -> Result<Option<u32>, IndexError> {
        let hash = labels_hash as u64;
        for &series in self.by_labels.iter_hash(hash) {
            if self.rows.hash(series) != hash {
                continue;
            }
            let mut is_same = false;
            index.for_each_labels(&[series], |_, bytes| {
                is_same = bytes == Some(labels.as_bytes());
            })?;
            if is_same {
                return Ok(Some(series));
            }
        }
        Ok(None)
    }
}

impl Registry {
    pub(crate) fn new(secret: Secret) -> Self {
        Self { secret, tables: RwLock::default() }
    }

    /// Keyed hash of a label set as it stands in a request.
    #[inline]
    pub(crate) fn hash_encoding(&self, raw: &[u8]) -> u128 {
        xxh3_128_with_secret(raw, &self.secret.0)
    }

    /// Look-ups of many encodings under one guard; drop it before a series is made.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read()
    }

    /// The ref of the series with exactly these labels.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`].
    pub(crate) fn find(&self, labels: &Labels, index: &Index) -> Result<Option<u32>, IndexError> {
        self.read().find(labels, xxh3_128(labels.as_bytes()), index)
    }

    /// The next ref that no series has.
    pub(crate) fn next_ref(&self) -> u32 {
        self.tables.read().next_ref()
    }

    pub(crate) fn series_count(&self) -> u64 {
        self.tables.read().rows.live()
    }

    /// Adds series with the hashes of their labels; refs ascend. Refs between the last one and
    /// the next become gaps for ever. Cost: one hold of the lock.
    pub(crate) fn insert(&self, all: &[(u32, Place, u128)]) {
        let mut tables = self.tables.write();
        let Tables { by_labels, rows, .. } = &mut *tables;
        by_labels.reserve(all.len(), |&r| rows.hash(r));
        for &(series, place, labels_hash) in all {
            rows.push(series, place, labels_hash as u64);
            by_labels.insert_unique(labels_hash as u64, series, |&r| rows.hash(r));
        }
    }

    /// Keeps `next_ref` above `series`, which a file names though no series is known by it.
    pub(crate) fn reserve(&self, series: u32) {
        self.tables.write().rows.reserve(series);
    }

    #[cfg(test)]
    pub(crate) fn chunks_held(&self) -> usize {
        self.tables.read().rows.chunks_held()
    }

    /// Series with refs below `end` that are not in `held`.
    pub(crate) fn idle(&self, held: &RoaringBitmap, end: u32) -> RoaringBitmap {
        let mut idle = RoaringBitmap::new();
        for start in (0..end).step_by(SLICE) {
            let tables = self.tables.read();
            let slice = start..end.min(start + SLICE as u32);
            idle.extend(tables.rows.live_in(slice).filter(|&series| !held.contains(series)));
        }
        idle
    }

    /// Marks series that are about to be retired, and forgets what requests remember of them.
    pub(crate) fn doom(&self, idle: RoaringBitmap) {
        self.tables.write().doomed = idle;
        let mut start = 0;
        loop {
            let mut tables = self.tables.write();
            let Tables { encodings, by_encoding, doomed, .. } = &mut *tables;
            let end = encodings.len().min(start + SLICE);
            if start >= end || doomed.is_empty() {
                return;
            }
            for (number, encoding) in (start..end).zip(&mut encodings[start..end]) {
                if !doomed.contains(encoding.series) {
                    continue;
                }
                let is_it = |&e: &u32| e as usize == number;
                if let Ok(entry) = by_encoding.find_entry(encoding.hash as u64, is_it) {
                    entry.remove();
                    // No bytes have this length, so nothing is guessed from it.
                    *encoding = Encoding { series: NO_SERIES, len: 0, ..*encoding };
                }
            }
            start = end;
        }
    }

    /// Takes those of `batch` out that are still doomed and that `free` lets go; returns them. The
    /// caller holds the right to make series.
    pub(crate) fn retire(
        &self,
        batch: &[u32],
        mut free: impl FnMut(u32, Place) -> bool,
    ) -> Vec<u32> {
        let mut tables = self.tables.write();
        let Tables { by_labels, rows, doomed, .. } = &mut *tables;
        let mut retired = Vec::new();
        for &series in batch {
            let is_doomed = doomed.remove(series);
            let Some(place) = rows.place(series).filter(|_| is_doomed) else { continue };
            if !free(series, place) {
                continue;
            }
            if let Ok(entry) = by_labels.find_entry(rows.hash(series), |&r| r == series) {
                entry.remove();
            }
            rows.remove(series);
            retired.push(series);
        }
        retired
    }

    /// Remembers what encodings mean, in the order in which a request had them. Series that are
    /// not known are left out.
    pub(crate) fn remember(&self, new: &[NewEncoding], encodings_per_series_max: usize) {
        let mut tables = self.tables.write();
        let live = usize::try_from(tables.rows.live()).unwrap_or(usize::MAX);
        let most = live.saturating_add(1024).saturating_mul(encodings_per_series_max);
        if tables.encodings.len() + new.len() > most {
            tables.encodings.clear();
            tables.by_encoding.clear();
        }
        let Tables { encodings, by_encoding, rows, doomed, .. } = &mut *tables;
        for &NewEncoding { hash, len, series } in new {
            // Whoever comes back is saved.
            doomed.remove(series);
            let place = rows.place(series);
            let is_known = by_encoding.find(hash as u64, |&e| encodings[e as usize].hash == hash);
            let (Some(place), None) = (place, is_known) else { continue };
            let Ok(number) = u32::try_from(encodings.len()) else { return };
            let len = u16::try_from(len).unwrap_or(0);
            encodings.push(Encoding { hash, series, slot: place.slot, shard: place.shard, len });
            by_encoding.insert_unique(hash as u64, number, |&e| encodings[e as usize].hash as u64);
        }
    }
}
