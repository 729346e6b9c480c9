//! The rules by which flushes, snapshots, deletions and compactions replace files, as a model that
//! is searched through to its end: every order of steps, every power cut, every subset of removals
//! that a power cut may undo.
//!
//! The model is one series at one time. What it holds is the number of the last write, or nothing
//! after a deletion; a reader must always find what was acknowledged last. The rules it checks are
//! those of `docs/formats/data-directory.md`:
//!
//! 1. What was logged before a cut is in a frozen window before anything is removed for that cut.
//! 2. A volume names the cut that it covers; snapshots of that cut and earlier are leftovers.
//! 3. Shorter blocks lie over longer ones.
//! 4. A compaction is published only over sources that did not change; its file has no name that
//!    start-up knows before that; what the sources hid is durably gone before they are, and they
//!    are before the next cut. A deletion that comes between the look at the sources and the
//!    publication lies over the new block.
//! 5. Segments of the log go one by one, oldest first, each durably.
//! 6. A file that the disk did not let go is remembered; until it is gone, nothing is written for
//!    its block and no segment goes.
//!
//! Each rule can be switched off, and the search then finds a loss: so the model can fail.

#[path = "flush_versions/parts.rs"]
mod parts;

use std::collections::{BTreeSet, HashSet};

use parts::{Block, Cell, File, Kind, Layer};

/// A job that removes files one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Removals {
    files: Vec<File>,
    /// Each removal is durable before the next.
    synced: bool,
}

/// What a checkpoint does with layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Mode {
    Flush,
    Snapshot,
    /// Together with the snapshots that are there.
    MergedSnapshot,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Checkpoint {
    Idle,
    Cut { mode: Mode, cut: u8 },
    Frozen { mode: Mode, cut: u8, block: usize },
    Removing { mode: Mode, cut: u8, block: usize, removals: Removals },
    Log { cut: u8 },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Compaction {
    Idle,
    Begun { sources: Vec<File> },
    Written { sources: Vec<File>, result: Option<File> },
    Named { sources: Vec<File>, result: Option<File> },
    Removing { files: Vec<File> },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    acked: Cell,
    writes: u8,
    checkpoints: u8,
    compactions: u8,
    cuts: u8,
    /// Segments with their numbers; each holds writes in order.
    log: Vec<(u8, Vec<Cell>)>,
    window: Cell,
    blocks: [Block; 2],
    checkpoint: Checkpoint,
    compaction: Compaction,
    disk: BTreeSet<File>,
    /// Not served any more, and still there as the disk refused.
    pending: Vec<File>,
    /// Sources of a compaction went, and not durably yet.
    unsynced: bool,
    /// Removed, and a power cut may bring them back.
    undead: BTreeSet<File>,
    undead_log: Vec<(u8, Vec<Cell>)>,
}

/// Rules that hold unless a test switches them off.
#[derive(Clone, Copy, Debug)]
struct Rules {
    freeze_after_cut: bool,
    volumes_cover: bool,
    publish_unchanged: bool,
    named_when_published: bool,
    hidden_gone_first: bool,
    sync_after_sources_went: bool,
    log_removals_synced: bool,
    deletions_follow: bool,
    removals_remembered: bool,
    /// How often jobs may run: bounds of the search.
    checkpoints: u8,
    compactions: u8,
}

const RULES: Rules = Rules {
    freeze_after_cut: true,
    volumes_cover: true,
    publish_unchanged: true,
    named_when_published: true,
    hidden_gone_first: true,
    sync_after_sources_went: true,
    log_removals_synced: true,
    deletions_follow: true,
    removals_remembered: true,
    checkpoints: 2,
    compactions: 2,
};

/// Long enough for a snapshot, the volume that hides it, and the end of that volume.
const LONG_RULES: Rules = Rules { checkpoints: 3, compactions: 0, ..RULES };

const SHORT: usize = 0;
const LONG: usize = 1;
const WRITES: u8 = 3;
const POWER_CUTS: u8 = 1;

impl State {
    fn new() -> Self {
        Self {
            acked: Cell::Silent,
            writes: 0,
            checkpoints: 0,
            compactions: 0,
            cuts: 0,
            log: vec![(1, Vec::new())],
            window: Cell::Silent,
            blocks: Default::default(),
            checkpoint: Checkpoint::Idle,
            compaction: Compaction::Idle,
            disk: BTreeSet::new(),
            pending: Vec::new(),
            unsynced: false,
            undead: BTreeSet::new(),
            undead_log: Vec::new(),
        }
    }

    fn read(&self) -> Cell {
        let [short, long] = self.blocks.each_ref().map(|block| block.cell().settled());
        self.window.over(short).over(long).settled()
    }

    fn apply(&mut self, write: Cell) {
        if write == Cell::Deleted {
            self.freeze();
            for block in self.blocks.iter_mut().filter(|block| !block.is_empty()) {
                block.layers.push(Layer::Memory(Cell::Deleted));
            }
        } else {
            self.window = write;
        }
    }

    fn write(&mut self, write: Cell) {
        self.writes += 1;
        self.log.last_mut().expect("a segment").1.push(write);
        self.apply(write);
        self.acked = write.settled();
    }

    fn freeze(&mut self) {
        if self.window != Cell::Silent {
            self.blocks[SHORT].layers.push(Layer::Memory(self.window));
            self.window = Cell::Silent;
        }
    }

    fn remove(&mut self, file: File) {
        if self.disk.remove(&file) {
            self.undead.insert(file);
        }
    }

    /// The directory of a block is synced: new names are there, removed ones are gone.
    fn sync(&mut self, block: usize) {
        self.undead.retain(|file| file.block != block);
    }

    /// The disk does not let these files go.
    fn refuse(&mut self, files: Vec<File>, rules: Rules) {
        if rules.removals_remembered {
            self.pending.extend(files);
        }
    }

    /// Lets the files of a block go that the disk refused to let go before.
    fn settle(&mut self, block: usize) {
        let (of_block, others) =
            std::mem::take(&mut self.pending).into_iter().partition(|file| file.block == block);
        self.pending = others;
        let of_block: Vec<File> = of_block;
        for file in of_block {
            self.remove(file);
            self.sync_kind(block, file.kind);
        }
        if std::mem::take(&mut self.unsynced) {
            self.sync(SHORT);
            self.sync(LONG);
        }
    }

    fn create(&mut self, file: File) {
        self.sync_kind(file.block, file.kind);
        self.disk.insert(file);
    }

    /// Volumes and snapshots lie in different directories.
    fn sync_kind(&mut self, block: usize, kind: Kind) {
        self.undead.retain(|file| file.block != block || file.kind != kind);
    }

    fn checkpoint(&mut self, rules: Rules) {
        self.checkpoint = match std::mem::replace(&mut self.checkpoint, Checkpoint::Idle) {
            Checkpoint::Idle => Checkpoint::Idle,
            Checkpoint::Cut { mode, cut } => {
                if rules.freeze_after_cut {
                    self.freeze();
                }
                Checkpoint::Frozen { mode, cut, block: SHORT }
            }
            Checkpoint::Frozen { cut, block: 2, .. } => {
                self.settle(SHORT);
                self.settle(LONG);
                Checkpoint::Log { cut }
            }
            Checkpoint::Frozen { mode, cut, block } => {
                let removals = match self.blocks[block].layers.is_empty() {
                    true => Removals::default(),
                    false if mode == Mode::Flush => self.flush(block, cut, rules),
                    false => self.snapshot(block, cut, mode),
                };
                Checkpoint::Removing { mode, cut, block, removals }
            }
            Checkpoint::Removing { mode, cut, block, mut removals } => {
                if removals.files.is_empty() {
                    Checkpoint::Frozen { mode, cut, block: block + 1 }
                } else {
                    let file = removals.files.remove(0);
                    self.remove(file);
                    if removals.synced {
                        self.sync_kind(block, file.kind);
                    }
                    Checkpoint::Removing { mode, cut, block, removals }
                }
            }
            Checkpoint::Log { cut } if self.log[0].0 < cut => {
                let segment = self.log.remove(0);
                if !rules.log_removals_synced {
                    self.undead_log.push(segment);
                }
                Checkpoint::Log { cut }
            }
            Checkpoint::Log { .. } => {
                self.undead_log.clear();
                Checkpoint::Idle
            }
        };
    }

    fn flush(&mut self, block: usize, cut: u8, rules: Rules) -> Removals {
        self.settle(block);
        let old = self.blocks[block].files();
        let cell = self.blocks[block].cell().settled();
        let covers = if rules.volumes_cover { cut } else { 0 };
        self.blocks[block] = Block::default();
        if cell == Cell::Silent {
            if rules.hidden_gone_first {
                self.sync(block);
            }
            return Removals { files: old, synced: true };
        }
        let number = old.iter().find(|f| f.kind == Kind::Volume).map_or(0, |f| f.number + 1);
        let file = File { block, kind: Kind::Volume, number, covers, cell };
        self.create(file);
        self.blocks[block].volume = Some(file);
        Removals { files: old, synced: false }
    }

    fn snapshot(&mut self, block: usize, cut: u8, mode: Mode) -> Removals {
        let layers = &self.blocks[block].layers;
        let on_disk = layers.iter().take_while(|l| matches!(l, Layer::File(_))).count();
        if on_disk == layers.len() {
            return Removals::default();
        }
        self.settle(block);
        let first = if mode == Mode::MergedSnapshot { 0 } else { on_disk };
        let merged = self.blocks[block].layers.split_off(first);
        let cell = merged.iter().fold(Cell::Silent, |below, l| l.cell().over(below));
        let file = File { block, kind: Kind::Snapshot, number: cut, covers: 0, cell };
        self.blocks[block].layers.push(Layer::File(file));
        self.create(file);
        let old = merged.into_iter().filter_map(|layer| match layer {
            Layer::File(file) => Some(file),
            Layer::Memory(_) => None,
        });
        Removals { files: old.collect(), synced: true }
    }

    /// The files that a compaction merges: volumes, and deletions over them.
    fn sources(&self) -> Vec<File> {
        [LONG, SHORT].iter().flat_map(|&block| self.blocks[block].files()).collect()
    }

    fn can_compact(&self) -> bool {
        let [short, long] = &self.blocks;
        let is_deletion = |layer: &Layer| match layer {
            Layer::File(file) => file.cell == Cell::Deleted,
            Layer::Memory(_) => false,
        };
        let is_flushed = |block: &Block| {
            block.layers.iter().all(is_deletion)
                && (block.volume.is_some() || block.layers.is_empty())
        };
        let is_due = short.volume.is_some() || !long.layers.is_empty();
        self.compaction == Compaction::Idle && is_flushed(short) && is_flushed(long) && is_due
    }

    fn compact(&mut self, rules: Rules) {
        self.compaction = match std::mem::replace(&mut self.compaction, Compaction::Idle) {
            Compaction::Idle => Compaction::Idle,
            Compaction::Begun { sources } => {
                let cell = sources.iter().fold(Cell::Silent, |below, f| f.cell.over(below));
                let own = || sources.iter().filter(|f| f.block == LONG);
                let number = own().find(|f| f.kind == Kind::Volume).map_or(0, |f| f.number + 1);
                let covers = own().map(|f| match f.kind {
                    Kind::Volume => f.covers,
                    Kind::Snapshot => f.number,
                });
                let covers = covers.max().unwrap_or(0);
                let cell = cell.settled();
                let file = File { block: LONG, kind: Kind::Volume, number, covers, cell };
                let result = (cell != Cell::Silent).then_some(file);
                if !rules.named_when_published {
                    result.into_iter().for_each(|file| self.create(file));
                }
                Compaction::Written { sources, result }
            }
            Compaction::Written { sources, result } => {
                if rules.publish_unchanged && self.sources() != sources
                    || self
                        .blocks
                        .iter()
                        .flat_map(|b| &b.layers)
                        .any(|l| rules.publish_unchanged && matches!(l, Layer::Memory(_)))
                {
                    result.into_iter().for_each(|file| self.remove(file));
                    Compaction::Idle
                } else {
                    self.settle(SHORT);
                    self.settle(LONG);
                    result.into_iter().for_each(|file| self.create(file));
                    Compaction::Named { sources, result }
                }
            }
            Compaction::Named { sources, result } => {
                self.swap(&sources, result, rules);
                if rules.hidden_gone_first {
                    self.sync(SHORT);
                    self.sync(LONG);
                }
                Compaction::Removing { files: sources }
            }
            Compaction::Removing { mut files } => {
                if files.is_empty() {
                    if rules.sync_after_sources_went {
                        self.sync(SHORT);
                        self.sync(LONG);
                    }
                    Compaction::Idle
                } else {
                    let file = files.remove(0);
                    self.remove(file);
                    // Deletions go after what they hide.
                    if files.iter().any(|f| f.block == file.block && f.kind == Kind::Snapshot) {
                        self.sync_kind(file.block, file.kind);
                    }
                    Compaction::Removing { files }
                }
            }
        };
    }

    /// Serves the new block. Layers that came over the sources stay where they are.
    fn swap(&mut self, sources: &[File], result: Option<File>, rules: Rules) {
        for block in &mut self.blocks {
            block.volume = None;
            let is_source = |l: &Layer| matches!(l, Layer::File(f) if sources.contains(f));
            block.layers.retain(|layer| !is_source(layer));
        }
        let own = sources.iter().any(|f| f.block == LONG);
        let deleted = self.blocks[SHORT].layers.iter().filter(|l| l.cell() == Cell::Deleted);
        let deleted: Vec<Layer> = deleted.copied().collect();
        if result.is_some() {
            self.blocks[LONG].volume = result;
            if !own && rules.deletions_follow {
                self.blocks[LONG].layers = deleted;
            }
        }
    }

    /// Starts again from the disk, with those of the removed files that came back.
    fn power_cut(&self, files: &[File], segments: &[(u8, Vec<Cell>)]) -> Self {
        let mut disk = self.disk.clone();
        disk.extend(files);
        let mut log = self.log.clone();
        log.extend(segments.iter().cloned());
        log.sort();
        let replayed: Vec<Cell> = log.iter().flat_map(|(_, writes)| writes.clone()).collect();
        let next = log.last().map_or(1, |(number, _)| number + 1);
        log.push((next, Vec::new()));
        let mut state = Self {
            cuts: self.cuts + 1,
            acked: self.acked,
            writes: self.writes,
            checkpoints: self.checkpoints,
            compactions: self.compactions,
            log,
            disk: disk.clone(),
            ..Self::new()
        };
        for block in [SHORT, LONG] {
            let of = |kind| disk.iter().filter(move |f| f.block == block && f.kind == kind);
            let volume = of(Kind::Volume).max_by_key(|f| f.number).copied();
            of(Kind::Volume).filter(|f| Some(**f) != volume).for_each(|f| state.remove(*f));
            state.blocks[block].volume = volume;
            for snapshot in of(Kind::Snapshot) {
                if volume.is_some_and(|v| v.covers >= snapshot.number) {
                    state.remove(*snapshot);
                } else {
                    state.blocks[block].layers.push(Layer::File(*snapshot));
                }
            }
        }
        replayed.into_iter().for_each(|write| state.apply(write));
        state
    }

    /// Every state that may come next.
    fn next(&self, rules: Rules) -> Vec<Self> {
        let mut next = Vec::new();
        let mut step = |change: &dyn Fn(&mut Self)| {
            let mut state = self.clone();
            change(&mut state);
            next.push(state);
        };
        if self.writes < WRITES {
            step(&|s| s.write(Cell::Value(s.writes + 1)));
            step(&|s| s.write(Cell::Deleted));
        }
        // Publication and what follows it, and the steps of a checkpoint, hold one lock.
        let (checkpoint, compaction) = (&self.checkpoint, &self.compaction);
        let publishing =
            matches!(compaction, Compaction::Named { .. } | Compaction::Removing { .. });
        let at_publication = publishing || matches!(compaction, Compaction::Written { .. });
        if *checkpoint != Checkpoint::Idle {
            step(&|s| s.checkpoint(rules));
            // An error of the disk ends it anywhere; what was done stays done.
            step(&|s| {
                let ended = std::mem::replace(&mut s.checkpoint, Checkpoint::Idle);
                if let Checkpoint::Removing { removals, .. } = ended {
                    s.refuse(removals.files, rules);
                }
            });
        } else if self.checkpoints < rules.checkpoints && !publishing {
            for mode in [Mode::Snapshot, Mode::MergedSnapshot, Mode::Flush] {
                step(&|s| {
                    let cut = s.log.last().expect("a segment").0 + 1;
                    s.log.push((cut, Vec::new()));
                    s.checkpoints += 1;
                    s.checkpoint = Checkpoint::Cut { mode, cut };
                });
            }
        }
        if *compaction != Compaction::Idle && (!at_publication || *checkpoint == Checkpoint::Idle) {
            step(&|s| s.compact(rules));
            // An error of the disk.
            step(&|s| match std::mem::replace(&mut s.compaction, Compaction::Idle) {
                Compaction::Named { result, .. } => {
                    s.refuse(result.into_iter().collect(), rules);
                }
                Compaction::Removing { files } => {
                    s.refuse(files, rules);
                    s.unsynced = rules.removals_remembered;
                }
                Compaction::Idle | Compaction::Begun { .. } | Compaction::Written { .. } => {}
            });
        } else if self.can_compact() && self.compactions < rules.compactions {
            step(&|s| {
                let sources = s.sources();
                s.compactions += 1;
                s.compaction = Compaction::Begun { sources };
            });
        }
        if self.cuts < POWER_CUTS {
            let undead: Vec<File> = self.undead.iter().copied().collect();
            for back in subsets(&undead) {
                for segments in subsets(&self.undead_log) {
                    next.push(self.power_cut(&back, &segments));
                }
            }
        }
        next
    }
}

fn subsets<T: Clone>(of: &[T]) -> Vec<Vec<T>> {
    let chosen = |bits: usize| {
        let taken = of.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1);
        taken.map(|(_, item)| item.clone()).collect()
    };
    (0..1usize << of.len()).map(chosen).collect()
}

/// Walks through every state, the nearest first. Returns their number, or the way to one in which
/// a reader finds something else than what was written last.
fn search(rules: Rules) -> Result<usize, Vec<State>> {
    let mut seen = HashSet::from([State::new()]);
    let mut states = vec![(State::new(), 0)];
    let mut at = 0;
    while at < states.len() {
        if states[at].0.read() != states[at].0.acked {
            let mut way = vec![states[at].0.clone()];
            while at > 0 {
                at = states[at].1;
                way.push(states[at].0.clone());
            }
            way.reverse();
            return Err(way);
        }
        for next in states[at].0.next(rules) {
            if seen.insert(next.clone()) {
                states.push((next, at));
            }
        }
        at += 1;
    }
    Ok(states.len())
}

#[test]
fn no_order_of_steps_loses_or_revives_a_sample() {
    nothing_is_lost(RULES);
    nothing_is_lost(LONG_RULES);
}

fn nothing_is_lost(rules: Rules) {
    match search(rules) {
        Ok(states) => assert!(states > 10_000, "only {states} states"),
        Err(way) => {
            for state in &way {
                eprintln!("{state:?}");
            }
            let last = way.last().expect("a state");
            panic!(
                "a reader finds {:?}, not {:?}; the way there is above",
                last.read(),
                last.acked
            );
        }
    }
}

#[test]
fn every_rule_is_needed() {
    let without: [(&str, Rules); 10] = [
        ("freeze after the cut", Rules { freeze_after_cut: false, ..RULES }),
        ("volumes tell what they cover", Rules { volumes_cover: false, ..RULES }),
        ("only unchanged sources are replaced", Rules { publish_unchanged: false, ..RULES }),
        ("names come with publication", Rules { named_when_published: false, ..RULES }),
        ("hidden files go before sources", Rules { hidden_gone_first: false, ..RULES }),
        ("hidden files go before volumes", Rules { hidden_gone_first: false, ..LONG_RULES }),
        ("sources are gone when it ends", Rules { sync_after_sources_went: false, ..RULES }),
        ("segments go one by one", Rules { log_removals_synced: false, ..RULES }),
        ("deletions follow the samples", Rules { deletions_follow: false, ..RULES }),
        ("removals are remembered", Rules { removals_remembered: false, ..RULES }),
    ];
    for (rule, rules) in without {
        assert!(search(rules).is_err(), "nothing is lost without the rule: {rule}");
    }
}
