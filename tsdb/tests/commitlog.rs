//! Stories of the commit log: what was acknowledged is read back, whatever the disk does.

#[path = "commitlog/holes.rs"]
mod holes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use m3rs_core::ErrorKind;
use m3rs_core::fs::{DiskFs, Fs, Mapped, SharedFs};
use m3rs_core::wire::put_varint;
use m3rs_sim::disk::{SimFs, Unsynced};
use m3rs_tsdb::CommitLogError;
use m3rs_tsdb::commitlog::{
    CommitLog, CommitLogOptions, Entry, EntryDecoder, ReplayReport, SegmentEnd, SegmentReader,
    SegmentReport, SyncMode, encode_samples, encode_series, list_segments, replay, segment_path,
};

#[expect(dead_code, reason = "stories of namespaces refuse files, too")]
#[path = "namespaces/gate.rs"]
mod gate;

use gate::GatedFs;

const DIR: &str = "/commitlog";

fn dir() -> &'static Path {
    Path::new(DIR)
}

fn open(fs: &SimFs, options: CommitLogOptions, first: u64) -> CommitLog {
    CommitLog::open(Arc::new(fs.clone()), dir(), options, first).expect("opens")
}

/// An append that can be told from all others.
fn numbered(n: u32) -> Vec<u8> {
    let mut out = Vec::new();
    encode_samples(&mut out, 1, 0, &[n], &[i64::from(n)], &[f64::from(n)]);
    out
}

/// As [`numbered`], with padding, so many bytes long.
fn numbered_in(n: u32, len: usize) -> Vec<u8> {
    let mut out = numbered(n);
    // An entry of padding, whose length takes two bytes itself.
    out.push(4);
    let padded = len - out.len() - 2;
    put_varint(&mut out, padded as u64);
    out.resize(len, 0);
    out
}

/// All numbers in the log, in order, with their segments left out.
fn numbers(fs: &dyn Fs) -> (Vec<u32>, ReplayReport) {
    let mut all = Vec::new();
    let mut decoder = EntryDecoder::new();
    let report = replay::<CommitLogError>(fs, dir(), 0, &mut decoder, |entry| {
        if let Entry::Samples { refs, .. } = entry {
            all.extend_from_slice(refs);
        }
        Ok(())
    })
    .expect("readable");
    (all, report)
}

fn damages(report: &ReplayReport) -> Vec<String> {
    report.all_damages().map(ToString::to_string).collect()
}

#[test]
fn entries_come_back_in_order_over_segments() {
    let root = tempfile::tempdir().expect("temporary directory");
    let path = root.path().join("commitlog");
    let fs: SharedFs = Arc::new(DiskFs);
    let options = CommitLogOptions { segment_bytes_max: 100, ..CommitLogOptions::default() };
    let log = CommitLog::open(fs.clone(), &path, options, 1).expect("opens");
    let mut named = Vec::new();
    encode_series(&mut named, 1, 7, 3, b"labels");
    log.append(&named).expect("taken");
    let mut last = None;
    for n in 0..50 {
        last = Some(log.append(&numbered(n)).expect("taken"));
    }
    log.wait_durable(last.expect("appended")).expect("durable");
    assert!(log.segments().expect("listed").len() > 5);
    log.close().expect("closes");
    assert!(matches!(log.append(&numbered(1)), Err(CommitLogError::Closed)));
    let (mut seen, mut decoder) = (Vec::new(), EntryDecoder::new());
    let report = replay::<CommitLogError>(fs.as_ref(), &path, 0, &mut decoder, |entry| {
        match entry {
            Entry::Series { namespace, series_ref, shard, labels } => {
                assert_eq!((namespace, series_ref, shard, labels), (1, 7, 3, &b"labels"[..]));
            }
            Entry::Samples { refs, .. } | Entry::RichSamples { refs, .. } => {
                seen.extend_from_slice(refs);
            }
            other => panic!("nobody wrote {other:?}"),
        }
        Ok(())
    })
    .expect("readable");
    assert_eq!(seen, (0..50).collect::<Vec<_>>());
    assert!(report.segments.iter().all(|s| s.end == SegmentEnd::Sealed), "{report:?}");
    assert_eq!(damages(&report), Vec::<String>::new());
    let again = CommitLog::open(fs, &path, options, report.segments.len() as u64);
    assert!(matches!(again, Err(CommitLogError::Invalid(_))), "segments are not overwritten");
}

#[test]
fn the_future_of_a_ticket_can_be_moved_to_another_task() {
    fn is_free<T: Future + Send + 'static>(_: &T) {}
    let log = open(&SimFs::new(0), CommitLogOptions::default(), 1);
    let ticket = log.append(&numbered(0)).expect("taken");
    is_free(&log.durable(ticket));
    log.wait_durable(ticket).expect("durable");
    log.wait_durable(log.append(&[]).expect("nothing is fine")).expect("durable");
}

#[test]
fn many_threads_share_syncs_and_lose_nothing() {
    let fs = SimFs::new(3);
    let log = open(&fs, CommitLogOptions::default(), 1);
    std::thread::scope(|scope| {
        for thread in 0..8u32 {
            let log = &log;
            scope.spawn(move || {
                for i in 0..200 {
                    let ticket = log.append(&numbered(thread * 1000 + i)).expect("taken");
                    log.wait_durable(ticket).expect("durable");
                }
            });
        }
    });
    // Everyone was told that it is durable, so a power cut right now takes nothing.
    fs.crash(Unsynced::Lost);
    let (seen, report) = numbers(&fs);
    assert_eq!(damages(&report), Vec::<String>::new());
    let mut by_thread: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for n in seen {
        by_thread.entry(n / 1000).or_default().push(n % 1000);
    }
    assert_eq!(by_thread.len(), 8);
    for (thread, seen) in by_thread {
        assert_eq!(seen, (0..200).collect::<Vec<_>>(), "thread {thread}");
    }
}

/// What is appended before a rotation is in older segments, what is appended after it in newer
/// ones, while other threads append as fast as they can.
#[test]
fn rotation_cuts_between_appends() {
    const OWN: u32 = 1_000_000;
    let fs = SimFs::new(4);
    let log = open(&fs, CommitLogOptions { segment_bytes_max: 4000, ..Default::default() }, 1);
    let mut cuts = Vec::new();
    std::thread::scope(|scope| {
        for thread in 0..3u32 {
            let log = &log;
            scope.spawn(move || {
                for i in 0..2000 {
                    log.append(&numbered(thread * 10_000 + i)).expect("taken");
                }
            });
        }
        for i in 0..100 {
            log.append(&numbered(OWN + 2 * i)).expect("taken");
            let segment = log.rotate().expect("rotates");
            log.append(&numbered(OWN + 2 * i + 1)).expect("taken");
            cuts.push(segment);
        }
    });
    log.close().expect("closes");
    let mut own = BTreeMap::new();
    let mut order: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for segment in list_segments(&fs, dir()).expect("listed") {
        let reader = SegmentReader::open(&fs, &segment_path(dir(), segment)).expect("opens");
        let report = reader.read::<CommitLogError>(&mut EntryDecoder::new(), |entry| {
            let Entry::Samples { refs, .. } = entry else { return Ok(()) };
            for &n in refs {
                if n >= OWN {
                    own.insert(n - OWN, segment);
                } else {
                    order.entry(n / 10_000).or_default().push(n % 10_000);
                }
            }
            Ok(())
        });
        assert_eq!(report.expect("readable").damages, []);
    }
    for (i, cut) in (0u32..).zip(cuts) {
        assert!(own[&(2 * i)] < cut && own[&(2 * i + 1)] >= cut, "cut {i} at {cut}");
    }
    assert!(order.values().all(|seen| seen.iter().copied().eq(0..2000)) && order.len() == 3);
}

#[test]
fn old_segments_are_removed_when_the_log_has_moved_on() {
    let fs = SimFs::new(5);
    let log = open(&fs, CommitLogOptions::default(), 4);
    log.append(&numbered(1)).expect("taken");
    assert!(log.bytes_since_rotation() > 0);
    let segment = log.rotate().expect("rotates");
    assert_eq!((segment, log.bytes_since_rotation()), (5, 0));
    let ticket = log.append(&numbered(2)).expect("taken");
    assert_eq!(log.remove_before(segment).expect("removes"), 1);
    assert_eq!(log.segments().expect("listed"), [5]);
    assert!(matches!(log.remove_before(6), Err(CommitLogError::Invalid(_))));
    log.wait_durable(ticket).expect("durable");
    fs.crash(Unsynced::Lost);
    let (seen, report) = numbers(&fs);
    assert_eq!(seen, [2]);
    assert_eq!(damages(&report).len(), 1, "segment 5 says that 4 was sealed, and 4 is gone");
    let mut decoder = EntryDecoder::new();
    let report = replay::<CommitLogError>(&fs, dir(), 5, &mut decoder, |_| Ok(()));
    assert_eq!(damages(&report.expect("readable")), Vec::<String>::new());
}

#[test]
fn a_failed_sync_closes_the_segment_until_the_log_resumes() {
    let fs = SimFs::new(6);
    let log = open(&fs, CommitLogOptions::default(), 1);
    let acked = log.append(&numbered(1)).expect("taken");
    log.wait_durable(acked).expect("durable");
    assert!(matches!(log.probe(), Err(CommitLogError::Invalid(_))), "nothing failed yet");
    fs.fail_next_sync(1);
    let lost = log.append(&numbered(2)).expect("taken");
    let error = log.wait_durable(lost).expect_err("the sync failed");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(matches!(log.append(&numbered(3)), Err(CommitLogError::Failed { .. })));
    assert!(matches!(log.rotate(), Err(CommitLogError::Failed { .. })));
    assert!(matches!(log.resume(), Err(CommitLogError::Invalid(_))), "not probed yet");

    fs.set_space(Some(100));
    assert!(matches!(log.probe(), Err(CommitLogError::Io { .. })), "no room for a probe");
    fs.set_space(None);
    fs.fail_next_sync(1);
    assert!(matches!(log.probe(), Err(CommitLogError::Io { .. })), "still does not sync");
    let given_up = log.probe().expect("the disk is well again");
    let probed = log.probe().expect("and still is");
    // Snapshots are named after the segment: those of a second attempt replace none of the first.
    assert!(probed > given_up, "{probed} after {given_up}");
    assert!(matches!(log.append(&numbered(3)), Err(CommitLogError::Failed { .. })));
    assert_eq!(log.resume().expect("resumes"), probed);
    assert!(log.failure().is_none());

    let after = log.append(&numbered(4)).expect("taken");
    log.wait_durable(after).expect("durable");
    log.wait_durable(acked).expect("still durable");
    assert!(matches!(log.wait_durable(lost), Err(CommitLogError::Failed { .. })), "still lost");
    let next = log.rotate().expect("rotates");
    log.wait_durable(log.append(&numbered(5)).expect("taken")).expect("durable");
    assert!(next > probed);
    fs.crash(Unsynced::Lost);
    let (seen, report) = numbers(&fs);
    assert_eq!(seen, [1, 4, 5]);
    assert_eq!(damages(&report), Vec::<String>::new());
}

#[test]
fn a_full_disk_refuses_and_loses_nothing_acknowledged() {
    let fs = SimFs::new(7);
    let log = open(&fs, CommitLogOptions::default(), 1);
    fs.set_space(Some(500));
    let mut acked = Vec::new();
    let mut failed = false;
    for n in 0..100 {
        match log.append(&numbered(n)).and_then(|ticket| log.wait_durable(ticket)) {
            Ok(()) => acked.push(n),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable);
                failed = true;
            }
        }
    }
    assert!(failed && !acked.is_empty());
    assert!(matches!(log.close(), Err(CommitLogError::Failed { .. })));
    fs.crash(Unsynced::Lost);
    assert_eq!(numbers(&fs).0, acked);
}

/// Appends of a life of the log.
const STORY_LEN: u32 = 24;

/// A life of the log: appends, rotations by call and by size, removal of a segment. Returns what
/// was acknowledged, and the first number that a removed segment may not hold.
fn story(fs: &SimFs) -> (Vec<u32>, u32) {
    let options = CommitLogOptions { segment_bytes_max: 60, ..CommitLogOptions::default() };
    let (mut acked, mut kept_from) = (Vec::new(), 0);
    let Ok(log) = CommitLog::open(Arc::new(fs.clone()), dir(), options, 1) else {
        return (acked, kept_from);
    };
    for n in 0..STORY_LEN {
        if n == STORY_LEN / 2
            && let Ok(segment) = log.rotate()
        {
            kept_from = n;
            drop(log.remove_before(segment));
        }
        if log.append(&numbered(n)).and_then(|t| log.wait_durable(t)).is_ok() {
            acked.push(n);
        }
    }
    (acked, kept_from)
}

#[test]
fn a_kill_at_any_step_loses_nothing_acknowledged() {
    let whole = SimFs::new(0);
    assert_eq!(story(&whole).0.len(), STORY_LEN as usize);
    assert!(whole.ops() > 100, "{} operations", whole.ops());
    for at in 1..=whole.ops() {
        for unsynced in Unsynced::ALL {
            let is_random = matches!(unsynced, Unsynced::Torn | Unsynced::Reordered);
            for seed in 0..if is_random { 8 } else { 1 } {
                let fs = SimFs::new(seed);
                fs.crash_at_op(at);
                let (acked, kept_from) = story(&fs);
                fs.crash(unsynced);
                let (seen, report) = numbers(&fs);
                let story = format!("killed at {at}, {unsynced:?}, seed {seed}: {report:?}");
                for n in acked.iter().filter(|n| **n >= kept_from) {
                    assert!(seen.contains(n), "{n} is lost, {story}");
                }
                assert!(seen.is_sorted(), "{story}");
                // A segment that was removed, or half of that, is no damage of those after it.
                if kept_from == 0 {
                    assert_eq!(damages(&report), Vec::<String>::new(), "{story}");
                }
                // The next start goes on above what is there.
                let newest = list_segments(&fs, dir()).expect("listed").last().copied();
                let log = open(&fs, CommitLogOptions::default(), newest.unwrap_or(0) + 1);
                log.wait_durable(log.append(&numbered(99)).expect("taken")).expect("durable");
                assert!(numbers(&fs).0.contains(&99), "{story}");
            }
        }
    }
}

#[test]
fn an_error_at_any_step_loses_nothing_acknowledged() {
    let whole = SimFs::new(0);
    story(&whole);
    for at in 1..=whole.ops() {
        let fs = SimFs::new(at);
        fs.fail_at_op(at);
        let (acked, kept_from) = story(&fs);
        fs.crash(Unsynced::Lost);
        let (seen, report) = numbers(&fs);
        for n in acked.iter().filter(|n| **n >= kept_from) {
            assert!(seen.contains(n), "{n} is lost, error at {at}: {report:?}");
        }
    }
}

#[test]
fn without_sync_the_process_may_die_but_not_the_machine() {
    for sync in [SyncMode::None, SyncMode::Interval(Duration::from_secs(3600))] {
        let fs = SimFs::new(8);
        let log = open(&fs, CommitLogOptions { sync, ..Default::default() }, 1);
        log.wait_durable(log.append(&numbered(1)).expect("taken")).expect("written");
        fs.crash(Unsynced::Kept);
        assert_eq!(numbers(&fs).0, [1]);
        fs.crash(Unsynced::Lost);
        assert_eq!(numbers(&fs).0, [0u32; 0]);
    }
    let fs = SimFs::new(8);
    let log = open(&fs, CommitLogOptions { sync: SyncMode::None, ..Default::default() }, 1);
    log.append(&numbered(1)).expect("taken");
    log.close().expect("closes");
    fs.crash(Unsynced::Lost);
    assert_eq!(numbers(&fs).0, [1], "a segment that ends is synced in every mode");
}

#[test]
fn an_interval_syncs_by_itself() {
    let fs = SimFs::new(9);
    let sync = SyncMode::Interval(Duration::from_millis(5));
    let log = open(&fs, CommitLogOptions { sync, ..Default::default() }, 1);
    let before = fs.ops();
    log.wait_durable(log.append(&numbered(1)).expect("taken")).expect("written");
    // The write is one step, the sync that follows it another.
    while fs.ops() < before + 2 {
        std::thread::yield_now();
    }
    fs.crash(Unsynced::Lost);
    assert_eq!(numbers(&fs).0, [1]);
}

/// A sealed segment of seven chunks, each with one number.
fn sample_segment() -> (Vec<u8>, Vec<u32>) {
    let fs = SimFs::new(10);
    let log = open(&fs, CommitLogOptions::default(), 1);
    for n in 0..7 {
        log.wait_durable(log.append(&numbered(n)).expect("taken")).expect("durable");
    }
    log.close().expect("closes");
    (fs.read(&segment_path(dir(), 1)).expect("readable"), (0..7).collect())
}

fn read_segment(bytes: Vec<u8>) -> (Vec<u32>, SegmentReport) {
    let path = PathBuf::from("0000000001.log");
    let reader = SegmentReader::of_bytes(&path, Mapped::of_bytes(bytes), 1).expect("version 1");
    let mut seen = Vec::new();
    let report = reader.read::<CommitLogError>(&mut EntryDecoder::new(), |entry| {
        if let Entry::Samples { refs, .. } = entry {
            seen.extend_from_slice(refs);
        }
        Ok(())
    });
    (seen, report.expect("readable"))
}

#[test]
fn a_torn_tail_ends_the_log_at_any_byte() {
    let (bytes, all) = sample_segment();
    assert_eq!(read_segment(bytes.clone()).1.end, SegmentEnd::Sealed);
    let mut whole_before = 0;
    for cut in 0..bytes.len() {
        for zeros in [0, 1, 40] {
            let mut torn = bytes[..cut].to_vec();
            torn.resize(cut + zeros, 0);
            if torn.starts_with(&bytes) {
                continue; // The zeros stand where zeros stood.
            }
            let (seen, report) = read_segment(torn);
            assert!(all.starts_with(&seen));
            assert!(seen.len() >= whole_before && seen.len() <= whole_before + 1, "cut at {cut}");
            assert_ne!(report.end, SegmentEnd::Sealed, "cut at {cut}");
            // Nor is a header that was never finished.
            assert_eq!(report.damages, [], "cut at {cut}");
            if zeros == 0 {
                whole_before = seen.len();
            }
        }
    }
    assert_eq!(whole_before, all.len());
}

#[test]
fn a_flipped_bit_costs_one_chunk_and_is_told() {
    let (bytes, all) = sample_segment();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let (seen, report) = read_segment(flipped);
            assert!(seen.len() + 1 >= all.len(), "bit {bit} of byte {at}: {seen:?}");
            assert!(seen.is_sorted() && seen.iter().all(|n| all.contains(n)));
            let told = !report.damages.is_empty() || report.end != SegmentEnd::Sealed;
            assert!(told, "bit {bit} of byte {at} goes unnoticed");
            if let [damage] = report.damages.as_slice() {
                assert!(damage.offset <= at as u64);
                assert!(seen == all || damage.offset + damage.lost_bytes > at as u64);
            }
        }
    }
}

/// The end of a segment that its successor says was sealed is no torn tail.
#[test]
fn a_sealed_segment_that_lost_its_end_is_damage() {
    let fs = SimFs::new(11);
    let log = open(&fs, CommitLogOptions::default(), 1);
    log.append(&numbered(1)).expect("taken");
    log.rotate().expect("rotates");
    log.append(&numbered(2)).expect("taken");
    log.close().expect("closes");
    assert_eq!(damages(&numbers(&fs).1), Vec::<String>::new());
    let first = segment_path(dir(), 1);
    let whole = fs.read(&first).expect("readable");
    for cut in 0..whole.len() {
        fs.damage(&first, |bytes| bytes.truncate(cut)).expect("damages");
        let (seen, report) = numbers(&fs);
        assert_eq!(seen.last(), Some(&2));
        assert_eq!(damages(&report).len(), 1, "cut at {cut}");
        fs.damage(&first, |bytes| bytes.clone_from(&whole)).expect("mends");
    }
    fs.remove_file(&first).expect("removes");
    assert_eq!(damages(&numbers(&fs).1).len(), 1);
}

#[test]
fn an_unknown_entry_is_damage_of_its_chunk_alone() {
    let fs = SimFs::new(12);
    let log = open(&fs, CommitLogOptions::default(), 1);
    let mut strange = numbered(1);
    strange.extend_from_slice(&[200, 1, 0]);
    strange.extend_from_slice(&numbered(2));
    log.wait_durable(log.append(&strange).expect("taken")).expect("durable");
    log.wait_durable(log.append(&numbered(3)).expect("taken")).expect("durable");
    let (seen, report) = numbers(&fs);
    assert_eq!(seen, [1, 3]);
    let [damage] = report.segments[0].damages.as_slice() else { panic!("{report:?}") };
    assert_eq!(damage.what, "log entry");
    assert_eq!(damage.lost_bytes, (3 + numbered(2).len()) as u64);
}

#[test]
fn appends_above_a_chunk_are_refused() {
    let log = open(&SimFs::new(13), CommitLogOptions::default(), 1);
    let error = log.append(&vec![0; (32 << 20) + 1]).expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::Limit);
    for options in [
        CommitLogOptions { segment_bytes_max: 0, ..Default::default() },
        CommitLogOptions { pending_bytes_max: 0, ..Default::default() },
    ] {
        let refused = CommitLog::open(Arc::new(SimFs::new(0)), dir(), options, 1);
        assert!(matches!(refused, Err(CommitLogError::Invalid(_))));
    }
    let refused = CommitLog::open(Arc::new(SimFs::new(0)), dir(), Default::default(), 0);
    assert!(matches!(refused, Err(CommitLogError::Invalid(_))));
}

/// At its limit of waiting bytes the log takes an append, and above it none.
#[test]
fn a_disk_that_does_not_keep_up_is_told_at_the_limit() {
    const MAX: u64 = 1000;
    let fs = GatedFs::new(SimFs::new(15));
    let options = CommitLogOptions { pending_bytes_max: MAX, ..Default::default() };
    let log = CommitLog::open(Arc::new(fs.clone()), dir(), options, 1).expect("opens");
    fs.shut();
    let first = log.append(&numbered(1)).expect("taken");
    fs.wait_for_a_sync();
    log.append(&numbered(2)).expect("it waits, whatever its size");
    let busy = |bytes: u64| match log.append(&vec![0; bytes as usize]) {
        Err(CommitLogError::Busy { pending, max: MAX }) => pending,
        other => panic!("{bytes} bytes: {other:?}"),
    };
    let pending = busy(MAX);
    let left = MAX - pending;
    assert_eq!(busy(left + 1), pending, "one byte more than there is room for");
    let half = &vec![0; left as usize / 2 + 1][..];
    let refused = log.append_all(&[half, half]).expect_err("both are taken or none is");
    assert!(refused.to_string().contains("limits.log_pending_bytes_max"), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    log.append(&numbered_in(3, left as usize)).expect("there is room for it");
    assert_eq!(busy(1), MAX);
    fs.open_gate();
    log.wait_durable(first).expect("durable");
    while log.append(&numbered(4)).is_err() {
        std::thread::yield_now();
    }
    log.close().expect("closes");
    let (seen, report) = numbers(&fs);
    assert_eq!(damages(&report), Vec::<String>::new());
    assert_eq!(seen, [1, 2, 3, 4], "nothing of what was refused");
}

/// Segments are kept until other files hold what is in them; there is a limit to that.
#[test]
fn bytes_that_no_other_file_holds_have_a_limit() {
    let fs = SimFs::new(16);
    let bytes = 200;
    let options = CommitLogOptions { uncovered_bytes_max: 10 * bytes, ..Default::default() };
    let log = open(&fs, options, 1);
    let sized = |n| numbered_in(n, 200);
    for n in 0..5 {
        log.append(&sized(n)).expect("taken");
    }
    let cut = log.rotate().expect("rotates");
    for n in 5..10 {
        log.append(&sized(n)).expect("up to the limit");
    }
    assert_eq!(log.uncovered_bytes(), 10 * bytes);
    let refused = log.append(&sized(10)).expect_err("above it");
    assert!(matches!(refused, CommitLogError::Uncovered { bytes: 2000, max: 2000 }), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.to_string().contains("limits.log_uncovered_bytes_max"), "{refused}");
    log.remove_before(cut).expect("files hold them now");
    assert_eq!(log.uncovered_bytes(), 5 * bytes);
    log.append(&sized(10)).expect("there is room again");
    log.close().expect("closes");

    // Segments of an earlier run count until they are removed.
    let log = open(&fs, options, 9);
    assert!(log.uncovered_bytes() >= 6 * bytes, "{}", log.uncovered_bytes());
    log.remove_before(9).expect("files hold them now");
    assert_eq!(log.uncovered_bytes(), 0);
}
