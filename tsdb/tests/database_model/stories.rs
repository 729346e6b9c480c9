//! Random lives of a database, held to a map: writes of all kinds, deletions, flushes, snapshots,
//! compactions, passing time and retention, metadata and exemplars, kills and power cuts.

use m3rs_core::clock::Clock;
use m3rs_sim::disk::Unsynced;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::samples::random_request;
use crate::{HOUR, SayIfPanics, World, side};

/// Returns how many blocks were compacted.
fn story(seed: u64) -> u64 {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::new(seed);
    if seed.is_multiple_of(3) {
        world.retention_ns = rng.random_range(20..100) * HOUR;
        world.reopen();
    }
    let (mut compactions, mut rounds) = (0, 0);
    for _ in 0..120 {
        let now = world.clock.now().0;
        match rng.random_range(0..26) {
            0..=11 => {
                let request = random_request(&mut rng, now);
                world.write_any(&request).expect("the disk is fine");
            }
            12 => drop(world.database().flush_all().expect("the disk is fine")),
            13 => world.database().snapshot().expect("the disk is fine"),
            14 => world.database().tick().expect("the disk is fine"),
            15 => world.crash(Unsynced::Lost),
            16 => world.crash(Unsynced::Torn),
            17 => world.clock.pass_to(now + rng.random_range(0..30 * HOUR)),
            19 => {
                let series: Vec<u32> = (0..12).filter(|_| rng.random_bool(0.3)).collect();
                let from = now - rng.random_range(0..40 * HOUR);
                let range = from..=from + rng.random_range(0..10 * HOUR);
                world.delete(&series, range).expect("the disk is fine");
            }
            20 => world.reopen(),
            21 => {
                side::write_side(&mut world, rounds);
                rounds += 1;
            }
            22 => side::check_side(&world, rounds),
            23 => world.crash(Unsynced::Reordered),
            18 => compactions += world.database().compact().expect("the disk is fine"),
            _ => {
                let from = now - rng.random_range(0..12 * HOUR);
                world.check(from..=from + rng.random_range(0..6 * HOUR));
            }
        }
    }
    world.check(0..=i64::MAX / 2);
    world.crash(Unsynced::Lost);
    world.check(0..=i64::MAX / 2);
    side::check_side(&world, rounds);
    assert_eq!(world.database().damage_at_start(), []);
    compactions
}

/// `M3RS_STORIES` tells how many to run, for a long search.
fn stories(first: u64) {
    let count = std::env::var("M3RS_STORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let mut compactions = 0;
    for seed in (first..).step_by(4).take(count) {
        let case = format!("story {seed}");
        let _case = SayIfPanics(&case);
        compactions += story(seed);
    }
    assert!(compactions > 10, "{compactions} compactions happened");
}

#[test]
fn random_stories_equal_a_map() {
    stories(0);
}

#[test]
fn other_random_stories_equal_a_map() {
    stories(1);
}

#[test]
fn more_random_stories_equal_a_map() {
    stories(2);
}

#[test]
fn still_more_random_stories_equal_a_map() {
    stories(3);
}
