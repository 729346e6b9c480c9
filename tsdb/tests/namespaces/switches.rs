//! What each option of a namespace does.

use m3rs_core::ErrorKind;
use m3rs_core::model::{MatchOp, Matcher};
use m3rs_core::time::{NS_PER_S, TimestampNs};
use m3rs_sim::disk::Unsynced;
use m3rs_tsdb::{
    Exemplar, IndexOptions, NamespaceOptions, TruncateTime, TsdbError, WriteRefusal,
    WriteTransforms,
};

use crate::world::{EVER, HOUR, START, Samples, World, labels, options, read_all, samples};

fn push(world: &World, name: &str, t: i64) -> Result<(), WriteRefusal> {
    let namespace = world.namespace(name);
    let mut session = namespace.writer();
    let handle = session.resolve_labels(&labels(1)).expect("resolved");
    session.push(handle, TimestampNs(t), 1.0)
}

#[test]
fn without_cold_writes_samples_outside_the_buffer_are_refused() {
    let world = World::new(1);
    let warm = NamespaceOptions {
        cold_writes_enabled: false,
        buffer_past_ns: 300 * NS_PER_S,
        buffer_future_ns: 60 * NS_PER_S,
        ..options()
    };
    world.database().add_namespace("warm", warm.clone()).expect("made");
    assert_eq!(push(&world, "warm", START - 300 * NS_PER_S), Ok(()));
    assert_eq!(push(&world, "warm", START + 60 * NS_PER_S), Ok(()));
    let refused = push(&world, "warm", START - 300 * NS_PER_S - 1).expect_err("too old");
    assert!(matches!(refused, WriteRefusal::OutsideBuffer { .. }), "{refused}");
    assert!(refused.to_string().contains("cold_writes"), "{refused}");
    let refused = push(&world, "warm", START + 60 * NS_PER_S + 1).expect_err("too new");
    assert!(matches!(refused, WriteRefusal::TooFarInFuture { .. }), "{refused}");
    // The option changes at once.
    let cold = NamespaceOptions { cold_writes_enabled: true, ..warm };
    world.database().update_namespace("warm", cold).expect("changed");
    assert_eq!(push(&world, "warm", START - 100 * HOUR), Ok(()));
}

#[test]
fn cold_writes_may_be_as_far_ahead_as_future_retention() {
    let world = World::new(2);
    let ahead =
        NamespaceOptions { retention_ns: 24 * HOUR, future_retention_ns: 48 * HOUR, ..options() };
    world.database().add_namespace("ahead", ahead).expect("made");
    assert_eq!(push(&world, "ahead", START + 48 * HOUR), Ok(()));
    push(&world, "ahead", START + 48 * HOUR + 1).expect_err("too far");
    assert_eq!(push(&world, "ahead", START - 24 * HOUR), Ok(()));
    push(&world, "ahead", START - 24 * HOUR - 1).expect_err("outside retention");
    world.write("ahead", &[(1, START + 40 * HOUR, 4.0)]).expect("written");
    world.database().flush_all().expect("flushed");
    assert_eq!(world.read("ahead"), samples(&[(1, START + 40 * HOUR, 4.0)]));
}

#[test]
fn blocks_begin_where_those_of_m3_do() {
    let world = World::new(3);
    for (name, hours) in [("seven_hours", 7), ("week", 7 * 24)] {
        let blocks = NamespaceOptions { block_size_ns: hours * HOUR, ..options() };
        world.database().add_namespace(name, blocks).expect("made");
        // 2023-11-14T22:13:20Z, a Tuesday.
        world.write(name, &[(1, START, 1.0)]).expect("written");
    }
    world.database().flush_all().expect("flushed");
    let start_of = |name: &str| -> i64 {
        let files = world.files(&format!("data/{name}"));
        let name = files[0].file_name().and_then(|n| n.to_str()).expect("a name").to_owned();
        name.split('-').next().and_then(|s| s.parse().ok()).expect("a block start")
    };
    let monday = 1_699_833_600 * NS_PER_S;
    assert_eq!(start_of("week"), monday, "weeks begin on Mondays");
    // A start that M3 wrote, and a whole number of blocks.
    assert_eq!((1_795_190_400 * NS_PER_S - start_of("seven_hours")) % (7 * HOUR), 0);
    assert_ne!(start_of("seven_hours") % (7 * HOUR), 0, "not counted from 1970");
    for name in ["seven_hours", "week"] {
        assert_eq!(world.read(name), samples(&[(1, START, 1.0)]));
    }
}

#[test]
fn without_the_log_a_crash_loses_what_no_file_has() {
    let mut world = World::new(4);
    let unlogged = NamespaceOptions { writes_to_commit_log: false, ..options() };
    world.database().add_namespace("cache", unlogged.clone()).expect("made");
    world.write("cache", &[(1, START, 1.0)]).expect("written");
    world.write("default", &[(1, START, 1.0)]).expect("written");
    world.database().snapshot().expect("a snapshot");
    world.write("cache", &[(1, START + 1, 2.0), (2, START, 3.0)]).expect("written");
    assert_eq!(world.read("cache").len(), 2);
    world.crash(Unsynced::Lost);
    assert_eq!(world.read("cache"), samples(&[(1, START, 1.0)]), "the snapshot's are left");
    assert_eq!(world.read("default"), samples(&[(1, START, 1.0)]));
    assert_eq!(world.database().damage_at_start(), []);
    // An end in order loses nothing.
    world.write("cache", &[(2, START + 5, 4.0)]).expect("written");
    world.restart();
    let all = [(1, START, 1.0), (2, START + 5, 4.0)];
    assert_eq!(world.read("cache"), samples(&all));
    // Logged again, nothing is lost from then on, and what was in memory is saved.
    world.write("cache", &[(3, START, 5.0)]).expect("written");
    let logged = NamespaceOptions { writes_to_commit_log: true, ..unlogged };
    world.database().update_namespace("cache", logged).expect("changed");
    world.write("cache", &[(3, START + 1, 6.0)]).expect("written");
    world.crash(Unsynced::Lost);
    assert_eq!(world.database().damage_at_start(), []);
    let all = samples(&[(3, START, 5.0), (3, START + 1, 6.0)]);
    assert_eq!(world.read("cache")[&3], all[&3]);
}

#[test]
fn a_namespace_that_is_not_flushed_stays_in_snapshots() {
    let mut world = World::new(5);
    let unflushed = NamespaceOptions { flush_enabled: false, ..options() };
    world.database().add_namespace("lazy", unflushed).expect("made");
    let mut all = Vec::new();
    for round in 0..12 {
        let sample = (1, START - 9 * HOUR + round, round as f64);
        world.write("lazy", &[sample]).expect("written");
        all.push(sample);
        match round % 3 {
            0 => world.database().snapshot().expect("a snapshot"),
            1 => drop(world.database().flush_all().expect("flushed")),
            _ => world.database().tick().expect("ticked"),
        }
        world.pass(100 * NS_PER_S);
    }
    assert_eq!(world.files("data/lazy").len(), 0, "no volume");
    assert!(!world.files("snapshots/lazy").is_empty());
    assert_eq!(world.read("lazy"), samples(&all));
    world.crash(Unsynced::Lost);
    assert_eq!(world.read("lazy"), samples(&all));
}

/// Log segments may go only when a volume holds what they held.
#[test]
fn a_namespace_without_snapshots_keeps_the_log_until_it_is_flushed() {
    for flush_enabled in [true, false] {
        let mut world = World::new(6);
        let plain = NamespaceOptions { snapshot_enabled: false, flush_enabled, ..options() };
        world.database().add_namespace("plain", plain).expect("made");
        let mut all = vec![(1, START, 1.0), (2, START, 2.0)];
        world.write("plain", &all).expect("written");
        let holding = world.files("commitlog");
        for round in 1..6 {
            world.write("default", &[(1, START + round, 1.0)]).expect("written");
            world.database().snapshot().expect("a snapshot");
        }
        // Each cut made one segment at least; the newest may not have its file yet.
        let kept = world.files("commitlog");
        assert!(holding.iter().all(|segment| kept.contains(segment)), "{holding:?}: {kept:?}");
        assert!(kept.len() > holding.len(), "the log is kept: {kept:?}");
        assert_eq!(world.files("snapshots/plain").len(), 0);
        let late = (1, START + 30 * NS_PER_S, 3.0);
        world.write("plain", &[late]).expect("written");
        all.push(late);
        world.crash(Unsynced::Lost);
        assert_eq!(world.read("plain"), samples(&all));
        // Past its time, the block is flushed, and the log is free to go.
        world.pass(5 * HOUR);
        world.database().tick().expect("ticked");
        world.database().snapshot().expect("a snapshot");
        assert_eq!(world.files("commitlog").len() < 3, flush_enabled);
        assert_eq!(world.files("data/plain").is_empty(), !flush_enabled);
        world.crash(Unsynced::Lost);
        assert_eq!(world.read("plain"), samples(&all));
    }
}

#[test]
fn without_cleanup_files_outlast_their_retention() {
    let world = World::new(7);
    let keep = NamespaceOptions { retention_ns: 6 * HOUR, cleanup_enabled: false, ..options() };
    world.database().add_namespace("keep", keep.clone()).expect("made");
    world.write("keep", &[(1, START - 5 * HOUR, 1.0)]).expect("written");
    world.database().flush_all().expect("flushed");
    world.pass(20 * HOUR);
    world.database().tick().expect("ticked");
    assert_eq!(world.files("data/keep").len(), 1, "the file stays");
    assert_eq!(world.read("keep"), Samples::new(), "and is not served");
    let clean = NamespaceOptions { cleanup_enabled: true, ..keep };
    world.database().update_namespace("keep", clean).expect("changed");
    world.database().tick().expect("ticked");
    assert_eq!(world.files("data/keep").len(), 0);
}

#[test]
fn retention_changes_at_once_and_each_namespace_has_its_own() {
    let world = World::new(8);
    for (name, days) in [("short", 1), ("long", 10)] {
        let own = NamespaceOptions { retention_ns: days * 24 * HOUR, ..options() };
        world.database().add_namespace(name, own).expect("made");
        world.write(name, &[(1, START - 20 * HOUR, 1.0)]).expect("written");
    }
    world.database().flush_all().expect("flushed");
    world.pass(30 * HOUR);
    world.database().tick().expect("ticked");
    assert_eq!((world.files("data/short").len(), world.files("data/long").len()), (0, 1));
    assert_eq!(world.read("short"), Samples::new());
    assert_eq!(world.read("long").len(), 1);
    let less = NamespaceOptions { retention_ns: 24 * HOUR, ..options() };
    world.database().update_namespace("long", less).expect("changed");
    assert_eq!(world.read("long"), Samples::new(), "not served from then on");
    world.database().tick().expect("ticked");
    assert_eq!(world.files("data/long").len(), 0);
}

fn matched(world: &World, matchers: &[Matcher]) -> Result<Vec<u32>, TsdbError> {
    let found = world.namespace("hidden").select(matchers, EVER.0, EVER.1, 100)?;
    Ok(read_all(&found).into_keys().collect())
}

#[test]
fn what_matchers_do_not_find_has_no_exemplars_for_them_and_is_not_deleted() {
    let world = World::new(13);
    let index = IndexOptions {
        do_not_index: vec![Matcher::equal("series", "2"), Matcher::equal("__name__", "m")],
        ..IndexOptions::default()
    };
    world
        .database()
        .add_namespace("hidden", NamespaceOptions { index, ..options() })
        .expect("made");
    let all: Vec<_> = (1..4).map(|s| (s, START, 1.0)).collect();
    world.write("hidden", &all).expect("written");
    let namespace = world.namespace("hidden");
    let mut session = namespace.writer();
    for series in 1..4 {
        let handle = session.resolve_labels(&labels(series)).expect("resolved");
        let exemplar = Exemplar { t: START, value: f64::from(series), labels: labels(0) };
        session.push_exemplar(handle, exemplar).expect("taken");
    }
    world.commit(session).expect("written");
    let name = [Matcher::equal("__name__", "m")];
    let exact = [name[0].clone(), Matcher::equal("series", "2")];
    let values = |matchers: &[Matcher]| -> Vec<f64> {
        let found = namespace.exemplars(matchers, EVER.0, EVER.1, 9).expect("found");
        found.into_iter().flat_map(|(_, all)| all).map(|e| e.value).collect()
    };
    assert_eq!(values(&name), [1.0, 3.0]);
    assert_eq!(values(&exact), [2.0]);
    assert!(namespace.exemplars(&name, EVER.0, EVER.1, 1).is_err(), "two are above the limit");
    assert_eq!(matched(&world, &exact).expect("found"), [2]);
    assert!(namespace.select(&name, EVER.0, EVER.1, 1).is_err(), "two are above the limit");
    assert!(namespace.select(&name, EVER.0, EVER.1, 2).is_ok(), "the hidden one does not count");

    let deleted = namespace.delete(&[name.to_vec()], EVER.0, EVER.1).expect("deleted");
    assert_eq!(deleted.series, 2);
    assert_eq!(matched(&world, &exact).expect("found"), [2], "it was not found, so not deleted");
    let deleted = namespace.delete(&[exact.to_vec()], EVER.0, EVER.1).expect("deleted");
    assert_eq!(deleted.series, 1);
    assert_eq!(matched(&world, &exact).expect("found"), [0; 0]);

    let plain = NamespaceOptions {
        index: IndexOptions { enabled: false, ..IndexOptions::default() },
        ..options()
    };
    world.database().update_namespace("hidden", plain).expect("changed");
    let open = [Matcher::new("series", MatchOp::Regexp, ".+")];
    let error = namespace.delete(&[open.to_vec()], EVER.0, EVER.1).expect_err("no index");
    assert!(matches!(error, TsdbError::NotIndexed { .. }), "{error}");
    namespace.exemplars(&open, EVER.0, EVER.1, 9).expect_err("no index");
}

#[test]
fn series_that_are_not_indexed_are_found_by_all_of_their_labels() {
    let mut world = World::new(10);
    let hide = |matchers: Vec<Matcher>| NamespaceOptions {
        index: IndexOptions { do_not_index: matchers, ..IndexOptions::default() },
        ..options()
    };
    // All of them together hide a series, as in M3.
    let hidden = vec![
        Matcher::new("series", MatchOp::Regexp, "[2-9]"),
        Matcher::new("series", MatchOp::NotEqual, "3"),
    ];
    world.database().add_namespace("hidden", hide(hidden.clone())).expect("made");
    let all: Vec<_> = (1..7).map(|s| (s, START, 1.0)).collect();
    world.write("hidden", &all).expect("written");
    let name = Matcher::equal("__name__", "m");
    let series = |s: &str| Matcher::equal("series", s);
    for _ in 0..2 {
        let any = [name.clone()];
        assert_eq!(matched(&world, &any).expect("found"), [1, 3]);
        let exact = [name.clone(), series("2")];
        assert_eq!(matched(&world, &exact).expect("found"), [2]);
        assert_eq!(matched(&world, &[series("5"), name.clone()]).expect("found"), [5]);
        assert_eq!(matched(&world, &[series("5")]).expect("found"), [0; 0]);
        assert_eq!(matched(&world, &[name.clone(), series("3")]).expect("found"), [3]);
        assert_eq!(matched(&world, &[name.clone(), series("77")]).expect("found"), [0; 0]);
        let namespace = world.namespace("hidden");
        let values = namespace.label_values("series", &[], EVER, 0).expect("listed");
        assert_eq!(values.items, ["1", "3"]);
        let names = namespace.label_names(&[vec![series("2")]], EVER, 0).expect("listed");
        assert_eq!(names.items, [""; 0]);
        let sets = [vec![name.clone()]];
        assert_eq!(namespace.series(&sets, EVER, 0).expect("listed").items.len(), 2);
        world.database().flush_all().expect("flushed");
        world.restart();
    }
    world.database().update_namespace("hidden", hide(Vec::new())).expect("changed");
    assert_eq!(matched(&world, &[name]).expect("found").len(), 6, "at once, and old ones too");
}

#[test]
fn without_an_index_matchers_are_refused_unless_they_are_all_labels() {
    let world = World::new(11);
    let plain = NamespaceOptions {
        index: IndexOptions { enabled: false, ..IndexOptions::default() },
        ..options()
    };
    world.database().add_namespace("hidden", plain).expect("made");
    world.write("hidden", &[(1, START, 1.0), (2, START, 1.0)]).expect("written");
    let name = Matcher::equal("__name__", "m");
    let exact = [name.clone(), Matcher::equal("series", "2")];
    assert_eq!(matched(&world, &exact).expect("found"), [2]);
    assert_eq!(matched(&world, &[name]).expect("nothing has these labels"), [0; 0]);
    let open = Matcher::new("series", MatchOp::Regexp, ".+");
    let error = matched(&world, &[open]).expect_err("no index");
    assert!(matches!(error, TsdbError::NotIndexed { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    world.namespace("hidden").label_names(&[], EVER, 0).expect_err("no index");
}

#[test]
fn writes_change_times_and_values_as_told() {
    let world = World::new(12);
    let write = |name: &str, truncate_time, force_value| {
        let transforms = WriteTransforms { truncate_time, force_value };
        let own = NamespaceOptions { transforms, ..options() };
        world.database().add_namespace(name, own).expect("made");
        world.write(name, &[(1, START + 7 * NS_PER_S, 2.5), (1, START, 1.5)]).expect("written");
        world.read(name)
    };
    let block = START - START.rem_euclid(2 * HOUR);
    assert_eq!(write("none", None, None).values().next().expect("one").len(), 2);
    let at_block = write("block", Some(TruncateTime::BlockStart), None);
    assert_eq!(at_block, samples(&[(1, block, 1.5)]), "the last write wins");
    let minute = START - START.rem_euclid(60 * NS_PER_S);
    let at_minute = write("minute", Some(TruncateTime::Unit(60 * NS_PER_S)), Some(-0.0));
    assert_eq!(at_minute, samples(&[(1, minute, -0.0)]));
    let forced = write("forced", None, Some(7.0));
    assert_eq!(forced, samples(&[(1, START, 7.0), (1, START + 7 * NS_PER_S, 7.0)]));
}
