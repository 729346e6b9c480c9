//! Logarithms and powers of two, to the bit that Go has them.
//!
//! Native histograms interpolate on a logarithmic scale, where the last place of a logarithm can
//! be seen in a quantile. The algorithms are those of FreeBSD's `e_log.c` and `s_exp2.c`, in the
//! order of operations of Go's `math`.

/// The natural logarithm to the bit that Go's gives on amd64 (FreeBSD's `e_log.c`).
#[must_use]
pub fn ln(v: f64) -> f64 {
    if v.is_nan() || v == f64::INFINITY {
        return v;
    }
    if v <= 0.0 {
        return if v == 0.0 { f64::NEG_INFINITY } else { f64::NAN };
    }
    const L: [f64; 7] = [
        6.666_666_666_666_735e-1,
        3.999_999_999_940_942e-1,
        2.857_142_874_366_239e-1,
        2.222_219_843_214_978_4e-1,
        1.818_357_216_161_805e-1,
        1.531_383_769_920_937_3e-1,
        1.479_819_860_511_658_6e-1,
    ];
    // PARITY(prometheus): Go takes a subnormal number for a normal one here.
    let (mut fraction, mut exponent) = split_normal(v);
    if fraction < std::f64::consts::FRAC_1_SQRT_2 {
        fraction *= 2.0;
        exponent -= 1;
    }
    let (f, k) = (fraction - 1.0, f64::from(exponent));
    let s = f / (2.0 + f);
    let (s2, s4) = (s * s, s * s * (s * s));
    let odd = s2 * (L[0] + s4 * (L[2] + s4 * (L[4] + s4 * L[6])));
    let even = s4 * (L[1] + s4 * (L[3] + s4 * L[5]));
    let (rest, half) = (odd + even, 0.5 * f * f);
    k * LN_2_HIGH - ((half - (s * (half + rest) + k * LN_2_LOW)) - f)
}

/// The logarithm to base 2 as Go has it.
#[must_use]
pub fn log2(v: f64) -> f64 {
    if !v.is_finite() || v <= 0.0 {
        return ln(v);
    }
    let (fraction, exponent) = split(v);
    if fraction == 0.5 {
        return f64::from(exponent - 1);
    }
    ln(fraction) * std::f64::consts::LOG2_E + f64::from(exponent)
}

/// The logarithm to base 10 as Go has it.
#[must_use]
pub fn log10(v: f64) -> f64 {
    ln(v) * std::f64::consts::LOG10_E
}

/// Two to the power of `v` as Go has it.
#[must_use]
pub fn exp2(v: f64) -> f64 {
    const P: [f64; 5] = [
        1.666_666_666_666_666_6e-1,
        -2.777_777_777_701_559_3e-3,
        6.613_756_321_437_934e-5,
        -1.653_390_220_546_525_2e-6,
        4.138_136_797_057_238_5e-8,
    ];
    if v.is_nan() || v > 1_023.999_999_999_999_9 {
        return if v.is_nan() { v } else { f64::INFINITY };
    }
    if v < -1074.0 {
        return 0.0;
    }
    let whole = (v + 0.5_f64.copysign(v)).trunc();
    let rest = v - whole;
    let (high, low) = (rest * LN_2_HIGH, -rest * LN_2_LOW);
    let r = high - low;
    let t = r * r;
    let c = r - t * (P[0] + t * (P[1] + t * (P[2] + t * (P[3] + t * P[4]))));
    let y = 1.0 - ((low - (r * c) / (2.0 - c)) - high);
    // Two steps, of which the first is exact.
    let half = (whole / 2.0).trunc();
    y * 2.0_f64.powi(half as i32) * 2.0_f64.powi((whole - half) as i32)
}

const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// A positive finite number as a fraction from a half to one and a power of two.
fn split(v: f64) -> (f64, i32) {
    let (v, lifted) = if v < f64::MIN_POSITIVE { (v * 2.0_f64.powi(54), 54) } else { (v, 0) };
    let (fraction, exponent) = split_normal(v);
    (fraction, exponent - lifted)
}

fn split_normal(v: f64) -> (f64, i32) {
    const EXPONENT: u64 = 0x7ff << 52;
    let bits = v.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1022;
    (f64::from_bits((bits & !EXPONENT) | (1022 << 52)), exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_and_powers_are_those_of_go() {
        // What Go 1.25 says: the logarithms of a number, and two to its hundredth part.
        let by_go: [(f64, [u64; 4]); 5] = [
            (10.0, [0x40026bb1bbb55516, 0x400a934f0979a371, 0x3ff125fbee250664, 1.0_f64.to_bits()]),
            (3.0, [0x3ff193ea7aad030a, 0x3ff95c01a39fbd69, 0x3ff05610cf8bb59a, 0x3fde8927964fd5fc]),
            (0.7, [0xbfd6d3c324e13f50, 0xbfe0776228967d13, 0x3ff013ec15da75dd, 0xbfc3d3d3d21ccf04]),
            (
                1e-310,
                [0xc08628ae3f3c2ff6, 0xc0901730dabca5f6, 1.0_f64.to_bits(), 0xc0733f3a51bf529c],
            ),
            (
                123_456.789,
                [
                    0x40277281cad8a844,
                    0x4030e9e4bf2a1cb2,
                    f64::INFINITY.to_bits(),
                    0x40145db61a282513,
                ],
            ),
        ];
        for (v, expected) in by_go {
            let found = [ln(v), log2(v), exp2(v / 100.0), log10(v)].map(f64::to_bits);
            assert_eq!(found, expected, "{v:e}");
        }
        assert_eq!(log2(8.0), 3.0);
        assert_eq!(log2(f64::from_bits(1)), -1074.0);
        let powers: [(f64, u64); 6] = [
            (0.5, 0x3ff6a09e667f3bcc),
            (1.5, 0x4006a09e667f3bcc),
            (-0.3, 0x3fe9fdf8bcce533e),
            (17.77, 0x410b48c8f7f24cc8),
            (-1023.7, 0x0004ecb11effe09e),
            (1000.1, 0x7e7125fbee2506b0),
        ];
        for (v, expected) in powers {
            assert_eq!(exp2(v).to_bits(), expected, "{v}");
        }
        assert_eq!(exp2(-1074.0), f64::from_bits(1));
        assert_eq!((exp2(1024.0), exp2(-1100.0)), (f64::INFINITY, 0.0));
        assert!(ln(-1.0).is_nan() && log2(f64::NAN).is_nan() && exp2(f64::NAN).is_nan());
        assert_eq!((ln(0.0), log2(0.0)), (f64::NEG_INFINITY, f64::NEG_INFINITY));
        for i in 1..2000 {
            let v = f64::from(i) * 0.37;
            assert!((ln(v) - v.ln()).abs() <= 4.0 * f64::EPSILON * v.ln().abs().max(1.0));
            assert!((log2(v) - v.log2()).abs() <= 4.0 * f64::EPSILON * v.log2().abs().max(1.0));
            let power = v - 300.0;
            assert!((exp2(power) / power.exp2() - 1.0).abs() <= 4.0 * f64::EPSILON, "{power}");
        }
    }
}
