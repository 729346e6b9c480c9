//! The machine dies at every operation of each kind of work, and all four things happen to what
//! was not synced. Afterwards everything is there, and nothing that was deleted or expired.

use m3rs_core::time::NS_PER_S;
use m3rs_sim::disk::Unsynced;
use m3rs_tsdb::{NamespaceOptions, TsdbError};

use crate::{HOUR, START, World, days};

/// What is cut off. It leaves samples as they are for readers.
type Work = fn(&World) -> Result<(), TsdbError>;

/// Cuts `work` off at each of its operations, of which there are at least `ops_min`.
fn cut_everywhere(prepared: &World, ops_min: u64, work: Work) {
    let mut whole = prepared.copied();
    whole.open().expect("opens");
    let first = whole.fs.ops();
    work(&whole).expect("the disk is fine");
    let ops = whole.fs.ops() - first;
    whole.check(0..=i64::MAX / 2);
    assert!(ops >= ops_min, "the work is {ops} operations");
    let mut told = 0;
    for op in 1..=ops {
        for unsynced in Unsynced::ALL {
            let case = format!("operation {op} of {ops}, {unsynced:?}");
            let _case = crate::SayIfPanics(&case);
            let mut world = prepared.copied();
            world.open().expect("opens");
            world.fs.crash_at_op(world.fs.ops() + op);
            told += u64::from(work(&world).is_err());
            world.crash(unsynced);
            assert_eq!(world.database().damage_at_start(), []);
            world.check(0..=i64::MAX / 2);
            // What was cut off is done again.
            work(&world).expect("the disk is fine");
            world.check(0..=i64::MAX / 2);
        }
    }
    // Files that are not needed any more may stay for now.
    assert!(told > ops * 2, "{told} errors of {ops} operations");
}

/// Series in all shards, a sample in each of some blocks.
fn write_blocks(world: &mut World, blocks: i64, shift: i64) {
    let first = START - START % (2 * HOUR);
    for block in 0..blocks {
        let t = first - block * 2 * HOUR + shift;
        let rows: Vec<_> = (0..8).map(|s| (s, t, f64::from(s) + block as f64)).collect();
        world.write(&rows).expect("written");
    }
}

#[test]
fn a_flush_may_be_cut_off_anywhere() {
    let mut world = World::new(31);
    write_blocks(&mut world, 4, NS_PER_S);
    cut_everywhere(&world, 100, |w| w.database().flush_all().map(drop));
}

#[test]
fn a_cold_flush_may_be_cut_off_anywhere() {
    let mut world = World::new(32);
    write_blocks(&mut world, 4, NS_PER_S);
    world.database().flush_all().expect("flushed");
    write_blocks(&mut world, 4, 2 * NS_PER_S);
    world.delete(&[1, 2], START - 3 * HOUR..=START).expect("deleted");
    cut_everywhere(&world, 100, |w| w.database().flush_all().map(drop));
}

#[test]
fn a_flush_of_what_is_due_may_be_cut_off_anywhere() {
    let mut world = World::new(33);
    write_blocks(&mut world, 4, NS_PER_S);
    world.clock.pass(4 * HOUR);
    // Blocks must be left alone for a while, and opening touches them.
    let work: Work = |w| {
        w.clock.pass(120 * NS_PER_S);
        w.database().tick()
    };
    cut_everywhere(&world, 100, work);
}

#[test]
fn a_snapshot_may_be_cut_off_anywhere() {
    let mut world = World::new(34);
    write_blocks(&mut world, 2, NS_PER_S);
    world.database().flush_all().expect("flushed");
    world.database().snapshot().expect("a snapshot");
    write_blocks(&mut world, 4, 2 * NS_PER_S);
    world.delete(&[3], START - 3 * HOUR..=START).expect("deleted");
    cut_everywhere(&world, 100, |w| w.database().snapshot());
}

#[test]
fn a_compaction_may_be_cut_off_anywhere() {
    let mut world = World::new(35);
    days(&mut world, 0..3).expect("written");
    cut_everywhere(&world, 100, |w| w.database().compact().map(drop));
}

#[test]
fn expiry_may_be_cut_off_anywhere() {
    let mut world = World::new(36);
    world.retention_ns = 48 * HOUR;
    world.reopen();
    write_blocks(&mut world, 13, NS_PER_S);
    world.database().flush_all().expect("flushed");
    write_blocks(&mut world, 13, 2 * NS_PER_S);
    world.database().snapshot().expect("a snapshot");
    world.clock.pass_to(START + 47 * HOUR);
    for samples in world.model.values_mut() {
        samples.retain(|t, _| *t >= START - HOUR);
    }
    cut_everywhere(&world, 90, |w| w.database().tick());
}

#[test]
fn the_end_of_a_namespace_may_be_cut_off_anywhere() {
    let mut world = World::new(37);
    write_blocks(&mut world, 1, NS_PER_S);
    let doomed = NamespaceOptions { shard_count: 4, ..NamespaceOptions::default() };
    world.database().add_namespace("doomed", doomed).expect("made");
    world.write_elsewhere("doomed", START);
    world.database().flush_all().expect("flushed");
    let work: Work = |w| match w.database().remove_namespace("doomed") {
        Ok(()) | Err(TsdbError::NoNamespace { .. }) => w.database().tick(),
        Err(other) => Err(other),
    };
    cut_everywhere(&world, 10, work);
}

#[test]
fn another_number_of_shards_may_be_cut_off_anywhere() {
    let mut world = World::new(38);
    write_blocks(&mut world, 2, NS_PER_S);
    world.database().flush_all().expect("flushed");
    write_blocks(&mut world, 1, 2 * NS_PER_S);
    cut_everywhere(&world, 60, |w| w.database().reshard("default", 2));
}
