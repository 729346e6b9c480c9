//! Jobs that fail do not hold up others.

use m3rs_core::fs::Fs;

use crate::world::{DAY, HOUR, START, World};

/// Expiry came last, after jobs that need space; so a full disk stayed full.
#[test]
fn a_full_disk_frees_itself_by_retention() {
    let mut world = World::new(3, 10 * DAY);
    world.pass(3 * HOUR);
    let old: Vec<_> =
        (0..7200).map(|i| (1, START - 9 * DAY + i * 1_000_000_000, World::noise(i))).collect();
    world.write(&old).expect("written");
    world.fill(1, START, 2);
    let old = world.files("data");
    world.pass(2 * DAY);
    world.write(&[(1, START + 2 * DAY, 0.0)]).expect("there is space, and that is known");
    world.fs.set_space(Some(0));
    let refused = world.write(&[(1, START + DAY, 1.0)]);
    assert!(refused.is_err(), "no space for the log");
    assert!(world.database().status().log_failure.is_some());
    world.pass(HOUR);
    world.database().tick().expect("the old block makes room");
    assert!(!world.fs.exists(&old[0]), "{old:?}");
    assert_eq!(world.database().status().log_failure, None);
    world.model.retain(|(_, t), _| *t >= START);
    world.write(&[(1, START + DAY, 1.0)]).expect("writes are taken again");
    world.check("after all");
    for kind in ["expire", "purge", "recover", "flush"] {
        let job = world.database().status().jobs.into_iter().find(|job| job.job == kind);
        assert!(job.is_some_and(|job| job.runs > 0), "{kind} is seen");
    }
}

/// One block that could not be flushed held up those after it, for ever.
#[test]
fn a_block_that_cannot_be_flushed_holds_up_no_other() {
    let mut world = World::new(4, 0);
    world.pass(5 * HOUR);
    for hour in [0, 2, 4] {
        world.write(&[(1, START + hour * HOUR, 1.0)]).expect("written");
    }
    world.pass(DAY);
    // A directory stands where the first block's volume is to be.
    let obstacle = format!("/data/data/default/0/{START}-0.fileset");
    world.fs.create_dir_all(std::path::Path::new(&obstacle)).expect("made");
    world.fs.create_dir_all(&std::path::Path::new(&obstacle).join("x")).expect("made");
    assert!(world.database().tick().is_err(), "one block fails");
    assert_eq!(world.database().status().volumes, 2, "the others are flushed");
    world.check("with an obstacle");
    let failed = |world: &World| {
        let jobs = world.database().status().jobs.into_iter();
        jobs.filter(|job| job.job == "flush").map(|job| job.failures).sum::<u64>()
    };
    assert!(failed(&world) > 0);
    world.fs.remove_dir_all(std::path::Path::new(&obstacle)).expect("removed");
    world.database().tick().expect("nothing is in the way");
    assert_eq!(world.database().status().volumes, 3);
    world.check("without it");
}

/// The first compaction that was due was tried again and again, and no other one.
#[test]
fn a_compaction_that_fails_rests_and_the_others_go_on() {
    // Long enough for days, and not for weeks.
    let mut world = World::new(5, 30 * DAY);
    world.pass(3 * DAY);
    world.fill(1, START, 48);
    let obstacle = format!("/data/data/default/0/1d/{START}-0.fileset");
    world.fs.create_dir_all(std::path::Path::new(&obstacle)).expect("made");
    world.fs.create_dir_all(&std::path::Path::new(&obstacle).join("x")).expect("made");
    assert!(world.database().compact().is_err(), "the first day cannot be written");
    assert_eq!(world.database().status().compactions, 1, "the second one is");
    assert_eq!(world.database().compact().expect("it rests"), 0);
    world.check("with an obstacle");
    world.fs.remove_dir_all(std::path::Path::new(&obstacle)).expect("removed");
    world.pass(HOUR);
    assert_eq!(world.database().compact().expect("nothing is in the way"), 1);
    world.check("without it");
}
