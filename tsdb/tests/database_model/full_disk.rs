//! The disk is full after so many bytes, for many numbers of bytes, in every job.

use m3rs_core::time::NS_PER_S;
use m3rs_sim::disk::Unsynced;
use m3rs_tsdb::{NamespaceOptions, TsdbError};

use crate::side::write_side;
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
    let sample = world.model[&3][&(START + 1)].clone();
    let outcome = world.write_any(&[(3, START + 1, sample)]);
    world.open_request.clear();
    outcome
}

/// Runs the job on disks that are larger by `step` bytes each, until one has the space that the job
/// needs; returns how often one had not.
fn fill(prepared: &World, job_name: &str, step: u64, job: Job) -> u32 {
    let (mut refused, mut free) = (0, 0);
    loop {
        let case = format!("{job_name} with {free} bytes");
        let _case = crate::SayIfPanics(&case);
        let mut world = prepared.copied();
        world.open().expect("opens");
        world.clock.pass(120 * NS_PER_S);
        world.fs.set_space(Some(free));
        let outcome = job(&world);
        world.check(0..=i64::MAX / 2);
        // The log fails when there is not even space for a request; reads go on.
        let is_full = takes_writes(&mut world).is_err();
        world.check(0..=i64::MAX / 2);
        world.fs.set_space(None);
        world.database().tick().expect("there is space again");
        if is_full {
            takes_writes(&mut world).expect("the log recovered");
        }
        job(&world).expect("there is space again");
        world.check(0..=i64::MAX / 2);
        world.crash(Unsynced::Lost);
        assert_eq!(world.database().damage_at_start(), []);
        world.check(0..=i64::MAX / 2);
        match outcome {
            Ok(()) => return refused,
            Err(error) => {
                assert_eq!(error.kind(), m3rs_core::ErrorKind::Unavailable, "{error}");
                refused += 1;
            }
        }
        free += step;
    }
}

#[test]
fn a_full_disk_in_a_snapshot_loses_nothing() {
    assert!(fill(&prepared(), "snapshot", 97, |w| w.database().snapshot()) > 10);
}

#[test]
fn a_full_disk_in_a_flush_loses_nothing() {
    assert!(fill(&prepared(), "flush", 97, |w| w.database().flush_all().map(drop)) > 10);
}

#[test]
fn a_full_disk_in_a_flush_of_what_is_due_loses_nothing() {
    assert!(fill(&prepared(), "tick", 97, |w| w.database().tick()) > 10);
}

#[test]
fn a_full_disk_in_a_compaction_loses_nothing() {
    // It is not begun without space for what it writes.
    let compact: Job = |w| w.database().compact().map(drop);
    assert_eq!(fill(&prepared(), "compaction", 97, compact), 0);
}

#[test]
fn a_full_disk_when_shards_change_loses_nothing() {
    let reshard: Job = |w| w.database().reshard("default", 2);
    assert!(fill(&prepared(), "reshard", 97, reshard) > 10);
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
        assert!(fill(&world, name, 31, job) > 0, "{name}");
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
    assert!(fill(&world, "removal", 31, remove) > 0);
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
    assert!(fill(&world, "recovery", 97, recover) > 10);
}
