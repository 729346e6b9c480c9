//! SIGTERM and SIGINT end the server in good order, whatever it is doing.

use std::time::Duration;

use rustix::process::Signal;

use crate::deadline::{Deadline, now_ms, wait_for};
use crate::journal::{Journal, Sent};
use crate::server::Server;

/// Connections that write at the same time.
const WRITERS: u64 = 4;

/// Requests that are acked before the signal.
const REQUESTS: usize = 300;

/// How long those may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an orderly end may take under load.
const END_TIMEOUT: Duration = Duration::from_secs(10);

#[test]
fn what_was_acked_under_load_is_there_after_the_next_start() {
    let home = tempfile::tempdir().expect("a directory");
    let end = now_ms();
    let mut journals: Vec<Journal> = (0..WRITERS).map(|w| Journal::new(w, end)).collect();
    for (run, signal) in (0..).zip([Signal::TERM, Signal::INT, Signal::TERM]) {
        run_and_end(home.path(), &mut journals, run, signal);
        let server = Server::start(home.path());
        let mut client = server.client();
        for journal in &journals {
            journal.check(&mut client);
        }
        let status = client.get("/ready").json();
        assert_eq!(status["damage_at_start"], 0, "{status}");
        server.terminate();
    }
}

/// Sends `signal` while all write; the server must end with 0 soon.
fn run_and_end(home: &std::path::Path, journals: &mut [Journal], run: u64, signal: Signal) {
    let mut server = Server::start(home);
    // Connections that send nothing must not hold the end up.
    let mut idle = server.client();
    assert_eq!(idle.get("/-/ready").status, 200);
    std::thread::scope(|scope| {
        for journal in journals {
            let mut client = server.client();
            scope.spawn(move || {
                // Bounded, for the case that the server never ends.
                let deadline = Deadline::after(WRITE_TIMEOUT);
                while !deadline.is_over() {
                    match journal.send(&mut client, run) {
                        Sent::Acked => {}
                        Sent::Broken => return,
                        // A server that ends answers in full or not at all.
                        Sent::Refused(answer) => panic!("{answer:?}"),
                    }
                }
            });
        }
        let mut client = server.client();
        wait_for("enough writes", WRITE_TIMEOUT, || {
            let written = client.get("/ready").json()["samples_written"].as_u64()?;
            (written > 3 * REQUESTS as u64).then_some(())
        });
        server.signal(signal);
        let status = server.wait(END_TIMEOUT);
        assert!(status.success(), "{status} after {signal:?}");
    });
    let log = server.log();
    assert!(log.contains("stopped"), "{log}");
    assert!(!log.contains("ERROR") && !log.contains("WARN"), "{log}");
}
