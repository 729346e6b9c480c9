//! Element functions over numbers, and the arithmetic of operators, with Go's special cases.

use std::f64::consts::FRAC_PI_2;

use m3rs_core::model::STALE_NAN;

use super::{ElementKernel, logarithm};

/// The kernel of a mathematical function.
pub(super) fn kernel(name: &str) -> Option<ElementKernel> {
    trigonometric(name).or_else(|| {
        Some(match name {
            "abs" => |v, _, _| v.abs(),
            "ceil" => |v, _, _| v.ceil(),
            "clamp" => |v, p, _| clamp(v, p[0], p[1]),
            "clamp_max" => |v, p, _| clamp(v, f64::NEG_INFINITY, p[0]),
            "clamp_min" => |v, p, _| clamp(v, p[0], f64::INFINITY),
            "exp" => |v, _, _| v.exp(),
            "floor" => |v, _, _| v.floor(),
            "ln" => |v, _, _| logarithm::ln(v),
            "log10" => |v, _, _| logarithm::log10(v),
            "log2" => |v, _, _| logarithm::log2(v),
            "round" => |v, p, _| round(v, p.first().copied().unwrap_or(1.0)),
            "sgn" => |v, _, _| sign(v),
            "sqrt" => |v, _, _| v.sqrt(),
            _ => return None,
        })
    })
}

fn trigonometric(name: &str) -> Option<ElementKernel> {
    Some(match name {
        "acos" => |v, _, _| acos(v),
        "acosh" => |v, _, _| acosh(v),
        "asin" => |v, _, _| v.asin(),
        "asinh" => |v, _, _| asinh(v),
        "atan" => |v, _, _| v.atan(),
        "atanh" => |v, _, _| atanh(v),
        "cos" => |v, _, _| v.cos(),
        "cosh" => |v, _, _| if v.abs() > HALF_EXP_MIN { v.abs().exp() * 0.5 } else { v.cosh() },
        "deg" => |v, _, _| v * 180.0 / std::f64::consts::PI,
        "rad" => |v, _, _| v * std::f64::consts::PI / 180.0,
        "sin" => |v, _, _| v.sin(),
        "sinh" => |v, _, _| {
            if v.abs() > HALF_EXP_MIN { (v.abs().exp() * 0.5).copysign(v) } else { v.sinh() }
        },
        "tan" => |v, _, _| v.tan(),
        "tanh" => |v, _, _| v.tanh(),
        _ => return None,
    })
}

/// PARITY(prometheus): above this, `sinh` and `cosh` are half of `exp`, which overflows before
/// they would.
const HALF_EXP_MIN: f64 = 21.0;

/// PARITY(prometheus): a difference from pi/2, which near 1 has few digits left.
fn acos(v: f64) -> f64 {
    if v > 0.7 && v <= 1.0 {
        let asin = FRAC_PI_2 - ((1.0 - v * v).sqrt() / v).atan();
        FRAC_PI_2 - asin
    } else {
        FRAC_PI_2 - v.asin()
    }
}

/// `v` limited to `low..=high`; no result if these are the wrong way round.
fn clamp(v: f64, low: f64, high: f64) -> f64 {
    if high < low { STALE_NAN } else { max_of(low, min_of(high, v)) }
}

/// The multiple of `nearest` that is closest to `v`; halves go up.
fn round(v: f64, nearest: f64) -> f64 {
    // The inverse loses less for fractions such as 0.1.
    let inverse = 1.0 / nearest;
    (v * inverse + 0.5).floor() / inverse
}

fn sign(v: f64) -> f64 {
    if v < 0.0 {
        -1.0
    } else if v > 0.0 {
        1.0
    } else {
        v
    }
}

/// The larger number: +∞ wins over NaN, NaN over the rest, and 0 over −0.
#[must_use]
pub fn max_of(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

/// The smaller number: −∞ wins over NaN, NaN over the rest, and −0 over 0.
#[must_use]
pub fn min_of(a: f64, b: f64) -> f64 {
    -max_of(-a, -b)
}

/// The remainder of `a / b` with the sign of `a`: the operator `%`.
#[must_use]
pub fn modulo(a: f64, b: f64) -> f64 {
    a % b
}

/// `a` to the power of `b`: the operator `^`.
#[must_use]
pub fn power(a: f64, b: f64) -> f64 {
    if a.is_finite() && a != 0.0 {
        // As Go does, with the exact rounding of square roots.
        if b == 0.5 {
            return a.sqrt();
        }
        if b == -0.5 {
            return 1.0 / a.sqrt();
        }
    }
    a.powf(b)
}

/// Above this, a square dwarfs 1.
const LARGE: f64 = (1_u64 << 28) as f64;

/// Below this, a square is lost beside 1.
const SMALL: f64 = 1.0 / LARGE;

// The three inverse hyperbolic functions follow FreeBSD's case distinctions, as Go does; those of
// the standard library round differently.

fn asinh(v: f64) -> f64 {
    if !v.is_finite() {
        return v;
    }
    let x = v.abs();
    let y = if x > LARGE {
        x.ln() + std::f64::consts::LN_2
    } else if x > 2.0 {
        (2.0 * x + 1.0 / ((x * x + 1.0).sqrt() + x)).ln()
    } else if x < SMALL {
        x
    } else {
        (x + x * x / (1.0 + (1.0 + x * x).sqrt())).ln_1p()
    };
    y.copysign(v)
}

fn acosh(v: f64) -> f64 {
    if v < 1.0 || v.is_nan() {
        f64::NAN
    } else if v == 1.0 {
        0.0
    } else if v >= LARGE {
        v.ln() + std::f64::consts::LN_2
    } else if v > 2.0 {
        (2.0 * v - 1.0 / (v + (v * v - 1.0).sqrt())).ln()
    } else {
        let t = v - 1.0;
        (t + (2.0 * t + t * t).sqrt()).ln_1p()
    }
}

fn atanh(v: f64) -> f64 {
    let x = v.abs();
    if x > 1.0 || v.is_nan() {
        return f64::NAN;
    }
    let y = if x == 1.0 {
        f64::INFINITY
    } else if x < SMALL {
        x
    } else if x < 0.5 {
        let twice = x + x;
        0.5 * (twice + twice * x / (1.0 - x)).ln_1p()
    } else {
        0.5 * ((x + x) / (1.0 - x)).ln_1p()
    };
    y.copysign(v)
}

/// A number as `%f` writes it: six digits after the point.
pub(super) fn format_fixed(v: f64) -> String {
    if v.is_nan() {
        "NaN".to_owned()
    } else if v.is_infinite() {
        if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        format!("{v:.6}")
    }
}

#[cfg(test)]
mod tests {
    use m3rs_core::model::is_stale;

    use super::*;

    fn call(name: &str, v: f64, params: &[f64]) -> f64 {
        kernel(name).expect("known function")(v, params, 0)
    }

    #[test]
    fn rounding_goes_up_at_halves() {
        assert_eq!(call("round", 2.5, &[]), 3.0);
        assert_eq!(call("round", -2.5, &[]), -2.0);
        assert_eq!(call("round", 0.34, &[0.1]), 0.3);
        assert_eq!(call("round", 17.0, &[5.0]), 15.0);
    }

    #[test]
    fn clamps_and_their_empty_case() {
        assert_eq!(call("clamp", 5.0, &[0.0, 3.0]), 3.0);
        assert_eq!(call("clamp_min", -5.0, &[0.0]), 0.0);
        assert_eq!(call("clamp_max", -5.0, &[0.0]), -5.0);
        assert!(is_stale(call("clamp", 5.0, &[3.0, 0.0])));
        let nan = call("clamp", 5.0, &[f64::NAN, 9.0]);
        assert!(nan.is_nan() && !is_stale(nan));
    }

    #[test]
    fn extremes_of_special_values() {
        assert_eq!(max_of(f64::INFINITY, f64::NAN), f64::INFINITY);
        assert!(max_of(1.0, f64::NAN).is_nan());
        assert!(max_of(-0.0, 0.0).is_sign_positive());
        assert_eq!(min_of(f64::NEG_INFINITY, f64::NAN), f64::NEG_INFINITY);
        assert!(min_of(0.0, -0.0).is_sign_negative());
        assert_eq!((max_of(1.0, 2.0), min_of(1.0, 2.0)), (2.0, 1.0));
    }

    #[test]
    fn logarithms_are_exact_where_they_can_be() {
        assert_eq!(call("log2", 8.0, &[]), 3.0);
        assert_eq!(call("log2", f64::from_bits(1), &[]), -1074.0);
        assert_eq!(call("log10", 1000.0, &[]), 3.0);
        assert_eq!(call("log2", 0.0, &[]), f64::NEG_INFINITY);
        assert_eq!(call("ln", f64::INFINITY, &[]), f64::INFINITY);
        assert!(call("log10", -1.0, &[]).is_nan());
    }

    /// The values are those of Prometheus 3.14.
    #[test]
    fn functions_lose_what_prometheus_loses() {
        assert_eq!(call("sinh", 710.0, &[]), f64::INFINITY);
        assert_eq!(call("sinh", -710.0, &[]), f64::NEG_INFINITY);
        assert_eq!(call("cosh", -710.0, &[]), f64::INFINITY);
        assert!(call("sinh", 709.0, &[]).is_finite());
        assert_eq!(call("acos", 0.9999999999999998, &[]), 2.107342433887993e-8);
        assert_eq!((call("acos", 1.0, &[]), call("acos", -1.0, &[])), (0.0, std::f64::consts::PI));
        assert!(call("acos", 1.5, &[]).is_nan());
    }

    #[test]
    fn hyperbolic_inverses_invert() {
        for v in [1e-10, 0.3, 0.7, 1.5, 5.0, 20.0] {
            assert!((asinh(f64::sinh(v)) - v).abs() < 1e-13 * v.max(1.0), "{v}");
            assert!((acosh(f64::cosh(v)) - v).abs() < 1e-9, "{v}");
            assert!((atanh(f64::tanh(v.min(5.0))) - v.min(5.0)).abs() < 1e-9, "{v}");
        }
        assert_eq!(atanh(-1.0), f64::NEG_INFINITY);
        assert!(acosh(0.5).is_nan() && atanh(1.5).is_nan());
        assert!(asinh(-0.0).is_sign_negative());
    }

    #[test]
    fn powers_and_remainders() {
        assert_eq!(power(2.0, 10.0), 1024.0);
        assert_eq!(power(f64::NAN, 0.0), 1.0);
        assert_eq!(power(-1.0, f64::INFINITY), 1.0);
        assert_eq!(modulo(-7.0, 3.0), -1.0);
        assert!(modulo(1.0, 0.0).is_nan());
        assert_eq!(modulo(5.0, f64::INFINITY), 5.0);
    }
}
