//! The engine through its public API, on series in memory.

use std::sync::Arc;
use std::time::Duration;

use m3rs_core::model::{Labels, STALE_NAN};
use m3rs_query::engine::{Engine, EngineOptions, Query, QueryOptions};
use m3rs_query::error::QueryError;
use m3rs_query::explain::OperatorReport;
use m3rs_query::limits::Limits;
use m3rs_query::promql::{ParseOptions, parse};
use m3rs_query::render::{Rendering, StatsDetail};
use m3rs_query::result::{InstantVector, QueryOutput, QueryStats, Value};
use m3rs_query::source::Cancel;
use m3rs_query::source::vector::VectorSource;

const MINUTE: i64 = 60_000;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).expect("valid labels")
}

/// `requests_total{job,instance}`: a counter a minute for half an hour, by 10, 20, 30, 40.
/// `up{job,instance}`: 1, and gone in the middle.
fn source() -> VectorSource {
    let mut source = VectorSource::new();
    let series = [("a", "0", 10.0), ("a", "1", 20.0), ("b", "0", 30.0), ("b", "1", 40.0)];
    for (job, instance, rate) in series {
        let pairs = [("job", job), ("instance", instance)];
        let requests = labels(&[&pairs[..], &[("__name__", "requests_total")]].concat());
        let up = labels(&[&pairs[..], &[("__name__", "up")]].concat());
        for i in 0..=30 {
            source.append(&requests, i * MINUTE, rate * i as f64);
            if i == 10 && job == "b" {
                source.append(&up, i * MINUTE, STALE_NAN);
            } else if !(10..20).contains(&i) {
                source.append(&up, i * MINUTE, 1.0);
            }
        }
    }
    source
}

fn engine(threads: usize, limits: Limits) -> Engine {
    Engine::new(EngineOptions { threads, limits, ..EngineOptions::default() })
        .expect("threads start")
}

fn range_with(
    engine: &Engine,
    text: &str,
    times: (i64, i64, i64),
) -> Result<QueryOutput, QueryError> {
    let expr = parse(text, &ParseOptions::default()).expect("a valid query");
    let query = Query { text, expr: &expr };
    engine.range(&source(), query, times, &QueryOptions::default(), &Cancel::new())
}

fn instant_with(engine: &Engine, text: &str, time: i64) -> Result<QueryOutput, QueryError> {
    let expr = parse(text, &ParseOptions::default()).expect("a valid query");
    let query = Query { text, expr: &expr };
    engine.instant(&source(), query, time, &QueryOptions::default(), &Cancel::new())
}

/// The result as `labels: value@minute …`, a line for each series.
fn show(output: &QueryOutput) -> Vec<String> {
    match &output.value {
        Value::Scalar { v, .. } => vec![format!("{v}")],
        Value::String { text, .. } => vec![text.clone()],
        Value::Vector(vector) => vector
            .labels
            .iter()
            .zip(&vector.values)
            .map(|(labels, v)| format!("{labels}: {v}"))
            .collect(),
        Value::Matrix(matrix) => matrix
            .series
            .iter()
            .map(|series| {
                let mut line = format!("{}:", series.labels);
                for (t, v) in series.samples(&matrix.grid) {
                    line += &format!(" {v}@{}", t / MINUTE);
                }
                line
            })
            .collect(),
    }
}

fn range(text: &str, times: (i64, i64, i64)) -> Vec<String> {
    let (start, end, step) = times;
    let times = (start * MINUTE, end * MINUTE, step * MINUTE);
    show(&range_with(&engine(2, Limits::default()), text, times).expect("a result"))
}

fn instant(text: &str, minute: i64) -> Vec<String> {
    show(&instant_with(&engine(2, Limits::default()), text, minute * MINUTE).expect("a result"))
}

#[test]
fn selectors_look_back_and_stop_at_staleness() {
    assert_eq!(
        range(r#"up{instance="0"}"#, (8, 20, 2)),
        [
            r#"{__name__="up", instance="0", job="a"}: 1@8 1@10 1@12 1@20"#,
            r#"{__name__="up", instance="0", job="b"}: 1@8 1@20"#,
        ]
    );
    assert_eq!(
        instant("up", 12),
        [
            r#"{__name__="up", instance="0", job="a"}: 1"#,
            r#"{__name__="up", instance="1", job="a"}: 1"#,
        ]
    );
    assert_eq!(
        instant(r#"requests_total{instance="1",job="b"} offset 5m"#, 10),
        [r#"{__name__="requests_total", instance="1", job="b"}: 200"#]
    );
    assert_eq!(
        range(r#"requests_total{instance="1",job="b"} @ 120"#, (10, 12, 1)),
        [r#"{__name__="requests_total", instance="1", job="b"}: 80@10 80@11 80@12"#]
    );
    assert_eq!(
        range(r#"sum(requests_total @ start()) + sum(requests_total @ end())"#, (1, 2, 1)),
        ["{}: 300@1 300@2"]
    );
}

#[test]
fn rates_aggregate_by_group() {
    assert_eq!(
        range("round(sum by (job) (rate(requests_total[5m])) * 60, 0.5)", (10, 14, 2)),
        [r#"{job="a"}: 30@10 30@12 30@14"#, r#"{job="b"}: 70@10 70@12 70@14"#,]
    );
    assert_eq!(
        instant("avg without (instance) (requests_total)", 10),
        [r#"{job="a"}: 150"#, r#"{job="b"}: 350"#,]
    );
    assert_eq!(instant("count(up)", 25), ["{}: 4"]);
    assert_eq!(
        instant("topk(2, requests_total)", 10),
        [
            r#"{__name__="requests_total", instance="1", job="b"}: 400"#,
            r#"{__name__="requests_total", instance="0", job="b"}: 300"#,
        ]
    );
    assert_eq!(instant("quantile(0.5, requests_total)", 10), ["{}: 250"]);
    assert_eq!(
        instant(r#"count_values("v", requests_total > bool 150)"#, 10),
        [r#"{v="0"}: 1"#, r#"{v="1"}: 3"#,]
    );
}

#[test]
fn vectors_match_by_labels() {
    assert_eq!(instant("requests_total / on(job, instance) (up * 2)", 20).len(), 4);
    assert_eq!(
        instant(
            r#"requests_total / on(job) group_left sum by (job) (requests_total{job="a"})"#,
            20
        ),
        [
            r#"{instance="0", job="a"}: 0.3333333333333333"#,
            r#"{instance="1", job="a"}: 0.6666666666666666"#,
        ]
    );
    assert_eq!(instant("requests_total unless up", 12).len(), 2);
    assert_eq!(
        range("up and requests_total > 290", (8, 9, 1)),
        [r#"{__name__="up", instance="1", job="b"}: 1@8 1@9"#]
    );
    assert_eq!(instant("up{job=\"a\"} or requests_total", 12).len(), 4);
    let error = instant_with(
        &engine(1, Limits::default()),
        "requests_total * on(job) group_left sum by (job, instance) (requests_total)",
        MINUTE,
    )
    .unwrap_err();
    assert_eq!(error.error_type(), "execution");
    assert!(error.to_string().starts_with(
        "found duplicate series for the match group {job=\"a\"} on the right hand-side of the \
         operation: ["
    ));
}

#[test]
fn subqueries_run_on_their_own_grid() {
    assert_eq!(
        instant(r#"round(max_over_time(sum(rate(requests_total[2m]))[10m:1m]) * 60)"#, 20),
        ["{}: 100"]
    );
    assert_eq!(
        instant(r#"requests_total{job="a",instance="0"}[2m:40s]"#, 2),
        [r#"{__name__="requests_total", instance="0", job="a"}: 0@0 10@1 20@2"#]
    );
    assert_eq!(
        instant(r#"requests_total{job="a",instance="0"}[2m]"#, 3),
        [r#"{__name__="requests_total", instance="0", job="a"}: 20@2 30@3"#]
    );
}

/// Where names wait for the end of a query, operations see them, and only the end cuts them off.
#[test]
fn names_may_wait_for_the_end() {
    let options = EngineOptions { delays_name_removal: true, ..EngineOptions::default() };
    let late = Engine::new(options).expect("threads start");
    let at_once = engine(2, Limits::default());
    let text = r#"sum by (__name__, job) ({__name__=~".+", instance="0"} > bool 0)"#;
    let times = (5 * MINUTE, 5 * MINUTE, MINUTE);
    let error = range_with(&at_once, text, times).unwrap_err();
    assert_eq!(error.to_string(), "vector cannot contain metrics with the same labelset");
    let error = range_with(&late, text, times).unwrap_err();
    assert_eq!(error.to_string(), "vector cannot contain metrics with the same labelset");
    let text = r#"label_replace(
        rate({__name__=~".+", job="a"}[5m]), "__name__", "$1:rate", "__name__", "(.+)"
    )"#;
    assert!(range_with(&at_once, text, times).is_err());
    assert_eq!(
        show(&range_with(&late, text, times).unwrap()),
        [
            r#"{__name__="requests_total:rate", instance="0", job="a"}: 0.16666666666666666@5"#,
            r#"{__name__="requests_total:rate", instance="1", job="a"}: 0.3333333333333333@5"#,
            r#"{__name__="up:rate", instance="0", job="a"}: 0@5"#,
            r#"{__name__="up:rate", instance="1", job="a"}: 0@5"#,
        ]
    );
    for text in ["up * 2", "rate(requests_total[5m])", "up or requests_total * 2", "up + up"] {
        let [early, late] =
            [&at_once, &late].map(|engine| show(&range_with(engine, text, times).unwrap()));
        assert_eq!(early, late, "{text}");
    }
    let subquery = instant_with(&late, "rate(requests_total[5m])[2m:1m]", 10 * MINUTE).unwrap();
    assert!(show(&subquery).iter().all(|line| !line.contains("requests_total")));
}

/// PARITY(prometheus): with `group_right`, `fill_left` is for the right side.
#[test]
fn missing_sides_are_filled() {
    let text = r#"up{job="c"} + on(job, instance) group_right() fill_right(7) up{job="a"}"#;
    assert_eq!(
        instant(text, 5),
        [r#"{instance="0", job="a"}: 8"#, r#"{instance="1", job="a"}: 8"#]
    );
    let text = r#"up{job="a"} + on(job, instance) group_right() fill_left(7) up{job="c"}"#;
    assert_eq!(
        instant(text, 5),
        [r#"{instance="0", job="a"}: 8"#, r#"{instance="1", job="a"}: 8"#]
    );
    let text = r#"up{job="a"} - on(job, instance) fill_right(7) up{job="c"}"#;
    assert_eq!(
        instant(text, 5),
        [r#"{instance="0", job="a"}: -6"#, r#"{instance="1", job="a"}: -6"#]
    );
}

#[test]
fn scalars_and_labels() {
    assert_eq!(instant("1 + 2 * 3 ^ 2", 0), ["19"]);
    assert_eq!(range("time() / 60", (1, 3, 1)), ["{}: 1@1 2@2 3@3"]);
    assert_eq!(instant("scalar(sum(up))", 25), ["4"]);
    assert_eq!(instant(r#"absent(nothing{job="x"})"#, 1), [r#"{job="x"}: 1"#]);
    assert_eq!(instant("\"text\"", 1), ["text"]);
    assert_eq!(
        instant("timestamp(up{job=\"a\",instance=\"0\"})", 12),
        [r#"{instance="0", job="a"}: 540"#]
    );
    assert_eq!(
        instant(r#"label_join(up{job="a",instance="0"}, "x", "-", "job", "instance")"#, 1),
        [r#"{__name__="up", instance="0", job="a", x="a-0"}: 1"#]
    );
    assert_eq!(
        instant("sort_desc(sum by (instance) (requests_total))", 1),
        [r#"{instance="1"}: 60"#, r#"{instance="0"}: 40"#,]
    );
}

#[test]
fn errors_are_typed() {
    let error = |text: &str, limits: Limits| {
        range_with(&engine(2, limits), text, (0, 30 * MINUTE, MINUTE)).unwrap_err()
    };
    let limits = Limits { steps_max: 29, ..Limits::default() };
    assert!(matches!(error("up", limits), QueryError::Limit { name: "steps", value: 29, .. }));
    let limits = Limits { steps_max: 30, ..Limits::default() };
    range_with(&engine(2, limits), "up", (0, 30 * MINUTE, MINUTE)).unwrap();
    let limits = Limits { series_max: 3, ..Limits::default() };
    assert!(matches!(error("up", limits), QueryError::Limit { name: "series", value: 3, .. }));
    let limits = Limits { samples_max: 100, ..Limits::default() };
    assert!(matches!(error("requests_total", limits), QueryError::Limit { name: "samples", .. }));
    let limits = Limits { memory_bytes_max: 900, ..Limits::default() };
    assert!(matches!(error("requests_total", limits), QueryError::Limit { name: "memory", .. }));
    let limits = Limits { time_max: Duration::ZERO, ..Limits::default() };
    assert!(matches!(error("sum(up)", limits), QueryError::Timeout));
    let matrix = error("up[5m]", Limits::default());
    assert_eq!(
        matrix.to_string(),
        "invalid expression type \"range vector\" for range query, must be Scalar or instant \
         Vector"
    );
    let same = error("rate({__name__=~\"up|requests_total\"}[5m])", Limits::default());
    assert_eq!(same.to_string(), "vector cannot contain metrics with the same labelset");
    let expr = parse("up", &ParseOptions::default()).unwrap();
    let cancel = Cancel::new();
    cancel.cancel();
    let query = Query { text: "up", expr: &expr };
    let cancelled = engine(1, Limits::default())
        .instant(&source(), query, 0, &QueryOptions::default(), &cancel)
        .unwrap_err();
    assert!(matches!(cancelled, QueryError::Cancelled));
}

#[test]
fn deep_expressions_fit_the_stack() {
    let engine = engine(2, Limits::default());
    let text = vec!["up"; 1000].join(" + ");
    let output = instant_with(&engine, &text, MINUTE).unwrap();
    assert_eq!(show(&output)[0], r#"{instance="0", job="a"}: 1000"#);
    let text = format!("{}1{}", "-(".repeat(100), ")".repeat(100));
    assert_eq!(show(&instant_with(&engine, &text, 0).unwrap()), ["1"]);
    let shallow = Limits { depth_max: 10, ..Limits::default() };
    let error = instant_with(&self::engine(1, shallow), &text, 0).unwrap_err();
    assert!(matches!(error, QueryError::Limit { name: "depth", value: 10, .. }));
}

/// Sums of many runs of series must not depend on how many threads took part.
#[test]
fn results_do_not_depend_on_threads() {
    let mut source = VectorSource::new();
    for i in 0..1000 {
        let labels =
            labels(&[("__name__", "x"), ("i", &i.to_string()), ("g", &(i % 7).to_string())]);
        for t in 0..200 {
            source.append(&labels, t * 15_000, (i as f64 * 0.1).sin() * 10f64.powi(i % 30));
        }
    }
    for text in ["sum(x)", "avg by (g) (x)", "stddev by (g) (rate(x[1m]))", "topk(3, x)", "x > 1"] {
        let expr = parse(text, &ParseOptions::default()).unwrap();
        let body = |threads| {
            let engine = engine(threads, Limits::default());
            let query = Query { text, expr: &expr };
            let times = (60_000, 200 * 15_000, 5_000);
            let options = QueryOptions::default();
            let output = engine.range(&source, query, times, &options, &Cancel::new()).unwrap();
            whole_body(&engine, output)
        };
        let one = body(1);
        assert!(one.len() > 1000);
        for threads in [2, 3, 8] {
            assert!(one == body(threads), "{text} differs with {threads} threads");
        }
    }
}

#[test]
fn bodies_are_those_of_prometheus() {
    let engine = engine(2, Limits::default());
    let body = |output: QueryOutput| {
        let body = whole_body(&engine, output);
        serde_json::from_slice::<serde_json::Value>(&body).expect("JSON");
        String::from_utf8(body).unwrap()
    };
    let output = instant_with(&engine, r#"up{job="a",instance="0"} / 3"#, 61_500).unwrap();
    assert_eq!(
        body(output),
        concat!(
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":"#,
            r#"{"instance":"0","job":"a"},"value":[61.500,"0.3333333333333333"]}]}}"#
        )
    );
    let output = range_with(&engine, "sum(up)", (8 * MINUTE, 18 * MINUTE, 5 * MINUTE)).unwrap();
    assert_eq!(
        body(output),
        concat!(
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"#,
            r#""values":[[480,"4"],[780,"2"]]}]}}"#
        )
    );
    let output = instant_with(&engine, "rate(up[5m]) > 1", 0).unwrap();
    assert_eq!(body(output), r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#);
    let output = instant_with(&engine, "sum(rate(up[5m]))", 5 * MINUTE).unwrap();
    assert_eq!(
        body(output),
        concat!(
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":"#,
            r#"[300,"0"]}]},"infos":["PromQL info: metric might not be a counter, name does not "#,
            r#"end in _total/_sum/_count/_bucket: \"up\" (1:10)"]}"#
        )
    );
    let output = instant_with(&engine, "1 / 0", 1).unwrap();
    assert_eq!(
        body(output),
        r#"{"status":"success","data":{"resultType":"scalar","result":[0.001,"+Inf"]}}"#
    );
    let text = r#"label_replace(vector(1), "a", "<&>\u2028\t\u0001", "", "")"#;
    let labels = body(instant_with(&engine, text, 1000).unwrap());
    assert!(labels.contains("{\"a\":\"<&>\u{2028}\\t\\u0001\"}"), "{labels}");
    let text = body(instant_with(&engine, r#""<&>""#, 1500).unwrap());
    assert!(text.ends_with(r#"[1.5,"\u003c\u0026\u003e"]}}"#), "{text}");
    let output = instant_with(&engine, "\"a\\\"\\n\\u2028\\u0001\"", 1000).unwrap();
    assert_eq!(
        body(output),
        concat!(
            r#"{"status":"success","data":{"resultType":"string","result":[1,"#,
            r#""a\"\n\u2028\u0001"]}}"#
        )
    );
    let output = instant_with(&engine, r#"up{job="a",instance="0"}[90s]"#, 2 * MINUTE).unwrap();
    assert_eq!(
        body(output),
        concat!(
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":"#,
            r#"{"__name__":"up","instance":"0","job":"a"},"values":[[60,"1"],[120,"1"]]}]}}"#
        )
    );
}

/// All batches of a body.
fn whole_body(engine: &Engine, output: QueryOutput) -> Vec<u8> {
    let mut rendering = Rendering::new(Arc::new(output), StatsDetail::Hidden);
    let mut body = Vec::new();
    while !rendering.is_done() {
        body.extend(engine.render(&mut rendering).concat());
    }
    assert!(engine.render(&mut rendering).is_empty(), "nothing comes after the end");
    body
}

#[test]
fn a_large_body_comes_in_batches_that_make_one_whole() {
    let engine = engine(2, Limits::default());
    let label = |i: usize| Labels::from_pairs([("i", i.to_string())]).unwrap();
    let output = |count: usize| QueryOutput {
        value: Value::Vector(InstantVector {
            t_ms: 1_500,
            labels: (0..count).map(label).collect(),
            values: (0..count).map(|i| i as f64).collect(),
            histograms: Vec::new(),
        }),
        warnings: Vec::new(),
        infos: Vec::new(),
        operators: Vec::new(),
        stats: QueryStats::default(),
    };
    for count in [0, 1, 32_768, 32_769, 100_000] {
        let mut rendering = Rendering::new(Arc::new(output(count)), StatsDetail::Hidden);
        engine.render(&mut rendering);
        assert_eq!(rendering.is_done(), count <= 32_768, "{count} series");
        let body = whole_body(&engine, output(count));
        let json: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let series = json["data"]["result"].as_array().expect("a list");
        assert_eq!(series.len(), count);
        for (i, series) in series.iter().enumerate() {
            let wanted = serde_json::json!({
                "metric": { "i": i.to_string() }, "value": [1.5, i.to_string()],
            });
            assert_eq!(*series, wanted);
        }
    }
}

#[test]
fn with_no_lookback_no_sample_is_young_enough() {
    let engine = engine(1, Limits::default());
    for (text, ms, count) in [
        ("up", 0, 0),
        ("up", 1, 4),
        ("up offset 1m", 0, 0),
        ("timestamp(up)", 0, 0),
        ("rate(requests_total[5m])", 0, 4),
        ("increase(requests_total[5m] anchored)", 0, 4),
    ] {
        let expr = parse(text, &ParseOptions::default()).expect("a valid query");
        let query = Query { text, expr: &expr };
        let options = QueryOptions { lookback_ms: Some(ms), ..QueryOptions::default() };
        let cancel = Cancel::new();
        let output = engine.instant(&source(), query, 5 * MINUTE, &options, &cancel).expect(text);
        assert_eq!(show(&output).len(), count, "{text} with {ms} ms");
        let times = (5 * MINUTE, 6 * MINUTE, MINUTE);
        let output = engine.range(&source(), query, times, &options, &cancel).expect(text);
        assert_eq!(show(&output).len(), count, "{text} with {ms} ms");
    }
}

#[test]
fn operators_tell_what_they_did() {
    let text = "sum by (job) (rate(requests_total[5m])) / 2";
    let expr = parse(text, &ParseOptions::default()).unwrap();
    let options = QueryOptions { explains: true, counts_steps: true, ..QueryOptions::default() };
    let query = Query { text, expr: &expr };
    let times = (10 * MINUTE, 30 * MINUTE, MINUTE);
    let output = engine(2, Limits::default())
        .range(&source(), query, times, &options, &Cancel::new())
        .unwrap();
    let names = |reports: &[OperatorReport]| -> Vec<String> {
        reports.iter().map(|report| report.operator.clone()).collect()
    };
    let mapped = &output.operators[0];
    assert_eq!(names(&output.operators), ["each value / scalar"]);
    assert_eq!(names(&mapped.inputs), ["aggregate sum by (job)"]);
    let rate = &mapped.inputs[0].inputs[0];
    assert_eq!(rate.operator, "rate of {__name__=\"requests_total\"}[5m]");
    assert_eq!((rate.rows, rate.steps), (rate.series, 21));
    assert_eq!(rate.bytes, rate.rows * 21 * 8);
    let counts = &output.stats.samples_per_step;
    assert_eq!(counts.len(), 21);
    assert!(counts.iter().all(|count| *count == rate.series * 5), "{counts:?}");
    let output = engine(2, Limits::default())
        .range(&source(), query, times, &QueryOptions::default(), &Cancel::new())
        .unwrap();
    assert!(output.operators.is_empty() && output.stats.samples_per_step.is_empty());
}
