//! Exports: their shapes, what they select, and that an import takes them again.

use http::StatusCode;
use m3rs_coordinator::limits::Limits;
use m3rs_core::model::{Labels, STALE_NAN};
use serde_json::{Value, json};

use crate::client::{get, post_form};
use crate::fakes::{NOW_MS, World};
use crate::import::post;

const PATH: &str = "/api/v1/export";

fn put(world: &World, labels: &[(&str, &str)], samples: &[(i64, f64)]) {
    let labels = Labels::from_pairs(labels.iter().copied()).expect("valid");
    let samples = samples.iter().map(|(t, v)| (*t, v.to_bits()));
    world.store.written.lock().entry(labels).or_default().extend(samples);
}

const UP: &[(&str, &str)] = &[("Z", "1"), ("__name__", "up"), ("job", "a,\"b\"\n")];

fn world() -> World {
    let world = World::new();
    put(&world, UP, &[(1000, 1.0), (2500, -0.5), (3000, 1e21)]);
    put(&world, &[("__name__", "down"), ("job", "b")], &[(1000, 7.0)]);
    world
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn json_lines_have_victoria_s_shape() {
    let world = world();
    let wanted = "{\"metric\":{\"__name__\":\"up\",\"Z\":\"1\",\"job\":\"a,\\\"b\\\"\\n\"},\
                  \"values\":[1,-0.5,1000000000000000000000],\"timestamps\":[1000,2500,3000]}\n";
    for path in [PATH, "/prometheus/api/v1/export"] {
        let answer = get(&world.router, &format!("{path}?match[]=__name__%3Dup")).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, wanted));
        assert_eq!(answer.header("content-type"), "application/stream+json; charset=utf-8");
        let posted = post_form(&world.router, path, "match=__name__%3Dup&reduce_mem_usage=1").await;
        assert_eq!(posted.text(), wanted);
    }
}

#[tokio::test]
async fn ranges_selectors_and_rows_are_chosen() {
    let world = world();
    put(&world, &[("__name__", "late"), ("job", "b")], &[(NOW_MS + 5000, 1.0)]);
    let of = async |query: &str| lines(get(&world.router, &format!("{PATH}?{query}")).await.text());
    let up = "match[]=__name__%3Dup";
    assert_eq!(of(&format!("{up}&start=2&end=2.5")).await[0]["timestamps"], json!([2500]));
    assert_eq!(of(&format!("{up}&start=1970-01-01T00:00:03Z")).await[0]["values"], json!([1e21]));
    assert_eq!(of(&format!("{up}&start=3&end=1")).await[0]["timestamps"], json!([3000]));
    assert_eq!(of(&format!("{up}&start=4")).await, Vec::<Value>::new());
    let rows = of(&format!("{up}&max_rows_per_line=2")).await;
    assert_eq!(
        rows.iter().map(|row| row["timestamps"].clone()).collect::<Vec<_>>(),
        [json!([1000, 2500]), json!([3000]),]
    );
    assert_eq!(of("match[]=job%3Db").await.len(), 1, "until now");
    let late = of(&format!("match[]=job%3Db&end={}", NOW_MS + 9000)).await;
    assert_eq!(late.len(), 2, "milliseconds are told by their size");
    // A series of two selectors comes once.
    let both = of("match[]=job%3Db&match[]=__name__%3Ddown&match[]=__name__%3Dup").await;
    assert_eq!(both.len(), 2);
}

#[tokio::test]
async fn other_formats_of_the_same_samples() {
    let world = world();
    let answer = get(&world.router, &format!("{PATH}?match[]=job%3Db&format=promapi")).await;
    assert_eq!(
        answer.json(),
        json!({ "status": "success", "data": { "resultType": "matrix", "result": [
            { "metric": { "__name__": "down", "job": "b" }, "values": [[1, "7"]] },
        ] } })
    );
    let up = "match[]=__name__%3Dup";
    let promapi = get(&world.router, &format!("{PATH}?{up}&format=promapi")).await;
    assert!(promapi.text().contains("[[1,\"1\"],[2.5,\"-0.5\"],"), "{}", promapi.text());
    let none = get(&world.router, &format!("{PATH}?match[]=job%3Dz&format=promapi")).await;
    assert_eq!(none.json()["data"]["result"], json!([]));
    let text = get(&world.router, &format!("{PATH}?{up}&format=prometheus")).await;
    let name = "up{Z=\"1\",job=\"a,\\\"b\\\"\\n\"}";
    let wanted = format!("{name} 1 1000\n{name} -0.5 2500\n{name} 1000000000000000000000 3000\n");
    assert_eq!(text.text(), wanted);
    let open = get(&world.router, &format!("{PATH}/openmetrics?{up}")).await;
    let wanted = format!("{name} 1 1\n{name} -0.5 2.5\n{name} 1000000000000000000000 3\n# EOF\n");
    assert_eq!(open.text(), wanted);
    assert!(open.header("content-type").starts_with("application/openmetrics-text"));
}

#[tokio::test]
async fn csv_has_the_columns_that_are_asked_for() {
    let world = world();
    let format = "__name__,job,none,__value__,__timestamp__,__timestamp__:unix_s,\
                  __timestamp__:unix_ns,__timestamp__:rfc3339,__timestamp__:custom:15h04";
    let path = format!("{PATH}/csv?match[]=__name__%3Dup&end=2.5&format={format}");
    let answer = get(&world.router, &path).await;
    assert_eq!(
        answer.text(),
        format!(
            "{format}\n\
             up,\"a,\"\"b\"\"\n\",,1,1000,1,1000000000,1970-01-01T00:00:01Z,00h00\n\
             up,\"a,\"\"b\"\"\n\",,-0.5,2500,2,2500000000,1970-01-01T00:00:02.5Z,00h00\n"
        )
    );
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
}

#[tokio::test]
async fn an_export_is_imported_bit_for_bit() {
    let world = World::new();
    let values = [
        0.1,
        -0.0,
        f64::MIN_POSITIVE / 3.0,
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
        STALE_NAN,
        f64::from_bits(m3rs_core::model::NORMAL_NAN_BITS),
        1.0 / 3.0,
    ];
    let samples: Vec<(i64, f64)> = (0..).zip(values).map(|(i, v)| (i * 1500, v)).collect();
    let labels = [("__name__", "a.b \u{e9}"), ("q", "\"\\\n\t\u{1}"), ("x", "y")];
    put(&world, &labels, &samples);
    let bits = |world: &World| -> Vec<(i64, u64)> {
        world.samples(&labels).iter().map(|(t, v)| (*t, v.to_bits())).collect()
    };
    for format in ["", "&max_rows_per_line=2"] {
        let answer = get(&world.router, &format!("{PATH}?match[]=x%3Dy{format}")).await;
        let other = World::new();
        let imported = post(&other, "/api/v1/import", answer.body).await;
        assert_eq!(imported.status, StatusCode::NO_CONTENT, "{}", imported.text());
        assert_eq!(bits(&other), bits(&world));
    }
}

#[tokio::test]
async fn bad_requests_are_named() {
    let mut limits = Limits::default();
    limits.query.export_series_max = 1;
    let world = World::with_limits(limits);
    put(&world, &[("__name__", "a"), ("x", "y")], &[(1, 1.0)]);
    put(&world, &[("__name__", "b"), ("x", "y")], &[(1, 1.0)]);
    for (query, status, says) in [
        ("", 400, "missing `match[]` arg"),
        ("?match[]=nonsense", 400, "invalid parameter"),
        ("?match[]=x%3Dy&start=z", 400, "start"),
        ("?match[]=x%3Dy&max_rows_per_line=z", 400, "max_rows_per_line"),
        ("/csv?match[]=x%3Dy", 400, "missing `format` arg"),
        ("/csv?match[]=x%3Dy&format=__timestamp__:z", 400, "no such format of times"),
        ("?match[]=x%3Dy", 422, "2 series match, the limit is 1"),
    ] {
        let answer = get(&world.router, &format!("{PATH}{query}")).await;
        assert_eq!(answer.status.as_u16(), status, "{query}: {}", answer.text());
        assert!(answer.text().contains(says), "{query}: {}", answer.text());
    }
    assert_eq!(get(&world.router, &format!("{PATH}?match[]=__name__%3Da")).await.status, 200);
}
