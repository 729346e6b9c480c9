//! Files that the disk does not let go.

use m3rs_core::fs::Fs;
use m3rs_sim::disk::Unsynced;
use m3rs_tsdb::TsdbError;

use crate::world::{DAY, HOUR, START, World};

/// A merge that could read nothing took its sources for deleted ones and removed them.
#[test]
fn a_merge_that_can_read_nothing_throws_no_byte_away() {
    let mut world = World::new(1, 0);
    world.write(&[(1, START, 1.0)]).expect("written");
    world.database().flush_all().expect("flushed");
    let volumes = world.files("data");
    assert_eq!(volumes.len(), 1);
    let sound = world.fs.read(&volumes[0]).expect("read");
    world.fs.crash(Unsynced::Kept);
    // The only series block begins behind the header.
    world.fs.damage(&volumes[0], |bytes| bytes[10] ^= 0xff).expect("damaged");
    world.open();
    // A deletion of another time has no samples, so that nothing is left to write.
    world.delete(1, START + 1..=START + 2).expect("deleted");
    world.database().flush_all().expect("flushed");
    let left = world.files("data");
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].to_string_lossy().ends_with(".damaged"), "{left:?}");
    let aside = world.fs.read(&left[0]).expect("read");
    assert_eq!(aside.len(), sound.len());
}

/// Two volumes and more of each of two series, for a job of that name.
fn prepared(name: &str, retention: i64) -> World {
    let mut world = World::new(2, retention);
    world.pass(DAY + 6 * HOUR);
    world.fill(1, START, 24);
    world.fill(2, START, 24);
    // Two volumes of one block, and samples over it that no volume has.
    world.write(&[(1, START + 1, 1.0)]).expect("written");
    world.database().flush_all().expect("flushed");
    if name != "compaction" {
        world.write(&[(1, START + 2, 2.0), (2, START, 3.0)]).expect("written");
    }
    if name == "flush of a block that was deleted" {
        for series in [1, 2] {
            world.delete(series, START..=START + 2 * HOUR - 1).expect("deleted");
        }
    }
    world
}

type Story = fn(&mut World) -> Result<(), TsdbError>;

/// What each job forgot in memory before an error of the disk stayed on the disk, and was served
/// again after a start: deleted samples came back, and volume numbers were given twice.
///
/// So at each operation of each job the disk fails once; after that there are deletions, late
/// writes, flushes, and a power cut.
#[test]
fn a_disk_error_at_any_operation_of_a_job_brings_nothing_back() {
    let jobs: [(&str, i64, Story); 5] = [
        ("compaction", 0, |w| w.database().compact().map(drop)),
        ("flush of all", 0, |w| w.database().flush_all().map(drop)),
        ("flush of a block that was deleted", 0, |w| w.database().flush_all().map(drop)),
        ("snapshot", 0, |w| w.database().snapshot()),
        ("expiry", 8 * DAY, |w| {
            w.pass(7 * DAY);
            let horizon = w.now() - 8 * DAY;
            w.model.retain(|(_, t), _| *t >= horizon);
            w.database().tick()
        }),
    ];
    for (name, retention, job) in jobs {
        let prepare = || prepared(name, retention);
        let mut world = prepare();
        let first = world.fs.ops();
        job(&mut world).expect("the disk is fine");
        let last = world.fs.ops();
        assert!(last > first + 2, "{name}: {first} to {last}");
        for op in first + 1..=last {
            for unsynced in [Unsynced::Lost, Unsynced::Torn, Unsynced::Kept] {
                let mut world = prepare();
                world.fs.fail_at_op(op);
                let failed = job(&mut world).is_err();
                // The log's thread may have made fewer operations this time.
                world.fs.fail_at_op(0);
                let place = format!("{name}, op {op} ({failed}), {unsynced:?}");
                if world.database().status().log_failure.is_some() {
                    world.database().tick().expect("the log recovers");
                }
                let now = world.now();
                world.delete(2, START..=START + 9 * HOUR).expect("deleted");
                if name == "expiry" {
                    world.write(&[(1, now - DAY, 7.0), (2, now - DAY, 8.0)]).expect("written");
                } else {
                    world.write(&[(1, START + 1, 7.0), (2, START + HOUR, 8.0)]).expect("written");
                }
                world.check(&place);
                world.database().snapshot().expect("a snapshot");
                world.database().flush_all().expect("flushed");
                world.check(&place);
                world.crash(unsynced);
                assert_eq!(world.database().damage_at_start(), [], "{place}");
                world.check(&place);
                world.pass(HOUR);
                let horizon = if retention == 0 { 0 } else { world.now() - retention };
                world.model.retain(|(_, t), _| *t >= horizon);
                world.database().compact().expect("compacted");
                world.database().flush_all().expect("flushed");
                world.crash(Unsynced::Lost);
                world.check(&place);
            }
        }
    }
}
