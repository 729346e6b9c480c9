//! Data points as they stand on the wire: one reader for each of their messages.
//!
//! Lists are bounded before they take memory. Attributes are delimited, not looked into.

use std::borrow::Cow;

use m3rs_core::Corrupt;
use m3rs_core::model::HISTOGRAM_BUCKETS_MAX;
use m3rs_core::wire::proto::{Field, Fields, Value};
use m3rs_core::wire::{Cursor, unzigzag};

/// The flag of a point that only says that there is no value any more.
const NO_RECORDED_VALUE: u64 = 1;

/// What all points have.
#[derive(Clone, Debug, Default)]
pub(super) struct Common<'a> {
    /// Fields of attributes, tags and lengths included.
    pub(super) attributes: Cow<'a, [u8]>,
    /// Nanoseconds since 1970.
    pub(super) start_ns: u64,
    /// Nanoseconds since 1970.
    pub(super) t_ns: u64,
    /// Whether it says that the series has no value.
    pub(super) is_stale: bool,
}

/// Milliseconds since 1970, as Prometheus makes them of nanoseconds.
pub(super) fn ms(ns: u64) -> i64 {
    // PARITY(prometheus): times beyond 2262 become negative, and are refused as such.
    ns as i64 / 1_000_000
}

impl<'a> Common<'a> {
    pub(super) fn t_ms(&self) -> i64 {
        ms(self.t_ns)
    }

    pub(super) fn start_ms(&self) -> i64 {
        ms(self.start_ns)
    }

    fn add_attributes(&mut self, run: &'a [u8]) {
        if self.attributes.is_empty() {
            self.attributes = Cow::Borrowed(run);
        } else {
            self.attributes.to_mut().extend_from_slice(run);
        }
    }

    fn set_flags(&mut self, flags: u64) {
        self.is_stale = flags & NO_RECORDED_VALUE != 0;
    }
}

/// Takes what a fixed64 field holds, whatever it means.
fn fixed(field: &Field<'_>, what: &'static str) -> Result<u64, Corrupt> {
    Ok(field.double(what)?.to_bits())
}

/// Reads the fields of a point, its attributes in runs.
fn read<'a>(
    what: &'static str,
    message: &'a [u8],
    attributes: u8,
    common: &mut Common<'a>,
    mut take: impl FnMut(&Field<'a>, &mut Common<'a>) -> Result<(), Corrupt>,
) -> Result<(), Corrupt> {
    let mut fields = Fields::new(what, message);
    loop {
        let run = fields.take_run(attributes)?;
        if !run.is_empty() {
            common.add_attributes(run);
        }
        let Some(field) = fields.next_field()? else { return Ok(()) };
        match field.number {
            2 => common.start_ns = fixed(&field, what)?,
            3 => common.t_ns = fixed(&field, what)?,
            number if number == u32::from(attributes) => {
                // A tag that takes more bytes than it needs.
                let mut own = vec![attributes << 3 | 2];
                m3rs_core::wire::put_length_prefixed(&mut own, field.bytes(what)?);
                common.attributes.to_mut().extend_from_slice(&own);
            }
            _ => take(&field, common)?,
        }
    }
}

/// A `NumberDataPoint`.
#[derive(Debug, Default)]
pub(super) struct NumberPoint<'a> {
    pub(super) common: Common<'a>,
    /// PARITY(prometheus): 0 if there is none.
    pub(super) value: f64,
    /// `Exemplar` messages.
    pub(super) exemplars: Vec<&'a [u8]>,
}

impl<'a> NumberPoint<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Self, Corrupt> {
        const WHAT: &str = "NumberDataPoint";
        let mut point = Self::default();
        let (value, exemplars) = (&mut point.value, &mut point.exemplars);
        read(WHAT, message, 7, &mut point.common, |field, common| {
            match field.number {
                4 => *value = field.double(WHAT)?,
                5 => exemplars.push(field.bytes(WHAT)?),
                6 => *value = fixed(field, WHAT)? as i64 as f64,
                8 => common.set_flags(field.varint(WHAT)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(point)
    }
}

/// A list of numbers, as far as it may go.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Numbers<T> {
    pub(super) kept: Vec<T>,
    /// How many more there were.
    pub(super) beyond: u64,
}

impl<T> Numbers<T> {
    fn push(&mut self, item: T) {
        if self.kept.len() < HISTOGRAM_BUCKETS_MAX {
            self.kept.push(item);
        } else {
            self.beyond += 1;
        }
    }
}

/// Packed fixed64, or a field for each.
fn take_fixed<T>(
    field: &Field<'_>,
    what: &'static str,
    list: &mut Numbers<T>,
    of: impl Fn(u64) -> T,
) -> Result<(), Corrupt> {
    if let Value::Fixed64(bits) = field.value {
        list.push(of(bits));
        return Ok(());
    }
    let mut packed = Cursor::new(what, field.bytes(what)?);
    while !packed.is_empty() {
        list.push(of(packed.u64()?));
    }
    Ok(())
}

/// A `HistogramDataPoint`.
#[derive(Debug, Default)]
pub(super) struct HistogramPoint<'a> {
    pub(super) common: Common<'a>,
    pub(super) count: u64,
    pub(super) sum: Option<f64>,
    pub(super) buckets: Numbers<u64>,
    pub(super) bounds: Numbers<f64>,
    pub(super) exemplars: Vec<&'a [u8]>,
}

impl<'a> HistogramPoint<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Self, Corrupt> {
        const WHAT: &str = "HistogramDataPoint";
        let mut point = Self::default();
        let Self { common, count, sum, buckets, bounds, exemplars } = &mut point;
        read(WHAT, message, 9, common, |field, common| {
            match field.number {
                4 => *count = fixed(field, WHAT)?,
                5 => *sum = Some(field.double(WHAT)?),
                6 => take_fixed(field, WHAT, buckets, |bits| bits)?,
                7 => take_fixed(field, WHAT, bounds, f64::from_bits)?,
                8 => exemplars.push(field.bytes(WHAT)?),
                10 => common.set_flags(field.varint(WHAT)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(point)
    }

    /// How many items its longest list has.
    pub(super) fn list_len(&self) -> u64 {
        let len = |kept: usize, beyond: u64| kept as u64 + beyond;
        let buckets = len(self.buckets.kept.len(), self.buckets.beyond);
        buckets.max(len(self.bounds.kept.len(), self.bounds.beyond))
    }
}

/// Buckets on one side of an exponential histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Side {
    /// The index of the first bucket.
    pub(super) offset: i32,
    pub(super) counts: Numbers<u64>,
}

impl Side {
    fn read(&mut self, message: &[u8]) -> Result<(), Corrupt> {
        const WHAT: &str = "Buckets";
        let mut fields = Fields::new(WHAT, message);
        while let Some(field) = fields.next_field()? {
            match (field.number, field.value) {
                // Protobuf keeps the low 32 bits of a varint of that type.
                (1, _) => self.offset = unzigzag(u64::from(field.varint(WHAT)? as u32)) as i32,
                (2, Value::Varint(count)) => self.counts.push(count),
                (2, _) => {
                    let mut packed = Cursor::new(WHAT, field.bytes(WHAT)?);
                    while !packed.is_empty() {
                        self.counts.push(packed.varint()?);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// An `ExponentialHistogramDataPoint`.
#[derive(Debug, Default)]
pub(super) struct ExponentialPoint<'a> {
    pub(super) common: Common<'a>,
    pub(super) count: u64,
    pub(super) sum: Option<f64>,
    pub(super) scale: i32,
    pub(super) zero_count: u64,
    pub(super) positive: Side,
    pub(super) negative: Side,
    pub(super) exemplars: Vec<&'a [u8]>,
}

impl<'a> ExponentialPoint<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Self, Corrupt> {
        const WHAT: &str = "ExponentialHistogramDataPoint";
        let mut point = Self::default();
        let Self { common, count, sum, scale, zero_count, positive, negative, exemplars } =
            &mut point;
        read(WHAT, message, 1, common, |field, common| {
            match field.number {
                4 => *count = fixed(field, WHAT)?,
                5 => *sum = Some(field.double(WHAT)?),
                6 => *scale = unzigzag(u64::from(field.varint(WHAT)? as u32)) as i32,
                7 => *zero_count = fixed(field, WHAT)?,
                8 => positive.read(field.bytes(WHAT)?)?,
                9 => negative.read(field.bytes(WHAT)?)?,
                10 => common.set_flags(field.varint(WHAT)?),
                11 => exemplars.push(field.bytes(WHAT)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(point)
    }

    /// How many buckets it has.
    pub(super) fn bucket_count(&self) -> u64 {
        let of = |side: &Side| side.counts.kept.len() as u64 + side.counts.beyond;
        of(&self.positive).saturating_add(of(&self.negative))
    }
}

/// A `SummaryDataPoint`.
#[derive(Debug, Default)]
pub(super) struct SummaryPoint<'a> {
    pub(super) common: Common<'a>,
    pub(super) count: u64,
    pub(super) sum: f64,
    /// Quantiles and their values.
    pub(super) quantiles: Numbers<(f64, f64)>,
}

impl<'a> SummaryPoint<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Self, Corrupt> {
        const WHAT: &str = "SummaryDataPoint";
        let mut point = Self::default();
        let Self { common, count, sum, quantiles } = &mut point;
        read(WHAT, message, 7, common, |field, common| {
            match field.number {
                4 => *count = fixed(field, WHAT)?,
                5 => *sum = field.double(WHAT)?,
                6 => quantiles.push(quantile(field.bytes(WHAT)?)?),
                8 => common.set_flags(field.varint(WHAT)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(point)
    }
}

fn quantile(message: &[u8]) -> Result<(f64, f64), Corrupt> {
    const WHAT: &str = "ValueAtQuantile";
    let (mut quantile, mut value) = (0.0, 0.0);
    let mut fields = Fields::new(WHAT, message);
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => quantile = field.double(WHAT)?,
            2 => value = field.double(WHAT)?,
            _ => {}
        }
    }
    Ok((quantile, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed_field(number: u8, bits: u64) -> Vec<u8> {
        [&[number << 3 | 1][..], &bits.to_le_bytes()].concat()
    }

    #[test]
    fn attributes_are_gathered_wherever_they_stand() {
        let (a, b) = ([0x3a, 1, b'a'], [0x3a, 1, b'b']);
        let long_tag = [0xba, 0x80, 0x00, 1, b'c'];
        let message =
            [&a[..], &fixed_field(3, 7_000_000), &b, &fixed_field(6, u64::MAX), &long_tag].concat();
        let point = NumberPoint::read(&message).expect("a point");
        assert_eq!(point.common.attributes[..], *b"\x3a\x01a\x3a\x01b\x3a\x01c");
        assert_eq!((point.common.t_ms(), point.value), (7, -1.0));
    }

    #[test]
    fn lists_are_packed_or_not_and_bounded() {
        let packed = [&[0x3a, 16][..], &1.5f64.to_le_bytes(), &2.5f64.to_le_bytes()].concat();
        let message = [fixed_field(6, 3), packed, fixed_field(6, 4)].concat();
        let point = HistogramPoint::read(&message).expect("a point");
        assert_eq!((point.buckets.kept, point.bounds.kept), (vec![3, 4], vec![1.5, 2.5]));
        let mut many = vec![0x12];
        m3rs_core::wire::put_length_prefixed(&mut many, &[1; HISTOGRAM_BUCKETS_MAX + 9]);
        let mut message = vec![0x42];
        m3rs_core::wire::put_length_prefixed(&mut message, &many);
        let point = ExponentialPoint::read(&message).expect("a point");
        assert_eq!(point.positive.counts.kept.len(), HISTOGRAM_BUCKETS_MAX);
        assert_eq!(point.bucket_count(), HISTOGRAM_BUCKETS_MAX as u64 + 9);
    }

    #[test]
    fn foreign_wire_types_are_refused() {
        for message in [&[0x18, 1][..], &[0x21, 1], &[0x2a, 9], &[0x38, 1]] {
            assert!(NumberPoint::read(message).is_err(), "{message:x?}");
        }
        assert!(HistogramPoint::read(&[0x32, 3, 1, 2, 3]).is_err());
        assert!(SummaryPoint::read(&[0x32, 2, 0x08, 1]).is_err());
    }

    #[test]
    fn times_become_milliseconds() {
        assert_eq!((ms(1_999_999), ms(u64::MAX), ms(1 << 63)), (1, 0, -9_223_372_036_854));
    }
}
