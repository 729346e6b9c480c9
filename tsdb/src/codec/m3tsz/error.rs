//! Why a sample cannot be appended.

use m3rs_core::ErrorKind;

use super::{TimeUnit, limits};

/// Why a sample was refused. The encoder is as it was before the call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The annotation is longer than [`limits::ANNOTATION_LEN_MAX`].
    #[error("annotation of {len} bytes is longer than {max}", max = limits::ANNOTATION_LEN_MAX)]
    AnnotationTooLong {
        /// Its bytes.
        len: usize,
    },
    /// The stream holds [`limits::SAMPLES_MAX`] samples.
    #[error("a stream holds at most {max} samples", max = limits::SAMPLES_MAX)]
    Full,
    /// The change between two time deltas does not fit the 32 bits that the unit has for it.
    /// [`super::Exactness::Exact`] changes the unit instead.
    #[error("delta-of-delta of {dod_ns} ns does not fit 32 bits of {unit:?}")]
    DeltaTooLarge {
        /// The change in nanoseconds.
        dod_ns: i64,
        /// The unit asked for.
        unit: TimeUnit,
    },
    /// A time is further from the one before than [`limits::STEP_NS_MAX`].
    #[error("a step of {step_ns} ns: at most {max} either way", max = limits::STEP_NS_MAX)]
    StepTooLong {
        /// The step in nanoseconds.
        step_ns: i64,
    },
    /// Times and values of a batch differ in number.
    #[error("a batch of {times} times and {values} values")]
    UnequalBatch {
        /// Number of times.
        times: usize,
        /// Number of values.
        values: usize,
    },
    /// The code is not that of a unit with which timestamps can be written.
    #[error("time unit code {code} is none of 1 (s), 2 (ms), 3 (us), 4 (ns)")]
    UnknownUnit {
        /// The code.
        code: u8,
    },
}

impl EncodeError {
    /// What a caller should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::AnnotationTooLong { .. } | Self::Full => ErrorKind::Limit,
            Self::DeltaTooLarge { .. }
            | Self::StepTooLong { .. }
            | Self::UnequalBatch { .. }
            | Self::UnknownUnit { .. } => ErrorKind::Invalid,
        }
    }
}
