//! What is known to be lost, over all namespaces.

use super::Core;
use crate::error::TsdbError;
use crate::losses::KnownLoss;

impl Core {
    /// Makes what is known of lost log durable; comes before segments are removed.
    pub(super) fn record_losses(&self) -> Result<(), TsdbError> {
        self.opener.log_losses.record(self.opener.fs.as_ref())
    }

    /// Forgets what operators took note of, and what retention passed.
    pub(super) fn refresh_losses(&self) -> Result<(), TsdbError> {
        let fs = self.opener.fs.as_ref();
        let all = self.all();
        for namespace in &all {
            namespace.losses.refresh(fs, i64::MIN)?;
        }
        // What was written before this is outside of every retention.
        let oldest = all.iter().map(|n| n.horizon().0.saturating_sub(n.ahead_ns())).min();
        self.opener.log_losses.refresh(fs, oldest.unwrap_or(i64::MIN))
    }

    /// Every known loss.
    pub(super) fn known_losses(&self) -> Vec<KnownLoss> {
        let mut all = self.opener.log_losses.described(None);
        for namespace in self.all() {
            all.extend(namespace.losses.described(Some(&namespace)));
        }
        all
    }
}
