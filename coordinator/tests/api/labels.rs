//! Labels, their values, and series.

use http::StatusCode;
use serde_json::json;

use crate::client::{get, post_form, post_write};
use crate::fakes::World;
use crate::messages::{body, request, series};

async fn world() -> World {
    let world = World::new();
    let bytes = body(&request(vec![
        series(&[("__name__", "up"), ("job", "a"), ("http.status", "200")], &[(1000, 1.0)]),
        series(&[("__name__", "up"), ("job", "b")], &[(5000, 1.0)]),
        series(&[("__name__", "down"), ("job", "c")], &[(9000, 1.0)]),
    ]));
    assert_eq!(post_write(&world.router, "/api/v1/write", bytes).await.status, 204);
    world
}

fn success(data: serde_json::Value) -> serde_json::Value {
    json!({ "status": "success", "data": data })
}

#[tokio::test]
async fn names_values_and_series_are_listed() {
    let world = world().await;
    for (path, wanted) in [
        ("labels", json!(["__name__", "http.status", "job"])),
        ("labels?match[]=job=b", json!(["__name__", "job"])),
        ("labels?end=0.5", json!([])),
        ("label/job/values", json!(["a", "b", "c"])),
        ("label/job/values?match[]=job=b&match[]=job=c", json!(["b", "c"])),
        ("label/job/values?start=5&end=1970-01-01T00:00:05Z", json!(["b"])),
        ("label/U__http_2e_status/values", json!(["200"])),
        ("label/absent/values", json!([])),
        ("series?match[]=__name__=up&start=2", json!([{ "__name__": "up", "job": "b" }])),
    ] {
        let answer = get(&world.router, &format!("/api/v1/{path}")).await;
        assert_eq!(answer.json(), success(wanted), "{path}");
    }
    let form = "match[]=job%3Da&match%5B%5D=job%3Dc";
    let answer = post_form(&world.router, "/api/v1/series", form).await;
    let wanted = json!([
        { "__name__": "down", "job": "c" },
        { "__name__": "up", "job": "a", "http.status": "200" },
    ]);
    assert_eq!(answer.json(), success(wanted));
    let answer = post_form(&world.router, "/api/v1/labels", "match[]=job=c").await;
    assert_eq!(answer.json(), success(json!(["__name__", "job"])));
}

#[tokio::test]
async fn series_are_counted_in_the_shape_of_prometheus() {
    let world = World::new();
    let answer = get(&world.router, "/api/v1/status/tsdb?limit=1").await;
    let wanted = json!({
        "headStats": {
            "numSeries": 3, "numLabelPairs": 5, "chunkCount": 4,
            "minTime": 0, "maxTime": 7_199_999,
        },
        "seriesCountByMetricName": [{ "name": "up", "value": 2 }],
        "labelValueCountByLabelName": [{ "name": "job", "value": 3 }],
        "memoryInBytesByLabelName": [{ "name": "job", "value": 30 }],
        "seriesCountByLabelValuePair": [{ "name": "job=a", "value": 2 }],
        "blocks": [{ "minTime": 0, "maxTime": 7_200_000, "numSeries": 3 }],
    });
    assert_eq!(answer.json(), success(wanted));
    for (limit, error) in [
        ("0", "limit must be a positive number"),
        ("-1", "limit must be a positive number"),
        ("x", "limit must be a positive number"),
        ("10001", "limit must not exceed 10000"),
    ] {
        let answer = get(&world.router, &format!("/api/v1/status/tsdb?limit={limit}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{limit}");
        let wanted = json!({ "status": "error", "errorType": "bad_data", "error": error });
        assert_eq!(answer.json(), wanted, "{limit}");
    }
}

#[tokio::test]
async fn a_cut_list_carries_a_warning() {
    let world = world().await;
    for (path, wanted) in [
        ("labels?limit=1", json!(["__name__"])),
        ("label/job/values?limit=2", json!(["a", "b"])),
        ("series?match[]=__name__=up&limit=1", json!([{ "__name__": "up", "job": "b" }])),
    ] {
        let answer = get(&world.router, &format!("/api/v1/{path}")).await.json();
        assert_eq!(answer["data"].as_array().map(Vec::len), wanted.as_array().map(Vec::len));
        assert_eq!(answer["warnings"], json!(["results truncated due to limit"]), "{path}");
    }
    let answer = get(&world.router, "/api/v1/labels?limit=3").await.json();
    assert_eq!(answer.get("warnings"), None);
}

#[tokio::test]
async fn bad_requests_are_named() {
    let world = world().await;
    for (path, status, error_type, error) in [
        ("series", 400, "bad_data", "no match[] parameter provided"),
        (
            "series?match[]=%7B%7D",
            400,
            "bad_data",
            "invalid parameter \"match[]\": match[] must contain at least one non-empty matcher",
        ),
        ("labels?match[]=nonsense", 400, "bad_data", "parse error: no selector"),
        (
            "labels?start=x",
            400,
            "bad_data",
            "invalid parameter \"start\": invalid time value for 'start': cannot parse \"x\" to a \
             valid timestamp",
        ),
        ("label/broken/values", 500, "internal", "index is damaged"),
    ] {
        let answer = get(&world.router, &format!("/api/v1/{path}")).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        let wanted = json!({ "status": "error", "errorType": error_type, "error": error });
        assert_eq!(answer.json(), wanted, "{path}");
    }
    let answer = post_form(&world.router, "/api/v1/label/job/values", "").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
}
