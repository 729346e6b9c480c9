//! The values of a closed block: the codec is chosen by what they look like.
//!
//! Every codec gives back every bit of what it took, or does not take it. The choice looks at the
//! values once, and tries at most two encodings for [`Effort::Flush`].
//!
//! Budgets: encode 15 ns a sample, decode 2 ns; pco, which is for full floats, takes more.

use m3rs_core::Corrupt;
use m3rs_core::wire::Cursor;

use super::{constant, integers, pco_values, run_length, scaled, xor};

/// How much work goes into a small block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// A block that was just closed: at most two encodings are tried.
    Flush,
    /// A block that is rewritten to stay: every encoding that may win is tried.
    Compact,
}

/// How values are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ValueCodec {
    /// One value for all.
    Constant = 2,
    /// Runs of equal values.
    RunLength = 3,
    /// Short decimals as integers.
    Scaled = 4,
    /// XORs in frames.
    Xor = 5,
    /// pco.
    Pco = 6,
}

impl ValueCodec {
    /// All of them, in the order of their tags.
    pub const ALL: [Self; 5] =
        [Self::Constant, Self::RunLength, Self::Scaled, Self::Xor, Self::Pco];

    /// Reads the tag byte; `None` for an unknown tag.
    #[must_use]
    pub fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| *codec as u8 == tag)
    }
}

/// The most values of one block: what 16 MiB of M3TSZ hold.
pub const COUNT_MAX: usize = 1 << 26;

/// Runs must be this long on average before run lengths are tried.
const RUN_MIN: usize = 4;

/// pco must be smaller than this share of the others, in tenths, as it is slower to read.
const PCO_SHARE: usize = 9;

/// Below this number of full floats, pco's own head outweighs what it saves.
const PCO_COUNT_MIN: usize = 64;

/// Below this number of short decimals, pco is not smaller than scaled integers.
const PCO_COUNT_MIN_SCALED: usize = 1024;

/// pco's level: a higher one takes twice the time for less than a hundredth of the bytes.
const PCO_LEVEL: usize = 4;

/// Encodes values, in memory that it keeps.
#[derive(Debug, Default)]
pub struct ValueEncoder {
    scaled: scaled::Scratch,
    integers: integers::Scratch,
    heads: Vec<f64>,
    lengths: Vec<i64>,
    other: Vec<u8>,
    check: ValueDecoder,
    checked: Vec<f64>,
}

impl ValueEncoder {
    /// Appends the values to `out` in the codec that is returned. There is at least one.
    pub fn encode(&mut self, values: &[f64], effort: Effort, out: &mut Vec<u8>) -> ValueCodec {
        let begin = out.len();
        let runs =
            1 + values.windows(2).filter(|pair| pair[0].to_bits() != pair[1].to_bits()).count();
        if runs == 1 {
            constant::encode(values[0], out);
            return ValueCodec::Constant;
        }
        let mut best = None;
        if scaled::encode(values, &mut self.scaled, out) {
            best = Some(ValueCodec::Scaled);
        }
        let mut best_len = best.map_or(usize::MAX, |_| out.len() - begin);
        if runs * RUN_MIN <= values.len() {
            self.encode_with(ValueCodec::RunLength, values);
            if self.other.len() < best_len {
                best_len = self.take_other(begin, out);
                best = Some(ValueCodec::RunLength);
            }
        }
        if best.is_none() {
            xor::encode(values, out);
            best_len = out.len() - begin;
            best = Some(ValueCodec::Xor);
        }
        let pco_count_min = match (best, effort) {
            (Some(ValueCodec::Xor), _) => PCO_COUNT_MIN,
            (_, Effort::Compact) => PCO_COUNT_MIN_SCALED,
            (_, Effort::Flush) => usize::MAX,
        };
        if values.len() >= pco_count_min
            && self.encode_with(ValueCodec::Pco, values)
            && self.other.len() * 10 <= best_len * PCO_SHARE
        {
            self.take_other(begin, out);
            best = Some(ValueCodec::Pco);
        }
        best.unwrap_or(ValueCodec::Xor)
    }

    /// Appends the values in the codec that is asked for; `false`, and nothing appended, if it
    /// does not take them.
    pub fn encode_as(&mut self, codec: ValueCodec, values: &[f64], out: &mut Vec<u8>) -> bool {
        let begin = out.len();
        let is_taken = !values.is_empty() && self.encode_with(codec, values);
        if is_taken {
            self.take_other(begin, out);
        }
        is_taken
    }

    /// Encodes into `self.other`.
    fn encode_with(&mut self, codec: ValueCodec, values: &[f64]) -> bool {
        self.other.clear();
        match codec {
            ValueCodec::Constant => {
                let is_constant = values.iter().all(|v| v.to_bits() == values[0].to_bits());
                if is_constant {
                    constant::encode(values[0], &mut self.other);
                }
                is_constant
            }
            ValueCodec::RunLength => {
                run_length::split(values, &mut self.heads, &mut self.lengths);
                run_length::encode_lengths(&self.lengths, &mut self.integers, &mut self.other);
                let tag_at = self.other.len();
                self.other.push(ValueCodec::Scaled as u8);
                if !scaled::encode(&self.heads, &mut self.scaled, &mut self.other) {
                    self.other[tag_at] = ValueCodec::Xor as u8;
                    xor::encode(&self.heads, &mut self.other);
                }
                true
            }
            ValueCodec::Scaled => scaled::encode(values, &mut self.scaled, &mut self.other),
            ValueCodec::Xor => {
                xor::encode(values, &mut self.other);
                true
            }
            ValueCodec::Pco => self.encode_pco(values),
        }
    }

    /// pco is not our code: what it wrote is read back before it is trusted.
    fn encode_pco(&mut self, values: &[f64]) -> bool {
        if !pco_values::encode(values, PCO_LEVEL, &mut self.other) {
            return false;
        }
        self.checked.clear();
        let read = self.check.decode(ValueCodec::Pco, &self.other, values.len(), &mut self.checked);
        let is_same =
            |a: &[f64]| a.iter().map(|v| v.to_bits()).eq(values.iter().map(|v| v.to_bits()));
        read.is_ok() && is_same(&self.checked)
    }

    fn take_other(&mut self, begin: usize, out: &mut Vec<u8>) -> usize {
        out.truncate(begin);
        out.extend_from_slice(&self.other);
        self.other.len()
    }
}

/// Decodes values, in memory that it keeps.
#[derive(Debug, Default)]
pub struct ValueDecoder {
    integers: Vec<i64>,
    heads: Vec<f64>,
    lengths: Vec<i64>,
    pco: pco_values::Reader,
}

impl ValueDecoder {
    /// Appends the `count` values that `bytes` are.
    ///
    /// # Errors
    /// [`Corrupt`] for bytes that [`ValueEncoder`] does not write, or more than [`COUNT_MAX`]
    /// values. What was read before that is appended.
    pub fn decode(
        &mut self,
        codec: ValueCodec,
        bytes: &[u8],
        count: usize,
        out: &mut Vec<f64>,
    ) -> Result<(), Corrupt> {
        if count > COUNT_MAX {
            let want = format!("at most {COUNT_MAX} values");
            return Err(Corrupt::new("series block", 0, want, count.to_string()));
        }
        let mut cursor = Cursor::new("series block", bytes);
        match codec {
            ValueCodec::Constant => constant::decode(&mut cursor, count, out)?,
            ValueCodec::RunLength => self.decode_runs(&mut cursor, count, out)?,
            ValueCodec::Scaled => scaled::decode(&mut cursor, count, &mut self.integers, out)?,
            ValueCodec::Xor => xor::decode(&mut cursor, count, out)?,
            ValueCodec::Pco => self.pco.decode(&mut cursor, count, out)?,
        }
        if cursor.is_empty() {
            return Ok(());
        }
        let got = format!("{} more bytes", cursor.remaining());
        Err(Corrupt::new("series block", cursor.position(), "the end of the values", got))
    }

    fn decode_runs(
        &mut self,
        cursor: &mut Cursor<'_>,
        count: usize,
        out: &mut Vec<f64>,
    ) -> Result<(), Corrupt> {
        run_length::decode_lengths(cursor, count, &mut self.lengths)?;
        let (at, tag) = (cursor.position(), cursor.u8()?);
        self.heads.clear();
        let runs = self.lengths.len();
        match ValueCodec::from_tag(tag) {
            Some(ValueCodec::Scaled) => {
                scaled::decode(cursor, runs, &mut self.integers, &mut self.heads)?;
            }
            Some(ValueCodec::Xor) => xor::decode(cursor, runs, &mut self.heads)?,
            _ => {
                let want = "values of runs that are scaled or xor";
                return Err(Corrupt::new("run-length values", at, want, tag.to_string()));
            }
        }
        run_length::expand(&self.heads, &self.lengths, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use m3rs_core::model::STALE_NAN;
    use proptest::prelude::*;

    use super::*;

    fn round_trip(values: &[f64], effort: Effort) -> (ValueCodec, usize) {
        let (mut encoder, mut bytes) = (ValueEncoder::default(), vec![0xaa]);
        let codec = encoder.encode(values, effort, &mut bytes);
        let mut decoder = ValueDecoder::default();
        let is_same =
            |out: &[f64]| out.iter().map(|v| v.to_bits()).eq(values.iter().map(|v| v.to_bits()));
        let mut out = Vec::new();
        decoder.decode(codec, &bytes[1..], values.len(), &mut out).expect("sound");
        assert!(bytes[0] == 0xaa && is_same(&out), "{codec:?}");
        for other in ValueCodec::ALL {
            let (mut bytes, mut out) = (Vec::new(), Vec::new());
            if encoder.encode_as(other, values, &mut bytes) {
                decoder.decode(other, &bytes, values.len(), &mut out).expect("sound");
                assert!(is_same(&out), "{other:?}");
            } else {
                assert!(bytes.is_empty());
            }
        }
        (codec, bytes.len() - 1)
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            (-900i32..900).prop_map(f64::from),
            (-90_000i32..90_000).prop_map(|n| f64::from(n) / 100.0),
            Just(-0.0),
            Just(STALE_NAN),
            Just(f64::INFINITY),
            Just(f64::MIN_POSITIVE / 8.0),
            any::<i64>().prop_map(|n| n as f64),
        ]
    }

    proptest! {
        #[test]
        fn any_values_come_back_through_every_codec_that_takes_them(
            runs in prop::collection::vec(
                (value(), prop_oneof![3 => Just(1usize), 1 => 1usize..60]), 1..80),
            effort in prop_oneof![Just(Effort::Flush), Just(Effort::Compact)],
        ) {
            let values: Vec<f64> =
                runs.iter().flat_map(|&(v, n)| std::iter::repeat_n(v, n)).collect();
            round_trip(&values, effort);
        }

        #[test]
        fn any_bytes_are_borne(
            bytes in prop::collection::vec(any::<u8>(), 0..120), count in 0usize..2000,
            codec in prop::sample::select(&ValueCodec::ALL[..]),
        ) {
            let mut out = Vec::new();
            let read = ValueDecoder::default().decode(codec, &bytes, count, &mut out);
            prop_assert!(out.len() <= count && (read.is_err() || out.len() == count));
        }
    }

    #[test]
    fn the_choice_follows_the_shape() {
        let choose = |value: &dyn Fn(u32) -> f64| {
            let values: Vec<f64> = (0..480).map(value).collect();
            round_trip(&values, Effort::Flush)
        };
        assert_eq!(choose(&|_| 1.0), (ValueCodec::Constant, 2));
        assert_eq!(choose(&|_| STALE_NAN).0, ValueCodec::Constant);
        let (codec, len) = choose(&|i| f64::from(i / 100) * 1e6);
        assert!(codec == ValueCodec::RunLength && len < 24, "{codec:?} {len}");
        let (codec, len) = choose(&|i| f64::from(i * 100 + i * i % 17) / 100.0);
        assert!(codec == ValueCodec::Scaled && len < 480, "{codec:?} {len}");
        let full = |i: u32| 1000.0 + 9.7 * f64::from(i) + f64::from(i * 7919 % 1009) / 307.0;
        assert_eq!(choose(&full).0, ValueCodec::Pco);
        assert_eq!(choose(&|i| f64::from(i).sin() + 10.0).0, ValueCodec::Xor);
        let counted = ValueDecoder::default().decode(
            ValueCodec::Constant,
            &[],
            COUNT_MAX + 1,
            &mut Vec::new(),
        );
        assert!(counted.is_err());
    }
}
