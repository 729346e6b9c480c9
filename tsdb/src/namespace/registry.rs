//! Which series is which: from the bytes of a request, or from labels, to refs, shards and slots.

use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use m3rs_core::model::Labels;
use m3rs_index::{Index, IndexError};
use parking_lot::{RwLock, RwLockReadGuard};
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_secret};

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

/// Where a series lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) shard: u16,
    pub(crate) slot: Slot,
}

impl Place {
    /// A ref that no series has: a log that lost the entry of a series leaves such gaps.
    const GAP: Self = Self { shard: u16::MAX, slot: Slot::MAX };
}

/// Uses the low half of an already well mixed 128-bit key.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FirstHalf(u64);

impl Hasher for FirstHalf {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("BUG: keys are u128");
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

type HashTable<V> = HashMap<u128, V, BuildHasherDefault<FirstHalf>>;

/// The tables of a namespace. Look-ups share a lock; making a series takes it for itself.
#[derive(Debug)]
pub(crate) struct Registry {
    secret: Secret,
    tables: RwLock<Tables>,
}

/// What the registry's lock guards.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// Keyed hash of a label set's bytes in a request. Several encodings may lead to one series.
    by_encoding: HashTable<u32>,
    /// Hash of the canonical label bytes. Labels are compared before a hit counts.
    by_identity: HashTable<u32>,
    /// Further series whose labels hash alike.
    collisions: HashTable<Vec<u32>>,
    /// By ref.
    places: Vec<Place>,
    series_count: u64,
}

impl Tables {
    /// The series that the bytes with this hash were resolved to before.
    #[inline]
    pub(crate) fn by_encoding(&self, hash: u128) -> Option<(u32, Place)> {
        let series = *self.by_encoding.get(&hash)?;
        Some((series, self.places[series as usize]))
    }
}

impl Tables {
    /// Where the series lives; `None` for a ref that no series has.
    #[inline]
    pub(crate) fn place(&self, series: u32) -> Option<Place> {
        self.places.get(series as usize).copied().filter(|p| *p != Place::GAP)
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
        let hash = xxh3_128(labels.as_bytes());
        let candidates: Vec<u32> = {
            let tables = self.tables.read();
            let first = tables.by_identity.get(&hash).copied();
            let more = tables.collisions.get(&hash).into_iter().flatten().copied();
            first.into_iter().chain(more).collect()
        };
        for series in candidates {
            if index.labels(series)?.as_ref() == Some(labels) {
                return Ok(Some(series));
            }
        }
        Ok(None)
    }

    /// The next ref that no series has.
    pub(crate) fn next_ref(&self) -> u32 {
        u32::try_from(self.tables.read().places.len()).expect("BUG: refs are limited to u32")
    }

    pub(crate) fn series_count(&self) -> u64 {
        self.tables.read().series_count
    }

    /// Where the series of `series` lives; `None` for a gap.
    pub(crate) fn place(&self, series: u32) -> Option<Place> {
        self.tables.read().place(series)
    }

    /// Adds series with the hashes of their labels; refs ascend. Refs between the last one and
    /// the next become gaps for ever. Cost: one hold of the lock.
    pub(crate) fn insert(&self, all: &[(u32, Place, u128)]) {
        let mut tables = self.tables.write();
        let Tables { by_identity, collisions, places, series_count, .. } = &mut *tables;
        by_identity.reserve(all.len());
        places.reserve(all.len());
        *series_count += all.len() as u64;
        for &(series, place, labels_hash) in all {
            let at = series as usize;
            assert!(at >= places.len(), "BUG: series ref {series} given twice");
            places.resize(at, Place::GAP);
            places.push(place);
            match by_identity.entry(labels_hash) {
                Entry::Vacant(free) => drop(free.insert(series)),
                Entry::Occupied(_) => collisions.entry(labels_hash).or_default().push(series),
            }
        }
    }

    /// Keeps `next_ref` above `series`, which a file names though no series is known by it.
    pub(crate) fn reserve(&self, series: u32) {
        let mut tables = self.tables.write();
        let wanted = series as usize + 1;
        if tables.places.len() < wanted {
            tables.places.resize(wanted, Place::GAP);
        }
    }

    /// Remembers that the bytes with this hash mean `series`.
    pub(crate) fn remember(&self, hash: u128, series: u32, encodings_per_series_max: usize) {
        let mut tables = self.tables.write();
        let most = (tables.places.len() + 1024).saturating_mul(encodings_per_series_max);
        if tables.by_encoding.len() >= most {
            tables.by_encoding.clear();
        }
        tables.by_encoding.insert(hash, series);
    }
}
