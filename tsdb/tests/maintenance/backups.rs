//! Backups: what they hold, and what a power cut leaves of them.

use std::path::Path;

use m3rs_core::fs::Fs;
use m3rs_sim::disk::Unsynced;
use m3rs_tsdb::InMemory;

use crate::world::{DAY, HOUR, START, Samples, World};

/// A block in a volume with a deletion over it, and samples that only the log has.
fn prepared(seed: u64) -> World {
    let mut world = World::new(seed, 0);
    world.pass(DAY);
    world.fill(1, START, 4);
    world.fill(2, START, 4);
    world.delete(1, START..=START + HOUR).expect("deleted");
    world.write(&[(2, START + 5 * HOUR, 7.0), (3, START + DAY, 8.0)]).expect("written");
    world
}

fn backup_of(world: &World, name: &str) -> Samples {
    let dir = format!("/data/backups/{name}");
    World::read_of(&world.open_at(&world.fs, &dir).expect("a backup opens"))
}

#[test]
fn a_backup_holds_what_was_written_before_it_and_nothing_else() {
    let mut world = prepared(1);
    let path = world.database().backup("one", InMemory::Flushed).expect("made");
    assert_eq!(path, Path::new("/data/backups/one"));
    let before = world.model.clone();
    // What comes later, removals of files included, is not of the backup.
    world.write(&[(2, START + HOUR, 9.0), (4, START, 1.0)]).expect("written");
    world.delete(2, START..=START + DAY).expect("deleted");
    world.database().flush_all().expect("flushed");
    world.database().compact().expect("compacted");
    assert_eq!(backup_of(&world, "one"), before);
    world.check("the database itself");
    world.open();
    world.check("after a start with a backup beside");
    assert_eq!(backup_of(&world, "one"), before);
}

#[test]
fn what_is_in_memory_may_be_left_out() {
    let mut world = World::new(2, 0);
    world.pass(DAY);
    world.fill(1, START, 4);
    let flushed = world.model.clone();
    world.write(&[(1, START + DAY, 7.0), (2, START, 8.0)]).expect("written");
    world.database().backup("files", InMemory::LeftOut).expect("made");
    assert_eq!(backup_of(&world, "files"), flushed);
    world.check("the database itself");
}

#[test]
fn a_name_is_taken_once() {
    let world = prepared(3);
    world.database().backup("one", InMemory::LeftOut).expect("made");
    let error = world.database().backup("one", InMemory::LeftOut).expect_err("taken");
    assert!(error.to_string().contains("/data/backups/one"), "{error}");
}

/// Cut off at each operation: the database has lost nothing, and what has the name of a backup is
/// whole. How many operations there are depends on when the log's thread does its own, so they are
/// counted from the start of each backup, until one is no longer cut off.
#[test]
fn a_power_cut_leaves_a_whole_backup_or_none() {
    for unsynced in [Unsynced::Lost, Unsynced::Kept] {
        let cuts = (1..).take_while(|cut| is_cut_off(*cut, unsynced)).count();
        assert!((20..1000).contains(&cuts), "{cuts}");
    }
}

/// Whether a backup ends before its operation number `cut`; all must be well after it.
fn is_cut_off(cut: u64, unsynced: Unsynced) -> bool {
    let mut world = prepared(4);
    world.fs.crash_at_op(world.fs.ops() + cut);
    let made = world.database().backup("one", InMemory::Flushed);
    world.crash(unsynced);
    world.check(&format!("operation {cut}"));
    let is_there = world.fs.exists(Path::new("/data/backups/one"));
    assert!(is_there || made.is_err(), "a backup that was made is durable");
    if is_there {
        assert_eq!(backup_of(&world, "one"), world.model, "operation {cut}");
    }
    world.database().backup("two", InMemory::Flushed).expect("made");
    assert_eq!(backup_of(&world, "two"), world.model, "operation {cut}");
    let left = world.fs.list(Path::new("/data/backups")).expect("listed");
    assert!(left.iter().all(|p| !p.ends_with("one.tmp")), "{left:?}");
    made.is_err()
}
