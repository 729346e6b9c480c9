//! The read path: matchers to series, series to columns.

use std::cell::RefCell;
use std::sync::Arc;

use m3rs_core::model::{Labels, Matcher};
use parking_lot::Mutex;

use crate::buffer::Columns;
use crate::error::TsdbError;
use crate::namespace::{Namespace, Place};
use crate::shard::ReadScratch;

/// Most descriptions of damage that one selection keeps; the rest is counted.
const DAMAGE_TEXTS_MAX: usize = 10;

/// Series that matched. Their samples are read one series at a time, from any thread.
#[derive(Debug)]
pub struct Selection {
    namespace: Arc<Namespace>,
    labels: Vec<Labels>,
    /// By series number, with the ref.
    places: Vec<(u32, Place)>,
    range: (i64, i64),
    damage: Mutex<Vec<String>>,
}

impl Selection {
    pub(crate) fn new(
        namespace: Arc<Namespace>,
        matchers: &[Matcher],
        range: (i64, i64),
        series_max: usize,
    ) -> Result<Self, TsdbError> {
        let found = namespace.find(matchers, range, series_max)?;
        let mut labels = Vec::with_capacity(found.len());
        let mut places = Vec::with_capacity(found.len());
        {
            let of_found = namespace.index.labels_of(&found)?;
            let tables = namespace.registry.read();
            for (series, found) in found.into_iter().zip(of_found) {
                // A series is in the index an instant before it is in the table; it has no
                // samples then.
                if let (Some(place), Some(found)) = (tables.place(series), found) {
                    labels.push(found);
                    places.push((series, place));
                }
            }
        }
        Ok(Self { namespace, labels, places, range, damage: Mutex::default() })
    }

    /// Labels by series number.
    #[must_use]
    pub fn labels(&self) -> &[Labels] {
        &self.labels
    }

    /// Takes the labels out; series numbers stay what they are.
    #[must_use]
    pub fn take_labels(&mut self) -> Vec<Labels> {
        std::mem::take(&mut self.labels)
    }

    /// Reads the samples of series `number` in the selected range into `out`, which is cleared.
    ///
    /// Damaged blocks are left out; [`Selection::damage`] tells of them.
    pub fn read(&self, number: usize, out: &mut Columns) {
        thread_local! {
            static SCRATCH: RefCell<ReadScratch> = RefCell::default();
        }
        out.clear();
        let Some(&(series, place)) = self.places.get(number) else { return };
        let shard = &self.namespace.shards[usize::from(place.shard)];
        SCRATCH.with_borrow_mut(|scratch| {
            shard.read((series, place.slot), self.range, scratch, out, |e| self.note_damage(&e));
        });
    }

    /// What could not be read so far, for the user.
    #[must_use]
    pub fn damage(&self) -> Vec<String> {
        self.damage.lock().clone()
    }

    fn note_damage(&self, error: &TsdbError) {
        self.namespace.counters.damaged_reads.add(1);
        let mut texts = self.damage.lock();
        if texts.len() < DAMAGE_TEXTS_MAX {
            let text = error.to_string();
            tracing::warn!(namespace = self.namespace.name(), error = %text, "block left out");
            texts.push(text);
        }
    }
}
