//! A disk that takes nothing more: writes are told to come again, reads go on, and writing resumes
//! by itself. Nothing that was acked is lost.

mod small_disk;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::deadline::{Deadline, now_ms, pause, wait_for};
use crate::disk_full::small_disk::SmallDisk;
use crate::http_client::{Answer, Client};
use crate::journal::{Journal, Sent};
use crate::server::{PROGRAM, Server, server_args};

/// How long it may take until something that must happen has happened.
const TIMEOUT: Duration = Duration::from_secs(40);

/// Size of the disk that is filled.
const DISK_BYTES: u64 = 8 << 20;

/// The largest file while files are limited. The server's log must fit, too.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// How often the log fails while files are limited.
const FAILURES: usize = 3;

#[test]
fn a_full_disk_refuses_writes_until_there_is_space() {
    let home = tempfile::tempdir().expect("a directory");
    let disk = match SmallDisk::mount(&home.path().join("disk"), DISK_BYTES) {
        Ok(disk) => disk,
        Err(why) => {
            println!("SKIP: no file system of a few MiB can be mounted here: {why}");
            return;
        }
    };
    let start = || {
        let mut command = disk.command(PROGRAM);
        command.args(server_args(&disk.path().join("data")));
        Server::start_command(home.path(), command)
    };
    let server = start();
    let mut client = server.client();
    let mut journal = Journal::new(1, now_ms());
    for _ in 0..200 {
        assert!(matches!(journal.send(&mut client, 0), Sent::Acked));
    }

    disk.fill();
    let refusal = write_until_refused(&mut journal, &mut client, 0);
    check_refusal(&refusal);
    let deadline = Deadline::after(Duration::from_secs(3));
    while !deadline.is_over() {
        // Neither time nor a flush makes space.
        if let Sent::Refused(answer) = journal.send(&mut client, 0) {
            check_refusal(&answer);
        } else {
            panic!("a full disk took a write");
        }
        pause();
    }
    let flush = client.post("/api/v1/admin/tsdb/flush", &[], b"");
    assert_eq!(flush.json()["status"], "error", "{}", flush.text());
    journal.check(&mut client);
    let status = client.get("/ready").json();
    assert!(status["log_failure"].is_string(), "{status}");
    assert!(client.get("/metrics").text().contains("m3rs_commitlog_failed 1\n"));

    disk.empty();
    wait_until_acked(&mut journal, &mut client, 1);
    for _ in 0..200 {
        assert!(matches!(journal.send(&mut client, 1), Sent::Acked));
    }
    journal.check(&mut client);
    assert!(client.get("/metrics").text().contains("m3rs_commitlog_failed 0\n"));
    server.kill();
    let server = start();
    journal.check(&mut server.client());
    assert_eq!(server.client().post("/api/v1/admin/tsdb/flush", &[], b"").status, 200);
    journal.check(&mut server.client());
    server.terminate();
}

#[test]
fn a_disk_that_fails_again_and_again_loses_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start_command(home.path(), limited_command(home.path()));
    let mut client = server.client();
    let mut journal = Journal::new(2, now_ms());
    limit_files(&server, Some(FILE_BYTES_MAX));
    let mut run = 0;
    for _ in 0..FAILURES {
        let refusal = write_until_refused(&mut journal, &mut client, run);
        check_refusal(&refusal);
        journal.check(&mut client);
        run += 1;
        wait_until_acked(&mut journal, &mut client, run);
    }
    // Now not even a new file can be written, so it cannot resume.
    limit_files(&server, Some(0));
    check_refusal(&write_until_refused(&mut journal, &mut client, run));
    journal.check(&mut client);
    limit_files(&server, None);
    wait_until_acked(&mut journal, &mut client, run + 1);
    journal.check(&mut client);
    server.kill();

    let server = Server::start(home.path());
    journal.check(&mut server.client());
    println!("disk_full: {} requests acked, all there", journal.acked());
}

#[test]
fn a_log_that_cannot_be_written_harms_nobody() {
    write_with_redirection("2>/dev/full");
}

#[test]
fn a_banner_that_cannot_be_written_harms_nobody() {
    write_with_redirection(">/dev/full");
}

/// Writes, asks and flushes on a server one of whose outputs takes nothing.
fn write_with_redirection(redirection: &str) {
    let home = tempfile::tempdir().expect("a directory");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec \"$0\" \"$@\" {redirection}"), PROGRAM]);
    command.args(server_args(&home.path().join("data"))).args(["--log", "debug"]);
    let server = Server::start_command(home.path(), command);
    let mut client = server.client();
    let mut journal = Journal::new(3, now_ms());
    assert!(matches!(journal.send(&mut client, 0), Sent::Acked));
    assert_eq!(client.get("/api/v1/query?query=(").status, 400);
    assert_eq!(client.post("/api/v1/admin/tsdb/flush", &[], b"").status, 200);
    journal.check(&mut client);
    server.terminate();
}

/// A server that gets an error, not a signal, for a file that becomes too large.
fn limited_command(home: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", PROGRAM]);
    command.args(server_args(&home.join("data")));
    command
}

/// Limits the size that files of the server may grow to.
fn limit_files(server: &Server, bytes_max: Option<u64>) {
    let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw).expect("a process id");
    let limit = Rlimit { current: bytes_max, maximum: None };
    prlimit(Some(pid), Resource::Fsize, limit).expect("a limit for an own child");
}

fn write_until_refused(journal: &mut Journal, client: &mut Client, run: u64) -> Answer {
    wait_for("a refusal", TIMEOUT, || {
        loop {
            match journal.send(client, run) {
                // Without a pause: the space must be used up.
                Sent::Acked if journal.acked().is_multiple_of(1000) => return None,
                Sent::Acked => {}
                Sent::Refused(answer) => return Some(answer),
                Sent::Broken => panic!("the server closed the connection"),
            }
        }
    })
}

fn wait_until_acked(journal: &mut Journal, client: &mut Client, run: u64) {
    wait_for("writes to be taken again", TIMEOUT, || match journal.send(client, run) {
        Sent::Acked => Some(()),
        Sent::Refused(answer) => {
            check_refusal(&answer);
            None
        }
        Sent::Broken => panic!("the server closed the connection"),
    });
}

fn check_refusal(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.header("retry-after"), "1");
    // Whichever is met first: the floor, or the disk's end behind it.
    let text = answer.text();
    assert!(text.contains("commit log") || text.contains("disk floor"), "{text}");
}
