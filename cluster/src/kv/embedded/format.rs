//! The bytes of the embedded store's file. `docs/formats/cluster-kv.md` draws them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use m3rs_core::error::Corrupt;
use m3rs_core::wire::checksum::crc32;
use m3rs_core::wire::{Cursor, header, put_length_prefixed, put_varint};

use crate::kv::{Key, Value};
use crate::limits::{KEY_BYTES_MAX, KEYS_MAX, VALUE_BYTES_MAX, VERSIONS_KEPT_MAX};

/// First bytes of the file.
pub(super) const MAGIC: &[u8; 8] = b"M3RSCLKV";

/// The version that is written.
pub(super) const VERSION: u16 = 1;

const WHAT: &str = "key-value store";
const CRC_BYTES: usize = 4;

/// Each key and its versions, the oldest first, one at least.
pub(super) type Entries = BTreeMap<Key, VecDeque<Value>>;

/// The whole file.
pub(super) fn encode(entries: &Entries) -> Vec<u8> {
    let mut out = Vec::new();
    header::put(&mut out, MAGIC, VERSION);
    put_varint(&mut out, entries.len() as u64);
    for (key, versions) in entries {
        put_length_prefixed(&mut out, key.zone.as_bytes());
        put_length_prefixed(&mut out, key.path.as_bytes());
        put_varint(&mut out, versions.len() as u64);
        for value in versions {
            put_varint(&mut out, value.version);
            put_length_prefixed(&mut out, &value.bytes);
        }
    }
    let crc = crc32(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// Reads a whole file.
///
/// # Errors
/// Any byte that is not as [`encode`] writes it.
pub(super) fn decode(bytes: &[u8]) -> Result<Entries, Corrupt> {
    let mut cursor = Cursor::new(WHAT, bytes);
    header::check(&mut cursor, MAGIC, VERSION)?;
    let body_len = bytes.len().saturating_sub(CRC_BYTES);
    let (body, stored) = bytes.split_at(body_len);
    let stored = Cursor::new(WHAT, stored).u32()?;
    let computed = crc32(body);
    if stored != computed {
        let (expected, got) = (format!("checksum {computed:#010x}"), format!("{stored:#010x}"));
        return Err(Corrupt::new(WHAT, body_len, expected, got));
    }
    let mut cursor = Cursor::new(WHAT, body);
    cursor.take(header::LEN)?;
    let mut entries = Entries::new();
    for _ in 0..number(&mut cursor, "keys", KEYS_MAX)? {
        let key = Key { zone: text(&mut cursor)?, path: text(&mut cursor)? };
        let at = cursor.position();
        let versions = versions(&mut cursor)?;
        if entries.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(Corrupt::new(WHAT, at, "keys in order", key.path));
        }
        entries.insert(key, versions);
    }
    if !cursor.is_empty() {
        let got = format!("{} bytes more", cursor.remaining());
        return Err(Corrupt::new(WHAT, cursor.position(), "the end", got));
    }
    Ok(entries)
}

fn versions(cursor: &mut Cursor<'_>) -> Result<VecDeque<Value>, Corrupt> {
    let at = cursor.position();
    let mut versions = VecDeque::new();
    let mut last = 0;
    for _ in 0..number(cursor, "versions", VERSIONS_KEPT_MAX)? {
        let version = cursor.varint()?;
        if version <= last {
            let (expected, got) = (format!("a version over {last}"), version.to_string());
            return Err(Corrupt::new(WHAT, cursor.position(), expected, got));
        }
        last = version;
        let bytes = bounded(cursor, VALUE_BYTES_MAX)?;
        versions.push_back(Value { version, bytes: Arc::from(bytes) });
    }
    if versions.is_empty() {
        return Err(Corrupt::new(WHAT, at, "a version", "none"));
    }
    Ok(versions)
}

fn number(cursor: &mut Cursor<'_>, what: &str, max: usize) -> Result<usize, Corrupt> {
    let at = cursor.position();
    let number = cursor.varint()?;
    let checked = usize::try_from(number).ok().filter(|number| *number <= max);
    checked
        .ok_or_else(|| Corrupt::new(WHAT, at, format!("at most {max} {what}"), number.to_string()))
}

fn bounded<'a>(cursor: &mut Cursor<'a>, max: usize) -> Result<&'a [u8], Corrupt> {
    let at = cursor.position();
    let bytes = cursor.length_prefixed()?;
    match bytes.len() <= max {
        true => Ok(bytes),
        false => {
            Err(Corrupt::new(WHAT, at, format!("at most {max} bytes"), bytes.len().to_string()))
        }
    }
}

fn text(cursor: &mut Cursor<'_>) -> Result<String, Corrupt> {
    let at = cursor.position();
    let bytes = bounded(cursor, KEY_BYTES_MAX)?;
    let text = std::str::from_utf8(bytes);
    text.map(str::to_owned).map_err(|error| Corrupt::new(WHAT, at, "UTF-8", error.to_string()))
}

#[cfg(test)]
mod tests {
    use m3rs_core::fs::{DiskFs, Fs, write_atomic};
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    fn entries() -> impl Strategy<Value = Entries> {
        let key = ("[a-z]{0,3}", "[a-z/]{0,9}").prop_map(|(zone, path)| Key { zone, path });
        let versions = (0_u64..9, vec(vec(any::<u8>(), 0..20), 1..5));
        btree_map(key, versions, 0..5).prop_map(|map| {
            let value = |(first, values): (u64, Vec<Vec<u8>>)| {
                let values = values.into_iter().enumerate();
                let version = |at: usize| first + at as u64 + 1;
                values.map(|(at, v)| Value { version: version(at), bytes: v.into() }).collect()
            };
            map.into_iter().map(|(key, versions)| (key, value(versions))).collect()
        })
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(entries in entries()) {
            prop_assert_eq!(decode(&encode(&entries)), Ok(entries));
        }

        #[test]
        fn a_changed_byte_is_found(entries in entries(), at in any::<u64>(), flip in 1_u8..) {
            let mut bytes = encode(&entries);
            let at = at as usize % bytes.len();
            bytes[at] ^= flip;
            prop_assert!(decode(&bytes).is_err());
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in vec(any::<u8>(), 0..200)) {
            let mut framed = Vec::new();
            header::put(&mut framed, MAGIC, VERSION);
            framed.extend_from_slice(&bytes);
            let crc = crc32(&framed);
            framed.extend_from_slice(&crc.to_le_bytes());
            if let Ok(entries) = decode(&framed) {
                prop_assert_eq!(decode(&encode(&entries)), Ok(entries));
            }
            prop_assert!(decode(&bytes).is_err());
        }
    }

    #[test]
    fn every_cut_is_found() {
        let value = Value { version: 1, bytes: Arc::from(&b"value"[..]) };
        let key = Key { zone: "z".to_owned(), path: "p".to_owned() };
        let bytes = encode(&Entries::from([(key, VecDeque::from([value]))]));
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn the_golden_file_stays_readable() {
        let value = |version, bytes: &[u8]| Value { version, bytes: Arc::from(bytes) };
        let key = |zone: &str, path: &str| Key { zone: zone.to_owned(), path: path.to_owned() };
        let entries = Entries::from([
            (key("embedded", "_kv/default_env/a"), [value(1, b""), value(2, b"two")].into()),
            (key("embedded", "_sd.placement/default_env/m3db"), [value(300, &[0; 130])].into()),
        ]);
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = dir.join("../testdata/golden/cluster-kv/v1/cluster.kv");
        if std::env::var_os("M3RS_WRITE_GOLDEN").is_some() {
            let written = write_atomic(&DiskFs, &path, |file| file.write_all(&encode(&entries)));
            written.expect("the golden file is written");
        }
        let bytes = DiskFs.read(&path).expect("the golden file is committed");
        assert_eq!(decode(&bytes), Ok(entries.clone()));
        assert_eq!(encode(&entries), bytes);
    }
}
