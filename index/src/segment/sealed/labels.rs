//! The canonical labels of documents, of which many share most.

use m3rs_core::Corrupt;
use m3rs_core::wire::put_length_prefixed;

use super::terms::FieldTerms;

/// Labels that are kept at most, a power of two.
const KNOWN_MAX: usize = 1_024;

/// The canonical labels of a document, and where each ends. Neighbours share most labels, which are
/// copied rather than looked up.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    pub(super) bytes: Vec<u8>,
    /// Field, value and end of each label.
    ends: Vec<(u32, u32, usize)>,
}

impl Encoded {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Appends the label if `before` has it at the same place.
    pub(super) fn copy_from(&mut self, before: &Self, field: u32, value: u32) -> bool {
        let at = self.ends.len();
        match before.ends.get(at) {
            Some(&(f, v, end)) if (f, v) == (field, value) => {
                let start = at.checked_sub(1).map_or(0, |last| before.ends[last].2);
                self.push(field, value, &before.bytes[start..end]);
                true
            }
            _ => false,
        }
    }

    /// Appends a label.
    pub(super) fn push(&mut self, field: u32, value: u32, label: &[u8]) {
        self.bytes.extend_from_slice(label);
        self.ends.push((field, value, self.bytes.len()));
    }
}

/// Labels that were looked up lately: those that come again soon, if not at the same place.
#[derive(Debug)]
pub(super) struct KnownLabels {
    /// Each label has one place here, and shares it with others.
    slots: Vec<Option<Known>>,
    text: Vec<u8>,
}

#[derive(Debug)]
struct Known {
    field: u32,
    value: u32,
    label: Vec<u8>,
}

impl KnownLabels {
    /// Room for what so many documents may have in common.
    pub(super) fn for_documents(count: usize) -> Self {
        let len = count.clamp(1, KNOWN_MAX).next_power_of_two();
        let mut slots = Vec::new();
        slots.resize_with(len, || None);
        Self { slots, text: Vec::new() }
    }

    /// The bytes of a label; if they are not known, `of_field` says its name and values.
    pub(super) fn get<'a>(
        &mut self,
        field: u32,
        value: u32,
        of_field: impl FnOnce() -> (&'a str, FieldTerms<'a>),
    ) -> Result<&[u8], Corrupt> {
        let at = (field.wrapping_mul(31).wrapping_add(value)) as usize & (self.slots.len() - 1);
        let slot = &mut self.slots[at];
        let is_known = slot.as_ref().is_some_and(|k| (k.field, k.value) == (field, value));
        let mut label = slot.take().map_or_else(Vec::new, |known| known.label);
        if !is_known {
            let (name, terms) = of_field();
            terms.text(value, &mut self.text)?;
            label.clear();
            put_length_prefixed(&mut label, name.as_bytes());
            put_length_prefixed(&mut label, &self.text);
        }
        Ok(&slot.insert(Known { field, value, label }).label)
    }
}
