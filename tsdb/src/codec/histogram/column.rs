//! Columns of numbers: differences, or differences of differences, in Rice codes.
//!
//! A column tells its own order and parameter, so that one that hardly moves costs a bit a value
//! and one that never moves a bit in all.

use m3rs_core::Corrupt;
use m3rs_core::wire::{unzigzag, zigzag};

use super::WHAT;
use super::bits::BitWriter;
use crate::codec::bits::BitReader;

/// A quotient from here on is written as 64 bits.
const QUOTIENT_MAX: u32 = 20;

/// Bits that tell how many bits of a first value follow.
const WIDTH_BITS: u32 = 7;

/// Bits of a Rice parameter, and of a shift.
const PARAMETER_BITS: u32 = 6;

/// Adds a number with its width before it.
pub(super) fn put_number(bits: &mut BitWriter<'_>, value: u64) {
    let width = 64 - value.leading_zeros();
    bits.put(u64::from(width), WIDTH_BITS);
    bits.put(value, width);
}

pub(super) fn read_number(bits: &mut BitReader<'_>) -> Result<u64, Corrupt> {
    let width = bits.take(WIDTH_BITS) as u32;
    if width > 64 {
        return Err(corrupt(bits, "a number of at most 64 bits", width));
    }
    let value = bits.take(width);
    check_end(bits)?;
    Ok(value)
}

/// Adds all values but the first, which the reader has from elsewhere. Differences wrap around.
pub(super) fn put_steps(bits: &mut BitWriter<'_>, values: &[u64], scratch: &mut Scratch) {
    let Scratch { first, second } = scratch;
    first.clear();
    second.clear();
    let mut before = 0i64;
    for pair in values.windows(2) {
        let step = pair[1].wrapping_sub(pair[0]).cast_signed();
        first.push(zigzag(step));
        second.push(zigzag(step.wrapping_sub(before)));
        before = step;
    }
    if first.iter().all(|&step| step == 0) {
        if !first.is_empty() {
            bits.put(0, 1);
        }
        return;
    }
    let (cost_first, k_first) = best_parameter(first);
    let (cost_second, k_second) = best_parameter(second);
    let is_second = cost_second < cost_first;
    let (steps, k) = if is_second { (second, k_second) } else { (first, k_first) };
    bits.put(1, 1);
    bits.put(u64::from(is_second), 1);
    bits.put(u64::from(k), PARAMETER_BITS);
    for &step in steps.iter() {
        put_rice(bits, step, k);
    }
}

/// Memory of [`put_steps`].
#[derive(Debug, Default)]
pub(super) struct Scratch {
    first: Vec<u64>,
    second: Vec<u64>,
}

/// Fills `values` behind its first one up to its length.
pub(super) fn read_steps(bits: &mut BitReader<'_>, values: &mut [u64]) -> Result<(), Corrupt> {
    let Some((&mut first, rest)) = values.split_first_mut() else { return Ok(()) };
    if rest.is_empty() {
        return Ok(());
    }
    if bits.take(1) == 0 {
        rest.fill(first);
        return check_end(bits);
    }
    let is_second = bits.take(1) == 1;
    let k = bits.take(PARAMETER_BITS) as u32;
    let (mut value, mut step) = (first, 0i64);
    for slot in rest {
        let read = unzigzag(take_rice(bits, k));
        step = if is_second { step.wrapping_add(read) } else { read };
        value = value.wrapping_add(step.cast_unsigned());
        *slot = value;
    }
    check_end(bits)
}

/// Adds floats with exact bits: as whole numbers if all are, else their bit patterns without the
/// zero bits that all have at the low end.
pub(super) fn put_floats(
    bits: &mut BitWriter<'_>,
    values: &[f64],
    numbers: &mut Vec<u64>,
    scratch: &mut Scratch,
) {
    numbers.clear();
    if values.iter().all(|&v| is_whole(v)) {
        bits.put(1, 1);
        numbers.extend(values.iter().map(|&v| (v as i64).cast_unsigned()));
        let first = numbers.first().map_or(0, |&n| zigzag(n.cast_signed()));
        put_number(bits, first);
    } else {
        bits.put(0, 1);
        let all = values.iter().fold(0, |all, v| all | v.to_bits());
        let shift = all.trailing_zeros().min(63);
        bits.put(u64::from(shift), PARAMETER_BITS);
        numbers.extend(values.iter().map(|v| v.to_bits() >> shift));
        put_number(bits, numbers.first().copied().unwrap_or(0));
    }
    put_steps(bits, numbers, scratch);
}

/// Reads as many floats as `values` has.
pub(super) fn read_floats(
    bits: &mut BitReader<'_>,
    values: &mut [f64],
    numbers: &mut Vec<u64>,
) -> Result<(), Corrupt> {
    numbers.clear();
    numbers.resize(values.len(), 0);
    let Some(first) = numbers.first_mut() else { return Ok(()) };
    if bits.take(1) == 1 {
        *first = unzigzag(read_number(bits)?).cast_unsigned();
        read_steps(bits, numbers)?;
        for (value, number) in values.iter_mut().zip(numbers) {
            *value = number.cast_signed() as f64;
        }
        return Ok(());
    }
    let shift = bits.take(PARAMETER_BITS) as u32;
    *first = read_number(bits)?;
    read_steps(bits, numbers)?;
    for (value, number) in values.iter_mut().zip(numbers) {
        *value = f64::from_bits(*number << shift);
    }
    Ok(())
}

/// Whether the float is a whole number that comes back from an integer by bits.
pub(super) fn is_whole(v: f64) -> bool {
    v.abs() < 9e15 && (v as i64 as f64).to_bits() == v.to_bits()
}

/// The parameter with the smallest cost among likely ones, and that cost in bits.
fn best_parameter(steps: &[u64]) -> (u64, u32) {
    let sum = steps.iter().fold(0u64, |sum, &step| sum.saturating_add(step));
    let mean = sum / steps.len().max(1) as u64;
    let guess = 63 - (mean | 1).leading_zeros();
    (guess.saturating_sub(1)..=(guess + 1).min(63))
        .map(|k| (steps.iter().map(|&step| rice_len(step, k)).sum(), k))
        .min()
        .unwrap_or((0, 0))
}

fn rice_len(value: u64, k: u32) -> u64 {
    let quotient = value >> k;
    if quotient < u64::from(QUOTIENT_MAX) {
        quotient + 1 + u64::from(k)
    } else {
        u64::from(QUOTIENT_MAX) + 64
    }
}

fn put_rice(bits: &mut BitWriter<'_>, value: u64, k: u32) {
    let quotient = value >> k;
    if quotient < u64::from(QUOTIENT_MAX) {
        let ones = quotient as u32;
        bits.put((1 << (ones + 1)) - 2, ones + 1);
        bits.put(value & ((1 << k) - 1), k);
    } else {
        bits.put((1 << QUOTIENT_MAX) - 1, QUOTIENT_MAX);
        bits.put(value, 64);
    }
}

fn take_rice(bits: &mut BitReader<'_>, k: u32) -> u64 {
    let ones = bits.window().leading_ones();
    if ones >= QUOTIENT_MAX {
        bits.skip(QUOTIENT_MAX);
        return bits.take64();
    }
    bits.skip(ones + 1);
    u64::from(ones) << k | bits.take(k)
}

fn check_end(bits: &BitReader<'_>) -> Result<(), Corrupt> {
    if bits.is_overrun() { Err(corrupt(bits, "more bits", "the end")) } else { Ok(()) }
}

fn corrupt(bits: &BitReader<'_>, want: &str, got: impl ToString) -> Corrupt {
    Corrupt::new(WHAT, bits.position() / 8, want, got.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(write: impl FnOnce(&mut BitWriter<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut bits = BitWriter::new(&mut bytes);
        write(&mut bits);
        bits.finish();
        bytes.resize(bytes.len().max(8), 0);
        bytes
    }

    proptest! {
        #[test]
        fn numbers_come_back(
            values in prop::collection::vec(prop_oneof![any::<u64>(), 0u64..100], 1..100),
        ) {
            let bytes = packed(|bits| {
                put_number(bits, values[0]);
                put_steps(bits, &values, &mut Scratch::default());
            });
            let mut bits = BitReader::new(&bytes).expect("eight bytes");
            let mut got = vec![0; values.len()];
            got[0] = read_number(&mut bits).expect("sound");
            read_steps(&mut bits, &mut got).expect("sound");
            prop_assert_eq!(got, values);
        }

        #[test]
        fn floats_come_back_by_bits(
            whole in any::<bool>(),
            values in prop::collection::vec(any::<f64>(), 1..100),
        ) {
            let values: Vec<f64> = match whole {
                true => values.into_iter().map(|v| (v as i32).into()).collect(),
                false => values,
            };
            let bytes = packed(|bits| {
                put_floats(bits, &values, &mut Vec::new(), &mut Scratch::default());
            });
            let mut bits = BitReader::new(&bytes).expect("eight bytes");
            let mut got = vec![0.0; values.len()];
            read_floats(&mut bits, &mut got, &mut Vec::new()).expect("sound");
            let of = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(of(&got), of(&values));
        }
    }

    #[test]
    fn a_column_that_never_moves_takes_one_bit() {
        let bytes = packed(|bits| {
            for _ in 0..64 {
                put_steps(bits, &[7; 100], &mut Scratch::default());
            }
        });
        assert_eq!(bytes.len(), 8);
    }
}
