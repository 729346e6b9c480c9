//! Signals: the first asks the process to finish, the second ends it.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What ends the process in an orderly way.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Starts to catch SIGTERM and SIGINT. Must be called on a runtime.
    ///
    /// # Errors
    /// The machine refuses.
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one and returns its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
