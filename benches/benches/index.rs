//! How long does the index take to learn a series, and to find one?
//!
//! Budgets: a new series of 11 labels below 2 us; one series of 100,000 by an exact match below
//! 5 us, in the open segment and in a sealed one. Criterion's `thrpt` is in series.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use m3rs_core::fs::{DiskFs, SharedFs};
use m3rs_core::model::{Labels, MatchOp, Matcher};
use m3rs_index::{Index, Limits};

const SERIES: u32 = 100_000;

/// Series of a fleet: ten metrics of each host, and a label that is another for each series.
fn labels(i: u32) -> Labels {
    let host = i / 10;
    Labels::from_pairs([
        ("__name__", format!("node_metric_{}_total", i % 10)),
        ("arch", "x86_64".to_owned()),
        ("datacenter", format!("eu-central-1{}", ["a", "b", "c"][host as usize % 3])),
        ("hostname", format!("host-{host}.zone-{}.example.com", host % 7)),
        ("instance", format!("10.{}.{}.{}:9100", host >> 16, host >> 8 & 0xff, host & 0xff)),
        ("job", "node".to_owned()),
        ("os", "linux".to_owned()),
        ("rack", (host % 97).to_string()),
        ("region", "eu-central-1".to_owned()),
        ("series", format!("series-{:06}", u64::from(i) * 7_919 % u64::from(SERIES))),
        ("service", (host % 20).to_string()),
    ])
    .expect("labels are valid")
}

fn docs() -> Vec<(u32, Labels)> {
    (0..SERIES).map(|i| (i, labels(i))).collect()
}

fn insert(c: &mut Criterion) {
    let docs = docs();
    let mut group = c.benchmark_group("insert_100k_new_series");
    group.sample_size(10).throughput(Throughput::Elements(u64::from(SERIES)));
    for (name, batch) in [("one_by_one", 1), ("by_1000", 1_000)] {
        group.bench_function(name, |b| {
            b.iter_batched(
                || Index::new(Limits::default()),
                |index| {
                    for docs in docs.chunks(batch) {
                        index.insert(docs).expect("ids ascend");
                    }
                    index
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn search(c: &mut Criterion, kind: &str, index: &Index) {
    let mut group = c.benchmark_group(format!("search_{kind}_100k"));
    let regexp = |value: &str| Matcher::new("series", MatchOp::Regexp, value);
    let cases = [
        ("exact_1", vec![Matcher::equal("series", "series-077777")]),
        (
            "exact_1_of_two_labels",
            vec![
                Matcher::equal("__name__", "node_metric_3_total"),
                Matcher::equal("hostname", "host-777.zone-0.example.com"),
            ],
        ),
        ("exact_10000", vec![Matcher::equal("__name__", "node_metric_3_total")]),
        ("set_of_4", vec![regexp("series-000001|series-000002|series-000003|series-099999")]),
        ("regexp_cached", vec![regexp("series-0[0-9]*77")]),
        (
            "not_equal",
            vec![
                Matcher::equal("rack", "13"),
                Matcher::new("datacenter", MatchOp::NotEqual, "eu-central-1a"),
            ],
        ),
    ];
    for (name, matchers) in &cases {
        let found = index.search(matchers, usize::MAX).expect("a search");
        assert!(!found.is_empty(), "{name} finds nothing");
        group.bench_function(*name, |b| {
            b.iter(|| index.search(black_box(matchers), usize::MAX).expect("a search"));
        });
    }
    group.finish();
}

/// Regular expressions whose result is not known yet.
fn scan(c: &mut Criterion, kind: &str, docs: &[(u32, Labels)], dir: &Path) {
    let fs: SharedFs = Arc::new(DiskFs);
    let limits = Limits { postings_cache_bytes: 0, ..Limits::default() };
    let index = if kind == "open" {
        let index = Index::new(limits);
        index.insert(docs).expect("ids ascend");
        index
    } else {
        Index::open(&fs, dir, limits).expect("it opens").0
    };
    let mut group = c.benchmark_group(format!("scan_{kind}_100k_values"));
    for (name, pattern) in [
        ("prefix", "series-0777.*"),
        ("prefixed_regexp", "series-0[0-9]*77"),
        ("suffix", ".*777"),
        ("regexp", "[^x]*(12|34)[0-9]"),
    ] {
        let matchers = [Matcher::new("series", MatchOp::Regexp, pattern)];
        group.bench_function(name, |b| {
            b.iter(|| index.search(black_box(&matchers), usize::MAX).expect("a search"));
        });
    }
    group.finish();
}

fn names(c: &mut Criterion, kind: &str, index: &Index) {
    let mut group = c.benchmark_group(format!("names_{kind}_100k"));
    let one_host = [vec![Matcher::equal("hostname", "host-777.zone-0.example.com")]];
    let one_metric = [vec![Matcher::equal("__name__", "node_metric_3_total")]];
    group.bench_function("label_names", |b| b.iter(|| index.label_names(&[], None, 10_000)));
    group.bench_function("label_names_one_metric", |b| {
        b.iter(|| index.label_names(&one_metric, None, 10_000));
    });
    group.bench_function("label_values_97", |b| {
        b.iter(|| index.label_values("rack", &[], None, 10_000))
    });
    group.bench_function("label_values_100k", |b| {
        b.iter(|| index.label_values("series", &[], None, usize::MAX));
    });
    group.bench_function("label_values_one_host", |b| {
        b.iter(|| index.label_values("series", &one_host, None, 10_000));
    });
    group.bench_function("label_values_one_metric", |b| {
        b.iter(|| index.label_values("hostname", &one_metric, None, usize::MAX));
    });
    for (name, step) in [("labels_of_1000_neighbours", 1), ("labels_of_1000_scattered", 100)] {
        let ids: Vec<u32> = (0..SERIES).step_by(step).take(1_000).collect();
        group.throughput(Throughput::Elements(ids.len() as u64));
        group.bench_function(name, |b| b.iter(|| index.labels_of(black_box(&ids))));
    }
    group.finish();
}

fn files(c: &mut Criterion, docs: &[(u32, Labels)], dir: &Path) {
    let fs: SharedFs = Arc::new(DiskFs);
    let mut group = c.benchmark_group("files_100k");
    group.sample_size(10).throughput(Throughput::Elements(u64::from(SERIES)));
    group.bench_function("open", |b| {
        b.iter(|| Index::open(&fs, dir, Limits::default()).expect("it opens"));
    });
    group.bench_function("open_and_identities", |b| {
        b.iter(|| {
            let (index, _) = Index::open(&fs, dir, Limits::default()).expect("it opens");
            let mut sum = 0u128;
            index.for_each_identity(|_, identity| sum ^= identity.labels_hash).expect("readable");
            sum
        });
    });
    let scratch = tempfile::tempdir().expect("a directory");
    group.bench_function("seal", |b| {
        b.iter_batched(
            || {
                let index = Index::new(Limits::default());
                index.insert(docs).expect("ids ascend");
                index
            },
            |index| index.seal(fs.as_ref(), scratch.path()).expect("the disk is fine"),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn all(c: &mut Criterion) {
    insert(c);
    let docs = docs();
    let dir = tempfile::tempdir().expect("a directory");
    let fs: SharedFs = Arc::new(DiskFs);
    let open = Index::new(Limits::default());
    open.insert(&docs).expect("ids ascend");
    search(c, "open", &open);
    names(c, "open", &open);
    scan(c, "open", &docs, dir.path());
    open.seal(fs.as_ref(), dir.path()).expect("the disk is fine");
    search(c, "sealed", &open);
    names(c, "sealed", &open);
    scan(c, "sealed", &docs, dir.path());
    files(c, &docs, dir.path());
}

criterion_group!(benches, all);
criterion_main!(benches);
