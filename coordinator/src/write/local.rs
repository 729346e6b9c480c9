//! Writes to the database of this process.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use m3rs_core::model::{Histogram, Labels, Metadata};
use m3rs_core::time::TimestampNs;
use m3rs_tsdb::{Exemplar, Namespace, ResolveError, SeriesHandle, TsdbError};

use crate::ingest::{LabelRefusal, SAMPLE_TAG};
use crate::local::LocalStorage;
use crate::write::{
    Committed, Fingerprint, Predicted, StoreError, WriteError, WriteRefusal, WriteSession,
    WriteStore, WriteTarget,
};

/// The setting that raises the limit on series.
const SERIES_SETTING: &str = "limits.series_max";

/// The setting that raises the limit on new series in a second.
const SERIES_RATE_SETTING: &str = "limits.new_series_per_second_max";

/// Writes to one namespace of a local database.
#[derive(Clone, Debug)]
pub struct LocalStore(Arc<LocalStorage>);

impl LocalStore {
    /// Writes to `storage`.
    #[must_use]
    pub fn new(storage: Arc<LocalStorage>) -> Self {
        Self(storage)
    }
}

impl WriteStore for LocalStore {
    type Target = LocalTarget;

    fn target(&self) -> LocalTarget {
        LocalTarget(self.0.namespace())
    }
}

/// The namespace as it was when the request began, or why there is none.
#[derive(Debug)]
pub struct LocalTarget(Result<Arc<Namespace>, StoreError>);

impl WriteTarget for LocalTarget {
    type Session<'a> = LocalSession<'a>;

    fn session(&self) -> LocalSession<'_> {
        LocalSession(self.0.as_ref().map(|namespace| namespace.writer()).map_err(Clone::clone))
    }
}

/// One request's writes, or why there can be none.
pub struct LocalSession<'a>(Result<m3rs_tsdb::WriteSession<'a>, StoreError>);

impl fmt::Debug for LocalSession<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalSession").field(&self.0).finish()
    }
}

impl WriteSession for LocalSession<'_> {
    type Series = SeriesHandle;
    type Durable = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

    #[inline]
    fn predict(&mut self, message: &[u8]) -> Option<Predicted<SeriesHandle>> {
        let session = self.0.as_mut().ok()?;
        let label_len = session.next_len()?;
        // Where the labels are as guessed, a sample follows them. Most wrong guesses end here.
        if message.get(label_len) != Some(&SAMPLE_TAG) {
            return None;
        }
        let series = session.next_if(&message[..label_len])?;
        Some(Predicted { label_len, series })
    }

    #[inline]
    fn fingerprint(&self, text: &[u8]) -> Fingerprint {
        // Without a session no series is ever resolved.
        self.0.as_ref().map_or([0; 2], |session| session.fingerprint(text))
    }

    #[inline]
    fn resolve_expected(&mut self, raw: &[u8]) -> Option<SeriesHandle> {
        let session = self.0.as_mut().ok()?;
        if session.next_len()? != raw.len() {
            return None;
        }
        session.next_if(raw)
    }

    #[inline]
    fn resolve(
        &mut self,
        raw: &[u8],
        parse: impl FnOnce() -> Result<Labels, LabelRefusal>,
    ) -> Result<SeriesHandle, WriteError> {
        let session = self.0.as_mut().map_err(|e| e.clone())?;
        session.resolve(raw, parse).map_err(|error| match error {
            ResolveError::Labels(refusal) => refusal.into(),
            ResolveError::Storage(TsdbError::SeriesLimit { limit }) => {
                let limit = u64::from(limit);
                WriteRefusal::SeriesLimit { limit, setting: SERIES_SETTING }.into()
            }
            ResolveError::Storage(TsdbError::NewSeriesRate { limit }) => {
                let limit = u64::from(limit);
                WriteRefusal::SeriesRate { limit, setting: SERIES_RATE_SETTING }.into()
            }
            ResolveError::Storage(error) => StoreError::from(error).into(),
        })
    }

    #[inline]
    fn push(&mut self, series: SeriesHandle, t: TimestampNs, v: f64) -> Result<(), WriteError> {
        let session = self.0.as_mut().map_err(|e| e.clone())?;
        Ok(session.push(series, t, v).map_err(refused)?)
    }

    #[inline]
    fn push_started(
        &mut self,
        series: SeriesHandle,
        t: TimestampNs,
        v: f64,
        start: TimestampNs,
    ) -> Result<(), WriteError> {
        let session = self.0.as_mut().map_err(|e| e.clone())?;
        Ok(session.push_started(series, t, v, start).map_err(refused)?)
    }

    fn push_histogram(
        &mut self,
        series: SeriesHandle,
        t: TimestampNs,
        h: Histogram,
        start: TimestampNs,
    ) -> Result<(), WriteError> {
        let session = self.0.as_mut().map_err(|e| e.clone())?;
        Ok(session.push_histogram(series, t, h, start).map_err(refused)?)
    }

    fn push_exemplar(
        &mut self,
        series: SeriesHandle,
        t: TimestampNs,
        value: f64,
        labels: Labels,
    ) -> Result<(), WriteError> {
        let session = self.0.as_mut().map_err(|e| e.clone())?;
        let exemplar = Exemplar { t: t.0, value, labels };
        Ok(session.push_exemplar(series, exemplar).map_err(refused)?)
    }

    fn push_metadata(&mut self, family: &str, metadata: Metadata) -> Result<(), StoreError> {
        let session = self.0.as_mut().map_err(|e| e.clone())?;
        session.push_metadata(family, metadata);
        Ok(())
    }

    fn commit(self) -> Result<Committed<Self::Durable>, StoreError> {
        let commit = self.0?.commit()?;
        let samples = commit.samples();
        let durable = async move { Ok(commit.durable().await?) };
        Ok(Committed { samples, durable: Box::pin(durable) })
    }
}

fn refused(refusal: m3rs_tsdb::WriteRefusal) -> WriteRefusal {
    match refusal {
        m3rs_tsdb::WriteRefusal::OutsideRetention { t, oldest }
        | m3rs_tsdb::WriteRefusal::OutsideBuffer { t, oldest } => {
            WriteRefusal::TooOld { t: t.to_ms(), oldest: oldest.to_ms() }
        }
        m3rs_tsdb::WriteRefusal::TooFarInFuture { t, latest } => {
            WriteRefusal::TooNew { t: t.to_ms(), newest: latest.to_ms() }
        }
        m3rs_tsdb::WriteRefusal::Histogram(error) => WriteRefusal::Histogram(error),
        m3rs_tsdb::WriteRefusal::Exemplar { bytes } => WriteRefusal::Exemplar { bytes },
        m3rs_tsdb::WriteRefusal::Annotation { .. } => {
            unreachable!("BUG: nothing here writes annotations")
        }
    }
}
