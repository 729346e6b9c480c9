//! Reads from the database of this process.
//!
//! Storage keeps nanoseconds, PromQL has milliseconds: a time falls into the millisecond that
//! holds it, and of several samples in one millisecond the latest counts.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use m3rs_core::ErrorKind;
use m3rs_core::model::Labels;
use m3rs_core::time::{NS_PER_MS, NS_PER_S, TimestampMs, TimestampNs};
use m3rs_query::source::{
    Cancel, Changes, LabelRequest, Listing, SampleBatch, SampleColumns, SelectRequest, Selection,
    SeriesReader, SeriesSource, SourceError, TimeRange,
};
use m3rs_tsdb::{Columns, Detail, Limited, Most, Rich, Select, TsdbError, Wanted};
use parking_lot::Mutex;

use crate::local::LocalStorage;
use crate::read::{FetchLimits, NOT_EXHAUSTIVE, QuerySource, QuerySources};
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
    fn open(&self, fetch: &FetchLimits) -> Box<dyn QuerySource> {
        let source = LocalSource::new(Arc::clone(&self.0));
        Box::new(LocalSource { fetch: fetch.clone(), ..source })
    }
}

/// A local database as one query sees it. It remembers selections, to tell of damage afterwards.
#[derive(Debug)]
pub struct LocalSource {
    storage: Arc<LocalStorage>,
    fetch: FetchLimits,
    is_cut: AtomicBool,
    selections: Mutex<Vec<Arc<m3rs_tsdb::Selection>>>,
}

impl LocalSource {
    /// Reads from `storage`.
    #[must_use]
    pub fn new(storage: Arc<LocalStorage>) -> Self {
        let fetch = FetchLimits::default();
        Self { storage, fetch, is_cut: AtomicBool::new(false), selections: Mutex::default() }
    }

    pub(super) fn storage(&self) -> &LocalStorage {
        &self.storage
    }

    fn select_here(&self, request: &SelectRequest) -> Result<Selection, SourceError> {
        let namespace = self.storage.namespace()?;
        let (range, is_shorter) = self.fetch.range(request.range)?;
        let range = ns_range(range);
        let (matchers, limit) = (&request.matchers, request.series_max);
        let mut is_cut = is_shorter;
        let most = match self.fetch.series_max() {
            Some(max) if max < limit => Most::First(max),
            _ => Most::All(limit),
        };
        let labels = request.hints.labels.as_deref();
        let select = Select { matchers, range, labels, series: most };
        let mut found = namespace.select_some(&select).map_err(source_error)?;
        is_cut |= self.fetch.check_series(found.matched())?;
        self.is_cut.fetch_or(is_cut, Ordering::Relaxed);
        let series = found.take_labels();
        let found = Arc::new(found);
        self.selections.lock().push(Arc::clone(&found));
        let detail = match request.hints.start_times {
            true => Detail::All,
            false => Detail::Values,
        };
        let wanted = match request.hints.last_only {
            true => Wanted::Last,
            false => Wanted::All,
        };
        let what = (wanted, detail);
        let rows_next = match wanted {
            Wanted::Last => BATCH_ROWS_LAST,
            Wanted::All => 1,
        };
        let reader = LocalReader { found, what, rows_next: AtomicUsize::new(rows_next) };
        Ok(Selection { series, reader: Box::new(reader), warnings: Vec::new() })
    }
}

impl QuerySource for LocalSource {
    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> =
            self.selections.lock().iter().flat_map(|s| s.damage()).collect();
        notes.extend(self.is_cut().then(|| NOT_EXHAUSTIVE.to_owned()));
        notes.sort();
        notes.dedup();
        notes
    }

    fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
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

    fn changes(&self) -> Option<&dyn Changes> {
        (self.fetch == FetchLimits::default()).then_some(self)
    }
}

impl Changes for LocalSource {
    fn set(&self) -> u64 {
        self.storage.namespace().map_or(u64::MAX, |namespace| u64::from(namespace.number()))
    }

    fn mark(&self) -> u64 {
        self.storage.namespace().map_or(u64::MAX, |namespace| namespace.mark_changes())
    }

    fn earliest_since(&self, mark: u64) -> Option<i64> {
        match self.storage.namespace() {
            Ok(namespace) => {
                namespace.earliest_change_since(mark).map(|t| t.0.div_euclid(NS_PER_MS))
            }
            Err(_) => Some(i64::MIN),
        }
    }

    fn oldest(&self) -> i64 {
        // The millisecond after the one of which a part is kept.
        self.storage
            .namespace()
            .map_or(i64::MAX, |namespace| namespace.horizon().0.div_euclid(NS_PER_MS) + 1)
    }

    fn is_whole(&self) -> bool {
        self.notes().is_empty()
    }
}

/// Samples that a batch should have: 512 KiB, which stay in a core's cache.
const BATCH_SAMPLES: usize = 32 * 1024;

/// The most series in a batch, so that a query that was cancelled ends soon.
const BATCH_ROWS_MAX: usize = 256;

/// The same where one sample of each series is read.
const BATCH_ROWS_LAST: usize = 1024;

/// How many times more rows than a batch the next one may have: nobody knows how long they are.
const BATCH_GROWTH_MAX: usize = 4;

/// Samples that a histogram counts for in a batch.
const SAMPLES_PER_HISTOGRAM: usize = 64;

struct LocalReader {
    found: Arc<m3rs_tsdb::Selection>,
    what: (Wanted, Detail),
    /// Rows of the next batch, by the length of those that were read last.
    rows_next: AtomicUsize,
}

impl SeriesReader for LocalReader {
    fn read(&self, index: usize, out: &mut SampleColumns) -> Result<(), SourceError> {
        out.clear();
        self.found.read_many(index..index + 1, self.what, |_, columns| {
            to_milliseconds(columns, out);
        });
        self.add_histogram_before(index, out);
        Ok(())
    }

    fn read_batch(&self, indexes: Range<usize>, out: &mut SampleBatch) -> Result<(), SourceError> {
        let count = self.rows_next.load(Ordering::Relaxed).min(indexes.len());
        out.reset(count);
        let first = indexes.start;
        let rows = out.rows_mut();
        let mut read = 0;
        self.found.read_many(first..first + count, self.what, |number, columns| {
            read += columns.len() + columns.rich.histograms.ts.len() * SAMPLES_PER_HISTOGRAM;
            to_milliseconds(columns, &mut rows[number - first]);
        });
        for (place, row) in rows.iter_mut().enumerate().take(count) {
            self.add_histogram_before(first + place, row);
        }
        let fit = BATCH_SAMPLES * count / read.max(1);
        let most = match self.what.0 {
            Wanted::Last => BATCH_ROWS_LAST,
            Wanted::All => BATCH_ROWS_MAX,
        };
        let grown = most.min(count * BATCH_GROWTH_MAX);
        self.rows_next.store(fit.min(grown).max(1), Ordering::Relaxed);
        Ok(())
    }
}

/// How long before a range the sample before it is looked for: as long as a block of Prometheus,
/// in which it takes note of resets.
const BEFORE_NS: i64 = 2 * 3600 * NS_PER_S;

impl LocalReader {
    /// Adds the histogram before the range to those of series `number`, if it has any.
    fn add_histogram_before(&self, number: usize, out: &mut SampleColumns) {
        if !out.histograms.ts.is_empty() {
            out.histograms.before = self.found.histogram_before(number, BEFORE_NS);
        }
    }
}

/// Moves `columns` to the empty `out`: plain floats change places with its memory, and are copied
/// only if two of them fall into one millisecond.
fn to_milliseconds(columns: &mut Columns, out: &mut SampleColumns) {
    let rich = &columns.rich;
    if !rich.starts.is_empty() || !rich.histograms.is_empty() {
        return rich_to_milliseconds(columns, out);
    }
    let Columns { ts, vs, millis, .. } = columns;
    if !ts.is_empty() && millis.len() == ts.len() {
        std::mem::swap(millis, &mut out.ts);
        std::mem::swap(vs, &mut out.vs);
        return;
    }
    if times_to_milliseconds(ts) {
        std::mem::swap(ts, &mut out.ts);
        std::mem::swap(vs, &mut out.vs);
        return;
    }
    for (&t, &v) in ts.iter().zip(&*vs) {
        put_last(t, v, (&mut out.ts, &mut out.vs));
    }
}

/// Turns ascending nanoseconds into milliseconds; says whether each is there once.
fn times_to_milliseconds(ts: &mut [i64]) -> bool {
    // Most steps are that of the scrape, and an addition is cheaper than a division.
    let (mut last_ns, mut last_ms, mut step_ns, mut step_ms) = (0i64, 0i64, 0i64, 0i64);
    let mut is_strict = true;
    for (i, t) in ts.iter_mut().enumerate() {
        let step = t.wrapping_sub(last_ns);
        last_ns = *t;
        if step == step_ns && i > 0 {
            last_ms += step_ms;
        } else {
            let ms = t.div_euclid(NS_PER_MS);
            is_strict &= i == 0 || ms != last_ms;
            if step > 0 && step % NS_PER_MS == 0 {
                (step_ns, step_ms) = (step, step / NS_PER_MS);
            }
            last_ms = ms;
        }
        *t = last_ms;
    }
    is_strict
}

/// The same for series with histograms or start timestamps.
fn rich_to_milliseconds(columns: &Columns, out: &mut SampleColumns) {
    let Rich { histograms, starts, .. } = &columns.rich;
    let mut floats = columns.ts.iter().zip(&columns.vs).peekable();
    let mut others = histograms.ts.iter().zip(&histograms.values).peekable();
    let start_ms = |t: i64| starts.at(t).map_or(0, |start| start.div_euclid(NS_PER_MS));
    loop {
        let is_float = match (floats.peek(), others.peek()) {
            (Some((a, _)), Some((b, _))) => a < b,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => break,
        };
        let (len, (start, to_starts)) = if is_float {
            let Some((&t, &v)) = floats.next() else { break };
            let t_ms = t.div_euclid(NS_PER_MS);
            take_last(t_ms, &mut out.histograms.ts, &mut out.histograms.hs);
            put_last(t_ms, v, (&mut out.ts, &mut out.vs));
            (out.ts.len(), (start_ms(t), &mut out.starts))
        } else {
            let Some((&t, h)) = others.next() else { break };
            let t_ms = t.div_euclid(NS_PER_MS);
            take_last(t_ms, &mut out.ts, &mut out.vs);
            let to = &mut out.histograms;
            put_last(t_ms, Arc::clone(h), (&mut to.ts, &mut to.hs));
            (to.ts.len(), (start_ms(t), &mut to.starts))
        };
        if !starts.is_empty() {
            to_starts.resize(len - 1, 0);
            to_starts.push(start);
        }
    }
    if !starts.is_empty() {
        out.starts.resize(out.ts.len(), 0);
        out.histograms.starts.resize(out.histograms.ts.len(), 0);
    }
}

/// Appends a sample, or replaces that of the same millisecond.
fn put_last<T>(t: i64, value: T, (ts, values): (&mut Vec<i64>, &mut Vec<T>)) {
    match (ts.last(), values.last_mut()) {
        (Some(&last), Some(old)) if last == t => *old = value,
        _ => {
            ts.push(t);
            values.push(value);
        }
    }
}

/// Takes the last sample out if it is of this millisecond.
fn take_last<T>(t: i64, ts: &mut Vec<i64>, values: &mut Vec<T>) {
    if ts.last() == Some(&t) {
        ts.pop();
        values.pop();
    }
}

/// Both ends included; the last millisecond with all of its nanoseconds.
pub(super) fn ns_range(range: TimeRange) -> (TimestampNs, TimestampNs) {
    let end = TimestampMs(range.end_ms).to_ns().0;
    (TimestampMs(range.start_ms).to_ns(), TimestampNs(end.saturating_add(NS_PER_MS - 1)))
}

fn listing<T>(listed: Result<Limited<T>, TsdbError>) -> Result<Listing<T>, SourceError> {
    let Limited { items: entries, truncated } = listed.map_err(source_error)?;
    Ok(Listing { entries, truncated })
}

pub(super) fn source_error(error: TsdbError) -> SourceError {
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
    use proptest::prelude::*;

    use super::*;

    fn converted(ts: &[i64]) -> (Vec<i64>, Vec<f64>) {
        let vs = (0..ts.len()).map(|i| i as f64).collect();
        let mut out = SampleColumns::default();
        to_milliseconds(&mut Columns::of_floats(ts.to_vec(), vs), &mut out);
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

    proptest! {
        /// Steps that repeat and steps that do not, also over times that far apart that their
        /// difference is no i64.
        #[test]
        fn times_are_divided_and_told_apart(
            first in prop_oneof![any::<i64>(), -9_000_000i64..9_000_000],
            steps in prop::collection::vec(
                prop_oneof![4 => Just(15_000_000_000i64), 2 => Just(1_000_000),
                    2 => 1i64..3_000_000,
                    1 => 1i64..i64::MAX], 0..60),
        ) {
            let mut ts = vec![first];
            ts.extend(steps.iter().scan(first, |t, step| {
                *t = t.checked_add(*step)?;
                Some(*t)
            }));
            let want: Vec<i64> = ts.iter().map(|t| t.div_euclid(NS_PER_MS)).collect();
            let is_strict = want.is_sorted_by(|a, b| a < b);
            prop_assert_eq!(times_to_milliseconds(&mut ts), is_strict);
            prop_assert_eq!(ts, want);
        }
    }

    #[test]
    fn histograms_and_start_timestamps_come_along() {
        let mut columns = Columns::of_floats(vec![0, 1_000_000, 2_500_000], vec![1.0, 2.0, 3.0]);
        columns.rich.starts.ts = vec![1_000_000, 2_000_000];
        columns.rich.starts.values = vec![500_000_000, 700_000_000];
        columns.rich.histograms.ts = vec![2_000_000, 4_000_000];
        let histogram = Arc::new(m3rs_core::model::Histogram::stale());
        columns.rich.histograms.values = vec![Arc::clone(&histogram), histogram];
        let mut out = SampleColumns::default();
        to_milliseconds(&mut columns, &mut out);
        assert_eq!((out.ts.clone(), out.vs.clone()), (vec![0, 1, 2], vec![1.0, 2.0, 3.0]));
        assert_eq!(out.starts, [0, 500, 0]);
        assert_eq!(out.histograms.ts, [4], "the float is later in the same millisecond");
        assert!(out.is_sound());
    }

    #[test]
    fn a_range_takes_whole_milliseconds() {
        let range = TimeRange { start_ms: 1, end_ms: 2 };
        assert_eq!(ns_range(range), (TimestampNs(1_000_000), TimestampNs(2_999_999)));
        let all = TimeRange { start_ms: i64::MIN, end_ms: i64::MAX };
        assert_eq!(ns_range(all), (TimestampNs(i64::MIN), TimestampNs(i64::MAX)));
    }
}
