//! What earlier queries cost, by text: a bounded number of the latest texts.

use std::cmp::Reverse;
use std::time::Duration;

use hashbrown::HashMap;
use m3rs_core::time::TimestampNs;
use parking_lot::Mutex;

/// What the queries of one text cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TextStats {
    /// The text, as much as is shown of it.
    pub(crate) text: String,
    pub(crate) count: u64,
    /// How many had no answer.
    pub(crate) errors: u64,
    pub(crate) duration_sum: Duration,
    pub(crate) duration_max: Duration,
    /// The end of the latest.
    pub(crate) last: TimestampNs,
}

impl TextStats {
    /// The average time of one query.
    pub(crate) fn duration_avg(&self) -> Duration {
        self.duration_sum.div_f64(self.count.max(1) as f64)
    }
}

/// What the top of a list has most of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TopBy {
    /// Queries.
    Count,
    /// Time of one query on average.
    AvgDuration,
    /// Time of all queries together.
    SumDuration,
    /// Time of the slowest query.
    MaxDuration,
}

/// The latest texts and what their queries cost.
#[derive(Debug)]
pub(crate) struct History {
    texts: Mutex<Texts>,
    texts_max: usize,
}

#[derive(Debug, Default)]
struct Texts {
    /// Each with the number of its latest query, as clocks may stand still or go back.
    by_text: HashMap<String, (u64, TextStats)>,
    queries: u64,
}

impl History {
    /// Remembers `texts_max` texts; of more, those whose queries ended longest ago are forgotten.
    pub(crate) fn new(texts_max: usize) -> Self {
        Self { texts: Mutex::default(), texts_max }
    }

    /// Counts a query. **Cost:** one look-up; for a new text, a look at all if there are as many as
    /// may be.
    pub(super) fn add(&self, text: &str, took: Duration, has_failed: bool, now: TimestampNs) {
        if self.texts_max == 0 {
            return;
        }
        let mut texts = self.texts.lock();
        let Texts { by_text, queries } = &mut *texts;
        *queries += 1;
        if !by_text.contains_key(text) && by_text.len() >= self.texts_max {
            let oldest = by_text.values().min_by_key(|(number, _)| *number);
            if let Some(oldest) = oldest.map(|(_, stats)| stats.text.clone()) {
                by_text.remove(&oldest);
            }
        }
        let (number, stats) = by_text.entry_ref(text).or_insert_with(|| {
            let none = TextStats {
                text: text.to_owned(),
                count: 0,
                errors: 0,
                duration_sum: Duration::ZERO,
                duration_max: Duration::ZERO,
                last: now,
            };
            (0, none)
        });
        *number = *queries;
        stats.count += 1;
        stats.errors += u64::from(has_failed);
        stats.duration_sum = stats.duration_sum.saturating_add(took);
        stats.duration_max = stats.duration_max.max(took);
        stats.last = now;
    }

    /// At most `len` texts with the most of something, in falling order; equal ones by text.
    pub(crate) fn top(&self, by: TopBy, len: usize) -> Vec<TextStats> {
        let mut all: Vec<TextStats> =
            self.texts.lock().by_text.values().map(|(_, stats)| stats.clone()).collect();
        all.sort_by(|a, b| {
            let key = |stats: &TextStats| match by {
                TopBy::Count => u128::from(stats.count),
                TopBy::AvgDuration => stats.duration_avg().as_nanos(),
                TopBy::SumDuration => stats.duration_sum.as_nanos(),
                TopBy::MaxDuration => stats.duration_max.as_nanos(),
            };
            (Reverse(key(a)), &a.text).cmp(&(Reverse(key(b)), &b.text))
        });
        all.truncate(len);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(history: &History, text: &str, ms: u64, now: i64) {
        history.add(text, Duration::from_millis(ms), false, TimestampNs(now));
    }

    fn texts(history: &History, by: TopBy) -> Vec<String> {
        history.top(by, 2).into_iter().map(|stats| stats.text).collect()
    }

    #[test]
    fn the_top_is_by_what_is_asked() {
        let history = History::new(9);
        for (text, ms) in [("often", 1), ("often", 1), ("often", 40), ("slow", 30), ("b", 2)] {
            add(&history, text, ms, 0);
        }
        add(&history, "slow", 31, 1);
        assert_eq!(texts(&history, TopBy::Count), ["often", "slow"]);
        assert_eq!(texts(&history, TopBy::AvgDuration), ["slow", "often"]);
        assert_eq!(texts(&history, TopBy::SumDuration), ["slow", "often"]);
        assert_eq!(texts(&history, TopBy::MaxDuration), ["often", "slow"]);
        let slow = &history.top(TopBy::SumDuration, 1)[0];
        assert_eq!((slow.count, slow.last), (2, TimestampNs(1)));
        assert_eq!(slow.duration_avg(), Duration::from_micros(30_500));
    }

    #[test]
    fn the_texts_of_longest_ago_are_forgotten() {
        let history = History::new(2);
        for text in ["a", "b", "a", "c"] {
            add(&history, text, 1, 0);
        }
        assert_eq!(texts(&history, TopBy::Count), ["a", "c"]);
        let none = History::new(0);
        add(&none, "a", 1, 0);
        assert!(none.top(TopBy::Count, 9).is_empty());
    }
}
