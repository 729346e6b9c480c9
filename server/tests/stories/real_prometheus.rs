//! A real Prometheus scrapes itself and m3rs and writes to m3rs; then both are asked the same.
//!
//! Prometheus is right by definition.

mod compare;
mod exemplars;
pub(crate) mod program;
mod queries;
mod requests;

use std::time::Duration;

use serde_json::Value;

use crate::deadline::{now_ms, wait_for};
use crate::http_client::{Answer, Client};
use crate::query_url::{instant, range, target};
use crate::real_prometheus::compare::differences;
use crate::real_prometheus::program::{Prometheus, program};
use crate::real_prometheus::queries::{QUERIES, SELECTORS, WRONG_QUERIES};
use crate::remote_write::{HEADERS, PATH};
use crate::server::Server;

/// Scrapes of each target before the comparison.
const SCRAPES: f64 = 45.0;

/// How long all scrapes may take.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(90);

/// How long it may take until all targets are stale and all is sent.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);

/// Length of range queries; all of it lies in the time of the scrapes.
const RANGE_MS: i64 = 12_000;

#[test]
fn both_answer_alike() {
    let Some(program) = program() else {
        println!("SKIP: M3RS_PROMETHEUS does not name a Prometheus: no comparison with one");
        return;
    };
    let home = tempfile::tempdir().expect("a directory");
    let m3rs = Server::start(home.path());
    let prometheus = Prometheus::start(&program, &home.path().join("prometheus"), m3rs.address());
    prometheus.scrape();
    let end = wait_for_scrapes(&prometheus, &m3rs);
    prometheus.scrape_nothing();
    wait_until_drained(&prometheus);

    let mut both = Both {
        prometheus: prometheus.client(),
        m3rs: m3rs.client(),
        compared: 0,
        notes: 0,
        wrong: Vec::new(),
    };
    both.raw_samples();
    both.queries(end);
    both.refusals(end);
    both.requests(end);
    both.counts(end);
    both.exemplars(end);
    both.labels_and_series();
    // The same out of files, and once more out of files after a start.
    assert_eq!(both.m3rs.post("/api/v1/admin/tsdb/flush", &[], b"").status, 200);
    both.raw_samples();
    m3rs.terminate();
    let m3rs = Server::start(home.path());
    both.m3rs = m3rs.client();
    both.raw_samples();
    both.labels_and_series();
    let Both { compared, notes, wrong, .. } = both;
    println!("compared {compared} answers with Prometheus, and {notes} notes in them");
    assert!(notes > 0, "no answer came with a warning or an info");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Returns the time at which both targets had been scraped often enough.
fn wait_for_scrapes(prometheus: &Prometheus, m3rs: &Server) -> i64 {
    let (mut prometheus, mut m3rs) = (prometheus.client(), m3rs.client());
    wait_for("enough scrapes", SCRAPE_TIMEOUT, || {
        let now = now_ms();
        // Asked of m3rs too, so that its own metrics move.
        assert_eq!(m3rs.get(&instant("sum by (job) (up)", now)).status, 200);
        let least =
            prometheus.get(&instant("min(count_over_time(up[3m])) * (count(up) == bool 2)", now));
        let least = least.data();
        let enough = least["result"][0]["value"][1].as_str()?.parse::<f64>().ok()? >= SCRAPES;
        enough.then_some(now)
    })
}

/// Waits until everything is stale in Prometheus, and every sample that it took is sent.
fn wait_until_drained(prometheus: &Prometheus) {
    let mut client = prometheus.client();
    wait_for("staleness of all series", DRAIN_TIMEOUT, || {
        let data =
            client.get(&target("/api/v1/query", &[("query", "count({__name__=~\".+\"})")])).data();
        data["result"].as_array().expect("a vector").is_empty().then_some(())
    });
    let metric = |name: &str| prometheus.own_metric(&format!("prometheus_remote_storage_{name}"));
    wait_for("the queue of remote write", DRAIN_TIMEOUT, || {
        let all_sent = metric("samples_in_total") == metric("samples_total");
        let same_time = metric("queue_highest_timestamp_seconds")
            == metric("queue_highest_sent_timestamp_seconds");
        (all_sent && same_time && metric("samples_pending") == 0.0).then_some(())
    });
    for name in ["samples_failed_total", "samples_dropped_total", "samples_retried_total"] {
        assert_eq!(metric(name), 0.0, "{name}");
    }
    assert!(metric("samples_total") > 10_000.0);
}

/// Both servers, and what was found.
struct Both {
    prometheus: Client,
    m3rs: Client,
    compared: usize,
    /// Warnings and infos that came with answers.
    notes: usize,
    wrong: Vec<String>,
}

impl Both {
    fn ask(&mut self, target: &str) -> (Answer, Answer) {
        self.compared += 1;
        (self.prometheus.get(target), self.m3rs.get(target))
    }

    /// Every sample of every series.
    fn raw_samples(&mut self) {
        let (expected, got) = self.ask(&instant("{__name__=~\".+\"}[10m]", now_ms()));
        let (expected, got) = (expected.data(), got.data());
        let points = |data: &Value| -> usize {
            let series = data["result"].as_array().expect("series");
            series.iter().map(|s| s["values"].as_array().map_or(0, Vec::len)).sum()
        };
        println!("{} samples in {} series", points(&expected), series_count(&expected));
        assert!(points(&expected) > 10_000, "too little to compare");
        self.compare_data("all samples", &expected, &got);
        // Bit for bit, as nothing is calculated.
        if expected != got {
            self.wrong.push("all samples: not the same to the letter".to_owned());
        }
    }

    fn queries(&mut self, end: i64) {
        let start = end - RANGE_MS;
        let whole_second = end / 1000 * 1000;
        for query in QUERIES {
            let query = query.replace("$T", &(whole_second / 1000).to_string());
            let mut targets = vec![
                instant(&query, whole_second),
                instant(&query, end - 1111),
                instant(&query, end + 1_000_000_000),
            ];
            if !query.starts_with('"') {
                targets.push(range(&query, start, end, 500));
                targets.push(range(&query, start + 123, end - 777, 1333));
            }
            let mut found = 0;
            for target in targets {
                let (expected, got) = self.ask(&target);
                self.compare_answers(&format!("{query} ({target})"), &expected, &got);
                found += series_count(&expected.json()["data"]);
            }
            // An answer of nothing proves nothing; some queries are about just that.
            let none = [
                "absent(up)",
                "scalar(up)",
                "job=\"none\"",
                "\"text\"",
                "0 / 0",
                "1 / 0",
                "atan2(",
            ];
            let may_be_empty = none.iter().any(|n| query.contains(n));
            if found == 0 && !may_be_empty {
                self.wrong.push(format!("{query} finds nothing, which proves nothing"));
            }
        }
    }

    fn refusals(&mut self, end: i64) {
        for query in WRONG_QUERIES {
            let (expected, got) = self.ask(&instant(query, end));
            assert_ne!(expected.status, 200, "{query} is not wrong");
            self.compare_errors(query, &expected, &got);
        }
    }

    fn requests(&mut self, end: i64) {
        self.compare_to_the_letter(&requests::targets(end / 1000));
    }

    /// How many samples each evaluation time looks at.
    fn counts(&mut self, end: i64) {
        for query in QUERIES {
            let query = query.replace("$T", &(end / 1000).to_string());
            let mut targets = vec![instant(&query, end)];
            if !query.starts_with('"') {
                targets.push(range(&query, end - RANGE_MS, end, 1500));
            }
            for target in targets.iter().map(|target| format!("{target}&stats=all")) {
                let (expected, got) = self.ask(&target);
                let counts = |answer: &Answer| {
                    let samples = answer.json()["data"]["stats"]["samples"].clone();
                    let members = ["totalQueryableSamplesPerStep", "totalQueryableSamples"];
                    members.map(|member| samples[member].clone())
                };
                if counts(&expected) != counts(&got) {
                    let (expected, got) = (counts(&expected), counts(&got));
                    self.wrong.push(format!("{target}: counts {expected:?} against {got:?}"));
                }
            }
        }
    }

    /// Written to both: Prometheus does not pass on what it is sent.
    fn exemplars(&mut self, end: i64) {
        let body = exemplars::body(end);
        for client in [&mut self.prometheus, &mut self.m3rs] {
            let answer = client.post(PATH, HEADERS, &body);
            assert_eq!((answer.status, answer.text()), (204, ""));
        }
        let targets = exemplars::targets(end);
        let (all, _) = self.ask(&targets[0]);
        assert_eq!(all.data().as_array().map(Vec::len), Some(3), "too little to compare");
        self.compare_to_the_letter(&targets);
    }

    /// The same status and the same bytes.
    fn compare_to_the_letter(&mut self, targets: &[String]) {
        for target in targets {
            let (expected, got) = self.ask(target);
            if (expected.status, expected.text()) != (got.status, got.text()) {
                let told = |a: &Answer| format!("{} {}", a.status, a.text());
                let (expected, got) = (told(&expected), told(&got));
                self.wrong.push(format!("{target}:\n  {expected}\n  against {got}"));
            }
        }
    }

    fn labels_and_series(&mut self) {
        let mut targets = vec!["/api/v1/labels".to_owned()];
        for label in ["__name__", "job", "instance", "le", "handler", "quantile", "none"] {
            targets.push(format!("/api/v1/label/{label}/values"));
        }
        for selector in SELECTORS {
            for path in ["/api/v1/labels", "/api/v1/label/__name__/values", "/api/v1/series"] {
                targets.push(target(path, &[("match[]", selector)]));
            }
        }
        targets
            .push(target("/api/v1/series", &[("match[]", "up"), ("match[]", "process_open_fds")]));
        for target in targets {
            let (expected, got) = self.ask(&target);
            let (mut expected, mut got) = (expected.data(), got.data());
            if target.contains("/series") {
                sort_series(&mut expected);
                sort_series(&mut got);
            }
            let empty = expected.as_array().is_none_or(Vec::is_empty);
            assert!(!empty || target.contains("none"), "{target} finds nothing");
            if expected != got {
                self.wrong.push(format!("{target}:\n  expected {expected}\n  got {got}"));
            }
        }
    }

    fn compare_answers(&mut self, what: &str, expected: &Answer, got: &Answer) {
        if expected.status != 200 || got.status != 200 {
            self.compare_errors(what, expected, got);
            return;
        }
        let (expected, got) = (expected.json(), got.json());
        self.compare_data(what, &expected["data"], &got["data"]);
        for notes in ["warnings", "infos"] {
            let (expected, got) = (sorted(&expected[notes]), sorted(&got[notes]));
            self.notes += expected.len();
            if expected != got {
                self.wrong.push(format!("{what}:\n  {notes} {expected:?} against {got:?}"));
            }
        }
    }

    fn compare_data(&mut self, what: &str, expected: &Value, got: &Value) {
        let ordered = ["sort", "topk("].iter().any(|start| what.starts_with(start));
        for difference in differences(expected, got, ordered) {
            self.wrong.push(format!("{what}:\n  {difference}"));
        }
    }

    fn compare_errors(&mut self, what: &str, expected: &Answer, got: &Answer) {
        let same = expected.status == got.status
            && ["status", "errorType", "error"]
                .iter()
                .all(|field| expected.json()[field] == got.json()[field]);
        if !same {
            let told = |a: &Answer| format!("{} {}", a.status, a.text());
            self.wrong.push(format!("{what}:\n  {}\n  against {}", told(expected), told(got)));
        }
    }
}

fn series_count(data: &Value) -> usize {
    data["result"].as_array().map_or(0, Vec::len)
}

fn sorted(notes: &Value) -> Vec<String> {
    let mut notes: Vec<String> =
        notes.as_array().into_iter().flatten().map(ToString::to_string).collect();
    notes.sort();
    notes
}

/// The order of series is free.
fn sort_series(data: &mut Value) {
    if let Some(series) = data.as_array_mut() {
        series.sort_by_cached_key(ToString::to_string);
    }
}
