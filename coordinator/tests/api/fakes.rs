//! Storage and engine in a few lines: what they are told is what they know.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use m3rs_coordinator::http::{About, Admin, BuildInfo, HttpState, Routes};
use m3rs_coordinator::ingest::{LabelRefusal, Otlp, OtlpConfig, Receiver, Relabeler};
use m3rs_coordinator::limits::Limits;
use m3rs_coordinator::metrics::Metrics;
use m3rs_coordinator::read::{
    AnswerRest, ErrorType, QueryAnswer, QueryFailure, QueryRequest, QueryService, QueryTime,
    SelectorRead,
};
use m3rs_coordinator::write::{
    Committed, Fingerprint, StoreError, WriteError, WriteRefusal, WriteSession, WriteStore,
    WriteTarget,
};
use m3rs_core::clock::{Clock, SharedClock};
use m3rs_core::fs::DiskFs;
use m3rs_core::model::{Histogram, Labels, Matcher, Metadata};
use m3rs_core::time::{TimestampMs, TimestampNs};
use m3rs_core::{ErrorKind, clock::SystemClock};
use m3rs_query::promql::ast::Expr;
use m3rs_query::promql::{ParseOptions, parse};
use m3rs_query::source::{
    Cancel, LabelRequest, Listing, SampleColumns, SelectRequest, Selection, SeriesReader,
    SeriesSource, SourceError,
};
use m3rs_tsdb::{Exemplar, MetadataStore};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use xxhash_rust::xxh3::xxh3_128;

use crate::control::FakeControl;
use crate::exemplars::FakeExemplars;
use crate::sources::FakeSources;

/// Wall time of the fakes: 2024-01-01T00:00:00Z.
pub(crate) const NOW_MS: i64 = 1_704_067_200_000;

/// A clock whose wall time stands still.
#[derive(Debug, Default)]
struct FixedClock(SystemClock);

impl Clock for FixedClock {
    fn now(&self) -> TimestampNs {
        TimestampMs(NOW_MS).to_ns()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
}

/// Samples by series, with bits for values.
pub(crate) type Written = BTreeMap<Labels, Vec<(i64, u64)>>;

/// Series, time, histogram and start timestamp, times in milliseconds.
pub(crate) type WrittenHistogram = (Labels, i64, Histogram, i64);

/// A store in memory, and the knobs by which a test makes it fail.
#[derive(Debug)]
pub(crate) struct FakeStore {
    pub(crate) written: Mutex<Written>,
    pub(crate) histograms: Mutex<Vec<WrittenHistogram>>,
    pub(crate) starts: Mutex<Vec<(i64, i64)>>,
    pub(crate) exemplars: Mutex<Vec<(Labels, Exemplar)>>,
    pub(crate) metadata: Arc<MetadataStore>,
    pub(crate) parses: AtomicUsize,
    pub(crate) fail_commit: Mutex<Option<StoreError>>,
    pub(crate) fail_durable: AtomicBool,
    /// Commits become durable as permits are added.
    pub(crate) durable: Arc<Semaphore>,
    known: Mutex<BTreeMap<Vec<u8>, Labels>>,
    series_max: usize,
    /// Whether new series are refused for coming too fast.
    pub(crate) series_too_fast: AtomicBool,
}

impl Default for FakeStore {
    fn default() -> Self {
        Self {
            written: Mutex::default(),
            histograms: Mutex::default(),
            starts: Mutex::default(),
            exemplars: Mutex::default(),
            metadata: Arc::default(),
            parses: AtomicUsize::new(0),
            fail_commit: Mutex::default(),
            fail_durable: AtomicBool::new(false),
            durable: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            known: Mutex::default(),
            series_max: 1000,
            series_too_fast: AtomicBool::new(false),
        }
    }
}

/// The write side of a shared [`FakeStore`].
#[derive(Clone, Debug)]
pub(crate) struct SharedStore(pub(crate) Arc<FakeStore>);

/// Series are numbers within the session.
pub(crate) struct FakeSession {
    store: Arc<FakeStore>,
    series: Vec<Labels>,
    pushed: Vec<(usize, i64, f64)>,
    histograms: Vec<WrittenHistogram>,
    starts: Vec<(i64, i64)>,
    exemplars: Vec<(Labels, Exemplar)>,
    metadata: Vec<(String, Metadata)>,
}

impl WriteStore for SharedStore {
    type Target = Self;

    fn target(&self) -> Self {
        self.clone()
    }
}

impl WriteTarget for SharedStore {
    type Session<'a> = FakeSession;

    fn session(&self) -> FakeSession {
        FakeSession {
            store: Arc::clone(&self.0),
            series: Vec::new(),
            pushed: Vec::new(),
            histograms: Vec::new(),
            starts: Vec::new(),
            exemplars: Vec::new(),
            metadata: Vec::new(),
        }
    }
}

impl WriteSession for FakeSession {
    type Series = usize;
    type Durable = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

    fn fingerprint(&self, text: &[u8]) -> Fingerprint {
        let hash = xxh3_128(text);
        [hash as u64, (hash >> 64) as u64]
    }

    fn resolve(
        &mut self,
        raw: &[u8],
        parse: impl FnOnce() -> Result<Labels, LabelRefusal>,
    ) -> Result<usize, WriteError> {
        let mut known = self.store.known.lock();
        let labels = match known.get(raw) {
            Some(labels) => labels.clone(),
            None => {
                self.store.parses.fetch_add(1, Ordering::Relaxed);
                let labels = parse()?;
                if self.store.series_too_fast.load(Ordering::Relaxed) {
                    let setting = "limits.new_series_per_second_max";
                    return Err(WriteRefusal::SeriesRate { limit: 7, setting }.into());
                }
                let limit = self.store.series_max;
                if known.len() == limit {
                    let setting = "limits.series_max";
                    return Err(WriteRefusal::SeriesLimit { limit: limit as u64, setting }.into());
                }
                known.insert(raw.to_vec(), labels.clone());
                labels
            }
        };
        self.series.push(labels);
        Ok(self.series.len() - 1)
    }

    fn push(&mut self, series: usize, t: TimestampNs, v: f64) -> Result<(), WriteError> {
        let t = checked_time(t)?;
        self.pushed.push((series, t, v));
        Ok(())
    }

    fn push_started(
        &mut self,
        series: usize,
        t: TimestampNs,
        v: f64,
        start: TimestampNs,
    ) -> Result<(), WriteError> {
        self.push(series, t, v)?;
        self.starts.push((t.to_ms().0, start.to_ms().0));
        Ok(())
    }

    fn push_histogram(
        &mut self,
        series: usize,
        t: TimestampNs,
        h: Histogram,
        start: TimestampNs,
    ) -> Result<(), WriteError> {
        let t = checked_time(t)?;
        self.histograms.push((self.series[series].clone(), t, h, start.to_ms().0));
        Ok(())
    }

    fn push_exemplar(
        &mut self,
        series: usize,
        t: TimestampNs,
        value: f64,
        labels: Labels,
    ) -> Result<(), WriteError> {
        let t = checked_time(t)?;
        self.exemplars.push((self.series[series].clone(), Exemplar { t, value, labels }));
        Ok(())
    }

    fn push_metadata(&mut self, family: &str, metadata: Metadata) -> Result<(), StoreError> {
        self.metadata.push((family.to_owned(), metadata));
        Ok(())
    }

    fn commit(self) -> Result<Committed<Self::Durable>, StoreError> {
        if let Some(error) = self.store.fail_commit.lock().clone() {
            return Err(error);
        }
        let samples = (self.pushed.len() + self.histograms.len()) as u64;
        self.store.histograms.lock().extend(self.histograms);
        self.store.starts.lock().extend(self.starts);
        self.store.exemplars.lock().extend(self.exemplars);
        for (family, metadata) in self.metadata {
            self.store.metadata.put(&family, metadata);
        }
        for (series, t, v) in self.pushed {
            let mut written = self.store.written.lock();
            written.entry(self.series[series].clone()).or_default().push((t, v.to_bits()));
        }
        let store = self.store;
        let durable = async move {
            let permit = store.durable.acquire().await.expect("open");
            permit.forget();
            if store.fail_durable.load(Ordering::Relaxed) {
                return Err(StoreError::unavailable("fsync failed: no space left on device"));
            }
            Ok(())
        };
        Ok(Committed { samples, durable: Box::pin(durable) })
    }
}

fn checked_time(t: TimestampNs) -> Result<i64, WriteError> {
    let t = t.to_ms();
    let newest = TimestampMs(NOW_MS + 600_000);
    if t.0 < 0 {
        return Err(WriteRefusal::TooOld { t, oldest: TimestampMs(0) }.into());
    }
    if t > newest {
        return Err(WriteRefusal::TooNew { t, newest }.into());
    }
    Ok(t.0)
}

/// Answers by the text of the query; see `execute`.
#[derive(Debug, Default)]
pub(crate) struct FakeEngine {
    pub(crate) requests: Mutex<Vec<QueryRequest>>,
    pub(crate) started: AtomicUsize,
    pub(crate) cancelled: AtomicUsize,
}

impl QueryService for FakeEngine {
    fn execute(
        &self,
        request: &QueryRequest,
        cancel: &Cancel,
    ) -> Result<QueryAnswer, QueryFailure> {
        self.requests.lock().push(request.clone());
        self.started.fetch_add(1, Ordering::SeqCst);
        let fail = |error_type, text: &str| Err(QueryFailure::new(error_type, text));
        match request.text.as_str() {
            "" => fail(ErrorType::BadData, "invalid parameter \"query\": no expression found"),
            "execution" => fail(ErrorType::Execution, "many-to-many matching not allowed"),
            _ if cancel.is_cancelled() => fail(ErrorType::Canceled, "cancelled before it began"),
            "internal" => fail(ErrorType::Internal, "block is damaged"),
            "panic" => panic!("a bug in the engine"),
            "block" => {
                while !cancel.is_cancelled() {
                    std::thread::yield_now();
                }
                self.cancelled.fetch_add(1, Ordering::SeqCst);
                fail(ErrorType::Canceled, "query was canceled in query execution")
            }
            "large" => Ok(QueryAnswer {
                body: vec![Bytes::from(format!("\"{}\"", "x".repeat(300_000)))],
                ..QueryAnswer::default()
            }),
            "batches" | "broken" => Ok(QueryAnswer {
                body: vec![Bytes::from_static(b"[0")],
                rest: Some(Box::new(Batches { next: 1, breaks: request.text == "broken" })),
                ..QueryAnswer::default()
            }),
            text => {
                let seconds = match request.time {
                    QueryTime::Instant { time_ms } => time_ms / 1000,
                    QueryTime::Range { start_ms, .. } => start_ms / 1000,
                };
                let head = br#"{"status":"success","data":{"resultType":"scalar","result":"#;
                let warnings = format!("{:?}", request.warnings);
                let tail = format!("[{seconds},{text:?}]}},\"warnings\":{warnings}}}");
                Ok(QueryAnswer {
                    rest: None,
                    body: vec![Bytes::from_static(head), Bytes::from(tail)],
                    samples: 7,
                    series: 3,
                    is_cut: request.fetch.series_max == 1,
                })
            }
        }
    }

    fn format(&self, text: &str) -> Result<String, QueryFailure> {
        match text {
            "" => Err(QueryFailure::new(ErrorType::BadData, "no expression found")),
            text => Ok(format!("formatted {text}")),
        }
    }

    fn parse(&self, text: &str) -> Result<Expr, QueryFailure> {
        parse(text, &ParseOptions::default())
            .map_err(|e| QueryFailure::new(ErrorType::BadData, e.to_string()))
    }

    fn tree(&self, text: &str) -> Result<Bytes, QueryFailure> {
        match text {
            "" => Err(QueryFailure::new(ErrorType::BadData, "no expression found")),
            text => Ok(Bytes::from(format!("{{\"tree\":{text:?}}}"))),
        }
    }

    fn selectors(&self, text: &str) -> Result<Vec<Vec<Matcher>>, QueryFailure> {
        match text {
            "" => Err(QueryFailure::new(ErrorType::BadData, "no expression found")),
            text => text.split('+').filter(|t| t.contains('=')).map(|t| self.selector(t)).collect(),
        }
    }

    fn reads(&self, text: &str) -> Result<Vec<SelectorRead>, QueryFailure> {
        let read = |matchers| SelectorRead { matchers, offset_ms: 1000, range_ms: 60_000 };
        Ok(self.selectors(text)?.into_iter().map(read).collect())
    }

    fn selector(&self, text: &str) -> Result<Vec<Matcher>, QueryFailure> {
        match text.split_once('=') {
            Some((name, value)) => Ok(vec![Matcher::equal(name, value)]),
            None if text == "{}" => Err(QueryFailure::new(
                ErrorType::BadData,
                "match[] must contain at least one non-empty matcher",
            )),
            None => Err(QueryFailure::new(ErrorType::BadData, "parse error: no selector")),
        }
    }
}

/// Lists what the store was written; matchers are equalities.
#[derive(Debug)]
pub(crate) struct FakeSource(pub(crate) Arc<FakeStore>);

impl FakeSource {
    fn matching(&self, request: &LabelRequest) -> Vec<Labels> {
        let written = self.0.written.lock();
        let holds = |labels: &Labels, set: &[Matcher]| {
            set.iter().all(|m| labels.get(&m.name) == Some(m.value.as_str()))
        };
        let in_range = |samples: &[(i64, u64)]| {
            samples.iter().any(|(t, _)| (request.range.start_ms..=request.range.end_ms).contains(t))
        };
        let sets = &request.matcher_sets;
        let counts = |labels: &Labels| sets.is_empty() || sets.iter().any(|s| holds(labels, s));
        written
            .iter()
            .filter(|(labels, samples)| counts(labels) && in_range(samples))
            .map(|(labels, _)| labels.clone())
            .collect()
    }
}

fn cut<T>(mut entries: Vec<T>, limit: usize) -> Listing<T> {
    let truncated = limit > 0 && entries.len() > limit;
    if truncated {
        entries.truncate(limit);
    }
    Listing { entries, truncated }
}

impl SeriesSource for FakeSource {
    /// A series with the label `broken` cannot be read.
    fn select(&self, request: &SelectRequest, _: &Cancel) -> Result<Selection, SourceError> {
        let (matcher_sets, range) = (vec![request.matchers.clone()], request.range);
        let series = self.matching(&LabelRequest { matcher_sets, range, limit: 0 });
        if series.len() > request.series_max {
            let (matched, limit) = (series.len(), request.series_max);
            return Err(SourceError::TooManySeries { matched, limit });
        }
        let written = self.0.written.lock();
        let in_range = |(t, _): &&(i64, u64)| (range.start_ms..=range.end_ms).contains(t);
        let rows = series.iter().map(|labels| {
            let is_broken = labels.get("broken").is_some();
            let samples: BTreeMap<i64, u64> =
                written[labels].iter().filter(in_range).copied().collect();
            (!is_broken).then_some(samples)
        });
        let reader = Box::new(FakeReader(rows.collect()));
        Ok(Selection { series, reader, warnings: Vec::new() })
    }

    fn label_names(&self, request: &LabelRequest) -> Result<Listing<String>, SourceError> {
        let names: std::collections::BTreeSet<String> = self
            .matching(request)
            .iter()
            .flat_map(|labels| labels.iter().map(|(n, _)| n.to_owned()).collect::<Vec<_>>())
            .collect();
        Ok(cut(names.into_iter().collect(), request.limit))
    }

    fn label_values(
        &self,
        name: &str,
        request: &LabelRequest,
    ) -> Result<Listing<String>, SourceError> {
        if name == "broken" {
            let (kind, message) = (ErrorKind::Corrupt, "index is damaged".to_owned());
            return Err(SourceError::Storage { kind, message });
        }
        let values: std::collections::BTreeSet<String> = self
            .matching(request)
            .iter()
            .filter_map(|labels| labels.get(name).map(str::to_owned))
            .collect();
        Ok(cut(values.into_iter().collect(), request.limit))
    }

    fn series(&self, request: &LabelRequest) -> Result<Listing<Labels>, SourceError> {
        Ok(cut(self.matching(request), request.limit))
    }
}

/// Samples by series number; none for one that cannot be read.
struct FakeReader(Vec<Option<BTreeMap<i64, u64>>>);

impl SeriesReader for FakeReader {
    fn read(&self, index: usize, out: &mut SampleColumns) -> Result<(), SourceError> {
        out.clear();
        let broken = || SourceError::Storage {
            kind: ErrorKind::Corrupt,
            message: "a block is damaged".to_owned(),
        };
        for (t, bits) in self.0[index].as_ref().ok_or_else(broken)? {
            out.ts.push(*t);
            out.vs.push(f64::from_bits(*bits));
        }
        Ok(())
    }
}

/// What the fake process was told.
fn about() -> About {
    About {
        flags: [("data-dir".to_owned(), "/data".to_owned())].into(),
        config_yaml: "query:\n  timeout: 5m\n".to_owned(),
        features: [("api", [("remote_read", true)].into())].into(),
        working_dir: "/".to_owned(),
        hostname: "machine".to_owned(),
        started: TimestampMs(NOW_MS - 1500).to_ns(),
        cores: 2,
        retention: "30d".to_owned(),
        lookback_ms: 300_000,
    }
}

/// A router and the fakes behind it.
pub(crate) struct World {
    pub(crate) router: Router,
    pub(crate) grpc: Router,
    pub(crate) store: Arc<FakeStore>,
    pub(crate) engine: Arc<FakeEngine>,
    pub(crate) control: Arc<FakeControl>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub(crate) fn with_limits(limits: Limits) -> Self {
        Self::with(limits, Relabeler::default())
    }

    pub(crate) fn with_otlp(limits: Limits, otlp: OtlpConfig) -> Self {
        Self::with_all(limits, Relabeler::default(), otlp, true)
    }

    pub(crate) fn with(limits: Limits, relabel: Relabeler) -> Self {
        Self::with_all(limits, relabel, OtlpConfig::default(), true)
    }

    pub(crate) fn without_admin() -> Self {
        Self::with_all(Limits::default(), Relabeler::default(), OtlpConfig::default(), false)
    }

    /// With M3's admin API, at the time of `clock`.
    pub(crate) fn administered(admin: Admin, clock: SharedClock) -> Self {
        let (limits, relabel) = (Limits::default(), Relabeler::default());
        Self::at(clock, (limits, relabel, OtlpConfig::default()), true, Some(admin))
    }

    fn with_all(limits: Limits, relabel: Relabeler, otlp: OtlpConfig, admin_api: bool) -> Self {
        Self::at(Arc::new(FixedClock::default()), (limits, relabel, otlp), admin_api, None)
    }

    fn at(
        clock: SharedClock,
        (limits, relabel, otlp): (Limits, Relabeler, OtlpConfig),
        admin_api: bool,
        admin: Option<Admin>,
    ) -> Self {
        let store = Arc::new(FakeStore::default());
        let engine = Arc::new(FakeEngine::default());
        let control = Arc::new(FakeControl::default());
        let metadata = Arc::clone(&store.metadata);
        let build = BuildInfo { version: "0.1.0".into(), ..BuildInfo::default() };
        let registry = prometheus_client::registry::Registry::default();
        let metrics = Arc::new(Metrics::new(registry, &build, &clock, Arc::new(DiskFs)));
        let otlp = Otlp::new(otlp.checked().expect("valid"), limits.otlp, 300_000, clock.clone());
        let shared = SharedStore(Arc::clone(&store));
        let writes = Receiver::new(shared, limits.write, relabel).with_otlp(otlp);
        let state = HttpState {
            writes: Arc::new(writes),
            queries: Arc::clone(&engine) as _,
            source: Arc::new(FakeSource(Arc::clone(&store))),
            sources: Arc::new(FakeSources(Arc::clone(&store))),
            exemplars: Arc::new(FakeExemplars(Arc::clone(&store))),
            storage: Arc::clone(&control) as _,
            metadata,
            metrics,
            limits,
            clock,
            build,
            about: about(),
            admin_api,
            admin,
        };
        let routes = Routes::new(state);
        Self { router: routes.api(), grpc: routes.otlp_grpc(), store, engine, control }
    }

    /// What was written to the series with these labels.
    pub(crate) fn samples(&self, labels: &[(&str, &str)]) -> Vec<(i64, f64)> {
        let labels = Labels::from_pairs(labels.iter().copied()).expect("valid");
        let written = self.store.written.lock();
        let samples = written.get(&labels).map_or(&[][..], Vec::as_slice);
        samples.iter().map(|(t, bits)| (*t, f64::from_bits(*bits))).collect()
    }
}

/// The rest of a large answer: numbers up to 5, or a panic at 3.
struct Batches {
    next: u64,
    breaks: bool,
}

impl AnswerRest for Batches {
    fn next_pieces(&mut self) -> io::Result<Vec<Bytes>> {
        let n = self.next;
        self.next += 1;
        Ok(match n {
            3 if self.breaks => panic!("as the test wants"),
            1..=5 => vec![Bytes::from(format!(",{n}")), Bytes::from_static(b" ")],
            6 => vec![Bytes::from_static(b"]")],
            _ => Vec::new(),
        })
    }
}
