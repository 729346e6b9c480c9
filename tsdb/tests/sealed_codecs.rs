//! Stories of closed blocks: golden blocks of every codec, hostile bytes, and real shapes.

#[path = "fuzz/sealed_block.rs"]
mod sealed_block;

use std::path::{Path, PathBuf};

use m3rs_core::fs::{DiskFs, Fs, Mapped};
use m3rs_core::model::{Labels, SampleKind};
use m3rs_core::wire::Cursor;
use m3rs_sim::disk::SimFs;
use m3rs_tsdb::codec::times::{TimeEncoder, decode_times};
use m3rs_tsdb::codec::values::{ValueCodec, ValueDecoder, ValueEncoder};
use m3rs_tsdb::fileset::{
    BlockCodec, FilesetInfo, FilesetKind, FilesetReader, SeriesBlock, write_fileset,
};
use m3rs_tsdb::series_block::{BlockDecoder, BlockEncoder, Effort, EncodedBlock};
use m3rs_tsdb::{Columns, FilesetError};
use proptest::prelude::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The committed file's bytes; writes them first if that was asked for.
fn committed(path: &Path, fresh: &[u8]) -> Vec<u8> {
    if std::env::var_os("M3RS_WRITE_GOLDEN").is_some() {
        DiskFs.create_dir_all(path.parent().expect("has one")).expect("make");
        DiskFs.create(path).expect("create").write_all(fresh).expect("write");
    }
    DiskFs.read(path).expect("the file is committed")
}

fn golden(name: &str, fresh: &[u8]) -> Vec<u8> {
    committed(&root().join("testdata/golden/codecs/v1").join(name), fresh)
}

/// Values that use every part of the formats: markers beside a run, resets, own bases, long runs.
fn golden_values(codec: ValueCodec) -> Vec<f64> {
    let value = |i: u32| match codec {
        ValueCodec::Constant => -0.0,
        ValueCodec::RunLength => f64::from(i / 41 * 1000),
        ValueCodec::Scaled if i == 70 => f64::from_bits(0x7ff0_0000_0000_0002),
        ValueCodec::Scaled => f64::from((i % 150) * 1000 + i * i % 13) / 100.0,
        ValueCodec::Xor => f64::from(i).sqrt(),
        ValueCodec::Pco => 1000.0 + 9.7 * f64::from(i) + f64::from(i * 7919 % 1009) / 307.0,
    };
    (0..300).map(value).collect()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn golden_values_are_read_for_ever() {
    for codec in ValueCodec::ALL {
        let values = golden_values(codec);
        let mut fresh = Vec::new();
        assert!(ValueEncoder::default().encode_as(codec, &values, &mut fresh));
        let bytes = golden(&format!("{codec:?}.bin").to_lowercase(), &fresh);
        let mut read = Vec::new();
        ValueDecoder::default().decode(codec, &bytes, values.len(), &mut read).expect("sound");
        assert_eq!(bits(&read), bits(&values), "{codec:?}");
        // pco's next version may write other bytes.
        assert!(codec == ValueCodec::Pco || bytes == fresh, "{codec:?} writes other bytes");
    }
}

/// A name, and the time since the first one by number.
type TimeShape = (&'static str, fn(i64) -> i64);

#[test]
fn golden_times_are_read_for_ever() {
    const MS: i64 = 1_000_000;
    let shapes: [TimeShape; 4] = [
        ("regular", |i| i * 15_000 * MS),
        ("jitter", |i| i * 15_000 * MS + i * 7919 % 31 * MS),
        ("gap", |i| (i + i / 200 * 500) * 15_000 * MS),
        ("nanoseconds", |i| i * 15_000 * MS + i * 104_729 % 1_000_003),
    ];
    for (name, time) in shapes {
        let times: Vec<i64> = (0..300).map(|i| 1_700_000_000_123 * MS + time(i)).collect();
        let mut fresh = Vec::new();
        TimeEncoder::default().encode(&times, &mut fresh);
        let bytes = golden(&format!("times-{name}.bin"), &fresh);
        assert_eq!(bytes, fresh, "{name}");
        let mut read = Vec::new();
        let mut cursor = Cursor::new("times", &bytes);
        decode_times(&mut cursor, times.len(), times[0], &mut read).expect("sound");
        assert!(cursor.is_empty());
        assert_eq!(read, times, "{name}");
    }
}

#[test]
fn fuzz_inputs_hold() {
    let mut inputs = 0;
    for (name, seed) in sealed_block::seeds() {
        let path = root().join("fuzz/corpus/sealed_block").join(name);
        sealed_block::fuzz_sealed_block(&committed(&path, &seed));
    }
    for kind in ["corpus", "regressions"] {
        let dir = root().join("fuzz").join(kind).join("sealed_block");
        for path in DiskFs.list(&dir).unwrap_or_default() {
            sealed_block::fuzz_sealed_block(&DiskFs.read(&path).expect("readable"));
            inputs += 1;
        }
    }
    assert!(inputs >= 5, "{inputs} inputs");
}

proptest! {
    /// Sound blocks with some bytes changed reach further than noise does.
    #[test]
    fn any_edit_of_a_block_is_borne(
        shape in 0usize..5,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let (_, mut bytes) = sealed_block::seeds().swap_remove(shape);
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        sealed_block::fuzz_sealed_block(&bytes);
    }

    #[test]
    fn any_bytes_are_borne(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        sealed_block::fuzz_sealed_block(&bytes);
    }
}

/// A count that the bytes cannot have is refused before memory is taken for it.
#[test]
fn a_hostile_count_is_refused() {
    for codec in ValueCodec::ALL {
        let block = EncodedBlock {
            codec: BlockCodec::Sealed(codec),
            kind: SampleKind::Float,
            count: u32::MAX,
            first_ns: 0,
            last_ns: i64::MAX,
            times: &[],
            bytes: &[0b100_0101, 2, 1, 1, 0, 0, 0, 0],
        };
        let mut out = Columns::default();
        let read = BlockDecoder::default().overlay(&block, (i64::MIN, i64::MAX), &mut out);
        assert!(read.is_err() && out.is_empty());
        let mut values = Vec::new();
        let read = ValueDecoder::default().decode(codec, &[1], u32::MAX as usize, &mut values);
        assert!(read.is_err() && values.capacity() == 0);
    }
}

/// Series of every codec; but for one, they are scraped together, at irregular times.
fn scraped() -> Vec<Columns> {
    let columns = |at: usize| {
        let shift = if at == 7 { 1 } else { 0 };
        let time = |i: i64| i * 15_000_000_000 + (i * 7919 % 31 + shift * i) * 1_000_000;
        let values = golden_values(ValueCodec::ALL[at % ValueCodec::ALL.len()]);
        Columns::of_floats((0..90).map(time).collect(), values[..90].to_vec())
    };
    (0..12).map(columns).collect()
}

fn write_scraped(series: &[Columns]) -> Vec<u8> {
    let (fs, path) = (SimFs::new(0), Path::new("/0-0.fileset"));
    let info = FilesetInfo {
        kind: FilesetKind::Volume,
        namespace: "default".to_owned(),
        shard: 0,
        shard_count: 4,
        id_scheme: 1,
        block_start_ns: 0,
        block_size_ns: 7_200_000_000_000,
        volume: 0,
        log_segment: 1,
        created_ns: 1,
    };
    let mut encoder = BlockEncoder::default();
    write_fileset::<FilesetError>(&fs, path, &info, |sink| {
        for (at, columns) in (0u32..).zip(series) {
            let labels = Labels::from_pairs([("at", at.to_string())]).expect("valid");
            let block = encoder.encode(columns, Effort::Flush).expect("fits").expect("some");
            sink.push(&SeriesBlock {
                series: at,
                labels: &labels,
                codec: block.codec,
                kind: block.kind,
                count: block.count,
                first_ns: block.first_ns,
                last_ns: block.last_ns,
                times: block.times,
                bytes: block.bytes,
            })?;
        }
        Ok(())
    })
    .expect("no fault");
    fs.read(path).expect("written")
}

/// Samples of a series in the file; `None` if its block, or what it shares, is damaged.
fn read_series(reader: &FilesetReader, series: u32, decoder: &mut BlockDecoder) -> Option<Columns> {
    let entry = reader.find(series).ok()??;
    let (times, bytes) = (reader.times(&entry).ok()?, reader.block(&entry).ok()?);
    let block = EncodedBlock {
        codec: entry.codec,
        kind: entry.kind,
        count: entry.count,
        first_ns: entry.first_ns,
        last_ns: entry.last_ns,
        times,
        bytes,
    };
    let mut out = Columns::default();
    decoder.overlay(&block, (i64::MIN, i64::MAX), &mut out).ok()?;
    Some(out)
}

/// Shared times are there twice, so any byte of a file costs one series at most.
#[test]
fn a_flipped_bit_of_a_sealed_file_costs_one_series() {
    let series = scraped();
    let bytes = write_scraped(&series);
    let mut decoder = BlockDecoder::default();
    for at in 0..=bytes.len() {
        let mut flipped = bytes.clone();
        if let Some(byte) = flipped.get_mut(at) {
            *byte ^= 1 << (at % 8);
        }
        let path = Path::new("flipped");
        let reader = FilesetReader::of_bytes(path, Mapped::of_bytes(flipped)).expect("two copies");
        assert_eq!(reader.verify().is_empty(), at == bytes.len(), "byte {at} goes unnoticed");
        assert_eq!(reader.totals().time_columns, 1);
        let mut lost = 0;
        for (number, columns) in (0u32..).zip(&series) {
            match read_series(&reader, number, &mut decoder) {
                Some(read) => {
                    assert_eq!(read.ts, columns.ts, "byte {at}");
                    assert_eq!(bits(&read.vs), bits(&columns.vs), "byte {at}");
                }
                None => lost += 1,
            }
        }
        assert!(lost <= usize::from(at < bytes.len()), "byte {at} costs {lost} series");
    }
}
