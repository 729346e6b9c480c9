//! Four writers at once on a disk that loses what was not synced, cut off thirty times.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use m3rs_core::clock::SystemClock;
use m3rs_core::model::{Labels, Matcher};
use m3rs_core::rng::Random;
use m3rs_core::spawn::Thread;
use m3rs_core::time::{NS_PER_S, TimestampNs};
use m3rs_sim::disk::{SimFs, Unsynced};
use m3rs_tsdb::{
    Columns, DEFAULT_NAMESPACE, Database, DatabaseOptions, Namespace, Progress, TsdbError,
};

const WRITERS: u64 = 4;
const SERIES: u64 = 7;
const CUTS: u64 = 30;
const START: i64 = 1_700_000_000 * NS_PER_S;
/// The longest life of a disk between two cuts, in operations.
const OPERATIONS_MAX: u64 = 400;

/// Acknowledged samples: (writer, series, time) to bits.
type Acked = BTreeMap<(u64, u64, i64), u64>;

fn open(fs: &SimFs) -> Result<Database, TsdbError> {
    let mut options = DatabaseOptions::new(
        Arc::new(fs.clone()),
        Arc::new(SystemClock::new()),
        PathBuf::from("/data"),
        [3; 192],
    );
    options.background = false;
    options.namespace.retention_ns = 0;
    Database::open(options, Arc::new(Progress::new()))
}

fn labels(writer: u64, series: u64) -> Labels {
    let pairs = [
        ("__name__", "m".to_owned()),
        ("writer", writer.to_string()),
        ("series", series.to_string()),
    ];
    Labels::from_pairs(pairs).expect("valid labels")
}

/// The value says where it belongs, so that a wrong one is seen.
fn value(writer: u64, series: u64, tick: i64) -> f64 {
    (writer * 1_000_000_000 + series * 100_000_000) as f64 + tick as f64
}

/// Writes ticks from `first` on until the disk is gone; returns the tick after the last one tried.
fn write_until_cut(
    namespace: &Namespace,
    writer: u64,
    first: i64,
    acked: &Mutex<Acked>,
) -> Result<(), (i64, TsdbError)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for tick in first.. {
        let mut session = namespace.writer();
        let t = START + tick * NS_PER_S * 60;
        let mut request = || -> Result<(), TsdbError> {
            for series in 0..SERIES {
                let handle = session.resolve_labels(&labels(writer, series))?;
                let pushed = session.push(handle, TimestampNs(t), value(writer, series, tick));
                pushed.expect("inside retention");
            }
            Ok(())
        };
        let resolved = request();
        let written = resolved
            .and_then(|()| session.commit())
            .and_then(|commit| runtime.block_on(commit.durable()));
        written.map_err(|error| (tick + 1, error))?;
        let mut acked = acked.lock().expect("no writer panics");
        for series in 0..SERIES {
            acked.insert((writer, series, t), value(writer, series, tick).to_bits());
        }
    }
    Ok(())
}

/// Starts the writers and flushes now and then, until the disk is gone.
fn live(database: &Arc<Database>, ticks: &mut [i64], acked: &Arc<Mutex<Acked>>, random: u64) {
    let namespace = database.namespace(DEFAULT_NAMESPACE).expect("it exists");
    let next: Arc<Mutex<Vec<(u64, i64)>>> = Arc::default();
    let writers: Vec<Thread> = (0..WRITERS)
        .map(|writer| {
            let (namespace, acked, next) =
                (Arc::clone(&namespace), Arc::clone(acked), Arc::clone(&next));
            let first = ticks[usize::try_from(writer).expect("small")];
            let work = move || {
                let ended = write_until_cut(&namespace, writer, first, &acked);
                let (tick, _) = ended.expect_err("a disk does not last for ever");
                next.lock().expect("no writer panics").push((writer, tick));
            };
            Thread::start("writer", work).expect("a thread")
        })
        .collect();
    // Until the disk is gone, which the last of these calls sees.
    let flushed = match random % 3 {
        0 => std::iter::repeat_with(|| database.snapshot()).find_map(Result::err),
        1 => std::iter::repeat_with(|| database.flush_all()).find_map(Result::err),
        _ => None,
    };
    assert_eq!(flushed.is_some(), random % 3 < 2);
    writers.into_iter().for_each(|writer| writer.join().expect("no writer panics"));
    for (writer, tick) in next.lock().expect("all ended").iter() {
        ticks[usize::try_from(*writer).expect("small")] = *tick;
    }
}

fn read(database: &Database) -> Acked {
    let namespace = database.namespace(DEFAULT_NAMESPACE).expect("it exists");
    let (from, to) = (TimestampNs(0), TimestampNs(i64::MAX / 2));
    let selection =
        namespace.select(&[Matcher::equal("__name__", "m")], from, to, 1000).expect("few series");
    let (mut found, mut columns) = (Acked::new(), Columns::default());
    for (number, labels) in selection.labels().iter().enumerate() {
        let number_of = |name| labels.get(name).and_then(|v| v.parse().ok()).expect("our label");
        let (writer, series) = (number_of("writer"), number_of("series"));
        selection.read(number, &mut columns);
        for (&t, v) in columns.ts.iter().zip(&columns.vs) {
            let twice = found.insert((writer, series, t), v.to_bits());
            assert_eq!(twice, None, "writer {writer}, series {series}, {t}");
        }
    }
    assert_eq!(selection.damage(), Vec::<String>::new());
    found
}

#[test]
fn four_writers_lose_nothing_acknowledged() {
    let mut random = Random::seeded(42);
    let fs = SimFs::new(42);
    let acked: Arc<Mutex<Acked>> = Arc::default();
    let mut ticks = vec![0; usize::try_from(WRITERS).expect("small")];
    for cut in 0..CUTS {
        let database = Arc::new(open(&fs).expect("opens after a cut"));
        fs.crash_at_op(fs.ops() + 1 + random.below(OPERATIONS_MAX));
        live(&database, &mut ticks, &acked, random.next_u64());
        assert!(fs.is_down(), "cut {cut} happened");
        drop(database);
        fs.crash(if cut % 2 == 0 { Unsynced::Lost } else { Unsynced::Torn });
        let found = read(&open(&fs).expect("opens after a cut"));
        for (key, bits) in acked.lock().expect("all ended").iter() {
            assert_eq!(found.get(key), Some(bits), "cut {cut}: {key:?}");
        }
        for ((writer, series, t), bits) in found {
            let tick = (t - START) / (60 * NS_PER_S);
            let right = value(writer, series, tick).to_bits();
            assert_eq!(bits, right, "cut {cut}: writer {writer}, series {series}, {t}");
        }
    }
    let acked = acked.lock().expect("all ended").len();
    assert!(acked > 1000, "{acked} samples were acknowledged");
}
