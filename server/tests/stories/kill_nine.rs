//! No acked sample is lost, changed or doubled by SIGKILL, whenever it strikes.

use std::time::Duration;

use m3rs_core::rng::Random;
use rustix::process::Signal;

use crate::deadline::{Deadline, now_ms, pause};
use crate::journal::{Journal, Sent};
use crate::seed::random;
use crate::server::Server;

/// How often the server is killed.
const KILLS: u64 = 30;

/// Connections that write at the same time.
const WRITERS: u64 = 4;

/// The longest time between a start and its kill.
const RUN_MS_MAX: u64 = 300;

/// After so many kills everything is read back.
const CHECK_EVERY: u64 = 10;

#[test]
fn nothing_acked_is_lost() {
    let mut random = random("kill_nine");
    let home = tempfile::tempdir().expect("a directory");
    let end = now_ms();
    let mut journals: Vec<Journal> = (0..WRITERS).map(|w| Journal::new(w, end)).collect();
    for run in 0..KILLS {
        run_and_kill(home.path(), &mut journals, run, &mut random);
        if (run + 1) % CHECK_EVERY == 0 {
            let server = Server::start(home.path());
            check(&server, &journals);
            server.kill();
        }
    }
    // And when all of it is in files alone.
    let server = Server::start(home.path());
    assert_eq!(server.client().post("/api/v1/admin/tsdb/flush", &[], b"").status, 200);
    check(&server, &journals);
    server.terminate();
    let acked: Vec<usize> = journals.iter().map(Journal::acked).collect();
    println!("kill_nine: {KILLS} kills, {acked:?} requests acked of each writer, all there");
    assert!(acked.iter().all(|n| *n > 100), "too little written to prove anything: {acked:?}");
}

fn check(server: &Server, journals: &[Journal]) {
    let mut client = server.client();
    for journal in journals {
        journal.check(&mut client);
    }
    let status = client.get("/ready").json();
    // What was being written at the kill is a torn end, not damage.
    assert_eq!(status["damage_at_start"], 0, "{status}");
}

/// Starts the server, lets all write, perhaps asks for a flush, and kills it at some moment.
fn run_and_kill(home: &std::path::Path, journals: &mut [Journal], run: u64, random: &mut Random) {
    let server = Server::start(home);
    let time = random.below(RUN_MS_MAX);
    let flush_before = (random.below(2) == 0).then(|| random.below(40));
    std::thread::scope(|scope| {
        for journal in journals {
            let mut client = server.client();
            scope.spawn(move || {
                loop {
                    match journal.send(&mut client, run) {
                        Sent::Acked => {}
                        Sent::Broken => return,
                        Sent::Refused(answer) => panic!("{answer:?}"),
                    }
                }
            });
        }
        let kill_at = Deadline::after(Duration::from_millis(time));
        if let Some(before) = flush_before {
            let mut client = server.client();
            scope.spawn(move || {
                let flush_at = Duration::from_millis(time.saturating_sub(before));
                wait_until(Deadline::after(flush_at));
                // The kill may come first.
                drop(client.send("POST", "/api/v1/admin/tsdb/flush", &[], b""));
            });
        }
        wait_until(kill_at);
        server.signal(Signal::KILL);
    });
    server.kill();
}

fn wait_until(deadline: Deadline) {
    while !deadline.is_over() {
        if deadline.left() > Duration::from_millis(20) {
            pause();
        } else {
            std::thread::park_timeout(deadline.left());
        }
    }
}
