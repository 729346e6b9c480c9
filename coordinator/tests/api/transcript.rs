//! Transcripts of M3: requests and the answers that M3 gave. `testdata/m3-http/README.md` has
//! their form.

use std::path::Path;

use axum::Router;
use axum::body::Body;
use http::Request;
use m3rs_core::fs::{DiskFs, Fs};
use m3rs_sim::clock::SimClock;
use serde_json::{Map, Value, json};

use crate::client::{Answer, send};

/// The time that transcripts call T, in seconds: the start of a minute.
const T: i64 = 1_795_215_960;

const NS_PER_S: i64 = 1_000_000_000;

/// When the first request is sent.
pub(crate) const START_NS: i64 = (T + 61) * NS_PER_S;

/// How much later each next one is.
const STEP_NS: i64 = 10_000_000;

/// A request and M3's answer.
pub(crate) struct Record {
    pub(crate) name: String,
    fields: Map<String, Value>,
}

/// The records of a file.
pub(crate) fn records(file: &str) -> Vec<Record> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/m3-http").join(file);
    let text = String::from_utf8(DiskFs.read(&path).expect("the transcript")).expect("UTF-8");
    let record = |line: &str| {
        let fields: Map<String, Value> = serde_json::from_str(line).expect("a record");
        let name = fields["name"].as_str().expect("a name");
        let name = name.split_once('/').map_or(name, |(_, name)| name).to_owned();
        Record { name, fields }
    };
    text.lines().map(record).collect()
}

impl Record {
    pub(crate) fn path(&self) -> &str {
        self.fields["path"].as_str().expect("a path")
    }

    /// Sends the request; says how the answer differs from M3's.
    pub(crate) async fn replay(&self, router: &Router, clock: &SimClock) -> Option<String> {
        match self.fields.get("until").and_then(Value::as_i64) {
            Some(until) => clock.pass_to((T + until) * NS_PER_S),
            None => clock.pass(STEP_NS),
        }
        let answer = send(router, self.request()).await;
        let why = self.difference(&answer)?;
        Some(format!("{}: {why}\n  got {} {}", self.name, answer.status, answer.text()))
    }

    fn request(&self) -> Request<Body> {
        let pairs = self.fields.get("query").and_then(Value::as_array);
        let pairs = pairs.into_iter().flatten().map(|pair| {
            format!("{}={}", pair[0].as_str().expect("a name"), pair[1].as_str().expect("a value"))
        });
        let target = format!("{}?{}", self.path(), pairs.collect::<Vec<_>>().join("&"));
        let mut request =
            Request::builder().method(self.fields["method"].as_str().expect("one")).uri(target);
        let headers = self.fields.get("headers").and_then(Value::as_object);
        for (name, value) in headers.into_iter().flatten() {
            request = request.header(name, value.as_str().expect("a value"));
        }
        let body = self.fields.get("body").and_then(Value::as_str).unwrap_or_default();
        request.body(Body::from(body.to_owned())).expect("valid")
    }

    fn difference(&self, answer: &Answer) -> Option<String> {
        let status = self.fields["status"].as_u64().expect("a status");
        if u64::from(answer.status.as_u16()) != status {
            return Some(format!("status {status} was expected"));
        }
        let kind = &self.fields["response_headers"]["Content-Type"];
        if *kind != Value::Null && answer.header("content-type") != kind.as_str().expect("text") {
            return Some(format!("content type {kind} was expected"));
        }
        if self.fields["response_encoding"] != "json" {
            return None;
        }
        let expected = whole(&self.fields["response_body"]);
        self.differs(&expected, &answer.json(), "")
    }

    fn differs(&self, expected: &Value, got: &Value, at: &str) -> Option<String> {
        if self.is_volatile(at) {
            return None;
        }
        match (expected, got) {
            (Value::Object(expected), Value::Object(got)) => {
                let mut names = expected.keys().chain(got.keys());
                names.find_map(|name| {
                    let at = format!("{at}/{name}");
                    match (expected.get(name), got.get(name)) {
                        (Some(expected), Some(got)) => self.differs(expected, got, &at),
                        (expected, got) => Some(format!("{at}: {expected:?} is not {got:?}")),
                    }
                })
            }
            (Value::Array(expected), Value::Array(got)) if expected.len() == got.len() => {
                let mut pairs = expected.iter().zip(got).enumerate();
                pairs.find_map(|(i, (a, b))| self.differs(a, b, &format!("{at}/{i}")))
            }
            _ if expected == got => None,
            _ => Some(format!("{at}: expected {expected}")),
        }
    }

    fn is_volatile(&self, at: &str) -> bool {
        let pointers = self.fields.get("volatile").and_then(Value::as_array);
        pointers.into_iter().flatten().any(|pointer| {
            let pointer = pointer.as_str().expect("a pointer").split('/');
            let steps: Vec<&str> = at.split('/').collect();
            let pointer: Vec<&str> = pointer.collect();
            steps.len() == pointer.len()
                && pointer.iter().zip(&steps).all(|(a, b)| *a == "*" || a == b)
        })
    }
}

/// A recorded value with its times, and with each shard by itself.
fn whole(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(timed(text)),
        Value::Array(items) => Value::Array(items.iter().flat_map(each_shard).collect()),
        Value::Object(object) => {
            object.iter().map(|(name, value)| (name.clone(), whole(value))).collect()
        }
        other => other.clone(),
    }
}

fn each_shard(item: &Value) -> Vec<Value> {
    let Some(ids) = item.get("ids").and_then(Value::as_str) else { return vec![whole(item)] };
    let (first, last) = ids.split_once('-').unwrap_or((ids, ids));
    let (first, last): (u32, u32) = (first.parse().expect("one"), last.parse().expect("one"));
    let shard = |id: u32| {
        let mut shard = whole(item);
        let fields = shard.as_object_mut().expect("it has ids");
        fields.remove("ids");
        fields.insert("id".to_owned(), json!(id));
        shard
    };
    (first..=last).map(shard).collect()
}

/// A text with the times that its placeholders stand for.
fn timed(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${T") {
        let (placeholder, after) = after.split_once('}').expect("it ends");
        let sign = placeholder.find(['+', '-']).unwrap_or(placeholder.len());
        let (unit, offset) = placeholder.split_at(sign);
        let offset: i64 = if offset.is_empty() { 0 } else { offset.parse().expect("an offset") };
        let seconds = T + offset;
        out.push_str(before);
        out.push_str(&match unit {
            "" => seconds.to_string(),
            "ns" => (seconds * NS_PER_S).to_string(),
            "go" => {
                let time = jiff::Timestamp::from_second(seconds).expect("in range");
                time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()
            }
            other => panic!("no placeholder of an admin answer: {other}"),
        });
        rest = after;
    }
    out + rest
}
