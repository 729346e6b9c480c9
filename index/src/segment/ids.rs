//! The map between ids and ordinals.

use crate::postings::Postings;

/// Ids in ascending order. While they have no gaps only the first is kept.
#[derive(Debug)]
pub(crate) struct Ids<S> {
    first: u32,
    len: u32,
    /// All ids, if there are gaps.
    listed: Option<S>,
}

/// A sorted list of ids.
pub(crate) trait IdList {
    /// The id at `ordinal`, which is inside the list.
    fn at(&self, ordinal: u32) -> u32;
}

impl IdList for Vec<u32> {
    fn at(&self, ordinal: u32) -> u32 {
        self[ordinal as usize]
    }
}

impl<S: IdList> Ids<S> {
    pub(crate) fn new(first: u32, len: u32, listed: Option<S>) -> Self {
        Self { first, len, listed }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn id(&self, ordinal: u32) -> u32 {
        match &self.listed {
            Some(list) => list.at(ordinal),
            None => self.first + ordinal,
        }
    }

    pub(crate) fn range(&self) -> Option<(u32, u32)> {
        (self.len > 0).then(|| (self.first, self.id(self.len - 1)))
    }

    pub(crate) fn ordinal(&self, id: u32) -> Option<u32> {
        let Some(list) = &self.listed else {
            return id.checked_sub(self.first).filter(|&o| o < self.len);
        };
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            if list.at(middle) < id {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (low < self.len && list.at(low) == id).then_some(low)
    }

    pub(crate) fn append(&self, ordinals: &Postings, out: &mut Vec<u32>) {
        out.reserve(usize::try_from(ordinals.len()).unwrap_or(0));
        ordinals.for_each(|ordinal| out.push(self.id(ordinal)));
    }
}

impl Ids<Vec<u32>> {
    /// Adds an id that is larger than all before it.
    pub(crate) fn push(&mut self, id: u32) {
        if self.len == 0 {
            self.first = id;
        }
        match &mut self.listed {
            Some(list) => list.push(id),
            None if id == self.first + self.len => {}
            None => {
                let mut list: Vec<u32> = (self.first..self.first + self.len).collect();
                list.push(id);
                self.listed = Some(list);
            }
        }
        self.len += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_map_both_ways_with_and_without_gaps() {
        for given in [vec![], vec![7], vec![5, 6, 7], vec![5, 6, 9, 10, 4_000_000_000]] {
            let mut ids = Ids::new(0, 0, None);
            for &id in &given {
                ids.push(id);
            }
            assert_eq!(ids.len() as usize, given.len());
            for (ordinal, &id) in given.iter().enumerate() {
                assert_eq!(ids.ordinal(id), Some(ordinal as u32));
                assert_eq!(ids.id(ordinal as u32), id);
            }
            for id in [0, 4, 8, 11, u32::MAX] {
                assert_eq!(ids.ordinal(id).is_some(), given.contains(&id), "{id} in {given:?}");
            }
            let range = given.first().copied().zip(given.last().copied());
            assert_eq!(ids.range(), range);
        }
    }
}
