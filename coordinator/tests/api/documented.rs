//! Every route is shown with a request and its answer, and each request of the pages is answered
//! as it stands there.
//!
//! The requests of a page are sent in order to an empty database, so a page writes what it reads.

#[path = "documented/bodies.rs"]
mod bodies;
#[path = "documented/page.rs"]
pub(crate) mod page;
#[path = "documented/shape.rs"]
mod shape;
#[path = "documented/world.rs"]
mod world;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;

use crate::client::{Answer, get, send};
use crate::running::is_pending;
use page::Example;

/// The status of a query that a later request of its page cancels.
const CANCELED: u16 = 499;

#[tokio::test]
async fn documented_requests_are_answered_as_documented() {
    let mut wrong = Vec::new();
    for page in page::pages() {
        wrong.extend(play(&world::router(), &page).await);
    }
    assert!(wrong.is_empty(), "{} answers are others:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_route_is_shown_with_a_request_and_its_answer() {
    let examples: Vec<Example> =
        page::pages().iter().flat_map(|page| page::examples(page)).collect();
    let mut missing = Vec::new();
    for row in page::table() {
        let (page, anchor) = &row.link;
        let is_there = |example: &&Example| {
            example.page == *page && (anchor.is_empty() || example.sections.contains(anchor))
        };
        let there: Vec<&Example> = examples.iter().filter(is_there).collect();
        let is_shown = |path: &str| {
            let mut shown = there.iter().filter(|example| example.asks(path));
            shown.any(|example| row.methods.contains(&example.method))
        };
        let routes = row.paths.iter().filter(|path| !is_shown(path));
        missing.extend(routes.map(|path| format!("{path} in {page}#{anchor}")));
    }
    assert!(missing.is_empty(), "no request and answer of {missing:#?}");
}

/// Sends the requests of a page in order; gives what was not answered as documented.
async fn play(router: &Router, page: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut running = Vec::new();
    for example in page::examples(page) {
        if example.status == CANCELED {
            let mut query = Box::pin(send(router, request(&example)));
            assert!(is_pending(&mut query).await, "it waits to be cancelled");
            until_one_runs(router).await;
            running.push((example, query));
        } else {
            let answer = send(router, request(&example)).await;
            wrong.extend(differs(&example, &answer));
        }
    }
    for (example, query) in running {
        let waited = tokio::time::timeout(Duration::from_secs(20), query).await;
        let answer = waited.expect("a later request cancels it");
        wrong.extend(differs(&example, &answer));
    }
    wrong
}

async fn until_one_runs(router: &Router) {
    let runs = async {
        while get(router, "/api/v1/status/active_queries").await.json()["data"][0]["state"]
            != "running"
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), runs).await.expect("it runs soon");
}

fn request(example: &Example) -> Request<Body> {
    let mut request =
        Request::builder().method(example.method.as_str()).uri(encoded(&example.target));
    for (name, value) in &example.headers {
        request = request.header(name, value);
    }
    request.body(Body::from(bodies::bytes(&example.body))).expect("valid")
}

/// A target of a page, in which what cannot stand in one is not encoded.
fn encoded(target: &str) -> String {
    let mut out = String::new();
    for c in target.chars() {
        if c.is_ascii_graphic() && !matches!(c, '{' | '}' | '"' | '<' | '>' | '`' | '^' | '|') {
            out.push(c);
        } else {
            let bytes = c.to_string().into_bytes();
            out.extend(bytes.iter().map(|byte| format!("%{byte:02X}")));
        }
    }
    out
}

/// Where, what was asked, what is different, and the answer as a page would have it.
fn differs(example: &Example, answer: &Answer) -> Option<String> {
    let why = difference(example, answer)?;
    let Example { page, line, method, target, .. } = example;
    let shown = String::from_utf8_lossy(&answer.body);
    let (status, kind) = (answer.status.as_u16(), answer.header("content-type"));
    Some(format!("{page}:{line}: {method} {target}: {why}\n{status} {kind}\n{shown}\n"))
}

fn difference(example: &Example, answer: &Answer) -> Option<String> {
    if answer.status.as_u16() != example.status {
        return Some(format!("the status is {}", answer.status.as_u16()));
    }
    for (name, value) in &example.answer_headers {
        let got = answer.header(name);
        if got != value {
            return Some(format!("{name} is {got:?}, {value:?} is documented"));
        }
    }
    let Some((kind, documented)) = &example.answer else {
        return (!answer.body.is_empty()).then(|| "the answer has a body".to_owned());
    };
    let tells_kind =
        example.answer_headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let usual = if kind == "json" { "application/json" } else { "text/plain" };
    let got = answer.header("content-type");
    if !tells_kind && got.split(';').next() != Some(usual) {
        return Some(format!("the content type is {got:?}, which is not documented"));
    }
    match kind.as_str() {
        "json" => shape::json_differs(example, documented, answer.text()),
        _ if documented.starts_with('@') => {
            let is_same = bodies::are_equal(&answer.body, &bodies::bytes(documented));
            (!is_same).then(|| "it has other bytes".to_owned())
        }
        _ => shape::text_differs(documented, answer.text()),
    }
}

#[test]
fn what_is_different_is_noticed() {
    let page = Example { target: "/health?x=1".to_owned(), ..Example::default() };
    let json = r#"{"a":[1,{"b":null}],"uptime":"1s"}"#;
    for same in [
        r#"{"a":[1,{"b":null}],"uptime":"2s"}"#,
        "{\"uptime\":\"\",\u{2026}}",
        "{\"a\":[1,\u{2026}],\"uptime\":\"\"}",
    ] {
        assert_eq!(shape::json_differs(&page, same, json), None, "{same}");
    }
    for other in [
        r#"{"a":[1,{"b":null}],"uptime":2}"#,
        r#"{"a":[1,{"b":null}]}"#,
        r#"{"a":[1,{"b":null}],"uptime":"","c":1}"#,
        r#"{"a":[1,{"b":0}],"uptime":""}"#,
        r#"{"a":[1],"uptime":""}"#,
        "{\"a\":[2,\u{2026}],\"uptime\":\"\"}",
        "{",
    ] {
        assert!(shape::json_differs(&page, other, json).is_some(), "{other}");
    }
    let text = "a 1\nb 2\nc 3\n";
    for same in ["a 1\nb 2\nc 3", "a 1\n\u{2026}", "\u{2026}\nb 2\n\u{2026}", "a 1\n\u{2026}\nc 3"]
    {
        assert_eq!(shape::text_differs(same, text), None, "{same}");
    }
    for other in ["a 1\nb 2", "b 2\n\u{2026}", "a 1\n\u{2026}\nb 2", "a 1\nb 2\nc 4", "\u{2026}\nd"]
    {
        assert!(shape::text_differs(other, text).is_some(), "{other}");
    }
}
