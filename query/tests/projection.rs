//! Which labels a query asks its source for.

use std::sync::Mutex;

use m3rs_core::model::Labels;
use m3rs_query::engine::{Engine, EngineOptions, Query, QueryOptions};
use m3rs_query::promql::{ParseOptions, parse};
use m3rs_query::source::vector::VectorSource;
use m3rs_query::source::{
    Cancel, LabelRequest, Listing, SampleColumns, SelectRequest, Selection, SeriesSource,
    SourceError,
};

/// Another source, and the labels that it was asked for.
struct Spy {
    inner: VectorSource,
    /// Whether it leaves out what it may.
    leaves_out: bool,
    asked: Mutex<Vec<Option<Vec<String>>>>,
}

impl SeriesSource for Spy {
    fn select(&self, request: &SelectRequest, cancel: &Cancel) -> Result<Selection, SourceError> {
        let mut request = request.clone();
        self.asked.lock().expect("no panic").push(request.hints.labels.clone());
        if !self.leaves_out {
            request.hints.labels = None;
        }
        self.inner.select(&request, cancel)
    }

    fn label_names(&self, request: &LabelRequest) -> Result<Listing<String>, SourceError> {
        self.inner.label_names(request)
    }

    fn label_values(
        &self,
        name: &str,
        request: &LabelRequest,
    ) -> Result<Listing<String>, SourceError> {
        self.inner.label_values(name, request)
    }

    fn series(&self, request: &LabelRequest) -> Result<Listing<Labels>, SourceError> {
        self.inner.series(request)
    }
}

fn spy(leaves_out: bool) -> Spy {
    let mut inner = VectorSource::new();
    for (i, job) in [("1", "a"), ("2", "a"), ("3", "b"), ("4", "")] {
        let pairs = [("__name__", "x"), ("i", i), ("job", job)];
        let labels = Labels::from_pairs(pairs.into_iter().filter(|(_, value)| !value.is_empty()));
        let columns = SampleColumns { ts: vec![1000], vs: vec![2.0], ..SampleColumns::default() };
        inner.insert(&labels.expect("valid labels"), columns);
    }
    Spy { inner, leaves_out, asked: Mutex::default() }
}

/// Only where nothing but the values of a group's series counts: elsewhere two series would be
/// one, or their labels would be part of the answer. The answer is the same either way.
#[test]
fn an_aggregation_asks_for_the_labels_that_it_groups_by() {
    let engine = Engine::new(EngineOptions { threads: 1, ..EngineOptions::default() });
    let engine = engine.expect("threads start");
    let by = |names: &[&str]| Some(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
    for (text, want) in [
        ("sum by (job) (x)", by(&["job"])),
        ("count by (__name__, job) (x)", by(&["__name__", "job"])),
        ("max(x)", by(&[])),
        ("avg by (job) (x @ 1)", by(&["job"])),
        ("x", None),
        ("sum without (i) (x)", None),
        ("topk by (job) (1, x)", None),
        ("quantile by (job) (0.5, x)", None),
        ("count_values by (job) (\"v\", x)", None),
        ("sum by (job) (rate(x[1m]))", None),
        ("sum by (job) (-x)", None),
    ] {
        let expr = parse(text, &ParseOptions::default()).expect("a valid query");
        let query = Query { text, expr: &expr };
        let answers = [true, false].map(|leaves_out| {
            let source = spy(leaves_out);
            let (options, cancel) = (QueryOptions::default(), Cancel::new());
            let output = engine.instant(&source, query, 1000, &options, &cancel);
            let asked = source.asked.into_inner().expect("no panic");
            assert_eq!(asked, vec![want.clone()], "{text}");
            format!("{:?}", output.expect("an answer").value)
        });
        assert_eq!(answers[0], answers[1], "{text}");
    }
}
