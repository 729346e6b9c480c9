//! The catalog's bytes: `docs/formats/namespace.md`.

use m3rs_core::Corrupt;
use m3rs_core::model::{MatchOp, Matcher};
use m3rs_core::wire::{Cursor, checksum, header, put_length_prefixed};

use super::super::options::{
    Aggregation, CachingOptions, Downsample, ExtendedOptions, IndexOptions, NamespaceOptions,
    RuntimeOptions, StagingState, TruncateTime, WriteTransforms,
};
use super::super::validate::check_name;
use super::{Catalog, NamespaceMeta};

const MAGIC: &[u8; 8] = b"M3RSNSPC";
const VERSION: u16 = 2;
const WHAT: &str = "namespace catalog";
/// How IDs for sharding are made: M3's `quoted` scheme, the only one.
const ID_SCHEME_QUOTED: u8 = 1;

const FLAG_COLD_WRITES: u16 = 1 << 0;
const FLAG_BOOTSTRAP: u16 = 1 << 1;
const FLAG_FLUSH: u16 = 1 << 2;
const FLAG_SNAPSHOT: u16 = 1 << 3;
const FLAG_CLEANUP: u16 = 1 << 4;
const FLAG_REPAIR: u16 = 1 << 5;
const FLAG_COMMIT_LOG: u16 = 1 << 6;
const FLAG_INDEX: u16 = 1 << 7;
const FLAG_CACHE_ON_RETRIEVE: u16 = 1 << 8;
const FLAG_BLOCK_DATA_EXPIRY: u16 = 1 << 9;
const FLAGS_KNOWN: u16 = (1 << 10) - 1;

/// The file of a catalog.
pub(super) fn encode(catalog: &Catalog) -> Vec<u8> {
    let mut out = Vec::new();
    header::put(&mut out, MAGIC, VERSION);
    out.extend_from_slice(&catalog.next_id.to_le_bytes());
    put_count(&mut out, catalog.live.len());
    for meta in &catalog.live {
        let mut body = Vec::new();
        put_meta(&mut body, meta);
        put_length_prefixed(&mut out, &body);
    }
    put_count(&mut out, catalog.doomed.len());
    for dir in &catalog.doomed {
        put_length_prefixed(&mut out, dir.as_bytes());
    }
    let crc = checksum::crc32(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// Refuses a sound file of a version that this program does not know.
pub(super) fn check_version(bytes: &[u8]) -> Result<(), Corrupt> {
    let Some((body, crc)) = bytes.split_last_chunk::<4>() else { return Ok(()) };
    let is_sound = checksum::crc32(body) == u32::from_le_bytes(*crc);
    if !is_sound || !body.starts_with(MAGIC) {
        return Ok(());
    }
    check_header(&mut Cursor::new(WHAT, body))
}

fn check_header(cursor: &mut Cursor<'_>) -> Result<(), Corrupt> {
    let version = header::check(cursor, MAGIC, VERSION)?;
    if version != VERSION {
        return Err(Corrupt::new(WHAT, 8, VERSION.to_string(), version.to_string()));
    }
    Ok(())
}

/// The catalog in a file.
pub(super) fn decode(bytes: &[u8]) -> Result<Catalog, Corrupt> {
    let (body, crc) = bytes
        .split_last_chunk::<4>()
        .ok_or_else(|| Corrupt::new(WHAT, 0, "a checksum", "fewer than 4 bytes"))?;
    checksum::check_crc(WHAT, body.len(), checksum::crc32(body), u32::from_le_bytes(*crc))?;
    let mut cursor = Cursor::new(WHAT, body);
    check_header(&mut cursor)?;
    let next_id = cursor.u32()?;
    let mut catalog = Catalog { next_id, ..Catalog::default() };
    for _ in 0..cursor.u32()? {
        let at = cursor.position();
        let mut entry = Cursor::new(WHAT, cursor.length_prefixed()?);
        let meta = take_meta(&mut entry)?;
        let is_new = catalog.live.iter().all(|m| m.id != meta.id && m.name != meta.name);
        if !entry.is_empty() || meta.id >= next_id || !is_new {
            return Err(Corrupt::new(WHAT, at, "a namespace of its own number and name", "other"));
        }
        catalog.live.push(meta);
    }
    for _ in 0..cursor.u32()? {
        catalog.doomed.push(take_dir(&mut cursor)?);
    }
    if !cursor.is_empty() {
        return Err(Corrupt::new(WHAT, cursor.position(), "the end", "more bytes"));
    }
    Ok(catalog)
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("BUG: namespaces are limited");
    out.extend_from_slice(&count.to_le_bytes());
}

fn put_meta(out: &mut Vec<u8>, meta: &NamespaceMeta) {
    out.extend_from_slice(&meta.id.to_le_bytes());
    put_length_prefixed(out, meta.name.as_bytes());
    put_length_prefixed(out, meta.dir.as_bytes());
    put_options(out, &meta.options);
}

fn put_options(out: &mut Vec<u8>, o: &NamespaceOptions) {
    out.extend_from_slice(&o.shard_count.to_le_bytes());
    out.push(ID_SCHEME_QUOTED);
    for span in [
        o.block_size_ns,
        o.retention_ns,
        o.future_retention_ns,
        o.buffer_past_ns,
        o.buffer_future_ns,
        o.index.block_size_ns,
        o.caching.block_data_expiry_after_ns,
    ] {
        out.extend_from_slice(&span.to_le_bytes());
    }
    out.extend_from_slice(&flags(o).to_le_bytes());
    out.extend_from_slice(&o.series_max.to_le_bytes());
    out.extend_from_slice(&o.new_series_per_second_max.to_le_bytes());
    out.push(match o.staging_state {
        StagingState::Unknown => 0,
        StagingState::Initializing => 1,
        StagingState::Ready => 2,
    });
    put_lists(out, o);
    let (truncate, unit) = match o.transforms.truncate_time {
        None => (0, 0),
        Some(TruncateTime::BlockStart) => (1, 0),
        Some(TruncateTime::Unit(unit)) => (2, unit),
    };
    out.push(truncate);
    out.extend_from_slice(&unit.to_le_bytes());
    for number in [
        o.transforms.force_value,
        o.runtime.write_indexing_per_cpu,
        o.runtime.flush_indexing_per_cpu,
    ] {
        out.push(u8::from(number.is_some()));
        out.extend_from_slice(&number.unwrap_or(0.0).to_bits().to_le_bytes());
    }
    out.push(u8::from(o.extended.is_some()));
    if let Some(extended) = &o.extended {
        put_length_prefixed(out, extended.type_name.as_bytes());
        put_length_prefixed(out, &extended.value);
    }
}

fn put_lists(out: &mut Vec<u8>, o: &NamespaceOptions) {
    put_count(out, o.aggregations.len());
    for aggregation in &o.aggregations {
        let (kind, resolution) = match *aggregation {
            Aggregation::Unaggregated => (0, 0),
            Aggregation::Aggregated { resolution_ns, downsample: Downsample::ByRules } => {
                (1, resolution_ns)
            }
            Aggregation::Aggregated { resolution_ns, downsample: Downsample::All } => {
                (2, resolution_ns)
            }
        };
        out.push(kind);
        out.extend_from_slice(&resolution.to_le_bytes());
    }
    put_count(out, o.index.do_not_index.len());
    for matcher in &o.index.do_not_index {
        out.push(match matcher.op {
            MatchOp::Equal => 0,
            MatchOp::NotEqual => 1,
            MatchOp::Regexp => 2,
            MatchOp::NotRegexp => 3,
        });
        put_length_prefixed(out, matcher.name.as_bytes());
        put_length_prefixed(out, matcher.value.as_bytes());
    }
}

fn flags(o: &NamespaceOptions) -> u16 {
    [
        (o.cold_writes_enabled, FLAG_COLD_WRITES),
        (o.bootstrap_enabled, FLAG_BOOTSTRAP),
        (o.flush_enabled, FLAG_FLUSH),
        (o.snapshot_enabled, FLAG_SNAPSHOT),
        (o.cleanup_enabled, FLAG_CLEANUP),
        (o.repair_enabled, FLAG_REPAIR),
        (o.writes_to_commit_log, FLAG_COMMIT_LOG),
        (o.index.enabled, FLAG_INDEX),
        (o.caching.cache_blocks_on_retrieve, FLAG_CACHE_ON_RETRIEVE),
        (o.caching.block_data_expiry, FLAG_BLOCK_DATA_EXPIRY),
    ]
    .into_iter()
    .fold(0, |all, (is_on, flag)| if is_on { all | flag } else { all })
}

fn take_meta(cursor: &mut Cursor<'_>) -> Result<NamespaceMeta, Corrupt> {
    let id = cursor.u32()?;
    let at = cursor.position();
    let name = take_text(cursor)?;
    check_name(&name).map_err(|e| Corrupt::new(WHAT, at, "a name", e.to_string()))?;
    let dir = take_dir(cursor)?;
    let shard_count = cursor.u16()?;
    let at = cursor.position();
    let scheme = cursor.u8()?;
    if scheme != ID_SCHEME_QUOTED {
        return Err(Corrupt::new(WHAT, at, "ID scheme 1", scheme.to_string()));
    }
    let options = take_options(cursor, shard_count)?;
    options
        .validate()
        .map_err(|e| Corrupt::new(WHAT, at, "options that fit together", e.to_string()))?;
    Ok(NamespaceMeta { id, name, dir, options })
}

fn take_options(cursor: &mut Cursor<'_>, shard_count: u16) -> Result<NamespaceOptions, Corrupt> {
    let mut o = NamespaceOptions { shard_count, ..NamespaceOptions::default() };
    o.block_size_ns = cursor.i64()?;
    o.retention_ns = cursor.i64()?;
    o.future_retention_ns = cursor.i64()?;
    o.buffer_past_ns = cursor.i64()?;
    o.buffer_future_ns = cursor.i64()?;
    let index_block_size_ns = cursor.i64()?;
    let block_data_expiry_after_ns = cursor.i64()?;
    let at = cursor.position();
    let flags = cursor.u16()?;
    if flags & !FLAGS_KNOWN != 0 {
        return Err(Corrupt::new(WHAT, at, "known flags", format!("{flags:#x}")));
    }
    let has = |flag| flags & flag != 0;
    o.cold_writes_enabled = has(FLAG_COLD_WRITES);
    o.bootstrap_enabled = has(FLAG_BOOTSTRAP);
    o.flush_enabled = has(FLAG_FLUSH);
    o.snapshot_enabled = has(FLAG_SNAPSHOT);
    o.cleanup_enabled = has(FLAG_CLEANUP);
    o.repair_enabled = has(FLAG_REPAIR);
    o.writes_to_commit_log = has(FLAG_COMMIT_LOG);
    o.caching = CachingOptions {
        cache_blocks_on_retrieve: has(FLAG_CACHE_ON_RETRIEVE),
        block_data_expiry: has(FLAG_BLOCK_DATA_EXPIRY),
        block_data_expiry_after_ns,
    };
    o.series_max = cursor.u32()?;
    o.new_series_per_second_max = cursor.u32()?;
    o.staging_state = match cursor.u8()? {
        0 => StagingState::Unknown,
        1 => StagingState::Initializing,
        2 => StagingState::Ready,
        other => return Err(unknown(cursor, "a staging state", other)),
    };
    o.aggregations = take_aggregations(cursor)?;
    o.index = IndexOptions {
        enabled: has(FLAG_INDEX),
        block_size_ns: index_block_size_ns,
        do_not_index: take_matchers(cursor)?,
    };
    let truncate = cursor.u8()?;
    let unit = cursor.i64()?;
    let truncate_time = match truncate {
        0 => None,
        1 => Some(TruncateTime::BlockStart),
        2 => Some(TruncateTime::Unit(unit)),
        other => return Err(unknown(cursor, "a truncation of times", other)),
    };
    o.transforms = WriteTransforms { truncate_time, force_value: take_number(cursor)? };
    o.runtime = RuntimeOptions {
        write_indexing_per_cpu: take_number(cursor)?,
        flush_indexing_per_cpu: take_number(cursor)?,
    };
    o.extended = match cursor.u8()? {
        0 => None,
        1 => Some(ExtendedOptions {
            type_name: take_text(cursor)?,
            value: cursor.length_prefixed()?.to_vec(),
        }),
        other => return Err(unknown(cursor, "0 or 1", other)),
    };
    Ok(o)
}

fn take_aggregations(cursor: &mut Cursor<'_>) -> Result<Vec<Aggregation>, Corrupt> {
    let mut all = Vec::new();
    for _ in 0..cursor.u32()? {
        let kind = cursor.u8()?;
        let resolution_ns = cursor.i64()?;
        let downsample = match kind {
            0 => {
                all.push(Aggregation::Unaggregated);
                continue;
            }
            1 => Downsample::ByRules,
            2 => Downsample::All,
            other => return Err(unknown(cursor, "a kind of aggregation", other)),
        };
        all.push(Aggregation::Aggregated { resolution_ns, downsample });
    }
    Ok(all)
}

fn take_matchers(cursor: &mut Cursor<'_>) -> Result<Vec<Matcher>, Corrupt> {
    let mut all = Vec::new();
    for _ in 0..cursor.u32()? {
        let op = match cursor.u8()? {
            0 => MatchOp::Equal,
            1 => MatchOp::NotEqual,
            2 => MatchOp::Regexp,
            3 => MatchOp::NotRegexp,
            other => return Err(unknown(cursor, "a kind of matcher", other)),
        };
        all.push(Matcher::new(take_text(cursor)?, op, take_text(cursor)?));
    }
    Ok(all)
}

fn take_number(cursor: &mut Cursor<'_>) -> Result<Option<f64>, Corrupt> {
    let is_there = cursor.u8()?;
    let number = f64::from_bits(cursor.u64()?);
    match is_there {
        0 => Ok(None),
        1 => Ok(Some(number)),
        other => Err(unknown(cursor, "0 or 1", other)),
    }
}

fn take_text(cursor: &mut Cursor<'_>) -> Result<String, Corrupt> {
    let at = cursor.position();
    let bytes = cursor.length_prefixed()?;
    let text =
        std::str::from_utf8(bytes).map_err(|e| Corrupt::new(WHAT, at, "UTF-8", e.to_string()))?;
    Ok(text.to_owned())
}

/// A directory's name; whatever the file says, it leads nowhere else.
fn take_dir(cursor: &mut Cursor<'_>) -> Result<String, Corrupt> {
    let at = cursor.position();
    let dir = take_text(cursor)?;
    let name = dir.split_once('@').map_or(dir.as_str(), |(name, _)| name);
    let is_number = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
    let is_numbered = dir.split_once('@').is_none_or(|(_, id)| is_number(id));
    if check_name(name).is_err() || !is_numbered {
        return Err(Corrupt::new(WHAT, at, "a directory's name", dir));
    }
    Ok(dir)
}

fn unknown(cursor: &Cursor<'_>, expected: &str, got: u8) -> Corrupt {
    Corrupt::new(WHAT, cursor.position(), expected, got.to_string())
}

#[cfg(test)]
mod tests {
    use m3rs_core::time::NS_PER_S;

    use super::*;

    fn full() -> Catalog {
        let hour = 3600 * NS_PER_S;
        let mut catalog = Catalog::default();
        catalog.add("default", NamespaceOptions::default());
        let options = NamespaceOptions {
            retention_ns: 0,
            future_retention_ns: 24 * hour,
            block_size_ns: 6 * hour,
            shard_count: 64,
            cold_writes_enabled: true,
            bootstrap_enabled: false,
            repair_enabled: true,
            writes_to_commit_log: false,
            index: IndexOptions {
                enabled: true,
                block_size_ns: 12 * hour,
                do_not_index: vec![
                    Matcher::equal("job", "x"),
                    Matcher::new("__name__", MatchOp::NotRegexp, "go_.*|up"),
                ],
            },
            transforms: WriteTransforms {
                truncate_time: Some(TruncateTime::Unit(NS_PER_S)),
                force_value: Some(-0.0),
            },
            aggregations: vec![
                Aggregation::Unaggregated,
                Aggregation::Aggregated {
                    resolution_ns: 60 * NS_PER_S,
                    downsample: Downsample::All,
                },
                Aggregation::Aggregated {
                    resolution_ns: 3600 * NS_PER_S,
                    downsample: Downsample::ByRules,
                },
            ],
            staging_state: StagingState::Ready,
            runtime: RuntimeOptions {
                write_indexing_per_cpu: Some(0.75),
                flush_indexing_per_cpu: None,
            },
            extended: Some(ExtendedOptions { type_name: "a/b".to_owned(), value: vec![0, 255] }),
            series_max: 7,
            new_series_per_second_max: 8,
            ..NamespaceOptions::default()
        };
        catalog.add("aggregated", options.clone());
        catalog.remove("aggregated");
        catalog.add("aggregated", options);
        catalog
    }

    #[test]
    fn catalogs_come_back() {
        for catalog in [Catalog::default(), full()] {
            assert_eq!(decode(&encode(&catalog)), Ok(catalog));
        }
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let bytes = encode(&full());
        for i in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[i] ^= 0x10;
            assert!(decode(&bad).is_err(), "byte {i}");
            assert!(decode(&bytes[..i]).is_err(), "length {i}");
        }
    }

    /// Bytes whose checksum is right may still be those of someone else.
    #[test]
    fn nothing_that_is_said_under_a_right_checksum_is_trusted() {
        let seal = |body: &[u8]| {
            let mut file = body.to_vec();
            file.extend_from_slice(&checksum::crc32(body).to_le_bytes());
            file
        };
        let bytes = encode(&full());
        let body = &bytes[..bytes.len() - 4];
        for i in 0..body.len() {
            for bit in 0..8 {
                let mut bad = body.to_vec();
                bad[i] ^= 1 << bit;
                if let Ok(catalog) = decode(&seal(&bad)) {
                    let dirs = catalog.live.iter().map(|meta| &meta.dir).chain(&catalog.doomed);
                    for dir in dirs {
                        assert!(!dir.contains('/') && !dir.starts_with('.'), "byte {i}: {dir}");
                    }
                }
            }
            // A cut file is not whole, whatever its checksum says.
            assert!(decode(&seal(&body[..i])).is_err(), "length {i}");
        }
        let dir = |name: &str| {
            let mut catalog = full();
            catalog.doomed = vec![name.to_owned()];
            decode(&encode(&catalog))
        };
        for name in ["", "..", "a/b", "a@", "a@x", "@1", "/"] {
            assert!(dir(name).is_err(), "{name:?}");
        }
        assert!(dir("a@12").is_ok());
    }
}
