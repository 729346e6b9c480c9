//! Power cuts, failing disks and leftovers: what was sealed stays, and a directory in any state
//! that a crash can leave opens to all of it.

use std::path::Path;
use std::sync::Arc;

use m3rs_core::fs::{Fs, SharedFs};
use m3rs_core::model::{Labels, MatchOp, Matcher};
use m3rs_index::{Index, IndexError, Limits};
use m3rs_sim::disk::{SimFs, Unsynced};

const DIR: &str = "/index";

fn limits() -> Limits {
    Limits { segments_max: 2, ..Limits::default() }
}

fn labels(id: u32) -> Labels {
    Labels::from_pairs([("__name__", "m".to_owned()), ("id", id.to_string())]).expect("valid")
}

fn docs(range: std::ops::Range<u32>) -> Vec<(u32, Labels)> {
    // Some ids are left out.
    range.filter(|id| id % 11 != 5).map(|id| (id, labels(id))).collect()
}

/// An index on a disk that may fail.
struct World {
    fs: SimFs,
    index: Index,
    /// Ids below this were inserted.
    inserted: u32,
    /// Ids below this are in files: the seal returned.
    sealed: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        let (fs, index) = (SimFs::new(seed), Index::new(limits()));
        Self { fs, index, inserted: 0, sealed: 0 }
    }

    /// Inserts, seals and merges; sizes make merges of two and of several files.
    fn story(&mut self) -> Result<(), IndexError> {
        for size in [40, 30, 9, 8, 3, 60] {
            self.insert(size);
            self.seal_and_compact()?;
        }
        Ok(())
    }

    fn insert(&mut self, size: u32) {
        let end = self.inserted + size;
        self.index.insert(&docs(self.inserted..end)).expect("ids ascend");
        self.inserted = end;
    }

    fn seal_and_compact(&mut self) -> Result<(), IndexError> {
        self.index.seal(&self.fs, Path::new(DIR))?;
        self.sealed = self.inserted;
        self.index.compact(&self.fs, Path::new(DIR)).map(drop)
    }

    fn open(&mut self) -> Result<(), IndexError> {
        let fs: SharedFs = Arc::new(self.fs.clone());
        let (index, damages) = Index::open(&fs, Path::new(DIR), limits())?;
        assert_eq!(damages, [], "a crash damages no file");
        self.index = index;
        Ok(())
    }

    /// Checks that the index holds the series below a number that is `least` or larger; returns it.
    fn check(&self, least: u32, how: &str) -> u32 {
        let end = self.index.last_id().map_or(0, |last| last + 1);
        let want = docs(0..self.inserted);
        let held = want.partition_point(|(id, _)| *id < end);
        let least = want.partition_point(|(id, _)| *id < least);
        assert!(held >= least, "{how}: {held} series of {least}");
        let want = &want[..held];
        let ids: Vec<u32> = want.iter().map(|(id, _)| *id).collect();
        let found = self.index.search(&[Matcher::equal("__name__", "m")], usize::MAX);
        assert_eq!(found.expect("a search"), ids, "{how}");
        for (id, labels) in want {
            let found = self.index.search(&[Matcher::equal("id", id.to_string())], 1);
            assert_eq!(found.expect("a search"), [*id], "{how}");
            let got = self.index.labels(*id).expect("labels");
            assert_eq!(got.as_ref(), Some(labels), "{how}");
        }
        let odd = Matcher::new("id", MatchOp::Regexp, ".*[13579]");
        let found = self.index.search(&[odd], usize::MAX).expect("a search");
        assert!(found.into_iter().eq(ids.iter().copied().filter(|id| id % 2 == 1)), "{how}");
        end
    }

    /// No file but those in use.
    fn check_directory(&self, how: &str) {
        let files = self.fs.list(Path::new(DIR)).expect("the disk is fine");
        let used: Vec<_> = self.index.sealed_segments().into_iter().map(|s| s.path).collect();
        assert_eq!(files, used, "{how}");
    }
}

#[test]
fn a_power_cut_at_any_operation_loses_no_sealed_series() {
    let mut rehearsal = World::new(0);
    rehearsal.story().expect("the disk is fine");
    let ops = rehearsal.fs.ops();
    assert!(ops > 60, "{ops} operations");
    assert!(rehearsal.index.sealed_segments().len() <= 2);
    for op in 1..=ops {
        for unsynced in [Unsynced::Lost, Unsynced::Torn, Unsynced::Kept] {
            let how = format!("{unsynced:?} at {op}");
            let mut world = World::new(op);
            world.fs.crash_at_op(op);
            let outcome = world.story();
            assert!(outcome.is_err() && world.fs.is_down(), "{how}: {outcome:?}");
            world.check(world.inserted, &how);
            world.fs.crash(unsynced);
            // The next start may be cut short as well, while it removes leftovers.
            world.fs.crash_at_op(world.fs.ops() + 1 + op % 3);
            let opened = world.open();
            if world.fs.is_down() {
                assert!(opened.is_err(), "{how}: a failed removal is reported");
                world.fs.crash(unsynced);
            }
            world.fs.crash(Unsynced::Kept);
            world.open().unwrap_or_else(|e| panic!("{how}: {e}"));
            let held = world.check(world.sealed, &how);
            world.check_directory(&how);
            // Work goes on, and lasts.
            world.index.insert(&docs(held..world.inserted)).expect("ids go on");
            world.insert(5);
            world.seal_and_compact().unwrap_or_else(|e| panic!("{how}: {e}"));
            world.fs.crash(Unsynced::Lost);
            world.open().unwrap_or_else(|e| panic!("{how}: {e}"));
            world.check(world.inserted, &how);
        }
    }
}

#[test]
fn a_disk_error_at_any_operation_costs_nothing() {
    let mut rehearsal = World::new(0);
    rehearsal.story().expect("the disk is fine");
    let ops = rehearsal.fs.ops();
    for op in 1..=ops {
        let how = format!("an error at {op}");
        let mut world = World::new(op);
        world.fs.fail_at_op(op);
        let failed = world.story().expect_err("every operation counts");
        assert!(matches!(failed, IndexError::Io { .. }), "{how}: {failed}");
        world.check(world.inserted, &how);
        world.insert(7);
        world.seal_and_compact().unwrap_or_else(|e| panic!("{how}: {e}"));
        world.check(world.inserted, &how);
        assert_eq!(world.index.unsealed_len(), 0, "{how}");
        world.fs.crash(Unsynced::Lost);
        world.open().unwrap_or_else(|e| panic!("{how}: {e}"));
        world.check(world.inserted, &how);
        world.check_directory(&how);
    }
}

/// Three files whose sizes keep them from being merged.
fn three_files() -> World {
    let mut world = World::new(0);
    world.index = Index::new(Limits { segments_max: 8, ..limits() });
    for size in [100, 30, 9] {
        world.insert(size);
        world.seal_and_compact().expect("the disk is fine");
    }
    assert_eq!(world.index.sealed_segments().len(), 3);
    world
}

#[test]
fn a_damaged_file_is_reported_left_alone_and_not_merged_over() {
    let world = three_files();
    let files = world.index.sealed_segments();
    world.fs.damage(&files[1].path, |bytes| bytes[100] ^= 1).expect("it is there");
    let fs: SharedFs = Arc::new(world.fs.clone());
    // As many merges as can be: the two whole files would fit one.
    let open = || {
        let limits = Limits { segments_max: 1, ..limits() };
        Index::open(&fs, Path::new(DIR), limits).expect("the disk is fine")
    };
    for _ in 0..2 {
        let (index, damages) = open();
        let found: Vec<_> = damages.iter().map(|d| (&d.path, d.first, d.last)).collect();
        assert_eq!(found, [(&files[1].path, files[1].first, files[1].last)]);
        assert_eq!(index.len(), u64::from(files[0].series + files[2].series));
        assert_eq!(index.labels(files[1].first).expect("readable"), None);
        assert_eq!(index.last_id(), Some(files[2].last));
        assert_eq!(index.compact(fs.as_ref(), Path::new(DIR)).expect("the disk is fine"), []);
        assert!(fs.exists(&files[1].path), "the bytes stay for a closer look");
    }
    // Files on one side of it are merged still.
    let (index, _) = open();
    index.insert(&docs(200..205)).expect("ids ascend");
    index.seal(fs.as_ref(), Path::new(DIR)).expect("sealed");
    let merged = index.compact(fs.as_ref(), Path::new(DIR)).expect("merged");
    assert_eq!(merged.len(), 1);
    assert_eq!((merged[0].first, merged[0].last), (files[2].first, 204));
    assert_eq!(open().1.len(), 1);
}

#[test]
fn a_wider_file_counts_if_it_is_whole() {
    let world = three_files();
    let files = world.index.sealed_segments();
    let narrow: Vec<_> =
        files.iter().map(|f| (f.path.clone(), world.fs.read(&f.path).expect("there"))).collect();
    let fs: SharedFs = Arc::new(world.fs.clone());
    let merge = Limits { segments_max: 1, ..limits() };
    let (index, _) = Index::open(&fs, Path::new(DIR), merge).expect("the disk is fine");
    let merged = index.compact(fs.as_ref(), Path::new(DIR)).expect("merged");
    assert_eq!(merged.len(), 1);
    assert_eq!(fs.list(Path::new(DIR)).expect("there"), [merged[0].path.clone()]);
    let put_back = || {
        for (path, bytes) in &narrow {
            fs.create(path).and_then(|mut file| file.write_all(bytes)).expect("the disk is fine");
        }
    };
    // The merged file is damaged: its parts count, and are not removed.
    put_back();
    world.fs.damage(&merged[0].path, |bytes| bytes[50] ^= 4).expect("there");
    let (index, damages) = Index::open(&fs, Path::new(DIR), limits()).expect("opened");
    assert_eq!((index.len(), index.sealed_segments().len()), (world.index.len(), 3));
    assert_eq!(damages.len(), 1);
    assert_eq!(damages[0].path, merged[0].path);
    assert_eq!(fs.list(Path::new(DIR)).expect("there").len(), 4);
    // It is whole: its parts are leftovers.
    world.fs.damage(&merged[0].path, |bytes| bytes[50] ^= 4).expect("there");
    let (index, damages) = Index::open(&fs, Path::new(DIR), limits()).expect("opened");
    assert_eq!((index.len(), damages.len()), (world.index.len(), 0));
    assert_eq!(fs.list(Path::new(DIR)).expect("there"), [merged[0].path.clone()]);
}
