//! Which times of a namespace changed, for readers that keep what they computed.
//!
//! A reader takes a mark before it reads. Later it asks for the earliest time that was written or
//! deleted since: what it computed from earlier times alone still holds. A write is noted once it
//! can be seen and before it is acknowledged, so that no acknowledged write is missed; one that the
//! reader saw may be noted after its mark, which costs a computation and no correctness.
//!
//! Budget: one atomic minimum for each shard of a request.

use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;

/// The times of a namespace that changed.
#[derive(Debug)]
pub(crate) struct Changes {
    /// The earliest since the last mark.
    earliest: AtomicI64,
    marks: Mutex<Marks>,
}

#[derive(Debug, Default)]
struct Marks {
    last: u64,
    /// The earliest time since a mark and before the next, with that mark. Only what is earlier
    /// than all that follows is kept: marks ascend, and so do times.
    earliest: Vec<(u64, i64)>,
}

/// Marks whose times are kept apart. Of older ones the newest stands for all.
const MARKS_MAX: usize = 1024;

impl Default for Changes {
    fn default() -> Self {
        Self { earliest: AtomicI64::new(i64::MAX), marks: Mutex::default() }
    }
}

impl Changes {
    /// Notes that samples from `t` on may have changed.
    #[inline]
    pub(crate) fn note(&self, t: i64) {
        self.earliest.fetch_min(t, Ordering::AcqRel);
    }

    /// A mark: what is read from now on has all changes that were acknowledged.
    pub(crate) fn mark(&self) -> u64 {
        let mut marks = self.marks.lock();
        marks.settle(self.earliest.swap(i64::MAX, Ordering::AcqRel));
        marks.last += 1;
        marks.last
    }

    /// The earliest time that changed since `mark`; [`i64::MAX`] if none did.
    pub(crate) fn earliest_since(&self, mark: u64) -> i64 {
        let mut marks = self.marks.lock();
        marks.settle(self.earliest.swap(i64::MAX, Ordering::AcqRel));
        let first = marks.earliest.partition_point(|(at, _)| *at < mark);
        marks.earliest.get(first).map_or(i64::MAX, |(_, t)| *t)
    }
}

impl Marks {
    /// Takes the earliest time since the last mark.
    fn settle(&mut self, t: i64) {
        if t == i64::MAX {
            return;
        }
        while self.earliest.last().is_some_and(|(_, later)| *later >= t) {
            self.earliest.pop();
        }
        self.earliest.push((self.last, t));
        if self.earliest.len() > MARKS_MAX {
            // Of two neighbours the earlier time stands for both.
            let (_, t) = self.earliest.remove(0);
            self.earliest[0].1 = t;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_sees_what_comes_after_it() {
        let changes = Changes::default();
        changes.note(50);
        let first = changes.mark();
        assert_eq!(changes.earliest_since(first), i64::MAX);
        changes.note(90);
        changes.note(70);
        let second = changes.mark();
        changes.note(80);
        assert_eq!(changes.earliest_since(first), 70);
        assert_eq!(changes.earliest_since(second), 80);
        let third = changes.mark();
        assert_eq!(changes.earliest_since(third), i64::MAX);
        changes.note(10);
        for mark in [first, second, third] {
            assert_eq!(changes.earliest_since(mark), 10);
        }
        // Asking is no mark.
        assert_eq!(changes.earliest_since(third), 10);
    }

    #[test]
    fn of_many_marks_the_old_ones_see_too_much() {
        let changes = Changes::default();
        let marks: Vec<u64> = (0..3 * MARKS_MAX as i64)
            .map(|t| {
                let mark = changes.mark();
                changes.note(t);
                mark
            })
            .collect();
        for (t, mark) in marks.iter().enumerate() {
            assert!(changes.earliest_since(*mark) <= t as i64);
        }
        let last = marks.len() - 1;
        assert_eq!(changes.earliest_since(marks[last]), last as i64);
        assert_eq!(changes.earliest_since(marks[last - 100]), last as i64 - 100);
        assert!(changes.marks.lock().earliest.len() <= MARKS_MAX);
    }

    #[test]
    fn no_note_is_lost_between_threads() {
        let changes = Changes::default();
        let start = changes.mark();
        std::thread::scope(|scope| {
            for writer in 0..3 {
                let changes = &changes;
                scope.spawn(move || (0..2000).rev().for_each(|i| changes.note(i * 4 + writer)));
            }
            (0..2000).for_each(|_| {
                changes.mark();
            });
        });
        assert_eq!(changes.earliest_since(start), 0);
    }
}
