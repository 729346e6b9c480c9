//! Runs of 64-bit integers: differences of order 0, 1 or 2, over a common divisor, in frames.
//!
//! Times, scaled values and run lengths go through here. Drawn in `docs/formats/codecs.md`.
//! All arithmetic wraps, so that every run of `i64` comes back as it was.
//!
//! Budgets: decode 1.5 ns, encode 10 ns an integer (`benches/benches/sealed.rs`).

use m3rs_core::Corrupt;
use m3rs_core::wire::{Cursor, put_varint, put_zigzag, unzigzag, zigzag};

use super::packed::{FRAME, Frame, pack, packed_len, unpack, width_of};

const WHAT: &str = "integer run";

/// Order of the differences, in the two low bits of the head.
const ORDER: u8 = 0b11;
/// Every difference equals the base, and there are no frames.
const FLAT: u8 = 1 << 2;
/// A divisor follows.
const DIVISOR: u8 = 1 << 3;
/// Where the head has the power of 1,000 that the divisor is to be multiplied with.
const THOUSANDS_AT: u32 = 4;
/// The first integer is 0 and left out.
const ZERO: u8 = 1 << 6;

/// The head of a frame: this bit says that a second byte follows.
const EXTENDED: u8 = 0x80;
/// In that second byte: a base of the frame's own follows. The bits above count exceptions.
const OWN_BASE: u8 = 1;

/// The most exceptions of a frame.
const EXCEPTIONS_MAX: usize = 15;

/// Working memory of an encoder.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    reduced: Vec<i64>,
    differences: [Vec<i64>; 2],
    plans: Vec<Plan>,
}

/// How a frame is written.
#[derive(Clone, Copy, Debug)]
struct Plan {
    base: i64,
    /// The largest integer of the frame.
    high: i64,
    width: u32,
    /// Whether some integers are wider than that.
    has_exceptions: bool,
    /// Bytes of exceptions and of what is packed.
    cost: usize,
}

/// Appends a run of integers. Their number is not written.
pub(crate) fn encode(values: &[i64], scratch: &mut Scratch, out: &mut Vec<u8>) {
    let Some(&first) = values.first() else { return };
    let Scratch { reduced, differences, plans } = scratch;
    let [once, twice] = differences;
    let divisor = reduce(values, reduced, once);
    let order = best_order(reduced, once);
    let (rest, start) = match order {
        0 => (&reduced[1..], None),
        1 => (&once[..], None),
        _ => {
            differences_of(once, twice);
            (&twice[..], once.first())
        }
    };
    let base = rest.iter().copied().min().unwrap_or(0);
    let is_flat = rest.iter().all(|&v| v == base);
    let (divisor, thousands) = thousands_of(divisor);
    let mut head = order | (thousands as u8) << THOUSANDS_AT;
    head |= if is_flat { FLAT } else { 0 };
    head |= if divisor == 1 { 0 } else { DIVISOR };
    head |= if first == 0 { ZERO } else { 0 };
    out.push(head);
    if first != 0 {
        put_zigzag(out, first);
    }
    if divisor != 1 {
        put_varint(out, divisor);
    }
    if let Some(&start) = start {
        put_zigzag(out, start);
    }
    if is_flat {
        put_zigzag(out, base);
        return;
    }
    plans.clear();
    plans.extend(rest.chunks(FRAME).map(plan_frame));
    // The base that most frames may share.
    let base = plans.iter().map(|plan| plan.base).min().unwrap_or(0);
    put_zigzag(out, base);
    for (frame, plan) in rest.chunks(FRAME).zip(plans.iter()) {
        put_frame(frame, *plan, base, out);
    }
}

/// Subtracts the first value and divides by the greatest common divisor, which is returned.
/// Leaves the differences between neighbours in `once`.
fn reduce(values: &[i64], reduced: &mut Vec<i64>, once: &mut Vec<i64>) -> u64 {
    let first = values[0];
    reduced.clear();
    reduced.extend(values.iter().map(|v| v.wrapping_sub(first)));
    differences_of(reduced, once);
    let divisor = common_divisor(values, once);
    if divisor == 1 {
        return 1;
    }
    let shift = divisor.trailing_zeros();
    let inverse = Odd::new(divisor >> shift).inverse.cast_signed();
    let divide = |v: &mut i64| *v = (*v >> shift).wrapping_mul(inverse);
    reduced.iter_mut().for_each(divide);
    once.iter_mut().for_each(divide);
    divisor
}

/// The greatest common divisor of differences between neighbours; 1 if one of them, or that of
/// the extremes, wrapped around and is none.
fn common_divisor(values: &[i64], once: &[i64]) -> u64 {
    let all = once.iter().fold(0, |all, d| all | d);
    if all == 0 {
        return 1;
    }
    let shift = all.trailing_zeros();
    let mut odd = Odd::new(0);
    for d in once {
        let d = d.unsigned_abs() >> shift;
        if !odd.divides(d) {
            odd = Odd::new(gcd(odd.value, d));
            if odd.value == 1 {
                break;
            }
        }
    }
    if odd.value == 1 && shift == 0 {
        return 1;
    }
    let (low, high) = (values.iter().min(), values.iter().max());
    let is_narrow = low.zip(high).is_some_and(|(low, high)| high.checked_sub(*low).is_some());
    if is_narrow { odd.value << shift } else { 1 }
}

/// An odd divisor, or 0: divisions without a remainder are multiplications by its inverse.
struct Odd {
    value: u64,
    inverse: u64,
    /// The largest quotient; above it stand those of what it does not divide.
    quotient_max: u64,
}

impl Odd {
    fn new(value: u64) -> Self {
        let value = value >> if value == 0 { 0 } else { value.trailing_zeros() };
        // Each step doubles the bits that are right; it starts with three.
        let mut inverse = value;
        for _ in 0..5 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(value.wrapping_mul(inverse)));
        }
        let quotient_max = u64::MAX.checked_div(value).unwrap_or(0);
        Self { value, inverse, quotient_max }
    }

    /// Whether it divides `v`; 0 divides 0 alone.
    #[inline(always)]
    fn divides(&self, v: u64) -> bool {
        if self.value == 0 {
            return v == 0;
        }
        v.wrapping_mul(self.inverse) <= self.quotient_max
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The divisor without up to three factors of 1,000, and how many those were.
fn thousands_of(mut divisor: u64) -> (u64, u32) {
    let mut thousands = 0;
    while thousands < 3 && divisor.is_multiple_of(1000) {
        divisor /= 1000;
        thousands += 1;
    }
    (divisor, thousands)
}

fn differences_of(values: &[i64], out: &mut Vec<i64>) {
    out.clear();
    out.extend(values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
}

/// Frames that the order is chosen by: spread evenly.
const SAMPLED_FRAMES: usize = 3;

/// The order whose frames are narrowest, by the ranges of some of them.
fn best_order(reduced: &[i64], once: &[i64]) -> u8 {
    if once.iter().all(|d| *d == once[0]) {
        return u8::from(once.first().is_some_and(|d| *d != 0));
    }
    let mut bits = [0u32; 3];
    let frames = once.len().div_ceil(FRAME);
    for sample in 0..SAMPLED_FRAMES.min(frames) {
        let frame = match frames {
            ..=SAMPLED_FRAMES => sample,
            _ => sample * (frames - 1) / (SAMPLED_FRAMES - 1),
        };
        let start = frame * FRAME;
        let end = (start + FRAME).min(once.len());
        bits[0] += range_bits(reduced[start + 1..=end].iter().copied());
        bits[1] += range_bits(once[start..end].iter().copied());
        let twice = once[start..end].windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
        bits[2] += range_bits(twice);
    }
    match bits {
        // Where both are as wide, differences are the ones that few stand out of.
        [zero, one, two] if zero < one && zero <= two => 0,
        [_, one, two] if one <= two => 1,
        _ => 2,
    }
}

/// Bits of the range of a frame's integers.
fn range_bits(values: impl Iterator<Item = i64>) -> u32 {
    let (mut low, mut high) = (i64::MAX, i64::MIN);
    for v in values {
        low = low.min(v);
        high = high.max(v);
    }
    if low > high { 0 } else { width_of(high.wrapping_sub(low).cast_unsigned()) }
}

/// Chooses base and width of a frame; a few integers may be too wide and go beside it.
fn plan_frame(frame: &[i64]) -> Plan {
    let (mut low, mut second, mut high) = (i64::MAX, i64::MAX, i64::MIN);
    let mut sum = 0i64;
    for &v in frame {
        second = second.min(v.max(low));
        low = low.min(v);
        high = high.max(v);
        sum = sum.wrapping_add(v);
    }
    let widest = width_of(high.wrapping_sub(low).cast_unsigned());
    let plain = plan_plain(frame.len(), low, high);
    // One integer far below the others, as a counter's reset.
    let is_alone = widest > width_of(high.wrapping_sub(second).cast_unsigned()) + 1;
    let mean = (sum / frame.len() as i64).wrapping_sub(low).cast_unsigned();
    // Where the mean is near the widest integer, no few of them stand out.
    if frame.len() < 3 || (widest <= width_of(mean) + 2 && !is_alone) {
        return plain;
    }
    let plan = plan_width(frame, low, high);
    if is_alone {
        let other = plan_width(frame, second, high);
        if other.cost < plan.cost {
            return other;
        }
    }
    plan
}

/// A frame without exceptions.
fn plan_plain(len: usize, base: i64, high: i64) -> Plan {
    let width = width_of(high.wrapping_sub(base).cast_unsigned());
    Plan { base, high, width, has_exceptions: false, cost: packed_len(len, width) }
}

fn plan_width(frame: &[i64], base: i64, high: i64) -> Plan {
    let mut counts = [0u8; 65];
    for v in frame {
        counts[width_of(v.wrapping_sub(base).cast_unsigned()) as usize] += 1;
    }
    let widest = (0..=64u32).rev().find(|&w| counts[w as usize] > 0).unwrap_or(0);
    let cost = packed_len(frame.len(), widest);
    let mut best = Plan { base, high, width: widest, has_exceptions: false, cost };
    let mut exceptions = 0;
    for width in (0..widest).rev() {
        exceptions += usize::from(counts[width as usize + 1]);
        if exceptions > EXCEPTIONS_MAX {
            break;
        }
        // Between two widths that occur there is nothing to win.
        if counts[width as usize] == 0 && width > 0 {
            continue;
        }
        let beside: usize = (width + 1..=widest)
            .map(|w| usize::from(counts[w as usize]) * ((w - width) as usize).div_ceil(7))
            .sum();
        let cost = 1 + exceptions + beside + packed_len(frame.len(), width);
        if cost < best.cost {
            best = Plan { base, high, width, has_exceptions: true, cost };
        }
    }
    best
}

fn put_frame(frame: &[i64], plan: Plan, common: i64, out: &mut Vec<u8>) {
    let mut plan = plan;
    if plan.base != common {
        let over_common = if plan.has_exceptions {
            plan_width(frame, common, plan.high)
        } else {
            plan_plain(frame.len(), common, plan.high)
        };
        let offset = zigzag(plan.base.wrapping_sub(common));
        let own_len = 1 + (width_of(offset).div_ceil(7) as usize).max(1);
        if over_common.cost <= plan.cost + own_len {
            plan = over_common;
        }
    }
    let mut low: Frame = [0; FRAME];
    for (slot, v) in low.iter_mut().zip(frame) {
        *slot = v.wrapping_sub(plan.base).cast_unsigned();
    }
    let low = &mut low[..frame.len()];
    let own_base = plan.base != common;
    let width = plan.width as u8;
    if !own_base && !plan.has_exceptions {
        out.push(width);
        pack(low, plan.width, out);
        return;
    }
    let more_at = out.len() + 1;
    out.extend_from_slice(&[width | EXTENDED, u8::from(own_base)]);
    if own_base {
        put_zigzag(out, plan.base.wrapping_sub(common));
    }
    for (at, offset) in low.iter_mut().enumerate() {
        if width_of(*offset) > plan.width {
            out.push(at as u8);
            put_varint(out, *offset >> plan.width);
            out[more_at] += 2;
        }
    }
    pack(low, plan.width, out);
}

/// Appends `count` integers, each plus `origin`.
///
/// # Errors
/// [`Corrupt`] for bytes that [`encode`] does not write. What was read before that is appended.
///
/// The caller bounds `count`: a flat run of any length takes a few bytes.
pub(crate) fn decode(
    cursor: &mut Cursor<'_>,
    count: usize,
    origin: i64,
    out: &mut Vec<i64>,
) -> Result<(), Corrupt> {
    if count == 0 {
        return Ok(());
    }
    let at = cursor.position();
    let head = cursor.u8()?;
    let order = head & ORDER;
    if order > 2 || head & 0x80 != 0 {
        let got = format!("{head:#04x}");
        return Err(Corrupt::new(WHAT, at, "a head with an order up to 2", got));
    }
    let first = if head & ZERO == 0 { unzigzag(cursor.varint()?) } else { 0 };
    let divisor = if head & DIVISOR == 0 { 1 } else { cursor.varint()? };
    let thousands = 1000u64.pow(u32::from(head >> THOUSANDS_AT & 0b11));
    let factor = divisor.wrapping_mul(thousands);
    let first = origin.wrapping_add(first);
    out.push(first);
    let mut run = Run { order, factor, last: first.cast_unsigned(), difference: 0 };
    let mut left = count - 1;
    if order == 2 && left > 0 {
        run.difference = factor.wrapping_mul(unzigzag(cursor.varint()?).cast_unsigned());
        run.last = run.last.wrapping_add(run.difference);
        out.push(run.last.cast_signed());
        left -= 1;
    }
    if order == 0 {
        run.last = first.cast_unsigned();
    }
    let base = unzigzag(cursor.varint()?);
    if head & FLAT != 0 {
        run.extend_flat(base, left, out);
        return Ok(());
    }
    let mut frame: Frame = [0; FRAME];
    while left > 0 {
        let held = left.min(FRAME);
        let base = read_frame(cursor, held, base, &mut frame)?;
        run.extend(&frame[..held], base, out);
        left -= held;
    }
    Ok(())
}

/// Reads a frame's offsets and returns its base.
#[inline]
fn read_frame(
    cursor: &mut Cursor<'_>,
    held: usize,
    common: i64,
    frame: &mut Frame,
) -> Result<i64, Corrupt> {
    let head = cursor.u8()?;
    let width = u32::from(head & !EXTENDED);
    if head & EXTENDED == 0 {
        unpack(cursor, held, width, frame)?;
        return Ok(common);
    }
    let more = cursor.u8()?;
    let mut base = common;
    if more & OWN_BASE != 0 {
        base = common.wrapping_add(unzigzag(cursor.varint()?));
    }
    let exceptions = usize::from(more >> 1);
    if exceptions > EXCEPTIONS_MAX {
        let want = format!("at most {EXCEPTIONS_MAX} exceptions");
        return Err(Corrupt::new(WHAT, cursor.position(), want, exceptions.to_string()));
    }
    let mut beside = [(0usize, 0u64); EXCEPTIONS_MAX];
    for slot in &mut beside[..exceptions] {
        let at = cursor.position();
        *slot = (usize::from(cursor.u8()?), cursor.varint()?);
        if slot.0 >= held || width >= 64 {
            let got = format!("place {} of {held}, {width} bits wide", slot.0);
            return Err(Corrupt::new(WHAT, at, "an exception inside its frame", got));
        }
    }
    unpack(cursor, held, width, frame)?;
    for &(at, high) in &beside[..exceptions] {
        frame[at] |= high << width;
    }
    Ok(base)
}

/// How far a decoder is.
struct Run {
    order: u8,
    factor: u64,
    /// The last integer; for order 0 the first one.
    last: u64,
    /// The last difference, times the factor.
    difference: u64,
}

impl Run {
    #[inline]
    fn extend(&mut self, frame: &[u64], base: i64, out: &mut Vec<i64>) {
        // Most values have no divisor, and then nothing is multiplied.
        match self.factor {
            1 => self.extend_by(1, frame, base, out),
            factor => self.extend_by(factor, frame, base, out),
        }
    }

    #[inline(always)]
    fn extend_by(&mut self, factor: u64, frame: &[u64], base: i64, out: &mut Vec<i64>) {
        let base = factor.wrapping_mul(base.cast_unsigned());
        match self.order {
            0 => {
                let base = base.wrapping_add(self.last);
                out.extend(
                    frame.iter().map(|u| base.wrapping_add(factor.wrapping_mul(*u)).cast_signed()),
                );
            }
            1 => {
                let mut last = self.last;
                out.extend(frame.iter().map(|u| {
                    // Only one addition waits for the one before.
                    last = last.wrapping_add(base.wrapping_add(factor.wrapping_mul(*u)));
                    last.cast_signed()
                }));
                self.last = last;
            }
            _ => {
                let (mut last, mut difference) = (self.last, self.difference);
                out.extend(frame.iter().map(|u| {
                    let step = base.wrapping_add(factor.wrapping_mul(*u));
                    difference = difference.wrapping_add(step);
                    last = last.wrapping_add(difference);
                    last.cast_signed()
                }));
                (self.last, self.difference) = (last, difference);
            }
        }
    }

    /// Appends `count` integers whose differences all equal `base`.
    fn extend_flat(&mut self, base: i64, count: usize, out: &mut Vec<i64>) {
        let step = self.factor.wrapping_mul(base.cast_unsigned());
        let (last, difference) = (self.last, self.difference);
        match self.order {
            0 => out.extend(std::iter::repeat_n(last.wrapping_add(step).cast_signed(), count)),
            1 => out.extend(
                (1..=count as u64).map(|i| last.wrapping_add(step.wrapping_mul(i)).cast_signed()),
            ),
            _ => {
                let (mut last, mut difference) = (last, difference);
                out.extend(
                    std::iter::repeat_with(|| {
                        difference = difference.wrapping_add(step);
                        last = last.wrapping_add(difference);
                        last.cast_signed()
                    })
                    .take(count),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(values: &[i64]) -> usize {
        let mut bytes = Vec::new();
        encode(values, &mut Scratch::default(), &mut bytes);
        let mut cursor = Cursor::new("t", &bytes);
        let mut out = Vec::new();
        decode(&mut cursor, values.len(), 0, &mut out).expect("sound");
        assert!(cursor.is_empty(), "{} bytes left", cursor.remaining());
        assert_eq!(out, values);
        for cut in 0..bytes.len() {
            let mut cursor = Cursor::new("t", &bytes[..cut]);
            assert!(decode(&mut cursor, values.len(), 0, &mut Vec::new()).is_err());
        }
        bytes.len()
    }

    fn walk(steps: &[i64], scale: i64) -> Vec<i64> {
        let mut at = 0i64;
        steps
            .iter()
            .map(|s| {
                at = at.wrapping_add(s.wrapping_mul(scale));
                at
            })
            .collect()
    }

    proptest! {
        #[test]
        fn any_run_round_trips(values in prop::collection::vec(any::<i64>(), 0..300)) {
            round_trip(&values);
        }

        #[test]
        fn walks_round_trip(
            steps in prop::collection::vec(prop_oneof![
                20 => 90i64..110, 1 => any::<i64>(), 1 => Just(0)], 0..300),
            scale in prop_oneof![Just(1i64), Just(4096), Just(15_000_000_000), any::<i64>()],
        ) {
            round_trip(&walk(&steps, scale));
        }

        #[test]
        fn any_bytes_are_borne(
            bytes in prop::collection::vec(any::<u8>(), 0..80), count in 0usize..1000,
        ) {
            let mut out = Vec::new();
            let read = decode(&mut Cursor::new("t", &bytes), count, 5, &mut out);
            prop_assert!(out.len() <= count && (read.is_err() || out.len() == count));
        }
    }

    #[test]
    fn extremes_round_trip() {
        round_trip(&[]);
        round_trip(&[i64::MIN]);
        round_trip(&[i64::MIN, i64::MAX, i64::MIN, 0, i64::MAX]);
        round_trip(&[i64::MIN, i64::MIN, i64::MIN]);
        round_trip(&[i64::MAX, 0, i64::MIN]);
    }

    #[test]
    fn regular_runs_take_a_few_bytes() {
        let times: Vec<i64> = (0..480).map(|i| i * 15_000_000_000).collect();
        assert_eq!(round_trip(&times), 3);
        let counter: Vec<i64> = (0..480).map(|i| i * i).collect();
        assert!(round_trip(&counter) < 8);
    }

    #[test]
    fn a_reset_costs_its_own_bytes_only() {
        let mut at = 0;
        let mut next = |i: i64| {
            at = if i == 200 { 0 } else { at + 1000 + i * i % 7 };
            at
        };
        let values: Vec<i64> = (0..480).map(&mut next).collect();
        assert!(round_trip(&values) < 480 * 3 / 8 + 40);
    }
}
