//! Requests to which both servers must give the same answer to the letter: trees of queries, and
//! parameters good and bad. `$T` stands for a time in seconds.

use crate::query_url::target;
use crate::real_prometheus::queries::{QUERIES, WRONG_QUERIES};

/// Values of parameters of `query` and `query_range` that both refuse, or ignore.
const PARAMETERS: &[(&str, &[&str])] = &[
    ("limit", &["x", "-1", "1.5", "0", "1", " 1", "+1", "1e3", "99999999999999999999"]),
    ("timeout", &["x", "-5s", "1e40", "Inf", "300y", "1m1h", "5", "5s", "1h", "1y"]),
    (
        "lookback_delta",
        &["x", "0", "-1", "-5m", "1e40", "5", "5m", "NaN", "1ms", "300y", "0.0001", "-Inf"],
    ),
    ("step", &["", "x", "0", "-1", "0s", "NaN", "1e40", "1m1h", "2", "1500ms"]),
];

/// Parameters of `query_exemplars`.
const EXEMPLARS: &[&[(&str, &str)]] = &[
    &[],
    &[("query", "1 + 1")],
    &[("query", "\"text\"")],
    &[("query", "up")],
    &[("query", "rate(up[5m]) / sum(no_such_metric)")],
    &[("query", "sum(up")],
    &[("query", "up"), ("start", "x")],
    &[("query", "up"), ("end", "x")],
    &[("query", "up"), ("start", "$T"), ("end", "5")],
    &[("start", "x"), ("end", "y")],
];

/// All targets of such requests.
pub(super) fn targets(time_s: i64) -> Vec<String> {
    let time = time_s.to_string();
    let with_time = |text: &str| text.replace("$T", &time);
    let mut all = Vec::new();
    for query in QUERIES.iter().chain(WRONG_QUERIES).copied().chain(["", "-1", "a offset +5m"]) {
        let query = with_time(query);
        for path in ["/api/v1/parse_query", "/api/v1/format_query"] {
            all.push(target(path, &[("query", &query)]));
        }
    }
    for parameters in EXEMPLARS {
        let parameters: Vec<(&str, String)> =
            parameters.iter().map(|(name, value)| (*name, with_time(value))).collect();
        let parameters: Vec<(&str, &str)> =
            parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        all.push(target("/api/v1/query_exemplars", &parameters));
    }
    for (name, values) in PARAMETERS {
        for value in *values {
            let common = [("query", "sort(sum by (job) (up))"), (*name, *value)];
            let at = [("time", time.as_str())];
            let range = [("start", time.as_str()), ("end", time.as_str()), ("step", "1")];
            if *name != "step" {
                all.push(target("/api/v1/query", &[&common[..], &at].concat()));
            }
            all.push(target("/api/v1/query_range", &[&common[..], &range].concat()));
        }
    }
    all
}
