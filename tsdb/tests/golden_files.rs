//! Files of every released version are read for ever, and written to the same bytes.
//!
//! `M3RS_WRITE_GOLDEN=1` writes the files of the current version; they are never written again
//! once released, as a change of theirs is a change of the format.

#[path = "golden_files/database.rs"]
mod database;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use m3rs_core::fs::{DiskFs, Fs};
use m3rs_core::model::{
    BucketCounts, Counts, Histogram, HistogramLayout, Labels, MatchOp, Matcher, Metadata,
    MetricType, NORMAL_NAN_BITS, ResetHint, SCHEMA_CUSTOM, STALE_NAN_BITS, SampleKind, Span,
};
use m3rs_sim::disk::SimFs;
use m3rs_tsdb::codec::values::ValueCodec;
use m3rs_tsdb::commitlog::{
    CommitLog, CommitLogOptions, Entry, EntryDecoder, encode_deletion, encode_exemplars,
    encode_metadata, encode_rich_samples, encode_samples, encode_series, encode_started_samples,
    replay, segment_path,
};
use m3rs_tsdb::fileset::{
    BlockCodec, FilesetInfo, FilesetKind, FilesetReader, SeriesBlock, file_name, write_fileset,
};
use m3rs_tsdb::series_block::{BlockDecoder, BlockEncoder, Effort, EncodedBlock};
use m3rs_tsdb::{
    Aggregation, Columns, CommitLogError, Database, DatabaseOptions, Downsample, Exemplar,
    ExtendedOptions, FilesetError, IndexOptions, NamespaceOptions, Progress, RichSample,
    StagingState, TruncateTime, TsdbError, WriteTransforms,
};

fn golden(format: &str, version: u16) -> PathBuf {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/golden");
    all.join(format).join(format!("v{version}"))
}

/// The golden file's bytes; writes them first if that was asked for.
fn golden_bytes(path: &Path, fresh: &[u8]) -> Vec<u8> {
    if std::env::var_os("M3RS_WRITE_GOLDEN").is_some() {
        DiskFs.create_dir_all(path.parent().expect("has one")).expect("make");
        DiskFs.create(path).expect("create").write_all(fresh).expect("write");
    }
    DiskFs.read(path).expect("the golden file is committed")
}

const T0: i64 = 1_700_000_000_000_000_000;

type Row = (u32, i64, u64);

/// A range of times that was deleted.
const DELETED: (i64, i64) = (T0 - 60_000_000_000, T0 + 5_000_000_000);

/// The catalog of a database with a namespace that has every option, and one that was removed.
#[test]
fn catalog() {
    let fs = SimFs::new(1);
    let clock = Arc::new(m3rs_core::clock::SystemClock::new());
    let mut options =
        DatabaseOptions::new(Arc::new(fs.clone()), clock, PathBuf::from("/data"), [7; 192]);
    options.background = false;
    let hour = 3_600_000_000_000;
    let every = NamespaceOptions {
        retention_ns: 0,
        future_retention_ns: 24 * hour,
        block_size_ns: 7 * hour,
        shard_count: 64,
        repair_enabled: true,
        index: IndexOptions {
            block_size_ns: 14 * hour,
            do_not_index: vec![Matcher::new("job", MatchOp::NotRegexp, "a|b")],
            ..IndexOptions::default()
        },
        transforms: WriteTransforms {
            truncate_time: Some(TruncateTime::Unit(1_000_000_000)),
            force_value: Some(-0.0),
        },
        aggregations: vec![Aggregation::Aggregated {
            resolution_ns: hour,
            downsample: Downsample::ByRules,
        }],
        staging_state: StagingState::Ready,
        extended: Some(ExtendedOptions { type_name: "x".to_owned(), value: vec![1, 2] }),
        series_max: 5,
        new_series_per_second_max: 6,
        ..NamespaceOptions::default()
    };
    let open = |options: &DatabaseOptions| {
        Database::open(options.clone(), Arc::new(Progress::new())).expect("opens")
    };
    let database = open(&options);
    database.add_namespace("every_option", every.clone()).expect("made");
    // Somebody reads it, so its directory is still to be removed.
    let _gone = database.add_namespace("gone", NamespaceOptions::default()).expect("made");
    database.remove_namespace("gone").expect("removed");
    let path = PathBuf::from("/data/namespaces/catalog");
    let fresh = fs.read(&path).expect("written");
    let file = golden("catalog", 2).join("catalog");
    let bytes = golden_bytes(&file, &fresh);
    assert_eq!(fresh, bytes, "the catalog is written as ever");
    drop(database);

    // Read from the golden file alone, on another disk.
    let fs = SimFs::new(2);
    fs.create_dir_all(Path::new("/data/namespaces")).expect("made");
    fs.create(&path).expect("made").write_all(&bytes).expect("written");
    options.fs = Arc::new(fs);
    let database = open(&options);
    assert_eq!(database.namespaces().len(), 2);
    assert_eq!(*database.namespace("every_option").expect("listed").options(), every);
    for damaged in 0..bytes.len() {
        let fs = SimFs::new(3);
        fs.create_dir_all(Path::new("/data/namespaces")).expect("made");
        let mut bad = bytes.clone();
        bad[damaged] ^= 1;
        fs.create(&path).expect("made").write_all(&bad).expect("written");
        options.fs = Arc::new(fs);
        let error = Database::open(options.clone(), Arc::new(Progress::new()));
        assert!(matches!(error, Err(TsdbError::Meta { .. })), "byte {damaged}: {error:?}");
    }
}

/// Batches that use every mode of the format.
fn batches() -> Vec<(u16, Vec<Row>)> {
    let f = |v: f64| v.to_bits();
    vec![
        (0, (0..5).map(|i| (10 + i, T0, f(f64::from(i)))).collect()),
        (1, vec![(9, T0 + 1, f(-0.0)), (3, T0, NORMAL_NAN_BITS), (3, T0, STALE_NAN_BITS)]),
        (
            2,
            vec![
                (1, T0, f(0.1)),
                (2, T0, f(0.1)),
                (3, T0, f(0.1)),
                (4, T0 + 15_000_000_000, f(1e300)),
            ],
        ),
        (3, vec![(u32::MAX, i64::MIN, u64::MAX), (0, i64::MAX, 1), (7, 0, 0)]),
    ]
}

fn metadata() -> Metadata {
    let (help, unit) = ("Whether it answers".to_owned(), "seconds".to_owned());
    Metadata { metric_type: MetricType::Gauge, help, unit }
}

fn exemplars() -> Vec<Exemplar> {
    let labels = Labels::from_pairs([("trace", "0af7")]).expect("valid");
    let later = Exemplar { t: T0 + 5, value: -0.0, labels };
    vec![later, Exemplar { t: T0, value: 0.25, labels: Labels::empty() }]
}

/// One sample of each kind, with all that it may carry.
fn rich_samples() -> Vec<(i64, RichSample)> {
    let exponential = Arc::new(HistogramLayout {
        schema: 3,
        zero_threshold: 1e-9,
        positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        custom_bounds: Vec::new(),
    });
    let custom = Arc::new(HistogramLayout {
        schema: SCHEMA_CUSTOM,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        custom_bounds: vec![0.25, 1e300],
        ..HistogramLayout::default()
    });
    let integers = |count, first| {
        let positive = vec![first, 2, 3];
        Counts::Integer(BucketCounts { count, zero: 1, positive, negative: vec![4] })
    };
    let floats = BucketCounts { count: 6.5, positive: vec![1.5, 2.0, 3.0], ..Default::default() };
    let of = |layout: &Arc<HistogramLayout>, hint, sum, counts| {
        let layout = Arc::clone(layout);
        Arc::new(Histogram { layout, reset_hint: hint, sum, counts })
    };
    let first = of(&exponential, ResetHint::Reset, 0.1, integers(12, 1));
    let first = Histogram { sum: f64::NAN, ..Histogram::clone(&first) };
    let second = of(&exponential, ResetHint::NoReset, 7.0, integers(12, 2));
    let third = of(&custom, ResetHint::Gauge, -1.5, Counts::Float(floats));
    let annotation = |bytes: &[u8]| Some(Arc::from(bytes));
    vec![
        (T0, RichSample { start_ns: T0 - 1, ..RichSample::histogram(Arc::new(first)) }),
        (T0 + 15_000_000_000, RichSample::histogram(second)),
        (
            T0 + 30_000_000_000,
            RichSample { annotation: annotation(b"a"), ..RichSample::histogram(third) },
        ),
        (
            T0 + 30_000_000_001,
            RichSample { annotation: annotation(&[0, 255]), ..RichSample::float(-0.0) },
        ),
    ]
}

fn columns(rows: &[Row]) -> (Vec<u32>, Vec<i64>, Vec<f64>) {
    let refs = rows.iter().map(|r| r.0).collect();
    let ts = rows.iter().map(|r| r.1).collect();
    (refs, ts, rows.iter().map(|r| f64::from_bits(r.2)).collect())
}

/// Three segments with every kind of entry.
fn write_sample_log(fs: &SimFs, dir: &Path, labels: &Labels) {
    let log = CommitLog::open(Arc::new(fs.clone()), dir, CommitLogOptions::default(), 1);
    let log = log.expect("opens");
    let mut entries = Vec::new();
    encode_series(&mut entries, 1, 10, 0, labels.as_bytes());
    for (i, (shard, rows)) in batches().into_iter().enumerate() {
        let (refs, ts, vs) = columns(&rows);
        encode_samples(&mut entries, 1, shard, &refs, &ts, &vs);
        log.wait_durable(log.append(&entries).expect("taken")).expect("durable");
        entries.clear();
        if i == 1 {
            log.rotate().expect("rotates");
        }
    }
    let (refs, ts, vs) = columns(&batches()[2].1);
    encode_started_samples(&mut entries, (1, 4), &refs, &ts, &vs, &[0, T0, T0, T0 - 5]);
    let (ts, samples): (Vec<i64>, Vec<RichSample>) = rich_samples().into_iter().unzip();
    encode_rich_samples(&mut entries, (1, 5), &[4, 4, 5, 9], &ts, &samples);
    encode_metadata(&mut entries, 1, "up", &metadata());
    encode_exemplars(&mut entries, 1, &[9, 4], &exemplars());
    log.wait_durable(log.append(&entries).expect("taken")).expect("durable");
    entries.clear();
    log.rotate().expect("rotates");
    encode_deletion(&mut entries, 1, 6, DELETED, &[4, 5, 9]);
    log.wait_durable(log.append(&entries).expect("taken")).expect("durable");
    log.close().expect("closes");
}

#[test]
fn commit_log() {
    let labels = Labels::from_pairs([("__name__", "up"), ("job", "node")]).expect("valid");
    let fs = SimFs::new(0);
    let written = Path::new("/commitlog");
    write_sample_log(&fs, written, &labels);
    let (from, to) = DELETED;
    for sequence in [1, 2, 3] {
        let fresh = fs.read(&segment_path(written, sequence)).expect("written");
        let path = segment_path(&golden("commitlog", 2), sequence);
        assert_eq!(golden_bytes(&path, &fresh), fresh, "{}", path.display());
    }
    let (mut seen, mut named) = (Vec::new(), 0);
    let mut decoder = EntryDecoder::new();
    let dir = golden("commitlog", 2);
    let report = replay::<CommitLogError>(&DiskFs, &dir, 0, &mut decoder, |entry| {
        match entry {
            Entry::Series { namespace: 1, series_ref: 10, shard: 0, labels: bytes } => {
                assert_eq!(bytes, labels.as_bytes());
                named += 1;
            }
            Entry::Samples { namespace: 1, shard: 4, refs, starts, .. } => {
                assert_eq!((refs.len(), starts), (4, &[0, T0, T0, T0 - 5][..]));
            }
            Entry::RichSamples { namespace: 1, shard: 5, refs, ts, samples } => {
                assert_eq!(refs, [4, 4, 5, 9]);
                let rows = ts.iter().copied().zip(samples.iter().cloned());
                assert_eq!(rows.collect::<Vec<_>>(), rich_samples());
                named += 1;
            }
            Entry::Metadata { namespace: 1, family: "up", metadata: read } => {
                assert_eq!(read, metadata());
                named += 1;
            }
            Entry::Exemplars { namespace: 1, refs: [9, 4], exemplars: read } => {
                assert_eq!(read, exemplars());
                named += 1;
            }
            Entry::Deletion { namespace: 1, shard: 6, from: first, to: last, refs } => {
                assert_eq!((first, last, refs), (from, to, &[4, 5, 9][..]));
                named += 1;
            }
            Entry::Samples { namespace: 1, shard, refs, ts, vs, starts: [] } => {
                let rows = refs.iter().zip(ts).zip(vs);
                seen.push((shard, rows.map(|((&r, &t), &v)| (r, t, v.to_bits())).collect()));
            }
            other => panic!("{other:?}"),
        }
        Ok(())
    });
    assert_eq!(report.expect("readable").all_damages().count(), 0);
    assert_eq!((named, seen), (5, batches()));
}

fn write_sample_fileset(fs: &SimFs, path: &Path) -> FilesetInfo {
    let info = FilesetInfo {
        kind: FilesetKind::Volume,
        namespace: "default".to_owned(),
        shard: 3,
        shard_count: 4,
        id_scheme: 1,
        block_start_ns: T0,
        block_size_ns: 7_200_000_000_000,
        volume: 2,
        log_segment: 12,
        created_ns: T0 + 1,
    };
    write_fileset::<FilesetError>(fs, path, &info, |sink| {
        for series in (0..200u32).map(|i| i * 2 + 5) {
            sink.push(&SeriesBlock {
                series,
                labels: &sample_labels(series),
                codec: BlockCodec::M3tsz,
                kind: SampleKind::Float,
                count: 240,
                first_ns: T0,
                last_ns: T0 + i64::from(series),
                times: &sample_times(series),
                bytes: &sample_block(series),
            })?;
        }
        Ok(())
    })
    .expect("no fault");
    info
}

fn sample_labels(series: u32) -> Labels {
    Labels::from_pairs([("__name__", "m".to_owned()), ("i", series.to_string())]).expect("valid")
}

/// Four columns that are shared, and times of a series' own.
fn sample_times(series: u32) -> Vec<u8> {
    match series % 5 {
        0 => series.to_le_bytes().to_vec(),
        column => vec![column as u8; 9],
    }
}

fn sample_block(series: u32) -> Vec<u8> {
    series.to_le_bytes().repeat(series as usize % 4)
}

#[test]
fn fileset() {
    let fs = SimFs::new(0);
    let fresh_path = Path::new("/f.fileset");
    let info = write_sample_fileset(&fs, fresh_path);
    let fresh = fs.read(fresh_path).expect("written");
    let path = golden("fileset", 3).join(file_name(T0, 2));
    let bytes = golden_bytes(&path, &fresh);
    let reader = FilesetReader::open(&DiskFs, &path).expect("sound");
    assert_eq!(reader.verify(), []);
    assert_eq!(reader.info(), &info);
    let entries: Vec<_> = reader.entries().collect::<Result<_, _>>().expect("sound");
    let names: Vec<_> = reader.identities().collect::<Result<_, _>>().expect("sound");
    assert_eq!((entries.len(), names.len()), (200, 200));
    for (i, (entry, (_, labels))) in (0u32..).zip(entries.iter().zip(&names)) {
        let series = i * 2 + 5;
        assert_eq!((entry.series, entry.count, entry.first_ns), (series, 240, T0));
        let read = [reader.times(entry).expect("sound"), reader.block(entry).expect("sound")];
        assert_eq!(read.concat(), [sample_times(series), sample_block(series)].concat());
        assert_eq!(*labels, sample_labels(series));
    }
    assert_eq!(reader.totals().time_columns, 4);
    // Packed names may change with zstd; what comes before them may not.
    let names_at = section_start(&fresh, 6);
    assert!(bytes[..names_at] == fresh[..names_at], "what names nothing has other bytes");
}

/// Where a section starts, as the footer's table says.
fn section_start(bytes: &[u8], number: usize) -> usize {
    let len = |number: usize| {
        let at = bytes.len() - 182 + 18 + number * 12;
        u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight")) as usize
    };
    10 + (0..number).map(len).sum::<usize>()
}

/// Histograms, start timestamps and annotations of one series, without floats.
fn rich_columns() -> Columns {
    let mut columns = Columns::default();
    for (t, sample) in rich_samples() {
        columns.push_rich(t, &sample);
    }
    (columns.ts, columns.vs) = (Vec::new(), Vec::new());
    columns.rich.annotations.ts.pop();
    columns.rich.annotations.values.pop();
    columns
}

#[test]
fn block_of_parts() {
    let columns = rich_columns();
    let mut encoder = BlockEncoder::default();
    let fresh = encoder.encode(&columns, Effort::Flush).expect("fits").expect("some");
    let path = golden("series-block", 1).join("parts.block");
    let bytes = golden_bytes(&path, fresh.bytes);
    assert_eq!(bytes, fresh.bytes);
    let block = EncodedBlock { bytes: &bytes, ..fresh };
    let mut read = Columns::default();
    BlockDecoder::default().overlay(&block, (i64::MIN, i64::MAX), &mut read).expect("sound");
    assert_eq!(read.rich.histograms.ts, columns.rich.histograms.ts);
    assert_eq!(read.rich.histograms.values, columns.rich.histograms.values);
    assert_eq!(read.rich.starts.values, [T0 - 1]);
    assert_eq!(*read.rich.annotations.values[0], *b"a");
}

/// Series that each sealed codec takes, and one with parts. The first ones share their times.
fn columns_of_every_codec() -> Vec<(BlockCodec, Columns)> {
    let shapes: [fn(u32) -> f64; 5] = [
        |_| 0.25,
        |i| f64::from(i / 30),
        |i| f64::from(i * 37 + i * i % 11) / 100.0,
        |i| f64::from(i).sin() + 10.0,
        |i| 1000.0 + 9.7 * f64::from(i) + f64::from(i * 7919 % 1009) / 307.0,
    ];
    let times = || (0..240).map(|i| T0 + i * 15_000_000_000 + i % 3).collect();
    let sealed = ValueCodec::ALL.into_iter().zip(shapes).map(|(codec, value)| {
        (BlockCodec::Sealed(codec), Columns::of_floats(times(), (0..240).map(value).collect()))
    });
    sealed.chain([(BlockCodec::Parts, rich_columns())]).collect()
}

#[test]
fn fileset_of_every_codec() {
    let fs = SimFs::new(0);
    let info = FilesetInfo {
        kind: FilesetKind::Volume,
        namespace: "default".to_owned(),
        shard: 0,
        shard_count: 1,
        id_scheme: 1,
        block_start_ns: T0,
        block_size_ns: 7_200_000_000_000,
        volume: 0,
        log_segment: 0,
        created_ns: T0 + 1,
    };
    let fresh_path = Path::new("/f.fileset");
    let all = columns_of_every_codec();
    write_fileset::<FilesetError>(&fs, fresh_path, &info, |sink| {
        let mut encoder = BlockEncoder::default();
        for (series, (codec, columns)) in (0..).zip(&all) {
            let block = encoder.encode(columns, Effort::Flush).expect("fits").expect("some");
            assert_eq!(block.codec, *codec, "series {series}");
            sink.push(&SeriesBlock {
                series,
                labels: &sample_labels(series),
                codec: block.codec,
                kind: block.kind,
                count: block.count,
                first_ns: block.first_ns,
                last_ns: block.last_ns,
                times: block.times,
                bytes: block.bytes,
            })?;
        }
        Ok(())
    })
    .expect("no fault");
    let fresh = fs.read(fresh_path).expect("written");
    let path = golden("fileset", 3).join("every-codec.fileset");
    let bytes = golden_bytes(&path, &fresh);
    let names_at = section_start(&fresh, 6);
    assert!(bytes[..names_at] == fresh[..names_at], "what names nothing has other bytes");
    let reader = FilesetReader::open(&DiskFs, &path).expect("sound");
    assert_eq!((reader.verify(), reader.totals().time_columns), (Vec::new(), 1));
    for (series, (codec, want)) in (0..).zip(&all) {
        let entry = reader.find(series).expect("sound").expect("it is there");
        assert_eq!(entry.codec, *codec);
        let mut read = Columns::default();
        overlay(&reader, series, &mut read);
        assert_eq!(read.ts, want.ts);
        assert!(read.vs.iter().map(|v| v.to_bits()).eq(want.vs.iter().map(|v| v.to_bits())));
        assert_eq!(read.rich.histograms.values, want.rich.histograms.values);
        assert_eq!(read.rich.starts.values, want.rich.starts.values);
    }
}

/// Lays what a file has of a series over `out`.
fn overlay(reader: &FilesetReader, series: u32, out: &mut Columns) {
    let entry = reader.find(series).expect("sound").expect("it is there");
    let block = EncodedBlock {
        codec: entry.codec,
        kind: entry.kind,
        count: entry.count,
        first_ns: entry.first_ns,
        last_ns: entry.last_ns,
        times: reader.times(&entry).expect("sound"),
        bytes: reader.block(&entry).expect("sound"),
    };
    BlockDecoder::default().overlay(&block, (i64::MIN, i64::MAX), out).expect("sound");
}

/// Floats with start timestamps: parts, and times beside them.
#[test]
fn block_of_timed_parts() {
    let mut columns = Columns::default();
    for i in 0..40i64 {
        let started = RichSample { start_ns: T0 - 5, ..RichSample::float((i / 3) as f64) };
        columns.push_rich(T0 + i * 15_000_000_000, &started);
    }
    let mut encoder = BlockEncoder::default();
    let fresh = encoder.encode(&columns, Effort::Flush).expect("fits").expect("some");
    assert_eq!(fresh.codec, BlockCodec::TimedParts);
    let dir = golden("series-block", 3);
    let times = golden_bytes(&dir.join("timed-parts.times"), fresh.times);
    let bytes = golden_bytes(&dir.join("timed-parts.block"), fresh.bytes);
    assert_eq!((&times[..], &bytes[..]), (fresh.times, fresh.bytes));
    let block = EncodedBlock { times: &times, bytes: &bytes, ..fresh };
    let mut read = Columns::default();
    BlockDecoder::default().overlay(&block, (i64::MIN, i64::MAX), &mut read).expect("sound");
    assert_eq!((&read.ts, &read.vs), (&columns.ts, &columns.vs));
    assert_eq!(read.rich.starts.values, [T0 - 5; 40]);
}
