//! What a write request was refused of, for the answer and for metrics.

use std::fmt;

use crate::ingest::describe_series;
use crate::write::{RefusalReason, WriteRefusal};

/// Refused series and samples of one request: all counted, the first few told.
///
/// Costs nothing until something is refused.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    told_max: usize,
    told: Vec<String>,
    untold: u64,
    samples: [u64; RefusalReason::ALL.len()],
}

impl Refusals {
    /// None so far; `told_max` of them will be described.
    #[must_use]
    pub fn new(told_max: usize) -> Self {
        Self { told_max, ..Self::default() }
    }

    /// Whether nothing was refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.told.is_empty() && self.untold == 0
    }

    /// Whether some of them may be taken when they are sent again.
    #[must_use]
    pub fn may_pass_later(&self) -> bool {
        self.samples[RefusalReason::SeriesRate as usize] > 0
    }

    /// Refused samples by reason.
    pub fn samples_by_reason(&self) -> impl Iterator<Item = (RefusalReason, u64)> + '_ {
        RefusalReason::ALL.iter().map(|&reason| (reason, self.samples[reason as usize]))
    }

    /// All refused samples; those that a rule drops are not refused.
    #[must_use]
    pub fn samples(&self) -> u64 {
        let refused =
            |(reason, samples)| if reason == RefusalReason::Dropped { 0 } else { samples };
        self.samples_by_reason().map(refused).sum()
    }

    /// Adds those of another piece of the same request.
    pub(crate) fn add_all(&mut self, mut others: Self) {
        for (all, samples) in self.samples.iter_mut().zip(others.samples) {
            *all += samples;
        }
        let room = self.told_max.saturating_sub(self.told.len()).min(others.told.len());
        self.untold += others.untold + (others.told.len() - room) as u64;
        self.told.extend(others.told.drain(..room));
    }

    /// The refusals that are described.
    pub(crate) fn told(&self) -> &[String] {
        &self.told
    }

    /// The first ones as one line, for answers that have no more room.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = self.told.join("; ");
        if self.untold > 0 {
            line.push_str(&format!("; and {} more", self.untold));
        }
        line
    }

    /// Adds `samples` samples of the series with the label fields `raw`.
    #[cold]
    pub fn add(&mut self, raw: &[u8], samples: u64, refusal: &WriteRefusal) {
        self.add_of(|| describe_series(raw), samples, refusal);
    }

    /// Adds `samples` samples of the series that `describe` names.
    #[cold]
    pub fn add_of(
        &mut self,
        describe: impl FnOnce() -> String,
        samples: u64,
        refusal: &WriteRefusal,
    ) {
        self.samples[refusal.reason() as usize] += samples;
        if refusal.reason() == RefusalReason::Dropped {
            return;
        }
        if self.told.len() < self.told_max {
            self.told.push(format!("{}: {refusal}", describe()));
        } else {
            self.untold += 1;
        }
    }
}

/// The body of an answer: what was refused, a line for each of the first ones.
impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} samples refused, all others written:", self.samples())?;
        for line in &self.told {
            writeln!(f, "{line}")?;
        }
        if self.untold > 0 {
            writeln!(f, "and {} more", self.untold)?;
        }
        Ok(())
    }
}
