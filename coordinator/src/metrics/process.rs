//! Metrics of the process, under the names that every Prometheus client uses. Read from `/proc` at
//! each scrape; where there is none, they are absent.

use std::fmt;
use std::path::Path;

use m3rs_core::fs::{Fs, SharedFs};
use m3rs_core::time::{NS_PER_S, TimestampNs};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Clock ticks per second in `/proc`; fixed by Linux's interface for programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads the process's use of the machine.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    fs: SharedFs,
    started: TimestampNs,
}

/// What `/proc/self` tells.
#[derive(Debug, Default, PartialEq)]
struct ProcessUse {
    cpu_seconds: Option<f64>,
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    threads: Option<u64>,
    open_fds: Option<u64>,
    max_fds: Option<u64>,
}

impl ProcessCollector {
    pub(super) fn new(fs: SharedFs, started: TimestampNs) -> Self {
        Self { fs, started }
    }

    fn read(&self) -> ProcessUse {
        let text = |path: &str| {
            let bytes = self.fs.read(Path::new(path)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let mut used = ProcessUse::default();
        used.read_stat(&text("/proc/self/stat"));
        used.read_status(&text("/proc/self/status"));
        used.read_limits(&text("/proc/self/limits"));
        let fds = self.fs.list(Path::new("/proc/self/fd")).map(|l| l.len() as u64);
        used.open_fds = fds.ok().filter(|n| *n > 0);
        used
    }
}

/// Threads of the process; 0 where the machine does not tell.
pub(super) fn threads(fs: &dyn Fs) -> u64 {
    let mut used = ProcessUse::default();
    let status = fs.read(Path::new("/proc/self/status")).unwrap_or_default();
    used.read_status(&String::from_utf8_lossy(&status));
    used.threads.unwrap_or(0)
}

impl ProcessUse {
    /// The command, in parentheses, may hold spaces; the fields after it do not.
    fn read_stat(&mut self, text: &str) {
        let after = text.rsplit_once(") ").map_or("", |(_, after)| after);
        let mut fields = after.split(' ').skip(11).map(str::parse::<f64>);
        if let (Some(Ok(user)), Some(Ok(system))) = (fields.next(), fields.next()) {
            self.cpu_seconds = Some((user + system) / TICKS_PER_SECOND);
        }
    }

    fn read_status(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (name, number) = (words.next(), words.next().and_then(|w| w.parse::<u64>().ok()));
            match name {
                Some("VmRSS:") => self.resident_bytes = number.map(|kb| kb * 1024),
                Some("VmSize:") => self.virtual_bytes = number.map(|kb| kb * 1024),
                Some("Threads:") => self.threads = number,
                _ => {}
            }
        }
    }

    fn read_limits(&mut self, text: &str) {
        let line = text.lines().find_map(|l| l.strip_prefix("Max open files"));
        let soft = line.and_then(|l| l.split_ascii_whitespace().next());
        self.max_fds = soft.and_then(|w| w.parse().ok());
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let used = self.read();
        if let Some(seconds) = used.cpu_seconds {
            let counter = ConstCounter::new(seconds);
            let help = "User and system CPU time spent";
            let metric = encoder.encode_descriptor(
                "process_cpu_seconds",
                help,
                None,
                counter.metric_type(),
            )?;
            counter.encode(metric)?;
        }
        let mut put = |name, help, value: Option<f64>| match value {
            Some(value) => {
                let gauge = ConstGauge::new(value);
                let kind = gauge.metric_type();
                gauge.encode(encoder.encode_descriptor(name, help, None, kind)?)
            }
            None => Ok(()),
        };
        let float = |n: Option<u64>| n.map(|n| n as f64);
        put("process_resident_memory_bytes", "Resident memory", float(used.resident_bytes))?;
        put("process_virtual_memory_bytes", "Virtual memory", float(used.virtual_bytes))?;
        put("process_threads", "Threads", float(used.threads))?;
        put("process_open_fds", "Open file descriptors", float(used.open_fds))?;
        put("process_max_fds", "Most file descriptors that may be open", float(used.max_fds))?;
        let started = self.started.0 as f64 / NS_PER_S as f64;
        put("process_start_time_seconds", "Start of the process, since 1970", Some(started))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        let mut used = ProcessUse::default();
        used.read_stat("7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 9 0 123 1 2 3");
        used.read_status("Name:\tx\nVmSize:\t  2048 kB\nVmRSS:\t 10 kB\nThreads:\t9\n");
        used.read_limits("Limit  Soft  Hard  Units\nMax open files   1024   4096   files\n");
        let wanted = ProcessUse {
            cpu_seconds: Some(2.0),
            resident_bytes: Some(10_240),
            virtual_bytes: Some(2 << 20),
            threads: Some(9),
            open_fds: None,
            max_fds: Some(1024),
        };
        assert_eq!(used, wanted);
        let mut nothing = ProcessUse::default();
        nothing.read_stat("");
        nothing.read_status("VmRSS: x");
        nothing.read_limits("Max open files unlimited");
        assert_eq!(nothing, ProcessUse::default());
    }
}
