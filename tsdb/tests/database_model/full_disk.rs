//! The disk is full after so many bytes, for many numbers of bytes, in every job.

use std::path::{Path, PathBuf};

use m3rs_core::time::NS_PER_S;
use m3rs_sim::disk::Unsynced;
use m3rs_tsdb::{NamespaceOptions, TsdbError};

use crate::faults::files_below;
use crate::side::{seen_side, write_side};
use crate::{HOUR, START, World, days};

type Job = fn(&World) -> Result<(), TsdbError>;

/// Two days, closed, with late samples, a deletion and exemplars in the log over them.
fn prepared() -> World {
    let mut world = World::new(22);
    days(&mut world, 0..2).expect("written");
    world.write(&[(1, START, 7.0), (3, START + 1, 8.0)]).expect("written");
    world.delete(&[2], START..=START + HOUR).expect("deleted");
    world.clock.pass(4 * HOUR);
    write_side(&mut world, 1);
    world
}

/// Whether the disk takes writes; it rewrites a sample that is there, so nothing changes.
fn takes_writes(world: &mut World) -> Result<(), TsdbError> {
    let (&t, sample) = world.model[&3].last_key_value().expect("there is one");
    let row = (3, t, sample.clone());
    let outcome = world.write_any(&[row]);
    world.open_request.clear();
    outcome
}

/// Runs the job on disks that are larger by `step` bytes each, until one has the space that the job
/// needs; returns what was told by each that had not.
fn fill(prepared: &World, job_name: &str, step: u64, job: Job) -> Vec<String> {
    let (mut told, mut free) = (Vec::new(), 0);
    let side = seen_side(prepared);
    let check = |world: &World| {
        world.check(0..=i64::MAX / 2);
        assert_eq!(seen_side(world), side);
    };
    loop {
        let case = format!("{job_name} with {free} bytes");
        let _case = crate::SayIfPanics(&case);
        let mut world = prepared.copied();
        world.open().expect("opens");
        world.clock.pass(120 * NS_PER_S);
        world.fs.set_space(Some(free));
        let outcome = job(&world);
        check(&world);
        // The log fails when there is not even space for a request; reads go on.
        let is_full = takes_writes(&mut world).is_err();
        check(&world);
        world.fs.set_space(None);
        world.database().tick().expect("there is space again");
        if is_full {
            takes_writes(&mut world).expect("the log recovered");
        }
        job(&world).expect("there is space again");
        check(&world);
        world.crash(Unsynced::Lost);
        assert_eq!(world.database().damage_at_start(), []);
        check(&world);
        match outcome {
            Ok(()) => return told,
            Err(error) => {
                assert_eq!(error.kind(), m3rs_core::ErrorKind::Unavailable, "{error}");
                told.push(error.to_string());
            }
        }
        free += step;
    }
}

#[test]
fn a_full_disk_in_a_snapshot_loses_nothing() {
    assert!(fill(&prepared(), "snapshot", 97, |w| w.database().snapshot()).len() > 10);
}

#[test]
fn a_full_disk_in_a_flush_loses_nothing() {
    assert!(fill(&prepared(), "flush", 97, |w| w.database().flush_all().map(drop)).len() > 10);
}

#[test]
fn a_full_disk_in_a_flush_of_what_is_due_loses_nothing() {
    assert!(fill(&prepared(), "tick", 97, |w| w.database().tick()).len() > 10);
}

#[test]
fn a_full_disk_in_a_compaction_loses_nothing() {
    // It is not begun without space for what it writes.
    let compact: Job = |w| w.database().compact().map(drop);
    assert_eq!(fill(&prepared(), "compaction", 97, compact), [""; 0]);
}

/// A checkpoint begins with the side file, so all else waits for space for it.
#[test]
fn a_full_disk_when_the_side_file_is_written_loses_nothing() {
    let mut world = prepared();
    for round in 2..30 {
        write_side(&mut world, round);
    }
    let told = fill(&world, "side file", 31, |w| w.database().snapshot());
    let of_side = told.iter().filter(|error| error.contains("metadata-exemplars.side"));
    assert!(of_side.count() > 10, "{told:?}");
}

/// Series that no sealed segment holds yet are searched from memory until there is space for one.
#[test]
fn a_full_disk_when_the_index_is_sealed_loses_nothing() {
    let mut world = prepared();
    let new: Vec<_> = (4..90).map(|s| (s, START, f64::from(s))).collect();
    world.write(&new).expect("written");
    let told = fill(&world, "seal", 97, |w| w.database().snapshot());
    let of_index = told.iter().filter(|error| error.contains("/data/index/"));
    assert!(of_index.count() > 10, "{told:?}");
}

/// The start of a block that expires.
const OLD: i64 = START - START % (2 * HOUR);

/// An old block with a volume and a snapshot, which expires in an hour, and much that is due.
fn prepared_to_expire() -> World {
    let mut world = World::new(22);
    world.retention_ns = 4 * 24 * HOUR;
    world.start_over();
    let old: Vec<_> = (1..20).map(|s| (s, START, f64::from(s))).collect();
    world.write(&old).expect("written");
    world.database().flush_all().expect("flushed");
    world.delete(&[5], START..=START).expect("deleted");
    world.database().snapshot().expect("taken");
    world.clock.pass_to(OLD + 48 * HOUR);
    write_side(&mut world, 1);
    let new: Vec<_> =
        (0..2000u32).map(|i| (i % 4, OLD + 46 * HOUR + i64::from(i), f64::from(i).sin())).collect();
    world.write(&new).expect("written");
    world.clock.pass_to(OLD + (4 * 24 + 1) * HOUR);
    world
}

/// Files of the block that expires.
fn old_files(world: &World) -> usize {
    let all = ["/data/data", "/data/snapshots"].map(|dir| files_below(world, Path::new(dir)));
    let is_old = |path: &PathBuf| path.to_string_lossy().contains(&OLD.to_string());
    all.into_iter().flatten().filter(is_old).count()
}

/// A removal needs no space, and makes some for the jobs after it.
#[test]
fn a_full_disk_when_blocks_expire_loses_nothing_and_keeps_none_of_them() {
    let expire: Job = |w| {
        w.clock.pass(2 * HOUR);
        let done = w.database().tick();
        assert_eq!(old_files(w), 0);
        done
    };
    let world = prepared_to_expire();
    assert!(old_files(&world) >= 4);
    let told = fill(&world, "expiry", 97, expire);
    assert!(told.len() > 10, "{told:?}");
}

#[test]
fn a_full_disk_when_shards_change_loses_nothing() {
    let reshard: Job = |w| w.database().reshard("default", 2);
    assert!(fill(&prepared(), "reshard", 97, reshard).len() > 10);
}

#[test]
fn a_full_disk_when_namespaces_change_loses_nothing() {
    let changes: [(&str, Job); 4] = [
        ("make", |w| match w.database().namespace("other") {
            Some(_) => Ok(()),
            None => w.database().add_namespace("other", NamespaceOptions::default()).map(drop),
        }),
        ("change", |w| {
            let old = w.database().namespace("default").expect("it exists").options();
            let new = NamespaceOptions { repair_enabled: true, ..old.as_ref().clone() };
            w.database().update_namespace("default", new)
        }),
        ("stop logging", |w| {
            let old = w.database().namespace("default").expect("it exists").options();
            let new = NamespaceOptions { writes_to_commit_log: false, ..old.as_ref().clone() };
            w.database().update_namespace("default", new)
        }),
        ("empty", |w| w.database().truncate("spare")),
    ];
    let world = prepared();
    world.database().add_namespace("spare", NamespaceOptions::default()).expect("made");
    for (name, job) in changes {
        assert!(!fill(&world, name, 31, job).is_empty(), "{name}");
    }
}

#[test]
fn a_full_disk_when_a_namespace_goes_loses_nothing() {
    let world = prepared();
    world.database().add_namespace("spare", NamespaceOptions::default()).expect("made");
    world.write_elsewhere("spare", START);
    world.database().flush_all().expect("flushed");
    let remove: Job = |w| match w.database().remove_namespace("spare") {
        Ok(()) | Err(TsdbError::NoNamespace { .. }) => w.database().tick(),
        Err(other) => Err(other),
    };
    assert!(!fill(&world, "removal", 31, remove).is_empty());
}

#[test]
fn a_failed_log_recovers_when_a_full_disk_has_space_again() {
    let world = prepared();
    let recover: Job = |w| {
        w.fs.fail_next_sync(1);
        let namespace = w.database().namespace("default").expect("it exists");
        let mut session = namespace.writer();
        let handle = session.resolve_labels(&crate::labels(3))?;
        session.push(handle, m3rs_core::time::TimestampNs(START + 1), 8.0).expect("kept");
        let lost = session.commit().and_then(|commit| w.runtime.block_on(commit.durable()));
        w.fs.fail_next_sync(0);
        assert!(lost.is_err() || w.database().status().log_failure.is_none());
        w.database().tick()
    };
    assert!(fill(&world, "recovery", 97, recover).len() > 10);
}
