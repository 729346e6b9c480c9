//! What compaction and checkpoints write, and what they leave alone.

use m3rs_core::fs::Fs;
use m3rs_core::model::Matcher;
use m3rs_core::time::TimestampNs;
use m3rs_sim::disk::Unsynced;
use m3rs_tsdb::Columns;

use crate::world::{DAY, HOUR, START, Samples, World};

fn data_bytes(world: &World) -> u64 {
    let files = world.files("data").into_iter().chain(world.files("snapshots"));
    files.map(|path| world.fs.file_len(&path).expect("there")).sum()
}

/// Each deletion had every block that it met written anew at the next look, under the lock that
/// checkpoints wait for.
#[test]
fn deleted_samples_give_their_space_back_by_compaction() {
    // Long enough for days, and not for weeks.
    let mut world = World::new(9, 30 * DAY);
    world.pass(3 * DAY);
    for series in 0..20 {
        world.fill(series, START, 48);
    }
    world.database().compact().expect("compacted");
    let (volumes, bytes) = (world.files("data"), data_bytes(&world));
    // One of twenty series: too little to write the blocks anew.
    world.delete(0, START..=START + 2 * DAY).expect("deleted");
    world.database().tick().expect("a tick");
    assert_eq!(world.files("data"), volumes, "nothing is written anew at once");
    world.pass(HOUR / 6);
    world.database().tick().expect("a tick puts the deletion into files by itself");
    assert!(!world.files("snapshots").is_empty());
    assert_eq!(world.database().compact().expect("nothing is due"), 0);
    world.check("after a deletion");
    world.crash(Unsynced::Lost);
    world.check("after a power cut, when the snapshots alone have the deletion");
    assert_eq!(world.files("data"), volumes);
    world.pass(DAY);
    assert!(world.database().compact().expect("a day is long enough") > 0);
    let one_less = data_bytes(&world);
    assert!(one_less < bytes, "{one_less} of {bytes} bytes");
    assert!(world.files("snapshots").is_empty(), "{:?}", world.files("snapshots"));
    world.check("after compaction");
    // Many series: at once. All of them: the blocks vanish.
    for series in 0..20 {
        world.delete(series, START..=START + DAY - 1).expect("deleted");
    }
    world.database().snapshot().expect("a snapshot");
    assert!(world.database().compact().expect("compacted") > 0);
    world.check("after most is deleted");
    world.crash(Unsynced::Lost);
    world.check("after a power cut");
    let left = world.files("data");
    let day = format!("1d/{START}-");
    assert!(left.iter().all(|f| !f.to_string_lossy().contains(&day)), "{left:?}");
    let half = data_bytes(&world);
    assert!(half < one_less, "{half} of {one_less} bytes");
    world.database().flush_all().expect("flushed");
    world.crash(Unsynced::Lost);
    world.check("after the log is gone");
}

/// A compaction without space for its result filled the disk, and failed.
#[test]
fn a_compaction_without_space_is_not_begun() {
    let mut world = World::new(10, 0);
    world.pass(2 * DAY);
    world.fill(1, START, 24);
    let needed = data_bytes(&world);
    world.fs.set_space(Some(needed - 1));
    let ops = world.fs.ops();
    assert_eq!(world.database().compact().expect("it is no error"), 0);
    assert_eq!(world.fs.ops(), ops, "nothing is written");
    assert_eq!(world.database().status().compactions_skipped, 1);
    world.fs.set_space(None);
    world.pass(HOUR);
    assert_eq!(world.database().compact().expect("there is space"), 1);
    world.check("after all");
}

/// Each block is written once for each rung, and a late sample costs at most nine more for each.
#[test]
fn a_long_life_writes_each_byte_a_bounded_number_of_times() {
    let mut world = World::new(11, 0);
    let (mut in_order, mut late) = (0, 0);
    for day in 0..70 {
        let from = START + day * DAY;
        world.pass(DAY);
        for t in (from..from + DAY).step_by(HOUR as usize / 2) {
            world.write(&[(1, t, (t % 977) as f64 * 0.1)]).expect("written");
        }
        let before = data_bytes(&world);
        world.database().flush_all().expect("flushed");
        in_order += data_bytes(&world) - before;
        // One in seventeen is a day or more late.
        if day > 2 {
            for hour in 0..3 {
                let t = from - (1 + day % 9) * DAY + (hour * 7 + day % 5) * HOUR + day;
                if t >= START {
                    world.write(&[(1, t, -1.0)]).expect("written");
                }
            }
            let before = data_bytes(&world);
            world.database().flush_all().expect("flushed");
            late += data_bytes(&world).saturating_sub(before);
        }
        world.database().compact().expect("compacted");
    }
    world.check("after 70 days");
    let status = world.database().status();
    let written = status.compaction_written_bytes;
    let bound = 3 * (in_order + 9 * late);
    assert!(status.compactions > 70, "{} compactions", status.compactions);
    assert!(written <= bound, "{written} bytes written, {bound} allowed");
}

/// Above eight layers the whole block was written anew at each checkpoint.
#[test]
fn snapshots_of_an_open_block_cost_no_more_than_its_logarithm() {
    let mut world = World::new(12, 0);
    let (mut written, mut most, mut once) = (0, 0, 0);
    let mut known = std::collections::BTreeSet::new();
    for round in 0..160 {
        world.pass(40_000_000_000);
        let row = |i: i64| {
            let at = START + round * 40_000_000_000 + i * 200_000_000;
            (i as u32 % 5, at, World::noise(round * 1000 + i))
        };
        let rows: Vec<_> = (0..200).map(row).collect();
        world.write(&rows).expect("written");
        world.database().snapshot().expect("a snapshot");
        let files = world.files("snapshots");
        most = most.max(files.len());
        for file in files.into_iter().chain(world.files("data")) {
            if known.insert(file.clone()) {
                written += world.fs.file_len(&file).expect("there");
            }
        }
        once = if round == 0 { written } else { once };
    }
    world.check("after 160 checkpoints");
    world.crash(Unsynced::Lost);
    world.check("after a power cut");
    let total = data_bytes(&world);
    assert!(most <= 12, "{most} snapshots over one block");
    // Writing the whole block at every ninth of 160 checkpoints is more than eight times as much.
    let merged = written - 160 * once;
    assert!(merged <= total * 5, "{written} bytes written for {total}, {merged} by merges");
}

/// Readers hold the blocks that they began with.
#[test]
fn a_reader_is_not_disturbed_by_a_flush_and_a_compaction() {
    let mut world = World::new(13, 0);
    world.pass(2 * DAY);
    world.fill(1, START, 24);
    world.fill(2, START, 24);
    world.write(&[(1, START + 1, 1.0)]).expect("written");
    let before = world.model.clone();
    let namespace = world.namespace();
    let matchers = [Matcher::equal("__name__", "m")];
    let (from, to) = (TimestampNs(0), TimestampNs(i64::MAX / 2));
    let selection = namespace.select(&matchers, from, to, 10).expect("few series");
    let read = |number: usize| -> Samples {
        let mut columns = Columns::default();
        selection.read(number, &mut columns);
        let series = number as u32 + 1;
        columns.ts.iter().zip(&columns.vs).map(|(&t, &v)| ((series, t), v)).collect()
    };
    let first = read(0);
    // A cold flush replaces the volume, and a compaction all of them.
    world.database().flush_all().expect("flushed");
    assert_eq!(read(0), first);
    assert!(world.database().compact().expect("compacted") > 0);
    let mut all = read(0);
    all.extend(read(1));
    assert_eq!(all, before);
    assert_eq!(selection.damage(), Vec::<String>::new());
}
