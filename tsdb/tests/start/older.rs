//! Blocks that a start leaves for later, and what comes while they are opened.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use m3rs_core::ErrorKind;
use m3rs_core::fs::Fs;
use m3rs_core::model::Matcher;
use m3rs_core::time::TimestampNs;
use m3rs_sim::disk::Unsynced;
use m3rs_tsdb::{DEFAULT_NAMESPACE, TsdbError};

use crate::hooked::Hooked;
use crate::world::{EVER, HOUR, START, Samples, World, read_all, samples};
use crate::{read, write};

/// The threads that open what was left for later, by their name.
const OPENER: &str = "older-blocks";
/// Ages of the blocks; all but the first are older than a day.
const HOURS: [i64; 4] = [1, 30, 50, 80];

/// Lets the opener of older blocks through once it is open.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn pass(&self) {
        if std::thread::current().name() != Some(OPENER) {
            return;
        }
        let (is_open, changed) = &*self.0;
        let open = is_open.lock().expect("not poisoned");
        drop(changed.wait_while(open, |is_open| !*is_open).expect("not poisoned"));
    }

    fn open(&self) {
        let (is_open, changed) = &*self.0;
        *is_open.lock().expect("not poisoned") = true;
        changed.notify_all();
    }
}

/// Blocks of several ages in files, and in the log a deletion and late samples over some of them.
fn with_old_blocks(seed: u64) -> (World, Vec<(u32, i64, f64)>) {
    let world = World::new(seed);
    let mut all = Vec::new();
    for hours in HOURS {
        let rows: Vec<_> = (0..6).map(|s| (s, START - hours * HOUR, f64::from(s))).collect();
        write(&world, &mut all, &rows);
        world.database().flush_all().expect("flushed");
    }
    // A snapshot over the volume of an old block.
    write(&world, &mut all, &[(2, START - 50 * HOUR, 2.5), (9, START - 50 * HOUR + 1, 9.5)]);
    world.database().snapshot().expect("a snapshot");
    delete(&world, &mut all, 3, 80);
    write(&world, &mut all, &[(4, START - 30 * HOUR, 4.25)]);
    (world, all)
}

/// Deletes what a series has in the block of that age.
fn delete(world: &World, all: &mut Vec<(u32, i64, f64)>, series: u32, hours: i64) {
    let (from, to) = (START - hours * HOUR, START - hours * HOUR + 10);
    world.delete(DEFAULT_NAMESPACE, series, from, to).expect("deleted");
    all.retain(|row| row.0 != series || !(from..=to).contains(&row.1));
}

/// Starts with older blocks left for later.
fn open_recent(
    world: &mut World,
    hook: impl Fn() + Send + Sync + 'static,
) -> Result<(), TsdbError> {
    world.stop();
    let mut options = world.options();
    options.fs = Hooked::over(&world.fs, hook);
    options.opened_first = Some(Duration::from_secs(24 * 3600));
    world.open_with(options)
}

fn wait(world: &World) {
    while world.database().status().blocks_opening > 0 {
        std::thread::yield_now();
    }
}

fn select(world: &World, from: i64, to: i64) -> Result<Samples, TsdbError> {
    let matchers = [Matcher::equal("__name__", "m")];
    let (from, to) = (TimestampNs(from), TimestampNs(to));
    let found = world.namespace(DEFAULT_NAMESPACE).select(&matchers, from, to, 1000)?;
    Ok(read_all(&found))
}

fn in_range(all: &[(u32, i64, f64)], from: i64, to: i64) -> Samples {
    let rows: Vec<_> = all.iter().copied().filter(|row| (from..=to).contains(&row.1)).collect();
    samples(&rows)
}

fn assert_refused<T: std::fmt::Debug>(result: Result<T, TsdbError>) {
    let error = result.expect_err("older blocks are not open");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(matches!(error, TsdbError::StillOpening { .. }), "{error}");
    assert!(error.to_string().contains("are still being opened"), "{error}");
}

#[test]
fn recent_times_are_served_while_older_blocks_are_opened() {
    let (mut world, mut all) = with_old_blocks(41);
    let gate = Gate::default();
    let held = gate.clone();
    open_recent(&mut world, move || held.pass()).expect("opens");
    // Two shards, of which each has some of the series.
    let left = world.database().status().blocks_opening;
    assert!((3..=6).contains(&left), "{left}");

    let (from, to) = (START - 24 * HOUR, START + HOUR);
    assert_eq!(select(&world, from, to).expect("served"), in_range(&all, from, to));
    let (between, later) = (START - 45 * HOUR, START - 40 * HOUR);
    assert_eq!(select(&world, between, later).expect("served"), Samples::new());
    let namespace = world.namespace(DEFAULT_NAMESPACE);
    let old = (TimestampNs(START - 60 * HOUR), EVER.1);
    let recent = (TimestampNs(from), EVER.1);
    let all_series = [Matcher::equal("__name__", "m")];
    assert_refused(select(&world, EVER.0.0, EVER.1.0));
    assert_refused(namespace.label_names(&[], old, 0));
    assert_refused(namespace.label_values("series", &[], old, 0));
    assert_refused(namespace.series(&[all_series.to_vec()], old, 0));
    assert_refused(namespace.exemplars(&all_series, old.0, old.1, 10));
    assert_refused(namespace.series_stats(10));
    let values = namespace.label_values("series", &[], recent, 0).expect("served");
    assert_eq!(values.items.len(), 6, "{values:?}");
    // Nothing may merge, remove or replace what is not known.
    assert_refused(world.database().flush_all());
    assert_refused(world.database().snapshot());
    assert_refused(world.database().tick());
    assert_refused(world.database().compact());
    assert_refused(world.database().reshard(DEFAULT_NAMESPACE, 3));

    delete(&world, &mut all, 5, 50);
    write(&world, &mut all, &[(5, START - 50 * HOUR, 55.0), (7, START - 80 * HOUR + 3, 7.0)]);
    delete(&world, &mut all, 0, 30);
    assert_refused(select(&world, START - 51 * HOUR, START));
    gate.open();
    wait(&world);
    assert_eq!(read(&world), samples(&all));
    assert_eq!(world.database().damage_at_start(), []);
    world.crash(Unsynced::Lost);
    assert_eq!(read(&world), samples(&all), "from the log again");
    world.database().flush_all().expect("flushed");
    assert_eq!(read(&world), samples(&all), "merged");
    world.crash(Unsynced::Lost);
    assert_eq!(read(&world), samples(&all), "from files");
}

/// A close joins the opener, and does not leave it to the next start what nothing else holds.
#[test]
fn what_is_not_logged_survives_a_close_while_blocks_are_opened() {
    let mut world = World::new(42);
    let mut all = Vec::new();
    for hours in HOURS {
        write(&world, &mut all, &[(1, START - hours * HOUR, 0.5), (2, START, 1.5)]);
        world.database().flush_all().expect("flushed");
    }
    world.of_default.writes_to_commit_log = false;
    world.restart();
    let gate = Gate::default();
    let held = gate.clone();
    open_recent(&mut world, move || held.pass()).expect("opens");
    write(&world, &mut all, &[(1, START - 50 * HOUR, 2.5), (3, START - 80 * HOUR, 3.5)]);
    gate.open();
    world.restart();
    assert_eq!(read(&world), samples(&all));
}

/// Files of old blocks of which some are damaged, and what a flush and a merge left behind.
fn with_old_damage() -> (World, Vec<(u32, i64, f64)>) {
    let (mut world, mut all) = with_old_blocks(43);
    world.stop();
    let volumes = world.files("data");
    let of = |hours: i64| {
        let block = (START - hours * HOUR).div_euclid(2 * HOUR) * 2 * HOUR;
        let name = format!("/{block}-");
        volumes.iter().filter(move |path| path.to_string_lossy().contains(&name))
    };
    for path in of(30) {
        // The footer is sound, and the directory of the index is not, in both copies.
        let len = world.fs.read(path).expect("read").len();
        world.fs.damage(path, |bytes| bytes[len / 8..len / 8 * 5].fill(0xa5)).expect("damaged");
    }
    for path in of(50) {
        // The newer volume stays as it is, and the older one is a leftover.
        let text = path.to_string_lossy().into_owned();
        let bytes = world.fs.read(path).expect("read");
        put(&world, &text.replace("-0.fileset", "-1.fileset"), &bytes);
    }
    for path in of(80) {
        world.fs.damage(path, |bytes| bytes.truncate(40)).expect("cut");
    }
    let is_lost = |row: &(u32, i64, f64)| {
        [START - 30 * HOUR, START - 80 * HOUR].contains(&row.1) && row.2 != 4.25
    };
    all.retain(|row| !is_lost(row));
    (world, all)
}

fn put(world: &World, path: &str, bytes: &[u8]) {
    let path = Path::new(path);
    let mut file = world.fs.create(path).expect("made");
    file.write_all(bytes).and_then(|()| file.sync()).expect("written");
    world.fs.sync_dir(path.parent().expect("below a directory")).expect("synced");
}

/// What is left of all samples, and how many warnings a query gets.
fn read_damaged(world: &World) -> (Samples, usize) {
    let matchers = [Matcher::equal("__name__", "m")];
    let namespace = world.namespace(DEFAULT_NAMESPACE);
    let found = namespace.select(&matchers, EVER.0, EVER.1, 1000).expect("few series");
    let mut all = Samples::new();
    let mut columns = m3rs_tsdb::Columns::default();
    for (number, labels) in found.labels().iter().enumerate() {
        found.read(number, &mut columns);
        let series = labels.get("series").and_then(|s| s.parse().ok()).expect("our label");
        if columns.iter().next().is_some() {
            all.insert(series, columns.iter().map(|s| (s.t.0, s.v.to_bits())).collect());
        }
    }
    (all, found.damage().len())
}

#[test]
fn damage_in_an_old_file_is_set_aside_and_told() {
    let (mut world, all) = with_old_damage();
    open_recent(&mut world, || {}).expect("opens");
    wait(&world);
    let told = world.database().damage_at_start().len();
    assert!((2..=4).contains(&told), "{:?}", world.database().damage_at_start());
    assert_eq!(world.database().status().damage_at_start, told as u64);
    let aside =
        world.files("data").into_iter().filter(|f| f.to_string_lossy().ends_with(".damaged"));
    assert_eq!(aside.count(), told);
    assert_eq!(read_damaged(&world), (samples(&all), told));
    world.crash(Unsynced::Lost);
    assert_eq!(read_damaged(&world), (samples(&all), told), "told on after a restart");
}

#[test]
fn a_power_cut_at_any_operation_of_the_opening_changes_nothing_of_its_outcome() {
    let (mut world, all) = with_old_damage();
    let first = world.fs.ops();
    open_recent(&mut world, || {}).expect("opens");
    wait(&world);
    let (last, want) = (world.fs.ops(), read_damaged(&world));
    assert_eq!(want.0, samples(&all));
    for op in first + 1..=last {
        for unsynced in [Unsynced::Lost, Unsynced::Torn, Unsynced::Kept] {
            let (mut world, _) = with_old_damage();
            world.fs.crash_at_op(op);
            let cut_off = open_recent(&mut world, || {}).is_err();
            while !cut_off && world.fs.ops() < op && world.database().status().blocks_opening > 0 {
                std::thread::yield_now();
            }
            world.crash(unsynced);
            assert_eq!(read_damaged(&world), want, "operation {op} of {last}, {unsynced:?}");
            open_recent(&mut world, || {}).expect("opens");
            wait(&world);
            assert_eq!(read_damaged(&world), want, "after operation {op}, {unsynced:?}");
        }
    }
}
