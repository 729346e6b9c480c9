//! Exemplars for both servers, and the requests that ask for them.

use prost::Message;

use crate::generated::{Exemplar, Label, Sample, TimeSeries, WriteRequest};
use crate::query_url::{seconds, target};
use crate::remote_write::compress;

/// How long before all that is compared otherwise the samples beside the exemplars are.
const BEFORE_MS: i64 = 20 * 60 * 1000;

fn labels(pairs: &[(&str, &str)]) -> Vec<Label> {
    let label = |(n, v): &(&str, &str)| Label { name: (*n).to_owned(), value: (*v).to_owned() };
    pairs.iter().map(label).collect()
}

/// A request with three series that have exemplars.
pub(super) fn body(end: i64) -> Vec<u8> {
    let t = end - BEFORE_MS;
    let exemplar = |pairs: &[(&str, &str)], value, before| Exemplar {
        labels: labels(pairs),
        value,
        timestamp: t - before,
    };
    let series = |pairs: &[(&str, &str)], exemplars| TimeSeries {
        labels: labels(pairs),
        samples: vec![Sample { value: 1.0, timestamp: t }],
        exemplars,
        ..TimeSeries::default()
    };
    let odd = "a<b>&\"\\\u{2028}\u{7f}\u{1}\u{e9}";
    let timeseries = vec![
        series(
            &[("__name__", "shown_bucket"), ("job", "x"), ("le", "1")],
            vec![
                exemplar(&[("trace_id", odd)], 0.5, 1500),
                exemplar(&[("span", "2"), ("trace_id", "t")], 1e21, 10),
                exemplar(&[], f64::NAN, 0),
            ],
        ),
        series(
            &[("__name__", "shown_bucket"), ("job", "w"), ("le", "+Inf")],
            vec![exemplar(&[("a", "b")], f64::NEG_INFINITY, 3001)],
        ),
        series(&[("__name__", "shown_total")], vec![exemplar(&[("a", "b")], -0.0, 3001)]),
    ];
    compress(&WriteRequest { timeseries, metadata: Vec::new() }.encode_to_vec())
}

/// Requests for them, the first for all.
pub(super) fn targets(end: i64) -> Vec<String> {
    let t = end - BEFORE_MS;
    let all: &[(&str, Option<i64>, Option<i64>)] = &[
        ("shown_bucket + on () group_left () shown_total", None, None),
        ("shown_bucket", None, None),
        ("{job=~\"x|y\",le!=\"\"}", None, None),
        ("shown_bucket", Some(t - 1500), Some(t - 10)),
        ("shown_bucket", Some(t - 1499), None),
        ("shown_bucket", None, Some(t - 1501)),
        ("shown_bucket", None, Some(t - 4000)),
        ("rate(shown_bucket[5m] offset 1h) or shown_bucket", None, None),
        ("not_shown", None, None),
    ];
    let target_of = |(query, start, end): &(&str, Option<i64>, Option<i64>)| {
        let times = [("start", start.map(seconds)), ("end", end.map(seconds))];
        let mut parameters = vec![("query", *query)];
        for (name, time) in &times {
            parameters.extend(time.as_deref().map(|time| (*name, time)));
        }
        target("/api/v1/query_exemplars", &parameters)
    };
    all.iter().map(target_of).collect()
}
