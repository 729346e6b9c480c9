//! Finds a series among the sorted entries of a page.

use std::ops::Range;

use super::format::ENTRY_LEN;
use super::reader::to_usize;

/// The ref of entry `at`, which the caller knows to be there.
pub(super) fn entry_series(entries: &[u8], at: usize) -> u32 {
    let bytes = entries.get(at * ENTRY_LEN..).and_then(|e| e.first_chunk::<4>());
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Where `series` stands among a page's entries. Guesses by interpolation and halves in turn, as
/// each look may be a cache miss.
pub(super) fn position_in(entries: &[u8], series: u32) -> Option<usize> {
    let (mut low, mut high) = (0, entries.len() / ENTRY_LEN);
    let mut low_ref = u64::from(entry_series(entries, low));
    let mut high_ref = u64::from(entry_series(entries, high.checked_sub(1)?)) + 1;
    let wanted = u64::from(series);
    let mut guess = true;
    while low < high {
        let width = high - low;
        let step = if guess { interpolate(wanted, low_ref..high_ref, width) } else { width / 2 };
        guess = !guess;
        let at = low + step;
        let found = u64::from(entry_series(entries, at));
        match found.cmp(&wanted) {
            std::cmp::Ordering::Equal => return Some(at),
            std::cmp::Ordering::Less => (low, low_ref) = (at + 1, found + 1),
            std::cmp::Ordering::Greater => (high, high_ref) = (at, found),
        }
    }
    None
}

/// Which of `width` places that span `refs` evenly would hold `wanted`.
pub(super) fn interpolate(wanted: u64, refs: Range<u64>, width: usize) -> usize {
    let span = refs.end.saturating_sub(refs.start).max(1);
    let share = wanted.saturating_sub(refs.start).saturating_mul(width as u64) / span;
    to_usize(share).min(width - 1)
}
