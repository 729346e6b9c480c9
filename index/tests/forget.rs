//! Series that are taken out: no search shows them, files lose them, and nothing else is lost.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use m3rs_core::fs::SharedFs;
use m3rs_core::model::{Labels, Matcher};
use m3rs_index::{Index, Limits};
use m3rs_sim::disk::{SimFs, Unsynced};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const DIR: &str = "/index";

fn labels(id: u32) -> Labels {
    let pairs =
        [("__name__", "m".to_owned()), ("id", id.to_string()), ("few", (id / 40).to_string())];
    let some = id.is_multiple_of(5).then(|| ("some", (id % 3).to_string()));
    Labels::from_pairs(pairs.into_iter().chain(some)).expect("valid")
}

struct World {
    fs: SimFs,
    index: Index,
    live: BTreeMap<u32, Labels>,
    /// The largest id, of those that are in files and of all.
    sealed: Option<u32>,
    next: u32,
}

fn limits() -> Limits {
    Limits { segments_max: 3, segment_series_max: 400, ..Limits::default() }
}

impl World {
    fn new(seed: u64) -> Self {
        let (fs, index) = (SimFs::new(seed), Index::new(limits()));
        Self { fs, index, live: BTreeMap::new(), sealed: None, next: 0 }
    }

    fn insert(&mut self, count: u32, gap: u32) {
        self.next += gap;
        let docs: Vec<_> = (self.next..self.next + count).map(|id| (id, labels(id))).collect();
        self.index.insert(&docs).expect("ids ascend");
        self.next += count;
        self.live.extend(docs);
    }

    fn forget(&mut self, mut wanted: impl FnMut(u32) -> bool) {
        let gone: Vec<u32> = self.live.keys().copied().filter(|&id| wanted(id)).collect();
        self.index.forget(&gone);
        self.live.retain(|id, _| gone.binary_search(id).is_err());
    }

    fn seal(&mut self) {
        let sealed = self.index.seal(&self.fs, Path::new(DIR)).expect("sealed");
        self.sealed = sealed.map(|s| s.last).or(self.sealed);
        // Nobody reads what is gone, in memory or in files.
        self.check();
    }

    /// Opens the files; what they still have of forgotten series comes back and is forgotten anew.
    fn reopen(&mut self) {
        let fs: SharedFs = Arc::new(self.fs.clone());
        let (index, damages) = Index::open(&fs, Path::new(DIR), limits()).expect("opens");
        assert_eq!(damages, []);
        self.index = index;
        let mut found = Vec::new();
        self.index.for_each_identity(|id, _| found.push(id)).expect("read");
        let lost: Vec<u32> =
            self.live.keys().copied().filter(|id| Some(*id) <= self.sealed).collect();
        let lost: Vec<u32> =
            lost.into_iter().filter(|id| found.binary_search(id).is_err()).collect();
        assert_eq!(lost, [0u32; 0], "series that were sealed");
        for (&id, labels) in self.live.iter().filter(|(id, _)| Some(**id) > self.sealed) {
            self.index.insert(&[(id, labels.clone())]).expect("ids go on");
        }
        let back: Vec<u32> = found.into_iter().filter(|id| !self.live.contains_key(id)).collect();
        self.index.forget(&back);
    }

    fn check(&self) {
        let found = self.index.search(&[], usize::MAX).expect("a search");
        assert!(found.iter().eq(self.live.keys()));
        let name = [Matcher::equal("__name__", "m")];
        assert_eq!(self.index.search(&name, found.len()).expect("within the limit"), found);
        for label in ["__name__", "id", "few", "some"] {
            let values = |ids: &[u32]| {
                let of = ids.iter().filter_map(|id| labels(*id).get(label).map(str::to_owned));
                of.collect::<std::collections::BTreeSet<_>>()
            };
            let listed = self.index.label_values(label, &[], None, usize::MAX).expect("listed");
            assert!(listed.items.iter().eq(values(&found).iter()), "{label}");
            let sets = [vec![Matcher::equal("few", "3")]];
            let some: Vec<u32> = found.iter().copied().filter(|id| id / 40 == 3).collect();
            let listed = self.index.label_values(label, &sets, None, usize::MAX).expect("listed");
            assert!(listed.items.iter().eq(values(&some).iter()), "{label} of some");
        }
        let counted = self.index.cardinality(1_000).expect("counted");
        assert_eq!(counted.series, self.live.len() as u64);
        let mut pairs: BTreeMap<String, u64> = BTreeMap::new();
        for (name, value) in self.live.values().flat_map(Labels::iter) {
            *pairs.entry(format!("{name}={value}")).or_default() += 1;
        }
        assert_eq!(counted.label_pairs, pairs.len() as u64);
        for pair in &counted.series_by_pair {
            assert_eq!(Some(&pair.count), pairs.get(&pair.name), "{}", pair.name);
        }
        let names: std::collections::BTreeSet<&str> =
            self.live.values().flat_map(Labels::iter).map(|(name, _)| name).collect();
        assert!(counted.values_by_label.iter().all(|c| names.contains(&*c.name) && c.count > 0));
        let texts = self.index.labels_of(&found).expect("labels");
        assert!(texts.iter().zip(&self.live).all(|(got, (_, want))| got.as_ref() == Some(want)));
    }
}

#[test]
fn what_is_forgotten_is_not_shown_and_files_lose_it() {
    for seed in 0..30 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(seed);
        for _ in 0..60 {
            match rng.random_range(0..9) {
                0..=2 => world.insert(rng.random_range(1..150), rng.random_range(0..3)),
                3 => world.seal(),
                4 => {
                    world.index.compact(&world.fs, Path::new(DIR)).expect("merged");
                }
                5 => {
                    let share = rng.random_range(0.0..1.0);
                    world.forget(|_| rng.random_bool(share));
                }
                6 => {
                    let (from, len) = (rng.random_range(0..=world.next), rng.random_range(0..300));
                    world.forget(|id| (from..from + len).contains(&id));
                }
                7 => world.reopen(),
                _ => world.check(),
            }
        }
        world.seal();
        world.index.compact(&world.fs, Path::new(DIR)).expect("merged");
        world.check();
        for segment in world.index.sealed_segments() {
            let live = world.live.range(segment.first..=segment.last).count() as u32;
            assert!(live * 4 >= segment.series * 3 || segment.series == 1, "{live} of {segment:?}");
            for id in segment.first..=segment.last {
                let is_gone = world.index.labels(id).expect("read").is_none();
                assert_eq!(world.index.is_forgotten(id), is_gone, "{id} of {segment:?}");
            }
        }
        assert!(!world.index.is_forgotten(world.next), "an id that nobody has yet");
        world.reopen();
        world.check();
    }
}

/// A file keeps its range, so that no id in it is given again, even if all of it is gone.
#[test]
fn a_file_all_of_which_is_gone_keeps_its_range() {
    let mut world = World::new(1);
    world.insert(100, 0);
    world.seal();
    world.insert(50, 0);
    world.forget(|_| true);
    world.seal();
    world.index.compact(&world.fs, Path::new(DIR)).expect("merged");
    let last = world.index.sealed_segments().last().map(|s| s.last);
    assert_eq!(last, Some(149));
    assert!(world.index.is_forgotten(3) && world.index.is_forgotten(120));
    world.reopen();
    world.check();
    assert_eq!(world.index.last_id(), Some(149));
}

#[test]
fn a_power_cut_at_any_operation_loses_no_series_that_counts() {
    let prepare = || {
        let mut world = World::new(2);
        for _ in 0..4 {
            world.insert(90, 0);
            world.seal();
        }
        world.forget(|id| id % 3 != 0 || id < 90);
        world
    };
    let world = prepare();
    let first = world.fs.ops();
    world.index.compact(&world.fs, Path::new(DIR)).expect("merged");
    let last = world.fs.ops();
    assert!(last > first + 10, "a merge is some operations");
    for op in first..last {
        let mut world = prepare();
        world.fs.crash_at_op(op);
        let _cut_off = world.index.compact(&world.fs, Path::new(DIR));
        world.fs.crash(if op % 2 == 0 { Unsynced::Lost } else { Unsynced::Torn });
        world.reopen();
        world.check();
        world.index.compact(&world.fs, Path::new(DIR)).expect("merged after the crash");
        world.check();
    }
}
