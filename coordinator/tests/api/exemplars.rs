//! Exemplars by query, and trees of queries.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::StatusCode;
use m3rs_coordinator::limits::Limits;
use m3rs_coordinator::read::{ExemplarPoint, ExemplarRequest, ExemplarSource, FoundExemplars};
use m3rs_core::model::{Labels, Matcher};
use m3rs_query::source::{SourceError, TimeRange};
use m3rs_tsdb::Exemplar;
use serde_json::json;

use crate::client::{get, post_form};
use crate::fakes::{FakeStore, World};

/// Gives the exemplars that the store was written; matchers are equalities.
#[derive(Debug)]
pub(crate) struct FakeExemplars(pub(crate) Arc<FakeStore>);

impl ExemplarSource for FakeExemplars {
    fn exemplars(&self, request: &ExemplarRequest) -> Result<FoundExemplars, SourceError> {
        let written = self.0.exemplars.lock();
        let mut found = FoundExemplars::new();
        for (labels, exemplar) in &*written {
            let holds = |set: &Vec<Matcher>| {
                set.iter().all(|m| labels.get(&m.name) == Some(m.value.as_str()))
            };
            let TimeRange { start_ms, end_ms } = request.range;
            if request.matcher_sets.iter().any(holds) && (start_ms..=end_ms).contains(&exemplar.t) {
                let Exemplar { t, value, labels: own } = exemplar.clone();
                let point = ExemplarPoint { t_ms: t, value, labels: own };
                found.entry(labels.clone()).or_default().push(point);
            }
        }
        if found.len() > request.series_max {
            let (matched, limit) = (found.len(), request.series_max);
            return Err(SourceError::TooManySeries { matched, limit });
        }
        Ok(found)
    }
}

const PATH: &str = "/api/v1/query_exemplars";

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).expect("valid labels")
}

/// Two series, of which one has two exemplars.
fn put_some(world: &World) {
    let exemplar = |t, value| Exemplar { t, value, labels: labels(&[("trace_id", "<x>")]) };
    let (a, b) = (labels(&[("job", "a")]), labels(&[("job", "b"), ("le", "1")]));
    world.store.exemplars.lock().extend([
        (b.clone(), exemplar(1500, 6.0)),
        (a, exemplar(2000, f64::NAN)),
        (b, exemplar(3000, 1e-7)),
    ]);
}

#[tokio::test]
async fn exemplars_of_all_selectors_are_found_in_time() {
    let world = World::new();
    put_some(&world);
    let one =
        |value: &str, t| json!({"labels": {"trace_id": "<x>"}, "value": value, "timestamp": t});
    let a = json!({"seriesLabels": {"job": "a"}, "exemplars": [one("NaN", json!(2))]});
    let b = |list| json!({"seriesLabels": {"job": "b", "le": "1"}, "exemplars": list});
    let both = json!([one("6", json!(1.5)), one("1e-07", json!(3))]);
    for (query, wanted) in [
        ("query=job%3Db%2Bjob%3Da", json!([a, b(both.clone())])),
        ("query=job%3Db&start=1.5&end=1.6", json!([b(json!([one("6", json!(1.5))]))])),
        ("query=job%3Db&start=1970-01-01T00:00:04Z", json!([])),
        ("query=job%3Dc", json!([])),
    ] {
        let wanted = json!({"status": "success", "data": wanted});
        for path in [PATH, "/prometheus/api/v1/query_exemplars"] {
            assert_eq!(get(&world.router, &format!("{path}?{query}")).await.json(), wanted);
        }
        assert_eq!(post_form(&world.router, PATH, query).await.json(), wanted, "{query}");
    }
    let answer = get(&world.router, &format!("{PATH}?query=job%3Db&end=2")).await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(answer.text().contains("\"trace_id\":\"<x>\"},\"value\":\"6\",\"timestamp\":1.500}"));
}

#[tokio::test]
async fn bad_requests_for_exemplars_are_told_as_prometheus_does() {
    let world = World::new();
    let bad_time = |name: &str| {
        format!(
            "invalid parameter \"{name}\": invalid time value for '{name}': cannot parse \"x\" to \
             a valid timestamp"
        )
    };
    for (query, error) in [
        ("query=a%3Db&start=x".to_owned(), bad_time("start")),
        ("query=a%3Db&end=x".to_owned(), bad_time("end")),
        (
            "query=&start=5&end=4".to_owned(),
            "end timestamp must not be before start timestamp".to_owned(),
        ),
        (String::new(), "no expression found".to_owned()),
    ] {
        let answer = get(&world.router, &format!("{PATH}?{query}")).await;
        let wanted = json!({"status": "error", "errorType": "bad_data", "error": error});
        assert_eq!((answer.status, answer.json()), (StatusCode::BAD_REQUEST, wanted), "{query}");
    }
    let nothing = get(&world.router, &format!("{PATH}?query=1")).await;
    assert_eq!((nothing.status, nothing.text()), (StatusCode::NO_CONTENT, ""));
    world.control.ready.store(false, Ordering::Relaxed);
    assert_eq!(get(&world.router, &format!("{PATH}?query=a%3Db")).await.status, 503);
}

#[tokio::test]
async fn selectors_of_too_many_series_are_refused() {
    let mut limits = Limits::default();
    limits.query.exemplar_series_max = 1;
    let world = World::with_limits(limits);
    put_some(&world);
    let at_limit = get(&world.router, &format!("{PATH}?query=job%3Db")).await;
    assert_eq!(at_limit.status, StatusCode::OK);
    let over = get(&world.router, &format!("{PATH}?query=job%3Db%2Bjob%3Da")).await;
    assert_eq!(over.status, StatusCode::UNPROCESSABLE_ENTITY);
    let text = "a selector of the query matches too many series; the limit is 1, set by \
                query.exemplar_series_max";
    let wanted = json!({"status": "error", "errorType": "execution", "error": text});
    assert_eq!(over.json(), wanted);
}

#[tokio::test]
async fn queries_are_shown_as_trees() {
    let world = World::new();
    let wanted = json!({"status": "success", "data": {"tree": "a b"}});
    assert_eq!(get(&world.router, "/api/v1/parse_query?query=a+b").await.json(), wanted);
    let posted = post_form(&world.router, "/prometheus/api/v1/parse_query", "query=a%20b").await;
    assert_eq!(posted.json(), wanted);
    let answer = get(&world.router, "/api/v1/parse_query").await;
    let error = "invalid parameter \"query\": no expression found";
    let wanted = json!({"status": "error", "errorType": "bad_data", "error": error});
    assert_eq!((answer.status, answer.json()), (StatusCode::BAD_REQUEST, wanted));
}
