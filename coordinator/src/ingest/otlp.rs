//! OTLP metrics: from the messages of OpenTelemetry to series as Prometheus makes them.
//!
//! One walk over borrowed bytes, in protobuf; a JSON body is written as protobuf first. A known
//! series costs no translation: its attributes are delimited, not looked into, and with the labels
//! that it shares with others of its resource and metric they are what it is found by.
//!
//! PARITY(prometheus): `storage/remote/otlptranslator/prometheusremotewrite` of 3.14. Differences:
//! a data point that cannot be taken is refused by itself, and delta values are added up as long
//! as nothing else is asked for.
//!
//! Budget: walk and resolve <= 80 ns/sample for known series of 11 labels, twice Remote Write 1.0.

mod attributes;
mod config;
mod delta;
mod exemplar;
mod exponential;
mod json;
mod metric;
mod names;
mod native;
mod points;
mod resource;
mod series;
mod walk;

use std::sync::Arc;

use m3rs_core::clock::{SharedClock, SystemClock};

pub use config::{DeltaTemporality, OtlpConfig, OtlpConfigError, TranslationStrategy};
pub use delta::DeltaRefusal;
pub use json::json_to_protobuf;
pub use walk::walk_otlp;

use crate::limits::OtlpLimits;
use delta::DeltaState;

/// What stays between requests, and how they are translated.
#[derive(Debug)]
pub struct Otlp {
    config: OtlpConfig,
    limits: OtlpLimits,
    /// Time between samples of `target_info`.
    target_info_step_ns: u64,
    delta: DeltaState,
}

/// The time between two samples of `target_info` if no lookback is told: half of 5 minutes.
const TARGET_INFO_STEP_NS: u64 = 150_000_000_000;

impl Otlp {
    /// A translation as `config` says, within `limits`. Queries look `lookback_ms` back.
    #[must_use]
    pub fn new(
        config: OtlpConfig,
        limits: OtlpLimits,
        lookback_ms: i64,
        clock: SharedClock,
    ) -> Self {
        let half = u64::try_from(lookback_ms).unwrap_or(0).saturating_mul(500_000);
        let target_info_step_ns = if half == 0 { TARGET_INFO_STEP_NS } else { half };
        Self { config, limits, target_info_step_ns, delta: DeltaState::new(limits, clock) }
    }

    /// What is kept of delta series.
    #[must_use]
    pub fn delta_usage(&self) -> DeltaUsage {
        self.delta.usage()
    }
}

impl Default for Otlp {
    fn default() -> Self {
        let clock: SharedClock = Arc::new(SystemClock::default());
        Self::new(OtlpConfig::default(), OtlpLimits::default(), 0, clock)
    }
}

/// What is kept of delta series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeltaUsage {
    /// Series.
    pub series: u64,
    /// Bytes that they take.
    pub bytes: u64,
}
