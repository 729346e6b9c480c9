//! The field table and the shapes: small, read whole when a file is opened.

use m3rs_core::Corrupt;
use m3rs_core::fs::Mapped;
use m3rs_core::wire::Cursor;

use super::MappedPart;
use super::dictionary;
use super::format::{
    BLOCK_ENTRY_LEN, BLOCK_VALUES, FIELD_DOCS_ALL, FIELD_DOCS_BITMAP, FIELD_DOCS_DELTAS, Footer,
    Section,
};
use super::terms::Listed;
use crate::postings::Stored;

const FIELDS: &str = "index fields";
const SHAPES: &str = "index shapes";

/// One label name of a file.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: Box<str>,
    pub(super) value_count: u32,
    pub(super) first_block: u64,
    /// Present if the field has more values than one block holds.
    pub(super) dictionary: Option<fst::Map<MappedPart>>,
    /// Absent if all documents have the field.
    pub(super) docs: Option<Listed>,
}

/// Reads the table; names ascend, blocks and dictionaries lie in their sections.
pub(super) fn read_fields(file: &Mapped, footer: &Footer) -> Result<Vec<Field>, Corrupt> {
    let table = &file[footer.range(Section::Fields)];
    let mut cursor = Cursor::new(FIELDS, table);
    let count = cursor.varint()?;
    let mut fields: Vec<Field> = Vec::new();
    for _ in 0..count {
        let at = cursor.position();
        let field = read_field(&mut cursor, file, footer)?;
        if let Some(last) = fields.last()
            && last.name >= field.name
        {
            let expected = format!("a name after {:?}", last.name);
            return Err(Corrupt::new(FIELDS, at, expected, format!("{:?}", field.name)));
        }
        fields.push(field);
    }
    expect_end(&cursor, FIELDS)?;
    Ok(fields)
}

fn read_field(cursor: &mut Cursor<'_>, file: &Mapped, footer: &Footer) -> Result<Field, Corrupt> {
    let at = cursor.position();
    let bad = |expected: &str, got: String| Corrupt::new(FIELDS, at, expected, got);
    let name = cursor.length_prefixed()?;
    let name = std::str::from_utf8(name).map_err(|e| bad("UTF-8", e.to_string()))?;
    let value_count = cursor.varint()?;
    let value_count =
        u32::try_from(value_count)
            .ok()
            .filter(|&n| n > 0 && n <= footer.doc_count)
            .ok_or_else(|| bad("values, but no more than documents", value_count.to_string()))?;
    let first_block = cursor.varint()?;
    let block_count = (footer.range(Section::Blocks).len() / BLOCK_ENTRY_LEN) as u64;
    let blocks = u64::from(value_count.div_ceil(BLOCK_VALUES));
    if first_block.checked_add(blocks).is_none_or(|end| end > block_count) {
        return Err(bad("blocks in their section", first_block.to_string()));
    }
    let (offset, len) = (cursor.varint()?, cursor.varint()?);
    let dictionary = read_dictionary(file, footer, (offset, len), value_count)?;
    let form = cursor.u8()?;
    let docs = match form {
        FIELD_DOCS_ALL => None,
        FIELD_DOCS_DELTAS | FIELD_DOCS_BITMAP => {
            let (count, offset, len) = (cursor.varint()?, cursor.varint()?, cursor.varint()?);
            if count == 0 || count > u64::from(footer.doc_count) {
                return Err(bad("documents, but no more than there are", count.to_string()));
            }
            let stored = Stored { len, count, is_bitmap: form == FIELD_DOCS_BITMAP };
            Some(Listed { offset, stored })
        }
        _ => return Err(bad("a form of postings", form.to_string())),
    };
    Ok(Field { name: name.into(), value_count, first_block, dictionary, docs })
}

fn read_dictionary(
    file: &Mapped,
    footer: &Footer,
    (offset, len): (u64, u64),
    value_count: u32,
) -> Result<Option<fst::Map<MappedPart>>, Corrupt> {
    const WHAT: &str = "index dictionary";
    let bad = |got: String| Corrupt::new(WHAT, 0, format!("{value_count} values"), got);
    if value_count <= BLOCK_VALUES {
        return if len == 0 { Ok(None) } else { Err(bad(format!("{len} bytes"))) };
    }
    let section = footer.range(Section::Dictionaries);
    let start = usize::try_from(offset).ok().and_then(|o| section.start.checked_add(o));
    let end = start.zip(usize::try_from(len).ok()).and_then(|(s, len)| s.checked_add(len));
    let range = match start.zip(end) {
        Some((start, end)) if end <= section.end => start..end,
        _ => return Err(bad(format!("{len} bytes at {offset}"))),
    };
    dictionary::check(&file[range.clone()], value_count)?;
    let part = MappedPart { file: file.clone(), range };
    fst::Map::new(part).map(Some).map_err(|e| bad(e.to_string()))
}

/// Reads the lists of fields that documents have; each ascends.
pub(super) fn read_shapes(
    bytes: &[u8],
    field_count: usize,
    doc_count: usize,
) -> Result<Vec<Box<[u32]>>, Corrupt> {
    let mut cursor = Cursor::new(SHAPES, bytes);
    let count = cursor.varint()?;
    if count > doc_count as u64 {
        let expected = format!("{doc_count} shapes at most");
        return Err(Corrupt::new(SHAPES, 0, expected, count.to_string()));
    }
    let mut shapes = Vec::new();
    for _ in 0..count {
        let at = cursor.position();
        let len = cursor.varint()?;
        let mut shape = Vec::new();
        let mut last = 0u64;
        for nth in 0..len {
            let delta = cursor.varint()?;
            let next = last.checked_add(delta).filter(|&f| f < field_count as u64);
            match next {
                Some(field) if delta > 0 || nth == 0 => {
                    shape.push(field as u32);
                    last = field;
                }
                _ => {
                    let expected = format!("ascending fields below {field_count}");
                    return Err(Corrupt::new(SHAPES, at, expected, format!("{last} + {delta}")));
                }
            }
        }
        shapes.push(shape.into());
    }
    expect_end(&cursor, SHAPES)?;
    Ok(shapes)
}

fn expect_end(cursor: &Cursor<'_>, what: &'static str) -> Result<(), Corrupt> {
    if cursor.is_empty() {
        return Ok(());
    }
    let got = format!("{} more bytes", cursor.remaining());
    Err(Corrupt::new(what, cursor.position(), "the end of the section", got))
}
