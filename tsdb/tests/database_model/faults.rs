//! Damage, full disks and power cuts in background work.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use m3rs_core::fs::Fs;
use m3rs_core::time::NS_PER_S;
use m3rs_sim::disk::Unsynced;
use m3rs_tsdb::TsdbError;

use crate::{HOUR, START, World, days};

#[test]
fn a_scrub_finds_what_no_query_met() {
    let mut world = World::new(12);
    let samples: Vec<_> = (0..10).map(|s| (s, START + i64::from(s), f64::from(s))).collect();
    world.write(&samples).expect("written");
    world.database().flush_all().expect("flushed");
    let sound = world.database().scrub().expect("the disk is fine");
    assert!(sound.files >= 4 && sound.damaged_files == 0, "{sound:?}");
    assert_eq!(world.database().status().quarantined, []);
    drop(world.database.take());
    let volumes: Vec<PathBuf> = (0..4)
        .flat_map(|s| world.fs.list(Path::new(&format!("/data/data/default/{s}"))))
        .flatten()
        .collect();
    world.fs.damage(&volumes[0], |bytes| bytes[10] ^= 0x40).expect("damaged");
    world.open().expect("opens");
    let found = world.database().scrub().expect("the disk is fine");
    assert_eq!((found.files, found.damaged_files), (sound.files, 1));
    let status = world.database().status();
    let [told] = &status.quarantined[..] else { panic!("{:?}", status.quarantined) };
    assert_eq!((&told.path, told.kind, told.pieces), (&volumes[0], "volume", 1));
    assert_eq!(told.block_start_ns, Some(START - START % (2 * HOUR)));
    assert!(told.lost_bytes > 0 && told.first.contains("series block"), "{told:?}");
    let (served, told) = world.read_damaged(0..=i64::MAX / 2);
    assert_eq!((served.len(), told.len()), (9, 1), "the other series are served: {told:?}");
    // The rest is taken over, and the damaged file is set aside: nothing is left to tell.
    world.write(&samples).expect("written again");
    world.database().flush_all().expect("flushed");
    assert_eq!(world.database().scrub().expect("the disk is fine").damaged_files, 0);
    assert_eq!(world.database().status().quarantined, []);
    world.check(0..=i64::MAX / 2);
}

/// Two days of two series, flushed, with late samples in the log over them.
fn prepared(seed: u64) -> World {
    let mut world = World::new(seed);
    days(&mut world, 0..2).expect("written");
    world.write(&[(1, START, 7.0), (3, START + 1, 8.0)]).expect("written");
    world.clock.0.fetch_add(4 * HOUR, Ordering::Relaxed);
    world
}

/// Deletes, and puts the deletion through every kind of file.
fn delete_and_settle(world: &mut World) -> Result<(), TsdbError> {
    world.delete(&[1, 3], START - 5 * HOUR..=START + 3 * HOUR)?;
    world.database().snapshot()?;
    world.write(&[(1, START - HOUR, 9.0)])?;
    world.database().flush_all()?;
    world.database().compact()?;
    Ok(())
}

#[test]
fn a_power_cut_at_any_operation_of_a_deletion_leaves_each_series_before_or_after_it() {
    let mut world = prepared(21);
    let before = world.model.clone();
    let first = world.fs.ops();
    delete_and_settle(&mut world).expect("the disk is fine");
    let last = world.fs.ops();
    assert!(last > first + 60, "it is many operations: {first} to {last}");
    for op in first..last {
        let mut world = prepared(21);
        world.fs.crash_at_op(op);
        let done = delete_and_settle(&mut world);
        world.crash(if op % 2 == 0 { Unsynced::Lost } else { Unsynced::Torn });
        assert_eq!(world.database().damage_at_start(), [], "op {op}");
        let got = world.read(0..=i64::MAX / 2);
        let was_acked = world.model != before;
        for (series, samples) in &before {
            let now = got.get(series).cloned().unwrap_or_default();
            let acked = world.model.get(series).cloned().unwrap_or_default();
            // The last write, if it was under way, may be there or not.
            let mut with_open = acked.clone();
            let open = world.open_request.iter().filter(|r| r.0 == *series);
            with_open.extend(open.map(|r| (r.1, r.2.clone())));
            let deleted: std::collections::BTreeMap<_, _> = samples
                .iter()
                .filter(|(t, _)| !(START - 5 * HOUR..=START + 3 * HOUR).contains(*t))
                .map(|(t, v)| (*t, v.clone()))
                .collect();
            let is_half_done = !was_acked && *series != 2 && now == deleted;
            let is_right = now == acked || now == with_open || is_half_done;
            assert!(is_right, "op {op}, series {series}, {done:?}: {} samples", now.len());
        }
    }
}

#[test]
fn a_full_disk_in_any_background_job_loses_nothing() {
    type Job = fn(&World) -> Result<(), TsdbError>;
    let jobs: [(&str, Job); 5] = [
        ("snapshot", |w| w.database().snapshot()),
        ("flush of all", |w| w.database().flush_all().map(drop)),
        ("flush of what is due", |w| w.database().tick()),
        ("compaction", |w| w.database().compact().map(drop)),
        ("scrub", |w| w.database().scrub().map(drop)),
    ];
    for (name, job) in jobs {
        let mut refused = 0;
        for free in (0..4000).step_by(250) {
            let mut world = prepared(22);
            world.delete(&[2], START..=START + HOUR).expect("the disk has space yet");
            world.clock.0.fetch_add(120 * NS_PER_S, Ordering::Relaxed);
            world.fs.set_space(Some(free));
            let outcome = job(&world);
            refused += u64::from(outcome.is_err());
            world.check(0..=i64::MAX / 2);
            world.fs.set_space(None);
            world.check(0..=i64::MAX / 2);
            world.database().tick().expect("there is space again");
            job(&world).expect("there is space again");
            world.check(0..=i64::MAX / 2);
            world.crash(Unsynced::Lost);
            world.check(0..=i64::MAX / 2);
        }
        // Scrubs write nothing, and a compaction is not begun without space.
        let writes = !matches!(name, "scrub" | "compaction");
        assert_eq!(refused > 0, writes, "{name}: {refused} refusals");
    }
}

#[test]
fn a_power_cut_at_any_operation_of_expiry_brings_nothing_back() {
    let prepare = || {
        let mut world = World::new(23);
        world.retention_ns = 6 * HOUR;
        world.reopen();
        for hour in 0..6 {
            let t = START - 5 * HOUR + hour * HOUR;
            world.write(&[(1, t, 1.0), (2, t, 2.0)]).expect("kept");
            if hour % 2 == 0 {
                world.database().snapshot().expect("a snapshot");
            } else {
                world.database().flush_all().expect("flushed");
            }
        }
        world.clock.0.store(START + 4 * HOUR, Ordering::Relaxed);
        for samples in world.model.values_mut() {
            samples.retain(|t, _| *t >= START - 2 * HOUR);
        }
        world
    };
    let world = prepare();
    let first = world.fs.ops();
    world.database().tick().expect("expires");
    let last = world.fs.ops();
    assert!(last > first + 2, "expiry is some operations: {first} to {last}");
    for op in first..last {
        let mut world = prepare();
        world.fs.crash_at_op(op);
        let _cut_off = world.database().tick();
        world.crash(if op % 2 == 0 { Unsynced::Lost } else { Unsynced::Torn });
        world.check(0..=i64::MAX / 2);
        world.database().tick().expect("expires");
        world.check(0..=i64::MAX / 2);
    }
}

/// A small database with every kind of file.
fn with_every_kind_of_file() -> World {
    let mut world = World::new(24);
    days(&mut world, 0..2).expect("written");
    world.database().compact().expect("compacted");
    let now = world.clock.0.load(Ordering::Relaxed);
    for series in 0..6 {
        world.write(&[(series, now, f64::from(series))]).expect("written");
    }
    world.database().flush_all().expect("flushed");
    for series in 3..9 {
        world.write(&[(series, now + NS_PER_S, f64::from(series))]).expect("written");
    }
    world.delete(&[3], now..=now).expect("deleted");
    world.database().snapshot().expect("a snapshot");
    for series in 6..12 {
        world.write(&[(series, now + 2 * NS_PER_S, f64::from(series))]).expect("written");
    }
    world
}

/// Every file below a directory.
fn files_below(world: &World, dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for path in world.fs.list(&dir).expect("listed") {
            match world.fs.file_len(&path) {
                Ok(_) => files.push(path),
                Err(_) => dirs.push(path),
            }
        }
    }
    files.sort();
    files
}

/// Bytes of each file that a sweep damages: all of small files, and a part of larger ones.
fn swept(len: u64) -> impl Iterator<Item = usize> {
    let step = (len / 120).max(1) as usize;
    // An odd stride meets all residues of the fields' widths.
    (0..len as usize).step_by(step | 1)
}

#[test]
fn a_flipped_byte_of_any_file_is_told_and_costs_no_more_than_its_block() {
    let mut told_at_start = 0;
    let mut told_by_reads = 0;
    let mut told_by_scrubs = 0;
    let files = {
        let world = with_every_kind_of_file();
        let files = files_below(&world, Path::new("/data"));
        files.into_iter().map(|f| (world.fs.file_len(&f).expect("there"), f)).collect::<Vec<_>>()
    };
    let kinds = ["commitlog", "index", "namespaces", "snapshots", "/1d/", "data/default"];
    for kind in kinds {
        assert!(files.iter().any(|(_, f)| f.to_string_lossy().contains(kind)), "no {kind} file");
    }
    for (len, path) in &files {
        if path.ends_with("lock") {
            continue;
        }
        for at in swept(*len) {
            let mut world = with_every_kind_of_file();
            world.fs.crash(Unsynced::Kept);
            drop(world.database.take());
            let flip = |bytes: &mut Vec<u8>| {
                // The log groups what comes at the same time, so lengths vary by a few bytes.
                let at = at.min(bytes.len() - 1);
                bytes[at] ^= 0x10;
            };
            world.fs.damage(path, flip).expect("damaged");
            let place = format!("{} at {at}", path.display());
            world.open().unwrap_or_else(|e| panic!("{place}: does not open: {e}"));
            let at_start = world.database().damage_at_start().len();
            let (got, warnings) = world.read_damaged(0..=i64::MAX / 2);
            let scrub = world.database().scrub().expect("the disk is fine");
            let (mut lost, mut wrong) = (0, 0);
            for (series, samples) in &world.model {
                for (t, v) in samples {
                    match got.get(series).and_then(|s| s.get(t)) {
                        Some(found) => wrong += u64::from(found != v),
                        None => lost += 1,
                    }
                }
            }
            let read: usize = got.values().map(|s| s.len()).sum();
            let known: usize = world.model.values().map(|s| s.len()).sum();
            assert_eq!(wrong, 0, "{place}: wrong samples");
            // A deletion that is lost brings back one sample.
            assert!(read <= known - lost + 1, "{place}: samples that nobody wrote");
            let is_told = at_start > 0 || !warnings.is_empty() || scrub.damaged_files > 0;
            told_at_start += u64::from(at_start > 0);
            told_by_reads += u64::from(!warnings.is_empty());
            told_by_scrubs += u64::from(scrub.damaged_files > 0);
            // The newest segment of the log ends where its last write was cut off.
            let is_log = path.to_string_lossy().contains("commitlog");
            assert!(is_told || is_log, "{place}: damage that nobody tells; {lost} samples lost");
            assert!(lost < 60, "{place}: {lost} of {known} samples lost");
        }
    }
    let told = (told_at_start, told_by_reads, told_by_scrubs);
    assert!(told.0 > 50 && told.1 > 10 && told.2 > 50, "{told:?}");
}
