//! The write path as the edge uses it: guesses, look-ups, new series, several senders, replay.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use m3rs_core::clock::SystemClock;
use m3rs_core::model::{Labels, Matcher};
use m3rs_core::rng::Random;
use m3rs_core::spawn::Thread;
use m3rs_core::time::{NS_PER_S, TimestampNs};
use m3rs_sim::disk::SimFs;
use m3rs_tsdb::{
    Columns, DEFAULT_NAMESPACE, Database, DatabaseOptions, Limits, Namespace, Progress,
    ResolveError, TsdbError,
};
use proptest::prelude::*;

const START: i64 = 1_700_000_000 * NS_PER_S;

/// What stands behind the labels of a message, as a sample's tag does.
const TAG: u8 = 0x12;

/// Series, then time in seconds, to the bits of the value.
type Model = BTreeMap<u32, BTreeMap<i64, u64>>;

fn open(fs: &SimFs, limits: Limits) -> Database {
    let clock = Arc::new(SystemClock::new());
    let dir = PathBuf::from("/data");
    let mut options = DatabaseOptions::new(Arc::new(fs.clone()), clock, dir, [9; 192]);
    options.background = false;
    options.namespace.retention_ns = 0;
    options.limits = limits;
    Database::open(options, Arc::new(Progress::new())).expect("opens")
}

fn namespace(database: &Database) -> Arc<Namespace> {
    database.namespace(DEFAULT_NAMESPACE).expect("it exists")
}

fn labels(series: u32) -> Labels {
    let pairs = [("__name__", "m".to_owned()), ("series", series.to_string())];
    Labels::from_pairs(pairs).expect("valid labels")
}

/// A message: label bytes in one of several spellings, of several lengths, then a tag.
fn message(series: u32, spelling: u8) -> (Vec<u8>, usize) {
    let mut bytes = vec![b'a' + spelling; 3 + (series % 3) as usize + usize::from(spelling)];
    bytes.extend(series.to_le_bytes());
    let len = bytes.len();
    bytes.extend([TAG, 1, 2]);
    (bytes, len)
}

/// One message of a request.
#[derive(Clone, Copy, Debug)]
struct Item {
    series: u32,
    spelling: u8,
    t: i64,
    v: f64,
}

/// Sends a request as the edge does; returns how many guesses were right.
fn send(namespace: &Namespace, items: &[Item]) -> Result<usize, TsdbError> {
    let mut session = namespace.writer();
    let mut guessed = 0;
    for item in items {
        let (message, len) = message(item.series, item.spelling);
        let guess = session.next_len().filter(|&len| message.get(len) == Some(&TAG));
        let handle = match guess.and_then(|len| session.next_if(&message[..len])) {
            Some(handle) => {
                guessed += 1;
                handle
            }
            None => {
                let parse = || Ok::<_, Infallible>(labels(item.series));
                session.resolve(&message[..len], parse).map_err(|error| match error {
                    ResolveError::Storage(error) => error,
                    ResolveError::Labels(never) => match never {},
                })?
            }
        };
        let t = TimestampNs(START + item.t * NS_PER_S);
        session.push(handle, t, item.v).expect("inside retention");
    }
    let commit = session.commit()?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(commit.durable())?;
    Ok(guessed)
}

fn take(model: &mut Model, items: &[Item]) {
    for item in items {
        model.entry(item.series).or_default().insert(item.t, item.v.to_bits());
    }
}

fn read(namespace: &Arc<Namespace>) -> Model {
    let (from, to) = (TimestampNs(0), TimestampNs(i64::MAX));
    let matchers = [Matcher::equal("__name__", "m")];
    let selection = namespace.select(&matchers, from, to, 100_000).expect("few series");
    let (mut out, mut columns) = (Model::new(), Columns::default());
    for (number, labels) in selection.labels().iter().enumerate() {
        selection.read(number, &mut columns);
        let series = labels.get("series").and_then(|s| s.parse().ok()).expect("ours");
        let samples = columns.iter().map(|s| ((s.t.0 - START) / NS_PER_S, s.v.to_bits()));
        let earlier = out.insert(series, samples.collect());
        assert!(earlier.is_none(), "two series have the labels of {series}");
    }
    out
}

/// A request: a stretch of an order of series, with swaps, repeats and strangers in it.
fn request() -> impl Strategy<Value = Vec<Item>> {
    let stretch = (0u32..40, 1u32..25, 0u8..3, 0i64..50);
    let odd = (any::<prop::sample::Index>(), 0u32..60, 0u8..3, 0i64..50);
    (stretch, prop::collection::vec(odd, 0..4), any::<f64>()).prop_map(|(stretch, odd, v)| {
        let (first, len, spelling, t) = stretch;
        let mut items: Vec<Item> =
            (first..first + len).map(|series| Item { series, spelling, t, v }).collect();
        for (at, series, spelling, t) in odd {
            let at = at.index(items.len() + 1);
            items.insert(at, Item { series, spelling, t, v: v + 1.0 });
        }
        items
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the order, each sample goes to its series, and the last of a time wins; also after
    /// the log was replayed, in which one log follows the other.
    #[test]
    fn samples_go_to_their_series(
        lives in prop::collection::vec(prop::collection::vec(request(), 1..12), 1..4),
        encodings_per_series_max in 0usize..3,
    ) {
        let fs = SimFs::new(1);
        let limits = Limits { encodings_per_series_max, ..Limits::default() };
        let mut model = Model::new();
        for requests in lives {
            let database = open(&fs, limits);
            let namespace = namespace(&database);
            prop_assert_eq!(&read(&namespace), &model);
            for items in requests {
                send(&namespace, &items).expect("no fault");
                take(&mut model, &items);
            }
            prop_assert_eq!(namespace.series_count(), model.len() as u64);
            prop_assert_eq!(&read(&namespace), &model);
        }
    }
}

#[test]
fn an_order_that_comes_again_is_guessed() {
    let database = open(&SimFs::new(2), Limits::default());
    let namespace = namespace(&database);
    let order = |range: std::ops::Range<u32>, t: i64| -> Vec<Item> {
        range.map(|series| Item { series, spelling: 0, t, v: t as f64 }).collect()
    };
    assert_eq!(send(&namespace, &order(0..100, 1)).expect("written"), 0);
    assert_eq!(send(&namespace, &order(100..200, 1)).expect("written"), 0);
    // The first of a request is looked up, whichever request had it before.
    assert_eq!(send(&namespace, &order(0..200, 2)).expect("written"), 199);
    assert_eq!(send(&namespace, &order(50..150, 3)).expect("written"), 99);
    let mut one_left = order(0..200, 4);
    one_left.remove(77);
    assert_eq!(send(&namespace, &one_left).expect("written"), 197);
    let mut one_new = order(0..100, 5);
    one_new.insert(30, Item { series: 999, spelling: 0, t: 5, v: 0.0 });
    // A stranger does not lose the place in the order.
    assert_eq!(send(&namespace, &one_new).expect("written"), 99);
}

#[test]
fn a_request_may_name_a_new_series_twice() {
    let database = open(&SimFs::new(3), Limits::default());
    let namespace = namespace(&database);
    let item = |spelling, t, v| Item { series: 1, spelling, t, v };
    let items = [item(0, 1, 1.0), item(1, 1, 2.0), item(0, 2, 3.0), item(1, 2, 4.0)];
    send(&namespace, &items).expect("written");
    assert_eq!(namespace.series_count(), 1);
    let mut model = Model::new();
    take(&mut model, &items);
    assert_eq!(read(&namespace), model);
}

#[test]
fn the_limit_of_series_refuses_one_and_keeps_the_others() {
    let limits = Limits { series_max: 3, ..Limits::default() };
    let database = open(&SimFs::new(4), limits);
    let namespace = namespace(&database);
    let mut session = namespace.writer();
    let mut refused = Vec::new();
    for series in 0..5 {
        match session.resolve_labels(&labels(series)) {
            Ok(handle) => {
                session.push(handle, TimestampNs(START), 1.0).expect("inside retention");
            }
            Err(TsdbError::SeriesLimit { limit: 3 }) => refused.push(series),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(refused, [3, 4]);
    assert_eq!(session.commit().expect("written").samples(), 3);
    assert_eq!(read(&namespace).into_keys().collect::<Vec<_>>(), [0, 1, 2]);
    let known = Item { series: 2, spelling: 0, t: 9, v: 1.0 };
    send(&namespace, &[known]).expect("a known series by another spelling is no new one");
}

#[test]
fn several_senders_make_each_series_once() {
    const SENDERS: u64 = 4;
    const SERIES: u32 = 300;
    let fs = SimFs::new(5);
    let database = open(&fs, Limits::default());
    let space = namespace(&database);
    let senders: Vec<Thread> = (0..SENDERS)
        .map(|sender| {
            let space = Arc::clone(&space);
            let send_all = move || {
                let mut random = Random::seeded(sender);
                for t in 0..20 {
                    let first = random.below(u64::from(SERIES)) as u32;
                    // One time per sender, so that what must be read does not hang on their race.
                    let t = t * SENDERS as i64 + sender as i64;
                    let item = |i| Item {
                        series: (first + i) % SERIES,
                        spelling: sender as u8 % 2,
                        t,
                        v: f64::from(i),
                    };
                    let items: Vec<Item> = (0..SERIES / 2).map(item).collect();
                    send(&space, &items).expect("written");
                }
            };
            Thread::start("sender", send_all).expect("a thread")
        })
        .collect();
    for sender in senders {
        sender.join().expect("no panic");
    }
    let before = read(&space);
    let samples: usize = before.values().map(BTreeMap::len).sum();
    assert_eq!(samples as u64, SENDERS * 20 * u64::from(SERIES) / 2);
    assert_eq!(space.series_count(), before.len() as u64);
    drop((space, database));
    let database = open(&fs, Limits::default());
    assert_eq!(read(&namespace(&database)), before, "after replay");
    assert_eq!(database.damage_at_start(), []);
}

#[test]
fn many_series_and_logs_are_replayed_in_order() {
    const SERIES: u32 = 5_000;
    let fs = SimFs::new(6);
    let mut model = Model::new();
    for life in 0..3u32 {
        let database = open(&fs, Limits::default());
        let namespace = namespace(&database);
        for t in 0..4i64 {
            // Each life writes over the times of the one before, and names more series.
            let items: Vec<Item> = (life * 500..SERIES / 2 + life * 1_000)
                .map(|series| Item {
                    series,
                    spelling: 0,
                    t: t + i64::from(life) * 2,
                    v: f64::from(life * 100_000 + series),
                })
                .collect();
            send(&namespace, &items).expect("written");
            take(&mut model, &items);
        }
        drop((namespace, database));
    }
    let database = open(&fs, Limits::default());
    let namespace = namespace(&database);
    assert_eq!(read(&namespace), model);
    let known: BTreeSet<u32> = model.keys().copied().collect();
    assert_eq!(namespace.series_count(), known.len() as u64);
    // New series go on behind all that were replayed.
    send(&namespace, &[Item { series: 90_000, spelling: 0, t: 0, v: 7.0 }]).expect("written");
    assert_eq!(read(&namespace).len(), model.len() + 1);
}
