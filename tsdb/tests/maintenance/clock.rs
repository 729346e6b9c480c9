//! Wall clocks that jump.

use m3rs_core::fs::Fs;
use m3rs_sim::disk::Unsynced;

use crate::world::{DAY, HOUR, START, World};

const YEARS: i64 = 10 * 365 * DAY;

type Stage = fn(&mut World);

/// A jump ahead expired all data at the next look, for ever, and the log was replayed into nothing
/// after a restart.
#[test]
fn a_step_of_the_clock_at_any_stage_loses_nothing() {
    let stages: [(&str, Stage); 7] = [
        ("write", |w| {
            // What is outside of retention by the clock is refused, and told.
            let refused = w.try_write(&[(3, START + DAY, 1.0)]).expect("written");
            if refused == 0 {
                w.model.insert((3, START + DAY), 1.0);
            }
        }),
        ("flush", |w| assert!(w.database().flush_all().is_ok())),
        ("snapshot", |w| w.database().snapshot().expect("a snapshot")),
        ("expire", |w| w.database().tick().expect("a tick")),
        ("compact", |w| assert!(w.database().compact().is_ok())),
        ("restart", World::open),
        ("power cut", |w| w.crash(Unsynced::Lost)),
    ];
    for step in [YEARS, -YEARS, HOUR, -HOUR] {
        for (name, stage) in stages {
            let mut world = World::new(6, 10 * DAY);
            world.pass(DAY);
            // Its block is out of retention in less than an hour.
            let old = START - 9 * DAY + 2 * HOUR - 1;
            world.write(&[(1, old, 1.0)]).expect("written");
            world.fill(1, START, 24);
            world.write(&[(1, START + DAY, 3.0), (2, START + DAY, 4.0)]).expect("written");
            world.pass(HOUR);
            world.check("before");
            let place = format!("a step of {} h at {name}", step / HOUR);
            world.step(step);
            stage(&mut world);
            world.database().tick().expect("a tick");
            world.database().flush_all().expect("flushed");
            world.pass(HOUR / 2);
            world.database().tick().expect("a tick");
            stage(&mut world);
            world.database().tick().expect("a tick");
            world.step(-step);
            world.check(&place);
            world.database().tick().expect("a tick");
            world.crash(Unsynced::Lost);
            world.check(&place);
            world.pass(HOUR / 3);
            world.write(&[(2, START + DAY + HOUR, 5.0)]).expect("the clock is right");
            world.database().tick().expect("a tick");
            world.check(&place);
        }
    }
}

#[test]
fn expiry_goes_on_when_the_clock_has_been_steady() {
    let mut world = World::new(7, 10 * DAY);
    world.pass(5 * HOUR);
    world.fill(1, START, 4);
    world.pass(HOUR);
    world.database().tick().expect("a tick");
    assert!(!world.database().status().expiry_held);
    world.step(30 * DAY);
    world.database().tick().expect("a tick");
    assert!(world.database().status().expiry_held);
    assert_eq!(world.database().status().volumes, 2);
    assert!(world.read().is_empty(), "by the clock it is too old");
    world.pass(HOUR);
    world.database().tick().expect("a tick");
    assert!(!world.database().status().expiry_held);
    assert_eq!(world.database().status().volumes, 0);
}

/// A damaged file that was set aside stayed for ever.
#[test]
fn what_was_set_aside_goes_with_the_retention_of_its_block() {
    let mut world = World::new(8, 10 * DAY);
    world.pass(3 * HOUR);
    world.fill(1, START, 2);
    let volume = world.files("data").remove(0);
    world.fs.crash(Unsynced::Kept);
    world.fs.damage(&volume, |bytes| bytes[10] ^= 0xff).expect("damaged");
    world.open();
    world.write(&[(1, START, 1.0)]).expect("written");
    world.database().flush_all().expect("flushed");
    let aside = volume.with_extension("fileset.damaged");
    assert!(world.fs.exists(&aside), "{:?}", world.files("data"));
    world.pass(10 * DAY - 2 * HOUR);
    world.database().tick().expect("a tick");
    assert!(world.fs.exists(&aside), "its block has not ended long enough ago");
    world.pass(2 * HOUR);
    world.database().tick().expect("a tick");
    assert!(world.files("data").is_empty(), "{:?}", world.files("data"));
}
