//! The parser's limits, and texts that try to go beyond them.

use m3rs_query::promql::error::ParseErrorCause;
use m3rs_query::promql::parse::ParseLimits;
use m3rs_query::promql::{ParseOptions, parse};

#[test]
fn limits_hold_at_n_and_not_at_n_plus_1() {
    let limits = ParseLimits { bytes_max: 64, nesting_max: 3, operators_max: 4 };
    let options = ParseOptions { limits, ..ParseOptions::default() };
    let parens = |depth: usize| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
    for (fits, too_large, setting) in [
        (format!("{:>64}", "a"), format!("{:>65}", "a"), "query.text_bytes_max"),
        (parens(3), parens(4), "query.nesting_max"),
        ("abs(abs(abs(a)))".into(), "abs(abs(abs(abs(a))))".into(), "query.nesting_max"),
        ("a+a+a+a+a".into(), "a+a+a+a+a+a".into(), "query.operators_max"),
        ("----a".into(), "-----a".into(), "query.operators_max"),
        ("a^a^a^a^a".into(), "a^a^a^a^a^a".into(), "query.operators_max"),
        ("a[1+1+1+1]".into(), "a[1+1+1+1+1]".into(), "query.operators_max"),
    ] {
        parse(&fits, &options).unwrap_or_else(|error| panic!("{fits}: {error}"));
        let error = parse(&too_large, &options).expect_err(&too_large);
        assert_eq!(error.cause(), ParseErrorCause::Limit, "{too_large}");
        assert_eq!(error.kind().http_status(), 400);
        assert!(error.to_string().contains(setting), "{error}");
    }
}

/// Every shape of text that nests, as deep as the default limits let it, and far beyond. Each
/// runs on the 2 MiB stack of a test thread, through parsing, checking, printing and dropping.
#[test]
fn hostile_texts_do_no_harm() {
    let no_limits = ParseOptions {
        limits: ParseLimits { bytes_max: 1 << 24, ..ParseLimits::default() },
        ..ParseOptions::default()
    };
    let shapes: [(&str, &str, &str); 16] = [
        ("(", "1", ")"),
        ("(((", "", ""),
        ("sum(", "a", ")"),
        ("abs(", "a", ")"),
        ("-", "a", ""),
        ("+", "1", ""),
        ("1+", "1", ""),
        ("a^", "a", ""),
        ("a or b and c == d + e * f ^ (", "a", ")"),
        ("", "a", "[5m:]"),
        ("", "a", " offset 5m"),
        ("a[(", "1", ")]"),
        ("min_of(1,", "1", ")"),
        ("{", "", "}"),
        ("a,", "", ""),
        ("a{b=~\"((((", "", ""),
    ];
    for (before, middle, after) in shapes {
        for count in [1, 100, 127, 128, 129, 400, 999, 1000, 1001, 16_000, 250_000] {
            let text = format!("{}{middle}{}", before.repeat(count), after.repeat(count));
            if let Ok(expr) = parse(&text, &no_limits) {
                let printed = expr.to_string();
                assert!(m3rs_query::promql::print::pretty(&expr).len() >= printed.len() / 2);
            }
            if text.len() > ParseLimits::default().bytes_max {
                let error = parse(&text, &ParseOptions::default()).expect_err("too long");
                assert!(error.to_string().contains("query.text_bytes_max"));
            }
        }
    }
    // Nesting of brackets within durations, signs and powers there.
    for inner in ["(", "-", "2^", "min_of(1,"] {
        for count in [100, 1000, 5000] {
            let text = format!("foo[{}1", inner.repeat(count));
            assert!(parse(&text, &no_limits).is_err());
            let text = format!("foo offset {}1", inner.repeat(count));
            let _ = parse(&text, &no_limits);
        }
    }
}
