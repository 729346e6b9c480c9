//! The seam to randomness: secrets from the machine, and repeatable numbers from a seed.

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// A source of random numbers. One seed gives one sequence, in every process of one build.
#[derive(Debug)]
pub struct Random(StdRng);

impl Random {
    /// Seeded by the machine; fit for secrets.
    ///
    /// # Panics
    /// If the machine cannot give random bytes: nothing that needs a secret may go on then.
    #[must_use]
    pub fn from_machine() -> Self {
        Self(rand::make_rng())
    }

    /// The sequence of `seed`; never for secrets.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// The next number, every value as likely.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `end`, every one as likely; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.0.random_range(0..end) }
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_sequence() {
        let take = |seed| {
            let mut random = Random::seeded(seed);
            (0..8).map(|_| random.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(take(7), take(7));
        assert_ne!(take(7), take(8));
    }

    #[test]
    fn two_secrets_differ() {
        let secret = || {
            let mut bytes = [0; 32];
            Random::from_machine().fill(&mut bytes);
            bytes
        };
        assert_ne!(secret(), secret());
    }

    #[test]
    fn below_stays_below() {
        let mut random = Random::seeded(1);
        assert_eq!(random.below(0), 0);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[usize::try_from(random.below(5)).expect("small")] = true;
        }
        assert_eq!(seen, [true; 5]);
    }
}
