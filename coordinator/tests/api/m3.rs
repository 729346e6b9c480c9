//! Routes of M3's coordinator beside Prometheus's API.

use axum::body::Body;
use http::{Request, StatusCode};
use m3rs_coordinator::write::StoreError;

use crate::client::{Answer, get, send};
use crate::fakes::{NOW_MS, World};

async fn post(world: &World, path: &str, body: impl Into<Body>) -> Answer {
    // What curl sends with `-d`.
    let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    send(&world.router, request.body(body.into()).expect("valid")).await
}

const WRITE: &str = "/api/v1/json/write";

#[tokio::test]
async fn one_sample_is_written_as_json() {
    let world = World::new();
    let now_s = NOW_MS / 1000;
    let body = format!(
        "{{\n \"tags\":\n {{\"__name__\":\"third_avenue\",\"city\":\"new_york\"}},\n \
         \"timestamp\": \"{now_s}\",\n \"value\": 3347.26\n}}"
    );
    let answer = post(&world, WRITE, body).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, ""));
    let body = r#"{"tags":{"city":"new_york","__name__":"third_avenue"},"timestamp":"2.5"}"#;
    assert_eq!(post(&world, WRITE, body).await.status, StatusCode::OK);
    let labels = [("__name__", "third_avenue"), ("city", "new_york")];
    assert_eq!(world.samples(&labels), [(now_s * 1000, 3347.26), (2500, 0.0)]);
}

#[tokio::test]
async fn json_that_is_no_sample_is_told() {
    let world = World::new();
    for (body, error) in [
        ("", "EOF"),
        ("{bad", "invalid character 'b' looking for beginning of object key string"),
        ("[]", "expected Go value of type json.WriteQuery"),
        ("{}", "invalid timestamp for "),
        (r#"{"timestamp":"1","value":1}"#, "no tags"),
        (r#"{"tags":{"__name__":"e"},"timestamp":"soon"}"#, "invalid timestamp for soon"),
        (r#"{"tags":{"__name__":"e"},"timestamp":1}"#, "cannot unmarshal number into Go struct"),
        (
            r#"{"tags":{"__name__":"e"},"timestamp":"1","value":"2"}"#,
            "cannot unmarshal string into Go struct field WriteQuery.value of type float64",
        ),
        (r#"{"tags":{"__name__":"e"},"timestamp":"1","value":NaN}"#, "invalid character 'N'"),
        (r#"{"tags":{"__name__":"e"},"timestamp":"9e999","value":1}"#, "invalid timestamp"),
        (r#"{"tags":{"a":"b"},"timestamp":"1","value":1}"#, "the label __name__ is missing"),
        (r#"{"tags":{"__name__":"e","":"x"},"timestamp":"1","value":1}"#, "empty label name"),
    ] {
        let answer = post(&world, WRITE, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        let json = answer.json();
        assert_eq!(json["status"], "error");
        let told = json["error"].as_str().expect("a text");
        assert!(told.contains(error), "{body}: {told}");
    }
    let deep = format!("{{\"zz\":{}", "[".repeat(100_000));
    assert_eq!(post(&world, WRITE, deep).await.status, StatusCode::BAD_REQUEST);
    let long = format!(
        r#"{{"tags":{{"__name__":"e","long":"{}"}},"timestamp":"1","value":1}}"#,
        "x".repeat(10_000_000)
    );
    let answer = post(&world, WRITE, long).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text().contains("ingest.label_set_bytes_max"), "{}", answer.text());
    assert!(world.samples(&[("__name__", "e")]).is_empty());
    *world.store.fail_commit.lock() = Some(StoreError::unavailable("no luck"));
    let good = r#"{"tags":{"__name__":"e"},"timestamp":"1","value":1}"#;
    let answer = post(&world, WRITE, good).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
}

#[tokio::test]
async fn search_refuses_what_it_cannot_read() {
    let world = World::new();
    for path in [
        "/api/v1/search",
        "/api/v1/search?query=job",
        "/api/v1/search?query=job:.*&result=all",
        "/api/v1/search?query=job:.*&start=soon",
        "/api/v1/parse",
        "/api/v1/parse?query=a(",
        "/api/v1/threshold?query=%3E",
    ] {
        let answer = get(&world.router, path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(answer.json()["errorType"], "bad_data", "{path}");
    }
    for (body, error) in [
        ("", "unexpected end of JSON input"),
        ("{bad", "invalid character 'b' looking for beginning of object key string"),
        (r#"{"start":"soon"}"#, "soon"),
        (r#"{"matchers":[{"type":9}]}"#, "there is no type 9"),
        (r#"{"matchers":[{"type":0,"name":"!"}]}"#, "is no text in base64"),
    ] {
        let answer = post(&world, "/search", body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        let told = answer.json()["error"].as_str().expect("a text").to_owned();
        assert!(told.contains(error), "{body}: {told}");
    }
}
