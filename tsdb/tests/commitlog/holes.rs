//! Large groups, and disks that write them in their own order.

use std::sync::Arc;

use m3rs_sim::disk::{SimFs, Unsynced};
use m3rs_tsdb::commitlog::{CommitLog, CommitLogOptions, encode_samples};

use crate::{damages, dir, numbers, open};

/// A disk that writes in its own order may keep the end of a large group, or a seal, and lose what
/// stands before: bytes that were never acknowledged, and so no damage.
#[test]
fn a_hole_in_what_was_never_acknowledged_is_no_damage() {
    let options = CommitLogOptions { segment_bytes_max: 3 << 20, ..CommitLogOptions::default() };
    let live = |fs: &SimFs| -> usize {
        let Ok(log) = CommitLog::open(Arc::new(fs.clone()), dir(), options, 1) else { return 0 };
        let mut tickets = Vec::new();
        for n in 0..8u32 {
            let refs: Vec<u32> = (0..40_000).map(|i| i * 7 + n).collect();
            let vs: Vec<f64> = refs.iter().map(|r| f64::from(*r) * 0.1).collect();
            let mut batch = Vec::new();
            encode_samples(&mut batch, 1, 0, &refs, &vec![1; refs.len()], &vs);
            tickets.extend(log.append(&batch).ok());
        }
        tickets.into_iter().take_while(|ticket| log.wait_durable(*ticket).is_ok()).count()
    };
    let whole = SimFs::new(0);
    assert_eq!(live(&whole), 8);
    for at in 1..=whole.ops() {
        for seed in 0..12 {
            let fs = SimFs::new(seed);
            fs.crash_at_op(at);
            let acked = live(&fs);
            fs.crash(Unsynced::Reordered);
            let (seen, report) = numbers(&fs);
            assert_eq!(damages(&report), Vec::<String>::new(), "killed at {at}, seed {seed}");
            assert!(seen.len() >= acked * 40_000, "killed at {at}, seed {seed}: {acked} acked");
        }
    }
}

/// Groups above the size of a chunk are cut into several, between appends.
#[test]
fn large_groups_become_several_chunks() {
    let fs = SimFs::new(14);
    let log = open(&fs, CommitLogOptions::default(), 1);
    let refs: Vec<u32> = (0..20_000).map(|i| i * 7).collect();
    let ts = vec![1; refs.len()];
    let vs: Vec<f64> = refs.iter().map(|r| f64::from(*r) * 0.1).collect();
    let mut batch = Vec::new();
    encode_samples(&mut batch, 1, 0, &refs, &ts, &vs);
    for _ in 0..30 {
        log.append(&batch).expect("taken");
    }
    log.close().expect("closes");
    let (seen, report) = numbers(&fs);
    assert_eq!(damages(&report), Vec::<String>::new());
    assert_eq!(seen.len(), 30 * refs.len());
    assert!(seen.chunks(refs.len()).all(|batch| batch == refs));
    assert!(report.segments[0].chunks >= 4, "{:?}", report.segments[0]);
}
