//! Numbers about the database as it stands.

use std::sync::atomic::Ordering;

use super::{Core, Database};
use crate::losses::KnownLoss;
use crate::mediator::JobStatus;
use crate::namespace::Namespace;
use crate::scrub::Quarantined;

/// Numbers about the database, for metrics and `/ready`.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    /// Series of all namespaces.
    pub series: u64,
    /// Samples written since start.
    pub samples_written: u64,
    /// Block windows with samples that are not frozen yet.
    pub windows_open: u64,
    /// Volumes that are served.
    pub volumes: u64,
    /// Snapshot files that are served.
    pub snapshots: u64,
    /// Whether nothing expires for now, as the wall clock was set ahead or the process is young.
    pub expiry_held: bool,
    /// Bytes in the commit log since its last cut.
    pub log_bytes: u64,
    /// Bytes in the commit log that no other file holds yet.
    pub log_uncovered_bytes: u64,
    /// Why the log takes no writes, if it does not.
    pub log_failure: Option<String>,
    /// Blocks that reads had to leave out since start.
    pub damaged_reads: u64,
    /// Blocks that compaction wrote since start.
    pub compactions: u64,
    /// Bytes that compaction read since start.
    pub compaction_read_bytes: u64,
    /// Bytes that compaction wrote since start.
    pub compaction_written_bytes: u64,
    /// Compactions that were due since start and not begun, as a limit forbids them.
    pub compactions_skipped: u64,
    /// Background jobs that failed since start.
    pub background_failures: u64,
    /// Damage found at start, and in blocks that it left for later.
    pub damage_at_start: u64,
    /// Blocks that the start left for later and that are not open yet. Reads of their times are
    /// refused as unavailable.
    pub blocks_opening: u64,
    /// New series that the limit on their rate refused since start.
    pub series_rate_refusals: u64,
    /// Writes that the disk floor refused since start.
    pub disk_floor_refusals: u64,
    /// Free bytes of the volume when a write last asked; `None` before that.
    pub disk_free_bytes: Option<u64>,
    /// Bytes of the volume that writes leave free.
    pub disk_floor_bytes: u64,
    /// Bytes a second that background work writes at most; 0 is no limit.
    pub persist_bytes_per_second_max: u64,
    /// Filesets that are mapped while nobody reads them.
    pub filesets_mapped: u64,
    /// Times that a read found a fileset mapped, since start.
    pub fileset_map_hits: u64,
    /// Times that a read had to map a fileset, since start.
    pub fileset_map_misses: u64,
    /// Bytes of decoded samples that are kept.
    pub decoded_cache_bytes: u64,
    /// Blocks of which a read found kept samples, since start.
    pub decoded_cache_hits: u64,
    /// Blocks that a read had to decode for a part of them, since start.
    pub decoded_cache_misses: u64,
    /// Bytes of series that regular expressions found, which are kept.
    pub postings_cache_bytes: u64,
    /// Bytes of labels of series that selections found, which are kept.
    pub labels_cache_bytes: u64,
    /// Files that scrubs read since start.
    pub scrubbed_files: u64,
    /// Bytes that scrubs read since start.
    pub scrubbed_bytes: u64,
    /// Files in which a scrub found damage.
    pub quarantined: Vec<Quarantined>,
    /// What is known to be lost, until its file is removed or retention passes.
    pub known_losses: Vec<KnownLoss>,
    /// Background work by kind.
    pub jobs: Vec<JobStatus>,
    /// Each namespace, by name.
    pub namespaces: Vec<NamespaceStatus>,
}

/// Numbers about one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct NamespaceStatus {
    /// Its name.
    pub name: String,
    /// Its series.
    pub series: u64,
    /// Samples written since it was opened.
    pub samples_written: u64,
    /// Block windows with samples that are not frozen yet.
    pub windows_open: u64,
    /// Volumes that are served.
    pub volumes: u64,
    /// Snapshot files that are served.
    pub snapshots: u64,
}

impl Database {
    /// Numbers about the database as it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut status = self.core.status();
        status.damage_at_start = self.damage_at_start().len() as u64;
        status.known_losses = self.core.known_losses();
        for namespace in self.core.all() {
            let of_it = namespace_status(&namespace);
            status.series += of_it.series;
            status.samples_written += of_it.samples_written;
            status.windows_open += of_it.windows_open;
            status.volumes += of_it.volumes;
            status.snapshots += of_it.snapshots;
            let (opened, left) = namespace.opening.counts();
            status.blocks_opening += left - opened;
            let counters = &namespace.counters;
            status.damaged_reads += counters.damaged_reads.get();
            status.expiry_held |= namespace.expiry_held.load(Ordering::Relaxed);
            status.series_rate_refusals += counters.series_rate_refusals.get();
            status.compactions += counters.compactions.get();
            status.compaction_read_bytes += counters.compaction_read_bytes.get();
            status.compaction_written_bytes += counters.compaction_written_bytes.get();
            status.compactions_skipped += counters.compactions_skipped.get();
            status.namespaces.push(of_it);
        }
        status
    }
}

impl Core {
    /// What is not of a namespace that is served.
    fn status(&self) -> Status {
        let disk = &self.opener.disk;
        let (free, floor) = disk.last_seen();
        Status {
            samples_written: self.gone.samples.get(),
            damaged_reads: self.gone.damaged_reads.get(),
            series_rate_refusals: self.gone.series_rate_refusals.get(),
            compactions: self.gone.compactions.get(),
            compaction_read_bytes: self.gone.compaction_read_bytes.get(),
            compaction_written_bytes: self.gone.compaction_written_bytes.get(),
            compactions_skipped: self.gone.compactions_skipped.get(),
            log_bytes: self.log.bytes_since_rotation(),
            log_uncovered_bytes: self.log.uncovered_bytes(),
            log_failure: self.log.failure().map(|why| why.to_string()),
            background_failures: self.background_failures.get(),
            disk_floor_refusals: disk.refusals.get(),
            disk_free_bytes: (free != u64::MAX).then_some(free),
            disk_floor_bytes: floor,
            persist_bytes_per_second_max: self.persist_rate.bytes_per_second(),
            filesets_mapped: self.opener.cache.mapped(),
            fileset_map_hits: self.opener.cache.mapped_hits.get(),
            fileset_map_misses: self.opener.cache.mapped_misses.get(),
            decoded_cache_bytes: self.opener.cache.decoded_bytes(),
            decoded_cache_hits: self.opener.cache.pieces.hits.get(),
            decoded_cache_misses: self.opener.cache.pieces.misses.get(),
            postings_cache_bytes: self.opener.cache.postings.bytes(),
            labels_cache_bytes: self.opener.cache.labels.bytes(),
            scrubbed_files: self.scrub.files.get(),
            scrubbed_bytes: self.scrub.bytes.get(),
            quarantined: self.scrub.quarantined(),
            jobs: self.jobs.status(),
            ..Status::default()
        }
    }
}

fn namespace_status(namespace: &Namespace) -> NamespaceStatus {
    let mut status = NamespaceStatus {
        name: namespace.name().to_owned(),
        series: namespace.series_count(),
        samples_written: namespace.counters.samples.get(),
        ..NamespaceStatus::default()
    };
    for shard in &namespace.shards {
        let (windows, blocks) = {
            let state = shard.lock();
            (state.buffer.window_count() as u64, state.blocks())
        };
        status.windows_open += windows;
        for (_, files) in blocks.iter() {
            let volumes = u64::from(files.volume.is_some());
            status.volumes += volumes;
            status.snapshots += files.files().count() as u64 - volumes;
        }
    }
    status
}
