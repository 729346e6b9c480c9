//! Labels of the series that selections found lately.
//!
//! Dashboards and rules ask the same again and again, and an instant query spends more on labels
//! than on samples. What is kept is right for good: a ref is given to one series only, and a
//! series' labels do not change. So the series are found anew each time, and those that were found
//! before by the same matchers get the labels that they got then.

use std::sync::Arc;

use m3rs_core::model::{Labels, Matcher};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

/// Weight of an entry's key and place in the cache, in bytes.
const ENTRY_BYTES: u64 = 256;

/// Bytes of a series beside its labels: its ref, the labels' address and their allocation.
const SERIES_BYTES: u64 = 36;

/// Entries for which the cache is laid out.
const ENTRIES_TYPICAL: usize = 1024;

/// A namespace's number, which no other of the process gets, the matchers, and the names of the
/// labels that were asked for.
type Key = (u32, Box<[Matcher]>, Option<Box<[String]>>);

/// Series with their labels, ascending by ref.
#[derive(Debug, Default)]
struct Known {
    refs: Vec<u32>,
    labels: Vec<Labels>,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Key, Arc<Known>> for ByBytes {
    /// Labels that several series share are counted for each.
    fn weight(&self, _: &Key, known: &Arc<Known>) -> u64 {
        let bytes: usize = known.labels.iter().map(|labels| labels.as_bytes().len()).sum();
        ENTRY_BYTES + SERIES_BYTES * known.refs.len() as u64 + bytes as u64
    }
}

/// Keeps labels up to a number of bytes, the most useful selections longest.
#[derive(Debug)]
pub(crate) struct LabelsCache(Cache<Key, Arc<Known>, ByBytes>);

impl LabelsCache {
    /// Keeps as many bytes; 0 keeps nothing.
    pub(crate) fn new(bytes_max: u64) -> Self {
        // One shard, as an entry must fit into its shard, and large ones save most.
        let options = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(ENTRIES_TYPICAL)
            .weight_capacity(bytes_max)
            .build()
            .expect("BUG: the options are complete");
        let hasher = DefaultHashBuilder::default();
        Self(Cache::with_options(options, ByBytes, hasher, DefaultLifecycle::default()))
    }

    /// Bytes in use.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.weight()
    }

    /// The labels of the series `refs`, ascending, which `matchers` found in a namespace; those
    /// with `names`, if there are some. `read` gets the labels of series that are not known.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) fn get<E>(
        &self,
        namespace: u32,
        (matchers, names): (&[Matcher], Option<&[String]>),
        refs: &[u32],
        read: impl FnOnce(&[u32]) -> Result<Vec<Option<Labels>>, E>,
    ) -> Result<Vec<Option<Labels>>, E> {
        let key = (namespace, matchers.into(), names.map(Into::into));
        let known = self.0.get(&key).unwrap_or_default();
        let mut all = known.labels_of(refs);
        let unknown = refs.iter().zip(&all).filter(|(_, labels)| labels.is_none());
        let unknown: Vec<u32> = unknown.map(|(&series, _)| series).collect();
        if unknown.is_empty() {
            return Ok(all);
        }
        let mut read = read(&unknown)?.into_iter();
        for labels in all.iter_mut().filter(|labels| labels.is_none()) {
            *labels = read.next().flatten();
        }
        // A series that the index does not know yet is asked for again.
        let found = refs.iter().zip(&all).filter_map(|(&r, labels)| Some((r, labels.clone()?)));
        let (refs, labels) = found.unzip();
        self.0.insert(key, Arc::new(Known { refs, labels }));
        Ok(all)
    }
}

impl Known {
    /// The labels of `refs`, ascending, as far as they are known.
    fn labels_of(&self, refs: &[u32]) -> Vec<Option<Labels>> {
        if self.refs == refs {
            return self.labels.iter().cloned().map(Some).collect();
        }
        let mut at = 0;
        let label = |&series: &u32| {
            at += self.refs[at..].iter().take_while(|known| **known < series).count();
            let is_known = self.refs.get(at) == Some(&series);
            is_known.then(|| self.labels[at].clone())
        };
        refs.iter().map(label).collect()
    }
}

#[cfg(test)]
mod tests {
    use m3rs_core::model::MatchOp;

    use super::*;

    fn labels(series: u32) -> Labels {
        Labels::from_pairs([("n", series.to_string())]).expect("valid")
    }

    /// Asks for labels; says which series were read.
    fn get(cache: &LabelsCache, namespace: u32, value: &str, refs: &[u32]) -> Vec<u32> {
        let matchers = [Matcher::new("n", MatchOp::Equal, value)];
        let mut asked = Vec::new();
        let found = cache.get(namespace, (&matchers, None), refs, |unknown| {
            asked = unknown.to_vec();
            Ok::<_, ()>(unknown.iter().map(|&r| (r != 13).then(|| labels(r))).collect())
        });
        let want: Vec<_> = refs.iter().map(|&r| (r != 13).then(|| labels(r))).collect();
        assert_eq!(found, Ok(want));
        asked
    }

    #[test]
    fn labels_are_read_once() {
        let cache = LabelsCache::new(1 << 20);
        assert_eq!(get(&cache, 1, "a", &[1, 2, 5]), [1, 2, 5]);
        assert_eq!(get(&cache, 1, "a", &[1, 2, 5]), [0u32; 0]);
        assert_eq!(get(&cache, 1, "a", &[2]), [0u32; 0]);
        assert_eq!(get(&cache, 1, "a", &[0, 2, 5, 9]), [0, 9]);
        assert_eq!(get(&cache, 1, "a", &[0, 2, 5, 9]), [0u32; 0]);
        assert_eq!(get(&cache, 1, "a", &[1, 9]), [1], "what was not found again is forgotten");
        assert_eq!(get(&cache, 2, "a", &[1]), [1], "another namespace");
        assert_eq!(get(&cache, 1, "b", &[1]), [1], "other matchers");
        assert_eq!(get(&cache, 1, "c", &[12, 13]), [12, 13]);
        assert_eq!(get(&cache, 1, "c", &[12, 13]), [13], "the index did not know it");
    }

    #[test]
    fn its_bytes_hold() {
        let cache = LabelsCache::new(10_000);
        for value in 0..100 {
            let _ = get(&cache, 1, &value.to_string(), &[1, 2, 3]);
            assert!(cache.bytes() <= 10_000, "{} bytes", cache.bytes());
        }
        assert!(cache.bytes() > 5_000, "{} bytes", cache.bytes());
        let many: Vec<u32> = (0..1_000).collect();
        assert_eq!(get(&cache, 1, "many", &many).len(), 1_000);
        assert_eq!(get(&cache, 1, "many", &many).len(), 1_000, "more than may be kept");
        let none = LabelsCache::new(0);
        assert_eq!(get(&none, 1, "a", &[1]), [1]);
        assert_eq!(get(&none, 1, "a", &[1]), [1]);
    }
}
