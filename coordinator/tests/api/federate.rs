//! Federation: what is answered, in which order and with which names.

use axum::body::Body;
use http::{Request, StatusCode};
use m3rs_core::model::STALE_NAN;

use crate::client::{Answer, get, post_write, send};
use crate::fakes::{NOW_MS, World};
use crate::generated::BucketSpan;
use crate::generated::histogram::Count;
use crate::messages::{Histogram, body, request, series};

async fn world() -> World {
    let world = World::new();
    let old = NOW_MS - 300_001;
    let custom = |reset_hint| Histogram {
        timestamp: NOW_MS - 1,
        count: Some(Count::CountInt(6)),
        sum: 2.5,
        schema: -53,
        positive_spans: vec![
            BucketSpan { offset: 0, length: 1 },
            BucketSpan { offset: 1, length: 1 },
        ],
        positive_deltas: vec![2, 2],
        custom_values: vec![0.5, 1.0],
        reset_hint,
        ..Histogram::default()
    };
    let mut nhcb = series(&[("__name__", "h"), ("x", "1")], &[]);
    nhcb.histograms = vec![custom(0)];
    let mut gauge = series(&[("__name__", "h"), ("x", "2")], &[]);
    gauge.histograms = vec![custom(3)];
    let mut native = series(&[("__name__", "native")], &[]);
    native.histograms = vec![Histogram { timestamp: NOW_MS, ..Histogram::default() }];
    let bytes = body(&request(vec![
        series(
            &[("__name__", "z"), ("job", "a")],
            &[(NOW_MS - 9000, 1.0), (NOW_MS - 300_000, 9.0)],
        ),
        series(&[("__name__", "a"), ("job", "a"), ("instance", "i:1")], &[(NOW_MS, 123_456_789.0)]),
        series(&[("__name__", "a"), ("job", "a"), ("q", "\"\n\\")], &[(NOW_MS - 300_000, -0.0)]),
        series(&[("__name__", "a"), ("job", "a"), ("over", "1")], &[(NOW_MS - 1, STALE_NAN)]),
        series(&[("__name__", "a"), ("job", "a"), ("old", "1")], &[(old, 1.0)]),
        series(&[("__name__", "a"), ("job", "a"), ("new", "1")], &[(NOW_MS + 1000, 1.0)]),
        series(&[("__name__", "http.x"), ("job", "a"), ("c.d", "e")], &[(NOW_MS, 0.25)]),
        nhcb,
        gauge,
        native,
    ]));
    assert_eq!(post_write(&world.router, "/api/v1/write", bytes).await.status, 204);
    world
}

async fn accepting(world: &World, path: &str, accept: &str) -> Answer {
    let request = Request::get(path).header("accept", accept).body(Body::empty());
    send(&world.router, request.expect("valid")).await
}

#[tokio::test]
async fn last_samples_are_answered_by_name() {
    let world = world().await;
    let path = "/federate?match[]=job%3Da&match[]=__name__%3Da&match[]=__name__%3Dh\
                &match[]=__name__%3Dnative";
    let answer = get(&world.router, path).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(
        answer.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
    );
    let (now, before, five) = (NOW_MS, NOW_MS - 1, NOW_MS - 300_000);
    let histogram = |x: u8| {
        format!(
            "# TYPE h histogram\n\
             h_bucket{{x=\"{x}\",instance=\"\",le=\"0.5\"}} 2 {before}\n\
             h_bucket{{x=\"{x}\",instance=\"\",le=\"1\"}} 2 {before}\n\
             h_bucket{{x=\"{x}\",instance=\"\",le=\"+Inf\"}} 6 {before}\n\
             h_sum{{x=\"{x}\",instance=\"\"}} 2.5 {before}\n\
             h_count{{x=\"{x}\",instance=\"\"}} 6 {before}\n"
        )
    };
    let wanted = format!(
        "# TYPE a untyped\n\
         a{{instance=\"i:1\",job=\"a\"}} 1.23456789e+08 {now}\n\
         a{{job=\"a\",q=\"\\\"\\n\\\\\",instance=\"\"}} 0 {five}\n\
         {}{}\
         # TYPE http_x untyped\n\
         http_x{{c_d=\"e\",job=\"a\",instance=\"\"}} 0.25 {now}\n\
         # TYPE z untyped\n\
         z{{job=\"a\",instance=\"\"}} 1 {}\n",
        histogram(1),
        histogram(2),
        NOW_MS - 9000,
    );
    assert_eq!(answer.text(), wanted);
}

#[tokio::test]
async fn names_are_escaped_as_the_scraper_asks() {
    let world = world().await;
    let path = "/federate?match[]=__name__%3Dhttp.x";
    let t = NOW_MS;
    for (scheme, name, label) in [
        ("allow-utf-8", "\"http.x\"", "\"c.d\""),
        ("underscores", "http_x", "c_d"),
        ("dots", "http_dot_x", "c_dot_d"),
        ("values", "U__http_2e_x", "U__c_2e_d"),
    ] {
        let accept = format!("text/plain;version=0.0.4;escaping={scheme},*/*;q=0.1");
        let answer = accepting(&world, path, &accept).await;
        let wanted = format!("text/plain; version=0.0.4; charset=utf-8; escaping={scheme}");
        assert_eq!(answer.header("content-type"), wanted);
        let sample = match scheme {
            "allow-utf-8" => format!("{{{name},{label}=\"e\",job=\"a\",instance=\"\"}} 0.25 {t}"),
            _ => format!("{name}{{{label}=\"e\",job=\"a\",instance=\"\"}} 0.25 {t}"),
        };
        assert_eq!(answer.text(), format!("# TYPE {name} untyped\n{sample}\n"));
    }
}

#[tokio::test]
async fn wrong_federations_are_named_in_plain_text() {
    let world = world().await;
    let answer = get(&world.router, "/federate").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, ""), "nothing asked for");
    let answer = get(&world.router, "/federate?match[]=nope").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (400, "parse error: no selector\n"));
    assert!(answer.header("content-type").starts_with("text/plain"));
    world.control.ready.store(false, std::sync::atomic::Ordering::Relaxed);
    let answer = get(&world.router, "/federate?match[]=job%3Da").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}
