//! What must hold of any bytes taken for a closed series block.

use m3rs_core::model::SampleKind;
use m3rs_tsdb::Columns;
use m3rs_tsdb::codec::values::ValueCodec;
use m3rs_tsdb::fileset::BlockCodec;
use m3rs_tsdb::series_block::{BlockDecoder, BlockEncoder, Effort, EncodedBlock};

/// Takes `data` for codec (1 byte), number of samples (2 bytes), bytes of the times (1 byte), and
/// the block; a block that decodes is encoded again to the same samples.
pub(crate) fn fuzz_sealed_block(data: &[u8]) {
    let Some((&[codec, low, high, times_len], rest)) = data.split_first_chunk::<4>() else {
        return;
    };
    let codec = ValueCodec::ALL[usize::from(codec) % ValueCodec::ALL.len()];
    let count = u32::from(u16::from_le_bytes([low, high]));
    let (times, bytes) = rest.split_at(usize::from(times_len).min(rest.len()));
    let mut decoder = BlockDecoder::default();
    for last_ns in [0, 15_000_000_000 * (i64::from(count) - 1)] {
        let block = EncodedBlock {
            codec: BlockCodec::Sealed(codec),
            kind: SampleKind::Float,
            count,
            first_ns: 0,
            last_ns,
            times,
            bytes,
        };
        let mut columns = Columns::default();
        if decoder.overlay(&block, (i64::MIN, i64::MAX), &mut columns).is_err() {
            assert!(columns.is_empty());
            continue;
        }
        assert_eq!(columns.ts.len(), columns.vs.len());
        assert!(columns.ts.is_sorted_by(|a, b| a < b));
        round_trip(&columns, &mut decoder);
    }
}

fn round_trip(columns: &Columns, decoder: &mut BlockDecoder) {
    for effort in [Effort::Flush, Effort::Compact] {
        let mut encoder = BlockEncoder::default();
        let block = encoder.encode(columns, effort).expect("it has room");
        let Some(block) = block else { return assert!(columns.is_empty()) };
        let mut again = Columns::default();
        decoder.overlay(&block, (i64::MIN, i64::MAX), &mut again).expect("what we write decodes");
        assert_eq!(again.ts, columns.ts);
        assert!(bits(&again.vs).eq(bits(&columns.vs)));
    }
}

fn bits(values: &[f64]) -> impl Iterator<Item = u64> + '_ {
    values.iter().map(|v| v.to_bits())
}

/// A name, and value by number.
type Shape = (&'static str, fn(u32) -> f64);

/// Sound inputs, one for each codec, by name.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let shapes: [Shape; 5] = [
        ("constant", |_| 0.25),
        ("run-length", |i| f64::from(i / 30)),
        ("scaled", |i| f64::from(i * 37 + i * i % 11) / 100.0),
        ("xor", |i| f64::from(i).sin() + 10.0),
        ("pco", |i| 1000.0 + 9.7 * f64::from(i) + f64::from(i * 7919 % 1009) / 307.0),
    ];
    let seed = |at: usize, value: fn(u32) -> f64| {
        let ts = (0..240).map(|i| i * 15_000_000_000).collect();
        let columns = Columns::of_floats(ts, (0..240).map(value).collect());
        let mut encoder = BlockEncoder::default();
        let block = encoder.encode(&columns, Effort::Flush).expect("fits").expect("some");
        assert_eq!(block.codec, BlockCodec::Sealed(ValueCodec::ALL[at]), "shape {at}");
        let head = [at as u8, 240, 0, block.times.len() as u8];
        [&head[..], block.times, block.bytes].concat()
    };
    shapes.into_iter().enumerate().map(|(at, (name, value))| (name, seed(at, value))).collect()
}
