//! Made expressions: what is printed parses to the same tree, and means the same to the
//! promql-parser crate.

use m3rs_query::promql::ast::Expr;
use m3rs_query::promql::{ParseOptions, parse, print};
use proptest::prelude::*;

fn label() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_][a-z0-9_]{0,4}", Just("on".to_owned()), Just("'a.b'".to_owned())]
}

fn labels() -> impl Strategy<Value = String> {
    prop::collection::vec(label(), 0..3).prop_map(|labels| labels.join(", "))
}

fn duration() -> impl Strategy<Value = String> {
    prop_oneof![
        (1..100_u32).prop_map(|count| format!("{count}m")),
        (1..100_u32).prop_map(|count| format!("1h{count}s5ms")),
        (1..5000_u32).prop_map(|count| count.to_string()),
    ]
}

/// Times that are computed, which only our own parser takes.
fn computed() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![duration(), Just("step()".to_owned()), Just("range()".to_owned())];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), "[-+*/%^]", inner.clone())
                .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            inner.clone().prop_map(|inner| format!("({inner})")),
            inner.clone().prop_map(|inner| format!("-{inner}")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("min_of({a}, {b})")),
        ]
    })
}

fn modifiers() -> impl Strategy<Value = String> {
    let at = prop_oneof![
        Just(String::new()),
        Just(" @ start()".to_owned()),
        Just(" @ end()".to_owned()),
        any::<u32>().prop_map(|ms| format!(" @ {}", f64::from(ms) / 1000.0)),
    ];
    let offset = prop_oneof![
        Just(String::new()),
        duration().prop_map(|duration| format!(" offset {duration}")),
        duration().prop_map(|duration| format!(" offset -{duration}")),
    ];
    (at, offset).prop_map(|(at, offset)| format!("{at}{offset}"))
}

fn selector() -> impl Strategy<Value = String> {
    let op = prop_oneof![Just("="), Just("!="), Just("=~"), Just("!~")];
    let value = prop_oneof!["[a-z.*|]{0,5}", "[\u{e9}\u{4e2d} ]{1,3}"];
    let value = value.prop_filter("a regular expression", |value| {
        !value.contains("**") && !value.starts_with('*') && !value.contains("|*")
    });
    let matcher =
        (label(), op, value).prop_map(|(name, op, value)| format!("{name}{op}\"{value}\""));
    let matchers = prop::collection::vec(matcher, 0..3);
    ("[a-z_:][a-z0-9_:]{0,6}x", matchers)
        .prop_map(|(name, matchers)| format!("{name}{{{}}}", matchers.join(",")))
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<f64>()
            .prop_filter("finite, not zero", |value| value.is_finite() && *value != 0.0)
            .prop_map(|v| format!("{v:e}")),
        (0..1000_i32).prop_map(|value| value.to_string()),
        Just("time()".to_owned()),
        Just("Inf".to_owned()),
        duration(),
    ]
}

fn operator() -> impl Strategy<Value = String> {
    let arithmetic = prop::sample::select(vec!["+", "-", "*", "/", "%", "^", "atan2"]);
    let comparison = prop::sample::select(vec!["== bool", "!=", "<", ">= bool", ">", "<="]);
    let set = prop::sample::select(vec!["and", "or", "unless"]);
    let on = prop_oneof![Just("on"), Just("ignoring")];
    let matching = (on, labels()).prop_map(|(on, labels)| format!("{on} ({labels})"));
    let matching = prop_oneof![Just(String::new()), matching];
    prop_oneof![
        (prop_oneof![arithmetic, comparison], matching.clone(), any::<bool>()).prop_map(
            |(op, matching, grouped)| {
                let group = if grouped && matching.starts_with("ign") && !matching.contains("()") {
                    " group_left (zz)"
                } else {
                    ""
                };
                format!("{op} {matching}{group}")
            }
        ),
        (set, matching).prop_map(|(op, matching)| format!("{op} {matching}")),
    ]
}

fn vector() -> impl Strategy<Value = String> {
    let leaf = (selector(), modifiers()).prop_map(|(selector, rest)| format!("{selector}{rest}"));
    leaf.prop_recursive(5, 40, 3, |inner| {
        let aggregate = prop::sample::select(vec!["sum", "avg", "count", "min", "stdvar", "group"]);
        let function = prop::sample::select(vec!["abs", "ceil", "hour", "sort_desc", "timestamp"]);
        let range = prop::sample::select(vec!["rate", "irate", "sum_over_time", "deriv"]);
        prop_oneof![
            (inner.clone(), operator(), inner.clone())
                .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            (inner.clone(), "[-+*/]", scalar()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            inner.clone().prop_map(|inner| format!("({inner})")),
            inner.clone().prop_map(|inner| format!("-{inner}")),
            (aggregate, labels(), inner.clone())
                .prop_map(|(op, labels, inner)| format!("{op} by ({labels}) ({inner})")),
            (inner.clone(), labels())
                .prop_map(|(inner, labels)| { format!("topk(3, {inner}) without ({labels})") }),
            (function, inner.clone()).prop_map(|(name, inner)| format!("{name}({inner})")),
            (range, selector(), duration(), modifiers())
                .prop_map(|(name, what, time, rest)| format!("{name}({what}[{time}]{rest})")),
            (inner.clone(), duration(), modifiers())
                .prop_map(|(inner, time, rest)| format!("max_over_time(({inner})[{time}:]{rest})")),
            (scalar(), inner)
                .prop_map(|(value, inner)| { format!("histogram_quantile({value}, {inner})") }),
        ]
    })
}

fn shape(expr: Expr) -> String {
    format!("{:?}", expr.normalized())
}

fn check(text: &str) -> Result<Expr, TestCaseError> {
    let options = ParseOptions::default();
    let expr =
        parse(text, &options).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
    let expected = shape(expr.clone());
    for printed in [expr.to_string(), print::pretty(&expr)] {
        let again = parse(&printed, &options)
            .map_err(|error| TestCaseError::fail(format!("{printed}: {error}")))?;
        prop_assert_eq!(shape(again.clone()), &*expected, "{} became {}", text, printed);
        prop_assert_eq!(again.to_string(), expr.to_string());
    }
    let lines = print::pretty(&expr);
    let fits = expr.to_string().len() <= 100;
    prop_assert!(!fits || !lines.contains('\n'), "{} was wrapped", expr);
    Ok(expr)
}

proptest! {
    #[test]
    fn printed_expressions_parse_to_the_same_tree(text in vector()) {
        check(&text)?;
    }

    #[test]
    fn scalar_expressions_too(a in scalar(), op in "[-+*/%^]", b in scalar(), sign in "-{0,2}") {
        check(&format!("{sign}{a} {op} ({sign}{b})"))?;
    }

    #[test]
    fn and_computed_durations(range in computed(), step in computed(), offset in computed()) {
        let sum = format!("sum_over_time((a + b)[{range}:{step}])");
        let text = format!("foo[{range}] offset ({offset}) + {sum}");
        // Constant parts may be refused: a division by zero, or nothing left of a duration.
        if let Ok(expr) = parse(&text, &ParseOptions::default()) {
            check(&expr.to_string())?;
        }
        let text = format!("sum_over_time(foo[{range} + range()] offset ({offset}))");
        if let Ok(expr) = parse(&text, &ParseOptions::default()) {
            check(&expr.to_string())?;
        }
    }

    #[test]
    fn the_promql_parser_crate_reads_them_alike(text in vector()) {
        let ours = parse(&text, &ParseOptions::default())
            .map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        let theirs = promql_parser::parser::parse(&text)
            .map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        let theirs = parse(&theirs.to_string(), &ParseOptions::default())
            .map_err(|error| TestCaseError::fail(format!("{theirs}: {error}")))?;
        // That crate forgets that a number was written as a duration.
        let without_durations = |shape: String| shape.replace("Duration(", "Number(");
        prop_assert_eq!(without_durations(shape(theirs)), without_durations(shape(ours)));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[ -~\u{e9}\n]{0,60}") {
        let _ = parse(&text, &ParseOptions::default());
    }

    #[test]
    fn any_tokens_are_read_or_refused(
        tokens in prop::collection::vec(prop::sample::select(TOKENS), 0..30),
    ) {
        if let Ok(expr) = parse(&tokens.join(" "), &ParseOptions::default())
            && !expr.to_string().contains("[0s")
        {
            check(&expr.to_string())?;
        }
    }
}

const TOKENS: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "=",
    "=~",
    "!=",
    "==",
    "<",
    "</",
    "+",
    "-",
    "*",
    "^",
    "@",
    "5m",
    "0",
    "1",
    "1e3",
    "'x'",
    "a",
    "foo",
    "sum",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "bool",
    "offset",
    "start()",
    "step()",
    "rate(",
    "abs(",
    "[5m]",
    "[5m:1m]",
    "{a='b'}",
    "fill(1)",
    "and",
    "or",
    "anchored",
    "min_of(",
    "info(",
    "topk(1,",
    "time()",
];
