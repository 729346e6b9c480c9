//! The labels of up to 1,024 series as columns: names and sets of names once, then the values of
//! each name in a row, which packs to a third of what the same labels take series by series.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use m3rs_core::Corrupt;
use m3rs_core::wire::{Cursor, put_length_prefixed, put_varint};

use super::format::{IDENTITY_PAGE_SERIES, LABEL_BYTES_MAX};

const WHAT: &str = "fileset identities";

/// Label sets as rows: varint length and canonical label bytes each.
#[derive(Debug, Default)]
pub(super) struct Rows {
    bytes: Vec<u8>,
    count: usize,
}

impl Rows {
    /// Adds the canonical bytes of a label set.
    pub(super) fn push(&mut self, labels: &[u8]) {
        put_length_prefixed(&mut self.bytes, labels);
        self.count += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }

    /// Appends the rows as columns.
    ///
    /// # Errors
    /// [`Corrupt`] if a row is not canonical, which is a bug of whoever pushed it.
    pub(super) fn put_columns(&self, out: &mut Vec<u8>) -> Result<(), Corrupt> {
        let mut columns: BTreeMap<&[u8], (usize, Vec<u8>)> = BTreeMap::new();
        let mut schemas: HashMap<Vec<&[u8]>, usize> = HashMap::new();
        let mut by_row = Vec::with_capacity(self.count);
        let mut rows = Cursor::new(WHAT, &self.bytes);
        let mut names = Vec::new();
        while !rows.is_empty() {
            let mut row = Cursor::new(WHAT, rows.length_prefixed()?);
            names.clear();
            while !row.is_empty() {
                let (name, value) = (row.length_prefixed()?, row.length_prefixed()?);
                put_length_prefixed(&mut columns.entry(name).or_default().1, value);
                names.push(name);
            }
            let next = schemas.len();
            by_row.push(*schemas.entry_ref(names.as_slice()).or_insert(next));
        }
        put_varint(out, columns.len() as u64);
        for (number, (name, column)) in columns.iter_mut().enumerate() {
            column.0 = number;
            put_length_prefixed(out, name);
        }
        let mut ordered: Vec<(&Vec<&[u8]>, usize)> =
            schemas.iter().map(|(names, at)| (names, *at)).collect();
        ordered.sort_unstable_by_key(|(_, at)| *at);
        put_varint(out, ordered.len() as u64);
        for (names, _) in ordered {
            put_varint(out, names.len() as u64);
            for name in names {
                put_varint(out, columns[name].0 as u64);
            }
        }
        by_row.into_iter().for_each(|schema| put_varint(out, schema as u64));
        columns.values().for_each(|(_, values)| put_length_prefixed(out, values));
        Ok(())
    }
}

/// Turns the columns of `count` label sets back into rows.
///
/// # Errors
/// [`Corrupt`] for bytes that [`Rows::put_columns`] does not write. Whether the labels are
/// canonical is left to whoever reads the rows.
pub(super) fn read_rows(bytes: &[u8], count: usize) -> Result<Vec<u8>, Corrupt> {
    let mut cursor = Cursor::new(WHAT, bytes);
    let names = read_list(&mut cursor, |cursor| cursor.length_prefixed())?;
    let schemas = read_list(&mut cursor, |cursor| {
        read_list(cursor, |cursor| number_below(cursor, names.len()))
    })?;
    let mut by_row = Vec::with_capacity(count.min(IDENTITY_PAGE_SERIES));
    for _ in 0..count {
        by_row.push(number_below(&mut cursor, schemas.len())?);
    }
    let mut columns = Vec::with_capacity(names.len());
    for _ in &names {
        columns.push(Cursor::new(WHAT, cursor.length_prefixed()?));
    }
    if !cursor.is_empty() {
        let got = format!("{} more bytes", cursor.remaining());
        return Err(Corrupt::new(WHAT, cursor.position(), "the end of the page", got));
    }
    let (mut rows, mut row) = (Vec::new(), Vec::new());
    for schema in by_row {
        row.clear();
        for &name in &schemas[schema] {
            let value = columns[name].length_prefixed()?;
            put_length_prefixed(&mut row, names[name]);
            put_length_prefixed(&mut row, value);
            if row.len() > LABEL_BYTES_MAX {
                let want = format!("at most {LABEL_BYTES_MAX} bytes of labels");
                return Err(Corrupt::new(WHAT, 0, want, row.len().to_string()));
            }
        }
        put_length_prefixed(&mut rows, &row);
    }
    match columns.iter().find(|column| !column.is_empty()) {
        Some(column) => {
            let got = format!("{} more bytes", column.remaining());
            Err(Corrupt::new(WHAT, column.position(), "the end of a name's values", got))
        }
        None => Ok(rows),
    }
}

/// A varint count, and as many items. No item is shorter than a byte, so the bytes bound them.
fn read_list<'a, T>(
    cursor: &mut Cursor<'a>,
    mut item: impl FnMut(&mut Cursor<'a>) -> Result<T, Corrupt>,
) -> Result<Vec<T>, Corrupt> {
    let at = cursor.position();
    let count = cursor.varint()?;
    if count > cursor.remaining() as u64 {
        let want = format!("a count within {} bytes", cursor.remaining());
        return Err(Corrupt::new(WHAT, at, want, count.to_string()));
    }
    (0..count).map(|_| item(cursor)).collect()
}

fn number_below(cursor: &mut Cursor<'_>, end: usize) -> Result<usize, Corrupt> {
    let at = cursor.position();
    let number = cursor.varint()?;
    usize::try_from(number)
        .ok()
        .filter(|number| *number < end)
        .ok_or_else(|| Corrupt::new(WHAT, at, format!("a number below {end}"), number.to_string()))
}

#[cfg(test)]
mod tests {
    use m3rs_core::model::Labels;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_come_back(
            sets in prop::collection::vec(
                prop::collection::btree_map("[a-e]{1,2}", "[x-z\u{0}-\u{3}]{1,9}", 0..6), 0..60),
        ) {
            let mut rows = Rows::default();
            for set in &sets {
                rows.push(Labels::from_pairs(set.clone()).expect("valid").as_bytes());
            }
            let mut bytes = Vec::new();
            rows.put_columns(&mut bytes).expect("canonical");
            prop_assert_eq!(rows.len(), sets.len());
            prop_assert_eq!(&read_rows(&bytes, sets.len()).expect("sound"), &rows.bytes);
            for cut in 0..bytes.len() {
                prop_assert!(read_rows(&bytes[..cut], sets.len()).is_err());
            }
        }

        #[test]
        fn any_bytes_are_borne(
            bytes in prop::collection::vec(any::<u8>(), 0..100), count in 0usize..20,
        ) {
            let _ = read_rows(&bytes, count);
        }
    }
}
