//! The simulated disk keeps the promises of the seam, as the real one does, and no other.

use std::io::ErrorKind;
use std::path::Path;

use m3rs_core::fs::{DiskFs, Fs, TEMP_SUFFIX, write_atomic};
use m3rs_sim::disk::{SimFs, Unsynced};

/// What both disks must do alike.
fn conformance(fs: &dyn Fs, root: &Path) {
    let dir = root.join("a/b");
    assert_eq!(
        fs.list(&dir).expect("a missing directory is empty"),
        Vec::<std::path::PathBuf>::new()
    );
    assert_eq!(fs.create(&dir.join("f")).expect_err("no directory").kind(), ErrorKind::NotFound);
    fs.create_dir_all(&dir).expect("make");
    fs.create_dir_all(&dir).expect("make again");
    let (one, two) = (dir.join("1"), dir.join("2"));
    let mut file = fs.create(&one).expect("create");
    file.write_all(b"hello").expect("write");
    file.sync().expect("sync");
    file.write_all(b" world").expect("write");
    assert_eq!(fs.read(&one).expect("read"), b"hello world");
    assert_eq!(&*fs.map(&one).expect("map"), b"hello world");
    assert_eq!(fs.file_len(&one).expect("len"), 11);
    drop(file);
    fs.open_append(&one).expect("open").write_all(b"!").expect("append");
    assert_eq!(fs.file_len(&one).expect("len"), 12);
    fs.truncate(&one, 5).expect("cut");
    assert_eq!(fs.read(&one).expect("read"), b"hello");
    fs.create(&two).expect("create").write_all(b"two").expect("write");
    fs.rename(&one, &two).expect("rename over");
    assert_eq!(fs.read(&two).expect("read"), b"hello");
    assert!(!fs.exists(&one) && fs.exists(&two) && fs.exists(&dir));
    fs.sync_dir(&dir).expect("sync directory");
    assert_eq!(fs.list(&dir).expect("list"), [two.as_path()]);
    assert_eq!(fs.list(&root.join("a")).expect("list"), [dir.as_path()]);
    fs.create(&two).expect("an old file is emptied");
    assert_eq!(fs.file_len(&two).expect("len"), 0);
    for error in [
        fs.read(&one).map(drop),
        fs.map(&one).map(drop),
        fs.file_len(&one).map(drop),
        fs.open_append(&one).map(drop),
        fs.rename(&one, &two),
        fs.remove_file(&one),
        fs.remove_dir_all(&one),
        fs.sync_dir(&one),
        fs.truncate(&one, 0),
    ] {
        assert_eq!(error.expect_err("no such file").kind(), ErrorKind::NotFound);
    }
    let lock_path = dir.join("lock");
    let lock = fs.lock(&lock_path).expect("free");
    assert_eq!(fs.lock(&lock_path).expect_err("held").kind(), ErrorKind::WouldBlock);
    drop(lock);
    drop(fs.lock(&lock_path).expect("free again"));
    write_atomic::<std::io::Error>(fs, &two, |f| f.write_all(b"whole")).expect("atomic");
    assert_eq!(fs.read(&two).expect("read"), b"whole");
    fs.remove_file(&two).expect("remove");
    assert!(!fs.exists(&two));
    fs.remove_dir_all(&root.join("a")).expect("remove all");
    assert!(!fs.exists(&dir) && fs.exists(root));
}

#[test]
fn the_real_disk_conforms() {
    let root = tempfile::tempdir().expect("temporary directory");
    conformance(&DiskFs, root.path());
}

#[test]
fn the_simulated_disk_conforms() {
    conformance(&SimFs::new(1), Path::new("/"));
    conformance(&SimFs::new(1), Path::new(""));
}

fn write(fs: &SimFs, path: &str, bytes: &[u8]) -> Box<dyn m3rs_core::fs::FsFile> {
    let mut file = fs.create(Path::new(path)).expect("create");
    file.write_all(bytes).expect("write");
    file
}

#[test]
fn a_power_cut_loses_what_was_not_synced() {
    let fs = SimFs::new(1);
    let mut kept = write(&fs, "/kept", b"abc");
    kept.sync().expect("sync");
    fs.sync_dir(Path::new("/")).expect("sync directory");
    kept.write_all(b"def").expect("write");
    write(&fs, "/nameless", b"abc").sync().expect("sync");
    fs.crash(Unsynced::Kept);
    assert_eq!(fs.read(Path::new("/kept")).expect("read"), b"abcdef");
    assert!(kept.write_all(b"x").is_err(), "a file does not outlive its process");
    fs.crash(Unsynced::Lost);
    assert_eq!(fs.read(Path::new("/kept")).expect("read"), b"abc");
    assert!(!fs.exists(Path::new("/nameless")));
}

#[test]
fn a_rename_that_was_not_synced_may_be_undone() {
    let fs = SimFs::new(1);
    let (old, new) = (Path::new("/old"), Path::new("/new"));
    write(&fs, "/old", b"abc").sync().expect("sync");
    fs.sync_dir(Path::new("/")).expect("sync directory");
    fs.rename(old, new).expect("rename");
    fs.crash(Unsynced::Lost);
    assert!(fs.exists(old) && !fs.exists(new));
    fs.rename(old, new).expect("rename");
    fs.sync_dir(Path::new("/")).expect("sync directory");
    fs.crash(Unsynced::Lost);
    assert_eq!(fs.read(new).expect("read"), b"abc");
    assert!(!fs.exists(old));
}

#[test]
fn torn_writes_keep_what_was_synced_and_depend_on_the_seed_alone() {
    let torn = |seed| {
        let fs = SimFs::new(seed);
        let mut file = write(&fs, "/f", b"synced");
        file.sync().expect("sync");
        fs.sync_dir(Path::new("/")).expect("sync directory");
        file.write_all(&[7; 100]).expect("write");
        fs.crash(Unsynced::Torn);
        fs.read(Path::new("/f")).expect("read")
    };
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let bytes = torn(seed);
        assert!(bytes.starts_with(b"synced") && bytes.len() <= 106);
        assert_eq!(bytes, torn(seed));
        lengths.insert(bytes.len());
    }
    assert!(lengths.len() > 10, "{lengths:?}");
}

#[test]
fn a_reordering_disk_keeps_later_bytes_without_earlier_ones() {
    let (mut zeros, mut old, mut whole) = (0, 0, 0);
    for seed in 0..200 {
        let fs = SimFs::new(seed);
        let mut file = write(&fs, "/f", b"synced");
        file.sync().expect("sync");
        fs.sync_dir(Path::new("/")).expect("sync directory");
        file.write_all(&[7; 100]).expect("write");
        fs.crash(Unsynced::Reordered);
        let bytes = fs.read(Path::new("/f")).expect("read");
        assert!(bytes.starts_with(b"synced") && bytes.len() <= 106);
        whole += u32::from(bytes.len() == 106);
        let last = bytes.iter().rposition(|b| *b == 7).unwrap_or(0);
        let behind_it = &bytes[6.min(last)..last];
        zeros += u32::from(behind_it.contains(&0));
        old += u32::from(behind_it.iter().any(|b| b.is_ascii_alphabetic()));
    }
    assert!(zeros > 30 && old > 30 && whole > 50, "{zeros} {old} {whole}");
}

#[test]
fn a_copy_of_a_disk_goes_its_own_way() {
    let fs = SimFs::new(1);
    write(&fs, "/f", b"one").sync().expect("sync");
    fs.sync_dir(Path::new("/")).expect("sync directory");
    let copy = fs.copied(2);
    fs.remove_file(Path::new("/f")).expect("removed");
    write(&copy, "/g", b"two");
    assert_eq!(copy.read(Path::new("/f")).expect("read"), b"one");
    assert!(!fs.exists(Path::new("/f")) && !fs.exists(Path::new("/g")));
    copy.crash(Unsynced::Lost);
    assert!(copy.exists(Path::new("/f")) && !copy.exists(Path::new("/g")));
}

#[test]
fn a_later_sync_does_not_bring_back_what_a_failed_one_lost() {
    let fs = SimFs::new(1);
    let mut file = write(&fs, "/f", b"aa");
    file.sync().expect("sync");
    fs.sync_dir(Path::new("/")).expect("sync directory");
    file.write_all(b"bb").expect("write");
    fs.fail_next_sync(1);
    assert!(file.sync().is_err());
    file.write_all(b"cc").expect("write");
    file.sync().expect("sync says that all is well");
    assert_eq!(fs.read(Path::new("/f")).expect("read"), b"aabbcc");
    fs.crash(Unsynced::Lost);
    assert_eq!(fs.read(Path::new("/f")).expect("read"), b"aa\0\0cc");
}

#[test]
fn a_full_disk_takes_what_fits() {
    let fs = SimFs::new(1);
    let mut file = write(&fs, "/f", b"abc");
    fs.set_space(Some(2));
    let error = file.write_all(b"defg").expect_err("no space");
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(fs.read(Path::new("/f")).expect("read"), b"abcde");
    fs.set_space(None);
    file.write_all(b"fg").expect("space again");
}

/// At every step at which the machine may die, the file is whole: the old one or the new one.
#[test]
fn atomic_writes_are_atomic_at_every_step() {
    let path = Path::new("/d/f");
    let run = |fs: &SimFs| {
        fs.create_dir_all(Path::new("/d"))?;
        write_atomic::<std::io::Error>(fs, path, |f| f.write_all(b"old"))?;
        write_atomic::<std::io::Error>(fs, path, |f| f.write_all(b"newer"))
    };
    let whole = SimFs::new(0);
    run(&whole).expect("no fault");
    for at in 1..=whole.ops() + 1 {
        for unsynced in Unsynced::ALL {
            for seed in 0..20 {
                let fs = SimFs::new(seed);
                fs.crash_at_op(at);
                let done = run(&fs);
                assert_eq!(done.is_err(), at <= whole.ops());
                assert_eq!(fs.is_down(), done.is_err());
                fs.crash(unsynced);
                let read = fs.read(path).ok();
                if done.is_ok() {
                    assert_eq!(read.as_deref(), Some(&b"newer"[..]));
                }
                assert!(matches!(read.as_deref(), None | Some(b"old" | b"newer")), "{read:?}");
            }
        }
    }
}

#[test]
fn a_failed_step_leaves_the_disk_usable() {
    let path = Path::new("/f");
    for at in 1..=5 {
        let fs = SimFs::new(at);
        fs.fail_at_op(at);
        let first = write_atomic::<std::io::Error>(&fs, path, |f| f.write_all(b"whole"));
        assert_eq!(first.is_err(), at <= 5, "step {at}");
        write_atomic::<std::io::Error>(&fs, path, |f| f.write_all(b"whole")).expect("again");
        assert_eq!(fs.read(path).expect("read"), b"whole");
        assert!(!fs.exists(Path::new(&format!("/f{TEMP_SUFFIX}"))));
    }
}
