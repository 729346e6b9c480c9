//! The last samples of series blocks.
//!
//! An instant query wants one sample of each series, and mostly the last one of a block: for it the
//! block is found in the file's index and decoded, all 480 samples. It is asked for again and
//! again: by rules each minute, by dashboards at each look.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::buffer::Slot;

/// Samples in an entry of the cache.
const PAGE_SAMPLES: usize = 1024;

/// Weight of an entry in bytes, with its key and its place in the cache.
const PAGE_BYTES: u64 = 16 * PAGE_SAMPLES as u64 + 128;

/// Stands for the time of a sample that is not known. A sample of that time is not kept.
const UNKNOWN: i64 = i64::MIN;

/// The last samples of blocks of a file: those of a run of slots.
///
/// A slot is that of one series as long as a file has a block of that series; a file does not
/// change. So all who set a sample set the same one.
#[derive(Clone, Debug)]
pub(crate) struct LastSamples {
    page: u32,
    samples: Arc<[(AtomicI64, AtomicU64)]>,
}

/// The page of a slot, and the place in it.
fn place_of(slot: Slot) -> (u32, usize) {
    let page_len = PAGE_SAMPLES as u32;
    (slot / page_len, (slot % page_len) as usize)
}

impl LastSamples {
    fn new(page: u32) -> Self {
        let unknown = || (AtomicI64::new(UNKNOWN), AtomicU64::new(0));
        Self { page, samples: (0..PAGE_SAMPLES).map(|_| unknown()).collect() }
    }

    /// Whether a slot is one of them.
    #[inline]
    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.page == place_of(slot).0
    }

    /// Time and value of the sample of a slot, if it is known.
    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<(i64, f64)> {
        let (time, bits) = &self.samples[place_of(slot).1];
        let t = time.load(Ordering::Acquire);
        (t != UNKNOWN).then(|| (t, f64::from_bits(bits.load(Ordering::Relaxed))))
    }

    /// Keeps the sample of a slot.
    pub(crate) fn set(&self, slot: Slot, (t, v): (i64, f64)) {
        let (time, bits) = &self.samples[place_of(slot).1];
        bits.store(v.to_bits(), Ordering::Relaxed);
        // Who sees the time sees the value.
        time.store(t, Ordering::Release);
    }
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<(u64, u32), LastSamples> for ByBytes {
    fn weight(&self, _: &(u64, u32), _: &LastSamples) -> u64 {
        PAGE_BYTES
    }
}

/// Keeps last samples by file and run of slots, up to a number of bytes. No other file of the
/// process gets the number of a file.
#[derive(Debug)]
pub(crate) struct Lasts(Cache<(u64, u32), LastSamples, ByBytes>);

impl Lasts {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let pages = usize::try_from(bytes_max / PAGE_BYTES).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(pages.max(1), bytes_max, ByBytes))
    }

    /// Bytes in use.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.weight()
    }

    /// The last samples of a file around a slot; nothing is known of them at first.
    pub(crate) fn around(&self, file: u64, slot: Slot) -> LastSamples {
        let page = place_of(slot).0;
        if let Some(known) = self.0.get(&(file, page)) {
            return known;
        }
        let samples = LastSamples::new(page);
        self.0.insert((file, page), samples.clone());
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_back_by_file_and_slot() {
        let lasts = Lasts::new(1 << 20);
        let one = lasts.around(1, 5_000);
        assert!(one.has(5_000) && one.has(4_096) && !one.has(4_095) && !one.has(5_120));
        one.set(5_000, (7, -0.0));
        one.set(5_001, (UNKNOWN, 1.0));
        let one = lasts.around(1, 4_096);
        assert_eq!(one.get(5_000).map(|(t, v)| (t, v.to_bits())), Some((7, (-0.0f64).to_bits())));
        assert_eq!([one.get(5_001), one.get(4_096)], [None; 2]);
        assert_eq!(lasts.around(2, 5_000).get(5_000), None);
        assert_eq!(lasts.around(1, 5_000 % 1_024).get(5_000 % 1_024), None);
    }

    #[test]
    fn its_bytes_hold() {
        let lasts = Lasts::new(1 << 20);
        for file in 0..1_000 {
            lasts.around(file, 0).set(0, (1, 1.0));
            assert!(lasts.bytes() <= 1 << 20, "{} bytes", lasts.bytes());
        }
        assert!(lasts.bytes() > 1 << 19, "{} bytes", lasts.bytes());
        let none = Lasts::new(0);
        none.around(1, 0).set(0, (1, 1.0));
        assert_eq!(none.around(1, 0).get(0), None);
    }
}
