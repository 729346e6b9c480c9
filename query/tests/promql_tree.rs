//! Trees as JSON, against what Prometheus 3.14 answered.

use m3rs_query::promql::{ParseOptions, parse, tree};

/// A query, a tab, and its tree on each line.
const TABLE: &str = include_str!("promql_tree.table");

fn json(text: &str) -> String {
    let expr = parse(text, &ParseOptions::default()).unwrap_or_else(|e| panic!("{text}: {e}"));
    String::from_utf8(tree::json(&expr)).expect("UTF-8")
}

#[test]
fn trees_are_those_of_prometheus() {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    let mut count = 0;
    let mut different = Vec::new();
    for line in lines {
        let (text, wanted) = line.split_once('\t').expect("a tab");
        let got = json(text);
        if got != wanted {
            different.push(format!("{text}\n  wanted {wanted}\n  got    {got}"));
        }
        count += 1;
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(count > 80, "{count} queries");
}

#[test]
fn fills_that_json_cannot_say_are_texts() {
    let tree = json("a + fill_left(NaN) fill_right(-Inf) b");
    assert!(tree.contains(r#""fillValues":{"lhs":"NaN","rhs":"-Inf"}"#), "{tree}");
}

#[test]
fn deep_trees_are_written() {
    let text = format!("{}1{}", "(".repeat(128), ")".repeat(128));
    assert_eq!(json(&text).matches("parenExpr").count(), 128);
    let chain = vec!["1"; 1001].join("+");
    assert_eq!(json(&chain).matches("binaryExpr").count(), 1000);
}

#[test]
fn selectors_are_found_in_the_order_of_the_text() {
    let text = "a + sum(rate(b[5m])) / -(c[5m:1m] offset step()) or info(d, {e=\"f\"})";
    let text = text.replace("-(c[5m:1m] offset step())", "-max_over_time(c[5m:1m] offset step())");
    let expr = parse(&text, &ParseOptions::default()).expect("valid");
    let names: Vec<_> =
        expr.selectors().iter().map(|s| s.name.clone().unwrap_or_default()).collect();
    assert_eq!(names, ["a", "b", "c", "d", ""]);
}
