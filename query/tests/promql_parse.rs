//! What the parser takes, what it makes of it, and in which words it refuses the rest.

use m3rs_core::ErrorKind;
use m3rs_core::model::{MatchOp, Matcher};
use m3rs_query::promql::ast::{
    At, BinaryOp, Cardinality, DurationExpr, DurationOp, Expr, ExprKind, PlacedDuration,
    RangeEdges, Span,
};
use m3rs_query::promql::error::ParseErrorCause;
use m3rs_query::promql::parse::{format_duration, parse_units_ms};
use m3rs_query::promql::{ParseOptions, parse, parse_duration_ms, parse_metric_selector};

fn parsed(text: &str) -> Expr {
    parse(text, &ParseOptions::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    match parse(text, &ParseOptions::default()) {
        Ok(expr) => panic!("{text} was taken for {expr}"),
        Err(error) => error.to_string(),
    }
}

/// Query, and how it prints: the second shows what was understood.
const PRINTED: &[(&str, &str)] = &[
    // Numbers.
    ("0x1F", "31"),
    ("010", "8"),
    ("08", "8"),
    ("1_000.5", "1000.5"),
    ("1e3", "1000"),
    ("1e-3", "0.001"),
    (".5", "0.5"),
    ("5.", "5"),
    ("iNf", "+Inf"),
    ("-Inf", "-Inf"),
    ("NaN", "NaN"),
    ("--1", "1"),
    ("+-+1", "-1"),
    ("-0", "-0"),
    ("9223372036854775808", "9223372036854776000"),
    ("5m", "5m"),
    ("-1h30m", "-1h30m"),
    ("1d1h1m1s1ms", "1d1h1m1s1ms"),
    ("14d", "2w"),
    ("90d", "90d"),
    // Strings.
    (r#""a\"b\\c\n\x41\101\u00e9\U0001F600""#, "\"a\\\"b\\\\c\\nAA\u{e9}\u{1f600}\""),
    (r"'it\'s'", r#""it's""#),
    (r"`raw \n`", r#""raw \\n""#),
    (r#""\xc3\xa9""#, "\"\u{e9}\""),
    // Selectors.
    ("foo:bar", "foo:bar"),
    ("foo{}", "foo"),
    ("foo{b='1',a!='2',}", r#"foo{a!="2",b="1"}"#),
    (r#"{a=~"x|y",b!~"z"}"#, r#"{a=~"x|y",b!~"z"}"#),
    (r#"{"foo.bar"}"#, r#"{__name__="foo.bar"}"#),
    (r#"{"foo", "a.b"="c"}"#, r#"{"a.b"="c",__name__="foo"}"#),
    (r#"{__name__="foo"}"#, r#"{__name__="foo"}"#),
    (r#"sum{by="x"}"#, r#"sum{by="x"}"#),
    ("by + offset offset 5m", "by + offset offset 5m"),
    ("and and or", "and and or"),
    ("fill + fill_left", "fill + fill_left"),
    ("foo # a comment\n + #another\rbar", "foo + bar"),
    ("foo{ # in braces }\n a='b'}", r#"foo{a="b"}"#),
    // Modifiers.
    ("foo offset -5m @ 12.5", "foo @ 12.500 offset -5m"),
    ("foo @ -1.5 offset 1w", "foo @ -1.500 offset 1w"),
    ("foo[5m] @ start()", "foo[5m] @ start()"),
    ("foo @ end() [5m]", "foo[5m] @ end()"),
    ("foo[300]", "foo[5m]"),
    ("foo[1.5]", "foo[1s500ms]"),
    ("foo offset 0", "foo"),
    ("foo[5m:]", "foo[5m:]"),
    ("foo[5m:1m] @ end() offset 2h", "foo[5m:1m] @ end() offset 2h"),
    ("(a + b)[5m:30s]", "(a + b)[5m:30s]"),
    ("foo[1m] smoothed offset 1m", "foo[1m] smoothed offset 1m"),
    ("anchored anchored", "anchored anchored"),
    // Durations as expressions.
    ("foo[step()]", "foo[step()]"),
    ("foo[5m+step()*2]", "foo[5m + step() * 2]"),
    ("foo[(5m+1)*2]", "foo[(5m + 1) * 2]"),
    ("foo[2^3^2]", "foo[2 ^ 3 ^ 2]"),
    ("foo[(-2)^2]", "foo[(-2) ^ 2]"),
    ("foo[-2^2]", "foo[-2 ^ 2]"),
    ("foo[(5m)]", "foo[5m]"),
    ("foo[5m:step()]", "foo[5m:step()]"),
    ("foo[MIN_OF(1m, range()) : 10s]", "foo[min_of(1m, range()):10s]"),
    ("foo offset step()", "foo offset step()"),
    ("foo offset -(1m + 1s)", "foo offset -(1m + 1s)"),
    ("foo offset 5m + bar", "foo offset 5m + bar"),
    ("foo offset (5m) + 3", "foo offset (5m + 3)"),
    ("foo offset (range() % 1h) + 3", "foo offset (range() % 1h) + 3"),
    ("foo offset ((step()) + 3) * 2", "foo offset ((step()) + 3) * 2"),
    // Operators.
    ("-1 ^ 2", "-1 ^ 2"),
    ("Inf ^ 2", "Inf ^ 2"),
    ("-a ^ -b", "-a ^ -b"),
    ("2 ^ 3 ^ 2", "2 ^ 3 ^ 2"),
    ("a atan2 b % c", "a atan2 b % c"),
    ("a == bool b", "a == bool b"),
    ("a </ 5 >/ 2", "a </ 5 >/ 2"),
    ("a + on() b", "a + on () b"),
    ("a + ignoring() b", "a + b"),
    ("a / on(x, y) group_left(z) b", "a / on (x, y) group_left (z) b"),
    ("a * ignoring(x) group_right b", "a * ignoring (x) group_right () b"),
    ("a + fill(1) b", "a + fill (1) b"),
    (
        "a + on(x) fill_right(-2) fill_left(1e30) b",
        "a + on (x) fill_left (1e+30) fill_right (-2) b",
    ),
    ("a + fill(-1234567) b", "a + fill (-1.234567e+06) b"),
    ("a + fill(0.0001) b", "a + fill (0.0001) b"),
    ("a + fill(0.00001) b", "a + fill (1e-05) b"),
    ("a + fill(-Inf) b", "a + fill (-Inf) b"),
    ("a + fill_left(1) fill_right(1) b", "a + fill (1) b"),
    ("a and on(x) b or c unless d", "a and on (x) b or c unless d"),
    // Calls and aggregations.
    ("rate(foo[5m])", "rate(foo[5m])"),
    ("time()", "time()"),
    ("hour()", "hour()"),
    ("round(foo, 0.5)", "round(foo, 0.5)"),
    ("label_join(foo, 'a', ',', 'b', 'c')", r#"label_join(foo, "a", ",", "b", "c")"#),
    ("info(foo, {data=~'.*'})", r#"info(foo, {data=~".*"})"#),
    ("info(foo, {})", "info(foo, {})"),
    ("max_of(step(), range())", "max_of(step(), range())"),
    ("SUM BY (job, 'a.b') (foo)", r#"sum by (job, "a.b") (foo)"#),
    ("sum(foo) by (sum, on, inf2, 'without')", r#"sum by (sum, on, inf2, "without") (foo)"#),
    ("sum by () (foo)", "sum(foo)"),
    ("sum(foo) without ()", "sum without () (foo)"),
    ("topk(3, foo)", "topk(3, foo)"),
    ("count_values without (a) ('v', foo)", r#"count_values without (a) ("v", foo)"#),
    ("limit_ratio(0.5, foo)", "limit_ratio(0.5, foo)"),
];

#[test]
fn reads_and_prints() {
    for (text, expected) in PRINTED {
        let expr = parsed(text);
        assert_eq!(expr.to_string(), *expected, "{text}");
        let again = parsed(expected);
        let (first, second) = (expr.normalized(), again.normalized());
        assert_eq!(format!("{first:?}"), format!("{second:?}"), "{text}");
    }
}

/// Query, and the message with its position.
const REFUSED: &[(&str, &str)] = &[
    ("", "unknown position: parse error: no expression found in input"),
    (" \n ", "1:1: parse error: no expression found in input"),
    ("a b", "1:3: parse error: unexpected identifier \"b\""),
    ("a\n+\n *", "3:2: parse error: unexpected <op:*>"),
    ("a +", "1:4: parse error: unexpected end of input"),
    ("(a", "1:3: parse error: unclosed left parenthesis"),
    ("a)", "1:3: parse error: unexpected right parenthesis ')'"),
    ("foo[5m", "1:7: parse error: unclosed left bracket"),
    ("foo[", "1:5: parse error: unexpected end of input in duration expression"),
    ("foo{", "1:5: parse error: unexpected end of input inside braces"),
    ("foo 5m", "1:5: parse error: unexpected duration \"5m\""),
    ("foo 'abcdefghijklm'", "1:5: parse error: unexpected string \"'abcdefghi\"..."),
    ("\u{e9}", "1:1: parse error: unexpected character: '\u{e9}'"),
    ("a !b", "1:3: parse error: unexpected character after '!': 'b'"),
    ("a =~ b", "1:3: parse error: unexpected character after '=': '~'"),
    ("a = b", "1:3: parse error: unexpected \"=\""),
    ("'abc", "1:1: parse error: unterminated quoted string"),
    ("`abc", "1:1: parse error: unterminated raw string"),
    (r#""\q""#, "1:1: parse error: unknown escape sequence U+0071 'q'"),
    (r#""\xg0""#, "1:1: parse error: illegal character U+0067 'g' in escape sequence"),
    (r#""\ud800""#, "1:1: parse error: escape sequence is an invalid Unicode code point"),
    ("1_", "1:1: parse error: bad number or duration syntax: \"1_\""),
    ("0x1ee", "1:1: parse error: bad number or duration syntax: \"0x1ee\""),
    (
        "1e999",
        "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"1e999\": value out \
         of range",
    ),
    ("5.5m", "1:1: parse error: unknown unit \".\" in duration \"5.5m\""),
    ("foo[1m1h]", "1:5: parse error: not a valid duration string: \"1m1h\""),
    ("foo[400y]", "1:5: parse error: duration out of range"),
    ("foo[0]", "1:5: parse error: duration must be greater than 0"),
    ("foo[-5m]", "1:5: parse error: duration must be greater than 0"),
    ("foo[(-5m)]", "1:6: parse error: duration must be greater than 0"),
    ("(foo)[( (0) ):1m]", "1:10: parse error: duration must be greater than 0"),
    ("foo[5m / 0]", "1:8: parse error: division by zero"),
    (
        "foo[5m 5]",
        "1:8: parse error: unexpected number \"5\" in subquery or range, expected \":\" or \"]\"",
    ),
    (
        "foo[5m:1m 1]",
        "1:11: parse error: unexpected number \"1\" in subquery selector, expected \"]\"",
    ),
    (
        "foo[]",
        "1:5: parse error: unexpected \"]\" in subquery or range selector, expected number, \
         duration, step(), or range()",
    ),
    ("foo[x]", "1:5: parse error: unexpected character in duration expression: 'x'"),
    ("foo[5m:0.0001]", "1:8: parse error: subquery step must be at least 1ms"),
    ("sum(a)[5m]", "1:7: parse error: ranges only allowed for vector selectors"),
    ("foo offset 5m [5m]", "1:15: parse error: no offset modifiers allowed before range"),
    ("foo @ 5 [5m]", "1:9: parse error: no @ modifiers allowed before range"),
    ("foo offset 5m offset 3m", "1:1: parse error: offset may not be set multiple times"),
    ("foo @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"),
    (
        "(foo) offset 5m",
        "1:1: parse error: offset modifier must be preceded by an instant vector selector or \
         range vector selector or a subquery",
    ),
    (
        "1 @ 5",
        "1:1: parse error: @ modifier must be preceded by an instant vector selector or range \
         vector selector or a subquery",
    ),
    (
        "foo offset bar",
        "1:12: parse error: unexpected identifier \"bar\" in offset, expected number, duration, \
         step(), or range()",
    ),
    ("foo @ bar", "1:7: parse error: unexpected identifier \"bar\" in @, expected timestamp"),
    ("foo @ inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"),
    (
        "foo anchored smoothed",
        "1:1: parse error: anchored and smoothed modifiers cannot be used together",
    ),
    ("foo[5m:] anchored", "1:1: parse error: anchored modifier is not supported for subqueries"),
    ("{a=b}", "1:4: parse error: unexpected identifier \"b\" in label matching, expected string"),
    (
        "{a}",
        "1:3: parse error: unexpected \"}\" in label matching, expected label matching operator",
    ),
    ("{,}", "1:2: parse error: unexpected \",\" in label matching, expected identifier or \"}\""),
    (
        "{a='b' or c='d'}",
        "1:8: parse error: unexpected identifier \"or\" in label matching, expected \",\" or \"}\"",
    ),
    ("{a=~'x('}", "1:2: parse error: error parsing regexp: missing closing ): `x(`"),
    ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
    (
        "{a=~'.*',b!='x',c=''}",
        "1:1: parse error: vector selector must contain at least one non-empty matcher",
    ),
    (
        "foo{__name__='bar'}",
        "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\"",
    ),
    ("foo(1)", "1:1: parse error: unknown function with name \"foo\""),
    ("STEP()", "1:1: parse error: unknown function with name \"STEP\""),
    ("abs(a,)", "1:6: parse error: trailing commas not allowed in function call args"),
    ("abs()", "1:1: parse error: expected 1 argument(s) in call to \"abs\", got 0"),
    ("hour(a, b)", "1:1: parse error: expected at most 1 argument(s) in call to \"hour\", got 2"),
    (
        "label_join(a)",
        "1:1: parse error: expected at least 3 argument(s) in call to \"label_join\", got 1",
    ),
    (
        "abs('x')",
        "1:5: parse error: expected type instant vector in call to function \"abs\", got string",
    ),
    (
        "rate(foo)",
        "1:6: parse error: expected type range vector in call to function \"rate\", got instant \
         vector",
    ),
    ("info(a, b)", "1:9: parse error: expected label selectors only, got vector selector instead"),
    ("info(a, sum(b))", "1:9: parse error: expected label selectors only"),
    ("sum()", "1:1: parse error: no arguments for aggregate expression provided"),
    (
        "sum(a, b)",
        "1:1: parse error: wrong number of arguments for aggregate expression provided, expected \
         1, got 2",
    ),
    (
        "topk(a)",
        "1:1: parse error: wrong number of arguments for aggregate expression provided, expected \
         2, got 1",
    ),
    ("topk('x', a)", "1:6: parse error: expected type scalar in aggregation parameter, got string"),
    (
        "sum(5)",
        "1:5: parse error: expected type instant vector in aggregation expression, got scalar",
    ),
    ("sum(a b)", "1:7: parse error: unexpected identifier \"b\" in aggregation"),
    ("sum a", "1:5: parse error: unexpected identifier \"a\""),
    (
        "sum by job (a)",
        "1:8: parse error: unexpected identifier \"job\" in grouping opts, expected \"(\"",
    ),
    (
        "sum by (a b) (c)",
        "1:11: parse error: unexpected identifier \"b\" in grouping opts, expected \",\" or \")\"",
    ),
    (
        "sum by (1) (c)",
        "1:9: parse error: unexpected number \"1\" in grouping opts, expected label",
    ),
    ("sum by ('') (a)", "1:9: parse error: invalid label name for grouping: \"\""),
    ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
    ("a + bool b", "1:3: parse error: bool modifier can only be used on comparison operators"),
    ("1 and 2", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
    ("a or on(x) group_left b", "1:1: parse error: no grouping allowed for \"or\" operation"),
    (
        "a + on(x) group_left(x) b",
        "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once",
    ),
    ("a + on(x) 1", "1:1: parse error: vector matching only allowed between instant vectors"),
    (
        "a + fill(1) 1",
        "1:1: parse error: filling in missing series only allowed between instant vectors",
    ),
    (
        "a and fill(1) b",
        "1:1: parse error: filling in missing series not allowed for set operators",
    ),
    (
        "a + 'b'",
        "1:5: parse error: binary expression must contain only scalar and instant vector types",
    ),
    (
        "-'x'",
        "1:1: parse error: unary expression only allowed on expressions of type scalar or \
         instant vector, got \"string\"",
    ),
    ("1[5m:]", "1:1: parse error: subquery is only allowed on instant vector, got scalar instead"),
    (r#""\xff""#, "1:1: parse error: string \"\\xff\" is not supported: it is not valid UTF-8"),
];

#[test]
fn refuses_in_prometheus_words() {
    for (text, expected) in REFUSED {
        assert_eq!(refused(text), *expected, "{text}");
    }
}

#[test]
fn labels_must_be_utf_8() {
    let error = parse(r#"count_values("a\xc5z", v)"#, &ParseOptions::default()).expect_err("bytes");
    assert_eq!(error.message(), r#"invalid label name "a\xc5z""#);
    assert_eq!(error.cause(), ParseErrorCause::Evaluation);
    for text in [r#"count_values("x", label_replace(v, "\xff", "", "", ""))"#, r#""\xff""#] {
        let error = parse(text, &ParseOptions::default()).expect_err(text);
        assert_eq!(error.cause(), ParseErrorCause::Unsupported);
        assert!(error.message().contains("not valid UTF-8"), "{error}");
    }
}

#[test]
fn errors_carry_place_and_kind() {
    let error = parse("sum(\n  foo(1)\n)", &ParseOptions::default()).expect_err("unknown function");
    assert_eq!((error.line(), error.column()), (2, 3));
    assert_eq!(error.span(), Span { start: 7, end: 10 });
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.kind().http_status(), 400);
    assert_eq!(error.cause(), ParseErrorCause::Syntax);
    assert_eq!(error.message(), "unknown function with name \"foo\"");
    let error = parse("abs(1)", &ParseOptions::default()).expect_err("a scalar");
    assert_eq!(error.cause(), ParseErrorCause::Type);
}

#[test]
fn precedence_and_associativity() {
    // Fully parenthesised by the shape of the tree.
    fn shape(expr: &Expr) -> String {
        match &expr.kind {
            ExprKind::Binary(binary) => {
                format!("({}{}{})", shape(&binary.lhs), binary.op.as_str(), shape(&binary.rhs))
            }
            ExprKind::Unary { expr, .. } => format!("(-{})", shape(expr)),
            _ => expr.to_string(),
        }
    }
    for (text, expected) in [
        ("a + b * c", "(a+(b*c))"),
        ("a * b + c", "((a*b)+c)"),
        ("a - b - c", "((a-b)-c)"),
        ("a ^ b ^ c", "(a^(b^c))"),
        ("-a ^ b", "(-(a^b))"),
        ("-a * b", "((-a)*b)"),
        ("a ^ -b * c", "((a^(-b))*c)"),
        ("a ^ -b ^ c", "(a^(-(b^c)))"),
        ("a * -b", "(a*(-b))"),
        ("a atan2 b / c", "((aatan2b)/c)"),
        ("a == b + c", "(a==(b+c))"),
        ("a < b == c", "((a<b)==c)"),
        ("a </ b + c", "(a</(b+c))"),
        ("a or b and c", "(aor(bandc))"),
        ("a unless b and c", "((aunlessb)andc)"),
        ("a and b > c or d", "((aand(b>c))ord)"),
    ] {
        assert_eq!(shape(&parsed(text)), expected, "{text}");
    }
}

#[test]
fn builds_the_tree_with_spans() {
    let text = "sum by (a) (rate(foo{b='c'}[5m] offset 1m)) / on(a) group_left(d) bar @ start()";
    let expr = parsed(text);
    let at = |span: Span| &text[span.start as usize..span.end as usize];
    let ExprKind::Binary(binary) = &expr.kind else { panic!("{expr:?}") };
    assert_eq!(at(expr.span), text);
    assert_eq!(binary.op, BinaryOp::Div);
    let matching = binary.matching.as_ref().expect("two vectors");
    assert_eq!(matching.cardinality, Cardinality::ManyToOne);
    assert_eq!((&*matching.labels, &*matching.include), (&["a".into()][..], &["d".into()][..]));
    assert!(matching.on);
    let ExprKind::Aggregate(aggregate) = &binary.lhs.kind else { panic!("{expr:?}") };
    assert_eq!(at(binary.lhs.span), "sum by (a) (rate(foo{b='c'}[5m] offset 1m))");
    assert_eq!(aggregate.labels, ["a"]);
    let ExprKind::Call { function, args } = &aggregate.expr.kind else { panic!("{expr:?}") };
    assert_eq!(function, "rate");
    assert_eq!(at(aggregate.expr.span), "rate(foo{b='c'}[5m] offset 1m)");
    assert_eq!(at(args[0].span), "foo{b='c'}[5m] offset 1m");
    let ExprKind::Matrix { selector, range_ms } = &args[0].kind else { panic!("{expr:?}") };
    assert_eq!((*range_ms, selector.offset_ms), (300_000, 60_000));
    assert_eq!(selector.name.as_deref(), Some("foo"));
    assert_eq!(selector.matchers, [Matcher::equal("b", "c"), Matcher::equal("__name__", "foo")]);
    let ExprKind::Vector(selector) = &binary.rhs.kind else { panic!("{expr:?}") };
    assert_eq!(at(binary.rhs.span), "bar @ start()");
    assert_eq!(selector.at, Some(At::Start));
}

#[test]
fn matching_follows_types() {
    let matching = |text: &str| match parsed(text).kind {
        ExprKind::Binary(binary) => binary.matching.map(|matching| matching.cardinality),
        other => panic!("{other:?}"),
    };
    assert_eq!(matching("a + b"), Some(Cardinality::OneToOne));
    assert_eq!(matching("a + 1"), None);
    assert_eq!(matching("1 + 2"), None);
    assert_eq!(matching("a or b"), Some(Cardinality::ManyToMany));
    assert_eq!(matching("a * on(x) group_right b"), Some(Cardinality::OneToMany));
}

#[test]
fn experimental_parts_have_a_place_in_the_tree() {
    let ExprKind::Timed(timed) = parsed("foo[step() + 1m] offset -range()").kind else {
        panic!("times are expressions")
    };
    assert!(matches!(timed.expr.kind, ExprKind::Matrix { range_ms: 0, .. }));
    let expr = |time: &'_ Option<PlacedDuration>| time.as_ref().map(|time| time.expr.clone());
    let range = expr(&timed.range);
    assert!(matches!(range, Some(DurationExpr::Binary { op: DurationOp::Add, .. })));
    assert!(matches!(expr(&timed.offset), Some(DurationExpr::Negative { .. })));
    assert_eq!(timed.step, None);
    let ExprKind::Matrix { selector, .. } = parsed("foo[1m] anchored").kind else {
        panic!("a plain range")
    };
    assert_eq!(selector.edges, Some(RangeEdges::Anchored));
}

#[test]
fn options_switch_features_off() {
    let off = ParseOptions {
        experimental_functions: false,
        duration_expressions: false,
        extended_selectors: false,
        fill_modifiers: false,
        ..ParseOptions::default()
    };
    for (text, message) in [
        ("info(foo)", "1:1: parse error: function \"info\" is not enabled"),
        (
            "limitk(1, foo)",
            "1:1: parse error: limitk() is experimental and must be enabled with \
             --enable-feature=promql-experimental-functions",
        ),
        ("foo[step()]", "1:5: parse error: experimental duration expression is not enabled"),
        ("foo[5m*2]", "1:5: parse error: experimental duration expression is not enabled"),
        ("foo anchored", "1:1: parse error: anchored modifier is experimental and not enabled"),
        (
            "a + fill(1) b",
            "1:1: parse error: binop fill modifiers are experimental and not enabled",
        ),
    ] {
        let error = parse(text, &off).expect_err(text);
        assert_eq!(error.to_string(), message);
        assert_eq!(error.cause(), ParseErrorCause::Unsupported, "{text}");
        assert!(parse(text, &ParseOptions::default()).is_ok(), "{text}");
    }
    for text in ["rate(foo[5m])", "foo offset -5m", "fill + anchored", "topk(1, foo)"] {
        assert!(parse(text, &off).is_ok(), "{text}");
    }
}

#[test]
fn metric_selectors() {
    let name = Matcher::equal("__name__", "foo");
    for (text, expected) in [
        ("foo", vec![name.clone()]),
        ("sum", vec![Matcher::equal("__name__", "sum")]),
        ("foo{a!='b'}", vec![Matcher::new("a", MatchOp::NotEqual, "b"), name.clone()]),
        (r#"{"foo",a=~"x.*"}"#, vec![name, Matcher::new("a", MatchOp::Regexp, "x.*")]),
        ("{__name__=~'.+'}", vec![Matcher::new("__name__", MatchOp::Regexp, ".+")]),
        ("{}", vec![]),
    ] {
        assert_eq!(parse_metric_selector(text), Ok(expected), "{text}");
    }
    for (text, message) in [
        ("", "unknown position: parse error: unexpected end of input"),
        ("foo[5m]", "1:4: parse error: unexpected \"[\""),
        ("foo offset 5m", "1:5: parse error: unexpected <offset>"),
        ("foo bar", "1:5: parse error: unexpected identifier \"bar\""),
        ("1", "1:1: parse error: unexpected number \"1\""),
        ("foo{a=~'('}", "1:5: parse error: error parsing regexp: missing closing ): `(`"),
    ] {
        let error = parse_metric_selector(text).expect_err(text);
        assert_eq!(error.to_string(), message, "{text}");
    }
}

/// Found by random queries against Prometheus 3.14.
#[test]
fn durations_are_seconds_as_go_adds_them() {
    assert_eq!(parsed("6s722ms").kind, ExprKind::Duration(6.0 + 0.722));
    assert_eq!(parsed("722ms").kind, ExprKind::Duration(0.722));
    assert_eq!(parsed("6s722ms").to_string(), "6s722ms");
    let ExprKind::Matrix { range_ms, .. } = parsed("foo[6s722ms]").kind else { panic!("a range") };
    assert_eq!(range_ms, 6722);
}

/// Found by random queries against Prometheus 3.14.
#[test]
fn nan_is_no_fault_of_a_duration_before_the_query_runs() {
    let ExprKind::Vector(selector) = parsed("foo offset NaN").kind else { panic!("a selector") };
    assert_eq!(selector.offset_ms, i64::MIN / 1_000_000);
    assert!(matches!(parsed("foo offset (2m * NaN)").kind, ExprKind::Timed(_)));
}

#[test]
fn durations() {
    for (text, expected) in [
        ("0", 0),
        ("1ms", 1),
        ("1h30m5ms", 5_400_005),
        ("1y1w1d", 31_536_000_000 + 604_800_000 + 86_400_000),
        ("292y", 292 * 31_536_000_000),
    ] {
        assert_eq!(parse_units_ms(text), Ok(expected), "{text}");
        assert_eq!(parse_duration_ms(text), Ok(expected), "{text}");
        assert_eq!(parse_units_ms(&format_duration(expected)), Ok(expected), "{text}");
    }
    for (text, expected) in [("15", 15_000), ("0.5", 500), ("1e2", 100_000), ("-1.5", -1500)] {
        assert_eq!(parse_duration_ms(text), Ok(expected), "{text}");
    }
    for (text, message) in [
        ("", "empty duration string"),
        ("1", "not a valid duration string: \"1\""),
        ("m", "not a valid duration string: \"m\""),
        ("1s1m", "not a valid duration string: \"1s1m\""),
        ("1m1m", "not a valid duration string: \"1m1m\""),
        ("1x", "unknown unit \"x\" in duration \"1x\""),
        ("-1m", "not a valid duration string: \"-1m\""),
        ("293y", "duration out of range"),
        ("99999999999999999999s", "not a valid duration string: \"99999999999999999999s\""),
    ] {
        assert_eq!(parse_units_ms(text).expect_err(text).to_string(), message);
    }
    for (text, message) in [
        ("x", "cannot parse \"x\" to a valid duration"),
        ("1e30", "cannot parse \"1e30\" to a valid duration. It overflows int64"),
        ("NaN", "cannot parse \"NaN\" to a valid duration. It overflows int64"),
    ] {
        assert_eq!(parse_duration_ms(text).expect_err(text).to_string(), message);
    }
    for (ms, text) in [
        (0, "0s"),
        (-90_000, "-1m30s"),
        (365 * 86_400_000, "1y"),
        (366 * 86_400_000, "366d"),
        (14 * 86_400_000, "2w"),
        (15 * 86_400_000 + 1, "15d1ms"),
    ] {
        assert_eq!(format_duration(ms), text);
    }
}
