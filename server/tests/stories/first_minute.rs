//! What a user meets in the first minute: the banner, the probes, the metrics, a first series.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use m3rs_core::fs::{DiskFs, Fs};
use prost::Message;
use serde_json::{Value, json};

use crate::answer::series;
use crate::deadline::now_ms;
use crate::http_client::{Answer, Client};
use crate::query_url::{form, instant, target};
use crate::remote_write::{self, MetricMetadata, WriteRequest, compress};
use crate::server::Server;

#[test]
fn the_banner_and_the_probes_tell_what_to_do_next() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path());
    let base = format!("http://{}", server.address());
    for line in [
        "m3rs 0.1.0 is ready.".to_owned(),
        format!("  API      {base}  (listens on {})", server.address()),
        format!("  metrics  {base}/metrics"),
        format!("  data     {}, kept for 30d", home.path().join("data").display()),
        format!("    - url: {base}/api/v1/write"),
        format!("In Grafana: a data source of type Prometheus with the URL {base}"),
    ] {
        assert!(server.banner().lines().any(|l| l == line), "{line} in\n{}", server.banner());
    }

    let mut client = server.client();
    assert_eq!(client.get("/-/ready").text(), "m3rs is Ready.\n");
    assert_eq!(client.get("/-/healthy").text(), "m3rs is Healthy.\n");
    let health = client.get("/health").json();
    assert!(health["uptime"].as_str().is_some_and(|u| u.ends_with('s')), "{health}");
    assert!(health["now"].as_str().is_some_and(|n| n.ends_with('Z')), "{health}");
    let ready = client.get("/ready");
    assert_eq!((ready.status, ready.header("content-type")), (200, "application/json"));
    let ready = ready.json();
    assert_eq!((&ready["ready"], &ready["stage"]), (&json!(true), &json!("ready")));
    assert_eq!((&ready["progress"], &ready["series"]), (&json!(1.0), &json!(0)));
    assert_eq!((&ready["log_failure"], &ready["damage_at_start"]), (&Value::Null, &json!(0)));

    let build = client.get("/api/v1/status/buildinfo").data();
    assert_eq!((&build["application"], &build["version"]), (&json!("m3rs"), &json!("3.14.0")));
    server.terminate();
}

#[test]
fn metrics_are_in_the_formats_that_scrapers_read() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path());
    let mut client = server.client();
    assert_eq!(client.get("/no/such/route").status, 404);
    let text = client.get("/metrics");
    assert_eq!(text.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let families = parse_text_format(text.text());
    assert_eq!(families.get("m3rs_write_samples_total").map(String::as_str), Some("counter"));
    assert_eq!(families.get("m3rs_query_duration_seconds").map(String::as_str), Some("histogram"));
    assert_eq!(families.get("process_open_fds").map(String::as_str), Some("gauge"));

    let posted = client.post("/metrics", &[], b"");
    assert_eq!(posted.status, 200);
    let posted = parse_text_format(posted.text());
    assert!(families.keys().all(|family| posted.contains_key(family)), "{posted:?}");

    let openmetrics =
        [("Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")];
    let answer = client.send("GET", "/metrics", &openmetrics, b"").expect("an answer");
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.header("content-type"), media_type);
    assert!(answer.text().ends_with("# EOF\n"), "{}", answer.text());

    let gzip = [("Accept-Encoding", "gzip")];
    let answer = client.send("GET", "/metrics", &gzip, b"").expect("an answer");
    assert_eq!(answer.header("content-encoding"), "gzip");
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&answer.body[..])
        .read_to_string(&mut unpacked)
        .expect("gzip of text");
    assert!(unpacked.len() > answer.body.len());
    parse_text_format(&unpacked);
}

/// Checks every line; returns families with their types. A sample must follow its family's type.
fn parse_text_format(text: &str) -> BTreeMap<String, String> {
    let mut families: BTreeMap<String, String> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut family = (String::new(), String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(rest.split_once(' ').is_some_and(|(_, help)| !help.is_empty()), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            assert!(["counter", "gauge", "histogram", "untyped"].contains(&kind), "{line}");
            family = (name.to_owned(), kind.to_owned());
            let before = families.insert(name.to_owned(), kind.to_owned());
            assert!(before.is_none(), "a second {line}");
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(seen.insert(series.to_owned()), "a second {line}");
            let name = series.split('{').next().expect("a name");
            let suffix = name.strip_prefix(family.0.as_str()).unwrap_or_else(|| panic!("{line}"));
            let suffixes: &[&str] =
                if family.1 == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.contains(&suffix), "{line} in family {}", family.0);
        }
    }
    assert!(text.ends_with('\n') && families.len() > 20, "{text}");
    families
}

#[test]
fn a_first_series_is_written_found_and_flushed() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path());
    let mut client = server.client();
    let now = now_ms();
    write_first_series(&mut client, now);
    look_for_first_series(&mut client, now);
    let metadata = client.get("/api/v1/metadata").data();
    let wanted = json!({"first_total": [{"type": "counter", "help": "The first.", "unit": "s"}]});
    assert_eq!(metadata, wanted);

    let flush = client.post("/api/v1/admin/tsdb/flush", &[], b"");
    let report = flush.data();
    assert!(report["volumes"].as_u64().is_some_and(|n| n > 0), "{report}");
    assert_eq!(report["seriesBlocks"], 2, "{report}");
    assert_eq!(report["segmentsRemoved"], 1, "{report}");
    let status = client.get("/ready").json();
    assert_eq!((&status["windows_open"], &status["snapshots"]), (&json!(0), &json!(0)));
    assert_eq!((&status["log_bytes"], &status["volumes"]), (&json!(0), &report["volumes"]));
    check_files(&home.path().join("data"), report["volumes"].as_u64().expect("a number"));
    look_for_first_series(&mut client, now);
    server.kill();

    let server = Server::start(home.path());
    look_for_first_series(&mut server.client(), now);
    let status = server.client().get("/ready").json();
    assert_eq!((&status["samples_written"], &status["damage_at_start"]), (&json!(0), &json!(0)));
}

/// A list of labels for a range has the series of its blocks, however late their samples came.
#[test]
fn lists_of_labels_are_those_of_their_time() {
    const DAY_MS: i64 = 24 * 3600 * 1000;
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path());
    let mut client = server.client();
    let now = now_ms();
    let write = |client: &mut Client, job: &str, t: i64| {
        let timeseries = vec![remote_write::series(
            &[("__name__", "up"), ("job", job), (job, "1")],
            &[(t, 1.0)],
        )];
        let request = WriteRequest { timeseries, metadata: Vec::new() };
        let body = compress(&request.encode_to_vec());
        assert_eq!(client.post("/api/v1/write", remote_write::HEADERS, &body).status, 204);
    };
    write(&mut client, "new", now);
    write(&mut client, "late", now - 3 * DAY_MS);
    let look = |client: &mut Client| {
        for (from, to, jobs) in [
            (now - 4 * DAY_MS, now, vec!["late", "new"]),
            (now - DAY_MS, now, vec!["new"]),
            (now - 4 * DAY_MS, now - 2 * DAY_MS, vec!["late"]),
            (now - 2 * DAY_MS, now - DAY_MS, vec![]),
        ] {
            let times = [(from / 1000).to_string(), (to / 1000).to_string()];
            let range = [("start", times[0].as_str()), ("end", &times[1])];
            let values = client.get(&target("/api/v1/label/job/values", &range)).data();
            assert_eq!(values, json!(jobs), "{from} to {to}");
            let names = client.get(&target("/api/v1/labels", &range)).data();
            let of_job = |name: &&str| jobs.contains(name);
            let fixed = (!jobs.is_empty()).then_some(["__name__", "job"]);
            let named: Vec<&str> = fixed.into_iter().flatten().collect();
            let mut wanted =
                [&named[..], &["late", "new"].into_iter().filter(of_job).collect::<Vec<_>>()]
                    .concat();
            wanted.sort_unstable();
            assert_eq!(names, json!(wanted), "{from} to {to}");
            let matched = [&range[..], &[("match[]", "up")]].concat();
            let found = client.get(&target("/api/v1/series", &matched)).data();
            assert_eq!(found.as_array().map(Vec::len), Some(jobs.len()), "{from} to {to}");
        }
        assert_eq!(client.get("/api/v1/label/job/values").data(), json!(["late", "new"]));
        let cut = client.get(&target("/api/v1/label/job/values", &[("limit", "1")])).json();
        assert_eq!(cut["warnings"], json!(["results truncated due to limit"]));
    };
    look(&mut client);
    client.post("/api/v1/admin/tsdb/flush", &[], b"").data();
    look(&mut client);
    server.kill();
    let server = Server::start(home.path());
    look(&mut server.client());
}

fn write_first_series(client: &mut Client, now: i64) {
    let request = WriteRequest {
        timeseries: vec![
            remote_write::series(&[("__name__", "first_total"), ("job", "a")], &[(now, 1.5)]),
            remote_write::series(&[("__name__", "first_total"), ("job", "b")], &[(now, -0.0)]),
        ],
        metadata: vec![MetricMetadata {
            kind: 1,
            family: "first_total".to_owned(),
            help: "The first.".to_owned(),
            unit: "s".to_owned(),
        }],
    };
    let body = compress(&request.encode_to_vec());
    // The path that the banner shows is M3's, which answers 200.
    let answer = client.post("/api/v1/prom/remote/write", remote_write::HEADERS, &body);
    assert_eq!((answer.status, answer.text()), (200, ""));
}

fn look_for_first_series(client: &mut Client, now: i64) {
    let found = series(&client.get(&instant("first_total", now)).data());
    let samples: Vec<_> = found.values().cloned().collect();
    assert_eq!(samples, [vec![(now, 1.5_f64.to_bits())], vec![(now, (-0.0_f64).to_bits())]]);
    let parameters =
        form(&[("query", "sum by (job) (first_total)"), ("time", &(now / 1000).to_string())]);
    let form_type = [("Content-Type", "application/x-www-form-urlencoded")];
    // A second before, rounded down to whole seconds, there was nothing.
    let answer = client.post("/api/v1/query", &form_type, parameters.as_bytes());
    let expected = if now % 1000 == 0 { 2 } else { 0 };
    assert_eq!(series(&answer.data()).len(), expected, "{}", answer.text());
    assert_eq!(client.get("/api/v1/labels").data(), json!(["__name__", "job"]));
    assert_eq!(client.get("/api/v1/label/job/values").data(), json!(["a", "b"]));
    let matched = client.get(&target("/api/v1/series", &[("match[]", "first_total{job=\"b\"}")]));
    assert_eq!(matched.data(), json!([{"__name__": "first_total", "job": "b"}]));
}

/// After a flush: filesets, no snapshots, and one log segment that holds no samples.
fn check_files(data: &Path, volumes: u64) {
    let files = all_files(data);
    let with = |ending: &str| -> Vec<&PathBuf> {
        files.iter().filter(|f| f.to_string_lossy().ends_with(ending)).collect()
    };
    assert_eq!(with(".fileset").len() as u64, volumes, "{files:?}");
    assert!(with(".snapshot").is_empty() && with(".tmp").is_empty(), "{files:?}");
    assert!(with(".damaged").is_empty(), "{files:?}");
    let logs = with(".log");
    assert_eq!(logs.len(), 1, "{files:?}");
    let length = DiskFs.file_len(logs[0]).expect("a length");
    assert!(length < 100, "{length} bytes in {}", logs[0].display());
}

fn all_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in DiskFs.list(dir).expect("a directory") {
        if path.is_dir() {
            files.extend(all_files(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn browsers_of_any_origin_may_ask() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path());
    let mut client = server.client();
    let origin = [("Origin", "https://grafana.example"), ("Access-Control-Request-Method", "GET")];
    let check = |answer: &Answer, status| {
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(
            answer.header("access-control-allow-methods"),
            "GET, POST, PUT, DELETE, OPTIONS"
        );
        let headers = answer.header("access-control-allow-headers");
        assert_eq!(headers, "Accept, Authorization, Content-Type, Origin");
    };
    let query = target("/api/v1/query", &[("query", "vector(1)")]);
    check(&client.send("OPTIONS", &query, &origin, b"").expect("an answer"), 204);
    check(&client.send("GET", &query, &origin, b"").expect("an answer"), 200);
    check(&client.send("GET", "/api/v1/query?query=(", &origin, b"").expect("an answer"), 400);
    check(&client.send("GET", "/nowhere", &origin, b"").expect("an answer"), 404);
}

#[test]
fn queries_are_formatted_and_prefixed_paths_work() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path());
    let mut client = server.client();
    let query = "sum(rate(x{b=\"2\",a=~'1.*'}[300s]))by(job)";
    let wanted = "sum by (job) (rate(x{a=~\"1.*\",b=\"2\"}[5m]))";
    for prefix in ["/api/v1", "/prometheus/api/v1"] {
        let answer = client.get(&target(&format!("{prefix}/format_query"), &[("query", query)]));
        assert_eq!(answer.data(), json!(wanted));
        let answer = client.get(&target(&format!("{prefix}/query"), &[("query", "1 + 1")]));
        assert_eq!(answer.data()["result"][1], "2");
    }
}
