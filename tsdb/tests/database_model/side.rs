//! Metadata and exemplars: what they survive, and what damage costs.

use std::path::Path;

use m3rs_core::fs::Fs;
use m3rs_core::model::{Labels, Matcher, Metadata, MetricType};
use m3rs_core::time::TimestampNs;
use m3rs_sim::disk::Unsynced;
use m3rs_tsdb::{DEFAULT_NAMESPACE, Exemplar};

use crate::{START, World, labels};

/// Writes metadata and exemplars beside a sample, in one request.
pub(crate) fn write_side(world: &mut World, round: i64) {
    let namespace = world.database().namespace(DEFAULT_NAMESPACE).expect("it exists");
    let mut session = namespace.writer();
    let handle = session.resolve_labels(&labels(1)).expect("a series");
    let help = format!("help {round}");
    let metadata = Metadata { metric_type: MetricType::Counter, help, unit: String::new() };
    session.push_metadata("m", metadata.clone());
    let pushed = session.push_exemplar(handle, exemplar(round));
    assert!(pushed.is_ok() || world.retention_ns > 0, "{pushed:?}");
    let commit = session.commit().expect("the disk is fine");
    world.runtime.block_on(commit.durable()).expect("durable");
    assert!(namespace.metadata().knows("m", &metadata));
}

fn exemplar(round: i64) -> Exemplar {
    let labels = Labels::from_pairs([("trace", round.to_string())]).expect("valid");
    Exemplar { t: START + round, value: round as f64, labels }
}

#[test]
fn metadata_and_exemplars_survive_what_samples_survive() {
    let mut world = World::new(12);
    for round in 0..8 {
        write_side(&mut world, round);
        match round {
            1 => world.database().snapshot().expect("a snapshot"),
            2 | 6 => world.crash(Unsynced::Lost),
            3 => drop(world.database().flush_all().expect("flushed")),
            4 => world.crash(Unsynced::Torn),
            5 => world.reopen(),
            _ => {}
        }
        assert_eq!(world.database().damage_at_start(), []);
        let namespace = world.database().namespace(DEFAULT_NAMESPACE).expect("it exists");
        let known = namespace.metadata().list(None, 9, 99);
        assert_eq!(known.len(), 1);
        let last = known[0].1.last().expect("one at least");
        assert_eq!(
            (last.help.as_str(), known[0].1.len()),
            (&*format!("help {round}"), (round as usize + 1).min(8))
        );
        let matchers = [Matcher::equal("series", "1")];
        let (from, to) = (TimestampNs(START + 1), TimestampNs(START + 99));
        let found = namespace.exemplars(&matchers, from, to, 9).expect("few series");
        let want: Vec<Exemplar> = (1..=round).map(exemplar).collect();
        match want.is_empty() {
            true => assert!(found.is_empty()),
            false => assert_eq!(found, [(labels(1), want)]),
        }
    }
}

#[test]
fn a_damaged_side_file_costs_what_is_in_it() {
    let mut world = World::new(13);
    world.write(&[(1, START, 1.0)]).expect("written");
    write_side(&mut world, 0);
    world.database().flush_all().expect("flushed");
    write_side(&mut world, 1);
    drop(world.database.take());
    let dirs = world.fs.list(Path::new("/data/side")).expect("listed");
    let files = world.fs.list(&dirs[0]).expect("listed");
    assert_eq!(files.len(), 1);
    world.fs.damage(&files[0], |bytes| bytes[20] ^= 0x10).expect("damaged");
    world.open().expect("opens in spite of damage");
    assert_eq!(world.database().damage_at_start().len(), 1);
    let namespace = world.database().namespace(DEFAULT_NAMESPACE).expect("it exists");
    assert_eq!(namespace.metadata().list(None, 9, 9)[0].1.len(), 1, "the log has the later one");
    world.check(0..=i64::MAX / 2);
    world.reopen();
    assert_eq!(world.database().damage_at_start(), [], "it was set aside");
}

/// Metadata and exemplars after so many rounds of [`write_side`].
pub(crate) fn check_side(world: &World, rounds: i64) {
    let namespace = world.database().namespace(DEFAULT_NAMESPACE).expect("it exists");
    let known = namespace.metadata().list(None, 9, 99);
    let texts: Vec<_> = known.iter().flat_map(|(_, all)| all).map(|m| m.help.clone()).collect();
    let want: Vec<_> = ((rounds - 8).max(0)..rounds).map(|r| format!("help {r}")).collect();
    assert_eq!(texts, want);
    if world.retention_ns > 0 {
        // They are of one time, which passes.
        return;
    }
    let matchers = [Matcher::equal("series", "1")];
    let (from, to) = (TimestampNs(START), TimestampNs(START + 999));
    let found = namespace.exemplars(&matchers, from, to, 9).expect("few series");
    let found: Vec<Exemplar> = found.into_iter().flat_map(|(_, all)| all).collect();
    assert_eq!(found, (0..rounds).map(exemplar).collect::<Vec<_>>());
}

/// All metadata and exemplars, as text.
pub(crate) fn seen_side(world: &World) -> String {
    let namespace = world.database().namespace(DEFAULT_NAMESPACE).expect("it exists");
    let metadata = namespace.metadata().list(None, usize::MAX, usize::MAX);
    let matchers = [Matcher::equal("__name__", "m")];
    let (from, to) = (TimestampNs(i64::MIN), TimestampNs(i64::MAX));
    let exemplars = namespace.exemplars(&matchers, from, to, 1000).expect("few series");
    format!("{metadata:?} {exemplars:?}")
}
