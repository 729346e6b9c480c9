//! From which segment on the log is needed, when not all of memory was put into files.
//!
//! A namespace without snapshots keeps its open windows in memory over a cut of the log. Each
//! such window needs the log from the cut before the first one that met it: it did not exist
//! then, so its first sample came later. A deletion that is in no file yet needs it likewise.

use std::collections::BTreeMap;

use crate::blocks::Layer;
use crate::namespace::Namespace;

/// What one namespace needs of the log.
#[derive(Debug, Default)]
pub(crate) struct LogNeed {
    /// The segment of the last cut; 0 at start, as the log then holds all that is in memory.
    last_cut: u64,
    /// By shard and block start: the segment from which on the window's samples are logged.
    windows: BTreeMap<(u16, i64), u64>,
}

impl LogNeed {
    /// Everything that was logged before segment `cut` is in files.
    pub(super) fn none_before(&mut self, cut: u64) {
        self.windows.clear();
        self.last_cut = cut;
    }

    /// After a cut at segment `cut`, the windows `in_memory` are in no file.
    pub(super) fn meet(&mut self, cut: u64, in_memory: impl Iterator<Item = (u16, i64)>) {
        let Self { last_cut, windows: old } = self;
        self.windows = in_memory
            .map(|window| (window, old.get(&window).copied().unwrap_or(*last_cut)))
            .collect();
        self.last_cut = cut;
    }

    /// The oldest segment that is needed, if one before the last cut is.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.windows.values().copied().min()
    }
}

impl Namespace {
    /// Blocks of which some samples or deletions are in memory only, by shard and start.
    pub(super) fn blocks_in_memory(&self) -> Vec<(u16, i64)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let state = shard.lock();
            all.extend(state.buffer.windows().map(|(start, _)| (shard.id, start)));
            for (id, files) in state.blocks().iter() {
                if files.layers.iter().any(|layer| !matches!(layer, Layer::File(_))) {
                    all.push((shard.id, id.start()));
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_needs_the_log_since_the_cut_before_it_was_met() {
        let mut need = LogNeed::default();
        need.meet(5, [(0, 100)].into_iter());
        assert_eq!(need.oldest(), Some(0), "it may be older than the start");
        need.meet(6, [(0, 100), (1, 200)].into_iter());
        need.meet(7, [(1, 200), (0, 300)].into_iter());
        assert_eq!(need.oldest(), Some(5), "the first window is in a file now");
        need.meet(8, [(0, 300)].into_iter());
        assert_eq!(need.oldest(), Some(6));
        need.none_before(9);
        assert_eq!(need.oldest(), None);
        need.meet(10, [(0, 300)].into_iter());
        assert_eq!(need.oldest(), Some(9));
    }
}
