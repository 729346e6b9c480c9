//! Reads from the database of this process.
//!
//! Storage keeps nanoseconds, PromQL has milliseconds: a time falls into the millisecond that
//! holds it, and of several samples in one millisecond the latest counts.

use std::cell::RefCell;
use std::sync::Arc;

use m3rs_core::ErrorKind;
use m3rs_core::model::Labels;
use m3rs_core::time::{NS_PER_MS, TimestampMs, TimestampNs};
use m3rs_query::source::{
    Cancel, LabelRequest, Listing, SampleColumns, SelectRequest, Selection, SeriesReader,
    SeriesSource, SourceError, TimeRange,
};
use m3rs_tsdb::{Columns, Limited, TsdbError};
use parking_lot::Mutex;

use crate::local::LocalStorage;
use crate::read::{QuerySource, QuerySources};
use crate::write::StoreError;

/// Gives queries sources that read a local database.
#[derive(Clone, Debug)]
pub struct LocalSources(Arc<LocalStorage>);

impl LocalSources {
    /// Reads from `storage`.
    #[must_use]
    pub fn new(storage: Arc<LocalStorage>) -> Self {
        Self(storage)
    }
}

impl QuerySources for LocalSources {
    fn open(&self) -> Box<dyn QuerySource> {
        Box::new(LocalSource::new(Arc::clone(&self.0)))
    }
}

/// A local database as one query sees it. It remembers selections, to tell of damage afterwards.
#[derive(Debug)]
pub struct LocalSource {
    storage: Arc<LocalStorage>,
    selections: Mutex<Vec<Arc<m3rs_tsdb::Selection>>>,
}

impl LocalSource {
    /// Reads from `storage`.
    #[must_use]
    pub fn new(storage: Arc<LocalStorage>) -> Self {
        Self { storage, selections: Mutex::default() }
    }

    fn select_here(&self, request: &SelectRequest) -> Result<Selection, SourceError> {
        let namespace = self.storage.namespace()?;
        let (start, end) = ns_range(request.range);
        let limit = request.series_max;
        let mut found =
            namespace.select(&request.matchers, start, end, limit).map_err(source_error)?;
        let series = found.take_labels();
        let found = Arc::new(found);
        self.selections.lock().push(Arc::clone(&found));
        Ok(Selection { series, reader: Box::new(LocalReader(found)), warnings: Vec::new() })
    }
}

impl QuerySource for LocalSource {
    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> =
            self.selections.lock().iter().flat_map(|s| s.damage()).collect();
        notes.sort();
        notes.dedup();
        notes
    }
}

impl SeriesSource for LocalSource {
    fn select(&self, request: &SelectRequest, cancel: &Cancel) -> Result<Selection, SourceError> {
        if cancel.is_cancelled() {
            return Err(SourceError::Cancelled);
        }
        self.select_here(request)
    }

    fn label_names(&self, request: &LabelRequest) -> Result<Listing<String>, SourceError> {
        let namespace = self.storage.namespace()?;
        let range = ns_range(request.range);
        listing(namespace.label_names(&request.matcher_sets, range, request.limit))
    }

    fn label_values(
        &self,
        name: &str,
        request: &LabelRequest,
    ) -> Result<Listing<String>, SourceError> {
        let namespace = self.storage.namespace()?;
        let range = ns_range(request.range);
        listing(namespace.label_values(name, &request.matcher_sets, range, request.limit))
    }

    fn series(&self, request: &LabelRequest) -> Result<Listing<Labels>, SourceError> {
        let namespace = self.storage.namespace()?;
        let range = ns_range(request.range);
        listing(namespace.series(&request.matcher_sets, range, request.limit))
    }
}

struct LocalReader(Arc<m3rs_tsdb::Selection>);

impl SeriesReader for LocalReader {
    fn read(&self, index: usize, out: &mut SampleColumns) -> Result<(), SourceError> {
        thread_local! {
            static COLUMNS: RefCell<Columns> = RefCell::default();
        }
        out.clear();
        COLUMNS.with_borrow_mut(|columns| {
            columns.values_only = true;
            self.0.read(index, columns);
            to_milliseconds(columns, out);
        });
        Ok(())
    }
}

/// Appends `columns` to the empty `out`.
fn to_milliseconds(columns: &Columns, out: &mut SampleColumns) {
    out.ts.extend(columns.ts.iter().map(|t| t.div_euclid(NS_PER_MS)));
    if out.ts.windows(2).all(|pair| pair[0] != pair[1]) {
        out.vs.extend_from_slice(&columns.vs);
        return;
    }
    out.ts.clear();
    for (t, &v) in columns.ts.iter().map(|t| t.div_euclid(NS_PER_MS)).zip(&columns.vs) {
        match (out.ts.last(), out.vs.last_mut()) {
            (Some(&last), Some(value)) if last == t => *value = v,
            _ => {
                out.ts.push(t);
                out.vs.push(v);
            }
        }
    }
}

/// Both ends included; the last millisecond with all of its nanoseconds.
fn ns_range(range: TimeRange) -> (TimestampNs, TimestampNs) {
    let end = TimestampMs(range.end_ms).to_ns().0;
    (TimestampMs(range.start_ms).to_ns(), TimestampNs(end.saturating_add(NS_PER_MS - 1)))
}

fn listing<T>(listed: Result<Limited<T>, TsdbError>) -> Result<Listing<T>, SourceError> {
    let Limited { items: entries, truncated } = listed.map_err(source_error)?;
    Ok(Listing { entries, truncated })
}

fn source_error(error: TsdbError) -> SourceError {
    if let Some((matched, limit)) = error.too_many_series() {
        return SourceError::TooManySeries { matched, limit };
    }
    match error.kind() {
        ErrorKind::Invalid => SourceError::Invalid(error.to_string()),
        kind => SourceError::Storage { kind, message: error.to_string() },
    }
}

impl From<StoreError> for SourceError {
    fn from(error: StoreError) -> Self {
        Self::Storage { kind: error.kind, message: error.message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(ts: &[i64]) -> (Vec<i64>, Vec<f64>) {
        let vs = (0..ts.len()).map(|i| i as f64).collect();
        let mut out = SampleColumns::default();
        to_milliseconds(&Columns::of_floats(ts.to_vec(), vs), &mut out);
        (out.ts, out.vs)
    }

    #[test]
    fn the_latest_sample_of_a_millisecond_counts() {
        assert_eq!(converted(&[]), (vec![], vec![]));
        assert_eq!(converted(&[-1, 0, 1_000_000]), (vec![-1, 0, 1], vec![0.0, 1.0, 2.0]));
        assert_eq!(
            converted(&[0, 999_999, 1_000_000, 1_500_000, 3_000_000]),
            (vec![0, 1, 3], vec![1.0, 3.0, 4.0])
        );
    }

    #[test]
    fn a_range_takes_whole_milliseconds() {
        let range = TimeRange { start_ms: 1, end_ms: 2 };
        assert_eq!(ns_range(range), (TimestampNs(1_000_000), TimestampNs(2_999_999)));
        let all = TimeRange { start_ms: i64::MIN, end_ms: i64::MAX };
        assert_eq!(ns_range(all), (TimestampNs(i64::MIN), TimestampNs(i64::MAX)));
    }
}
