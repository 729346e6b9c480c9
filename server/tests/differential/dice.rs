//! Choices, from one sequence of random numbers.

use m3rs_core::rng::Random;

/// Makes choices; the same seed makes the same ones.
#[derive(Debug)]
pub(crate) struct Dice(Random);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Random::seeded(seed))
    }

    /// A seed for other dice.
    pub(crate) fn seed(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.0.below(end as u64)).expect("below a usize")
    }

    /// A number in `low..=high`.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = u64::try_from(high - low).expect("low before high") + 1;
        low + i64::try_from(self.0.below(width)).expect("narrow")
    }

    /// True in one of `count` cases.
    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of them.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }

    /// A number that is exact in a few bits, so that sums do not depend on their order.
    pub(crate) fn eighth(&mut self, low: i64, high: i64) -> f64 {
        self.between(low * 8, high * 8) as f64 / 8.0
    }
}
