//! The outcome of several pieces of work of which each is done whatever comes of the others.

use crate::error::TsdbError;

/// Keeps the first error; the others are logged.
#[derive(Debug, Default)]
pub(crate) struct FirstError(Option<TsdbError>);

impl FirstError {
    /// Takes the outcome of one piece; its value if it went well.
    pub(crate) fn note<T>(&mut self, outcome: Result<T, TsdbError>) -> Option<T> {
        match outcome {
            Ok(value) => return Some(value),
            Err(error) if self.0.is_none() => self.0 = Some(error),
            Err(error) => tracing::error!(%error, "another part of the same job failed"),
        }
        None
    }

    /// The first error, if there was one.
    pub(crate) fn into_result(self) -> Result<(), TsdbError> {
        self.0.map_or(Ok(()), Err)
    }
}
