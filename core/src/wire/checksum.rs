//! The checksum of every file of ours: CRC-32 (IEEE, as in zlib).

use std::ops::Range;

use crate::error::Corrupt;

/// CRC-32 of `bytes`.
#[inline]
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// Compares a computed checksum with the stored one; `at` is where the checked bytes start.
///
/// # Errors
/// [`Corrupt`] if they differ.
pub fn check_crc(what: &'static str, at: usize, computed: u32, stored: u32) -> Result<(), Corrupt> {
    if computed == stored {
        return Ok(());
    }
    let (want, got) = (format!("checksum {stored:08x}"), format!("{computed:08x}"));
    Err(Corrupt::new(what, at, want, got))
}

/// A stretch of a file and the checksum that it must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Its bytes, by their offsets in the file.
    pub range: Range<u64>,
    /// Their checksum.
    pub crc: u32,
}

/// Checks stretches of a file, of which it is given one piece after the other.
#[derive(Debug, Default)]
pub struct SumCheck {
    /// Still to come, the next one last.
    sums: Vec<Sum>,
    crc: Crc32,
    at: u64,
    is_wrong: bool,
}

impl SumCheck {
    /// Of stretches that stand in the order of the file and do not overlap.
    #[must_use]
    pub fn new(mut sums: Vec<Sum>) -> Self {
        sums.reverse();
        Self { sums, ..Self::default() }
    }

    /// Takes the next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        let start = self.at;
        self.at += bytes.len() as u64;
        while let Some(Sum { range, crc }) = self.sums.last().cloned() {
            if range.start.max(start) < range.end.min(self.at) {
                let [from, to] = [range.start.max(start), range.end.min(self.at)];
                self.crc.update(&bytes[(from - start) as usize..(to - start) as usize]);
            }
            if range.end > self.at {
                return;
            }
            if std::mem::take(&mut self.crc).finish() != crc {
                self.is_wrong = true;
            }
            self.sums.pop();
        }
    }

    /// Whether all stretches came, each with its checksum.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.sums.is_empty() && !self.is_wrong
    }
}

/// CRC-32 over several pieces in a row.
#[derive(Clone, Debug, Default)]
pub struct Crc32(crc32fast::Hasher);

impl Crc32 {
    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all pieces so far.
    #[must_use]
    pub fn finish(self) -> u32 {
        self.0.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_checked_however_the_file_is_cut() {
        let file: Vec<u8> = (0..40).collect();
        let sums = || {
            let of = |range: Range<u64>| {
                let crc = crc32(&file[range.start as usize..range.end as usize]);
                Sum { range, crc }
            };
            vec![of(3..10), of(10..10), of(10..11), of(20..39)]
        };
        let is_sound = |bytes: &[u8], cut: usize| {
            let mut check = SumCheck::new(sums());
            bytes.chunks(cut).for_each(|piece| check.update(piece));
            check.is_sound()
        };
        for cut in 1..=file.len() {
            assert!(is_sound(&file, cut), "pieces of {cut}");
            assert!(is_sound(&file[..39], cut));
            assert!(!is_sound(&file[..38], cut), "a stretch is missing");
            for at in 0..file.len() {
                let mut changed = file.clone();
                changed[at] ^= 1;
                let is_covered = (3..11).contains(&at) || (20..39).contains(&at);
                assert_eq!(is_sound(&changed, cut), !is_covered, "byte {at}, pieces of {cut}");
            }
        }
    }
}
