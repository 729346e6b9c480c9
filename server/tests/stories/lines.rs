//! Lines in each format are written to the built program, found by queries, exported, and imported
//! again; they outlast the process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::deadline::now_ms;
use crate::http_client::{Answer, Client};
use crate::query_url::{instant, target};
use crate::server::Server;

fn start(home: &Path) -> (Server, Client) {
    let server = Server::start(home);
    let client = server.client();
    (server, client)
}

fn post(client: &mut Client, target: &str, body: &str) -> Answer {
    // As `curl -d` sends it.
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    client.post(target, &headers, body.as_bytes())
}

/// The labels and the value of each series of a query, sorted.
fn found(client: &mut Client, query: &str, t: i64) -> Vec<(Value, String)> {
    let mut data = client.get(&instant(query, t)).data();
    let Value::Array(result) = data["result"].take() else { panic!("{data}") };
    let mut all: Vec<(Value, String)> = result
        .into_iter()
        .map(|mut series| {
            let value = series["value"][1].as_str().expect("a text").to_owned();
            (series["metric"].take(), value)
        })
        .collect();
    all.sort_by_key(|(labels, _)| labels.to_string());
    all
}

fn export(client: &mut Client, path: &str, selector: &str, others: &[(&str, &str)]) -> String {
    let parameters: Vec<_> = [("match[]", selector)].iter().chain(others).copied().collect();
    let answer = client.get(&target(path, &parameters));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().to_owned()
}

#[test]
fn line_protocol_is_written_and_queried() {
    let home = tempfile::tempdir().expect("a directory");
    let (mut server, mut client) = start(home.path());
    let t = now_ms() / 1000 * 1000;
    assert_eq!(client.get("/ping").status, 204);
    for (precision, time) in [
        ("ns", t * 1_000_000),
        ("u", t * 1000),
        ("ms", t),
        ("s", t / 1000),
        ("m", t / 60_000),
        ("h", t / 3_600_000),
    ] {
        let body = format!("cpu,host=a,by={precision} usage=0.5,cores=4i,up=t {time}\n");
        for path in ["/write?db=main&precision=", "/api/v2/write?org=o&bucket=b&precision="] {
            let answer = post(&mut client, &format!("{path}{precision}"), &body);
            assert_eq!((answer.status, answer.text()), (204, ""), "{path}");
        }
    }
    let main = found(&mut client, "cpu_cores{db=\"main\",by!~\"m|h\"}", t);
    assert_eq!(main.len(), 4, "{main:?}");
    let wanted = json!({ "__name__": "cpu_cores", "by": "ms", "db": "main", "host": "a" });
    assert_eq!(main[0], (wanted, "4".to_owned()));
    assert_eq!(found(&mut client, "count(cpu_usage{by!=\"h\"})", t)[0].1, "10");
    let hour = found(&mut client, "cpu_up{by=\"h\",db=\"main\"}", t / 3_600_000 * 3_600_000);
    assert_eq!(hour.len(), 1);

    let m3 = "/api/v1/influxdb/write?precision=ms";
    let answer = post(&mut client, m3, &format!("my-cpu,host-name=a load.1=1.5 {t}\n"));
    assert_eq!((answer.status, answer.text()), (204, ""));
    assert_eq!(found(&mut client, "my_cpu_load_1{host_name=\"a\"}", t)[0].1, "1.5");

    let bad = post(&mut client, "/write?precision=ms", &format!("good v=1 {t}\nbad\nold v=1 1\n"));
    assert_eq!(bad.status, 400);
    let text = bad.json()["error"].as_str().expect("a text").to_owned();
    assert!(text.starts_with("partial write: line 2: unable to parse 'bad'"), "{text}");
    assert!(text.contains("old_v") && text.ends_with("dropped=2"), "{text}");
    assert_eq!(found(&mut client, "good_v", t).len(), 1);

    // What was answered is durable.
    server.signal(Signal::KILL);
    server.wait(Duration::from_secs(20));
    let (_server, mut client) = start(home.path());
    assert_eq!(found(&mut client, "count(cpu_usage{by!=\"h\"})", t)[0].1, "10");
    assert_eq!(found(&mut client, "good_v", t).len(), 1);
}

#[test]
fn exposition_formats_are_written_and_exported() {
    let home = tempfile::tempdir().expect("a directory");
    let (_server, mut client) = start(home.path());
    let t = now_ms() / 1000 * 1000;
    let path = "/api/v1/import/prometheus";
    let text =
        format!("# TYPE up gauge\nup{{job=\"a\"}} 1 {t}\n{{\"my.metric\",\"a.b\"=\"c\"}} 2 {t}\n");
    assert_eq!(post(&mut client, path, &text).status, 204);
    let push = format!("{path}/metrics/job/batch/instance/x");
    assert_eq!(post(&mut client, &push, &format!("done 7 {t}\n")).status, 200);
    let start_s = t / 1000 - 60;
    let open = format!(
        "# TYPE hits counter\n# HELP hits Requests.\n\
         hits_total{{job=\"a\"}} 5 {}.000 # {{trace_id=\"x\"}} 1.5\n\
         hits_created{{job=\"a\"}} {start_s}\n# EOF\n",
        t / 1000
    );
    let headers = [("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    assert_eq!(client.post(path, &headers, open.as_bytes()).status, 204);

    let done = found(&mut client, "done", t);
    assert_eq!(done[0].0, json!({ "__name__": "done", "instance": "x", "job": "batch" }));
    assert_eq!(found(&mut client, "{\"my.metric\"}", t)[0].1, "2");
    assert!(found(&mut client, "hits_created", t).is_empty(), "it is a start timestamp");
    let metadata = client.get("/api/v1/metadata?metric=hits").data();
    assert_eq!(metadata["hits"][0]["help"], "Requests.");
    let exemplars = client.get(&target("/api/v1/query_exemplars", &[("query", "hits_total")]));
    assert_eq!(exemplars.data()[0]["exemplars"][0]["labels"]["trace_id"], "x");

    let out = export(&mut client, "/api/v1/export/openmetrics", "{__name__=~\".+\"}", &[]);
    let mut lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.pop(), Some("# EOF"));
    lines.sort_unstable();
    let s = t / 1000;
    let wanted = [
        format!("done{{instance=\"x\",job=\"batch\"}} 7 {s}"),
        format!("hits_total{{job=\"a\"}} 5 {s}"),
        format!("up{{job=\"a\"}} 1 {s}"),
        format!("{{\"my.metric\",\"a.b\"=\"c\"}} 2 {s}"),
    ];
    assert_eq!(lines, wanted);
    // What comes out goes in again.
    assert_eq!(client.post(path, &headers, out.as_bytes()).status, 204);
}

#[test]
fn an_export_is_imported_into_another_server() {
    let homes = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let (_one, mut one) = start(homes[0].path());
    let (_two, mut two) = start(homes[1].path());
    let t = now_ms() / 1000 * 1000;
    let csv = "/api/v1/import/csv?format=1:label:city,2:metric:warmth,3:time:unix_ms";
    let mut body = String::from("city,warmth,time\n");
    for i in 0..3000 {
        let value = f64::from(i) * 0.1 - 7.0;
        body.push_str(&format!(
            "{},{value:?},{}\n",
            ["Kyiv", "Oslo"][i as usize % 2],
            t - i64::from(i) * 1000
        ));
    }
    assert_eq!(post(&mut one, csv, &body).status, 204);
    let special = format!(
        "{{\"metric\":{{\"__name__\":\"warmth\",\"city\":\"\\u00e9\\n\\\"\"}},\
         \"values\":[null,\"NaN\",\"Infinity\",\"-Infinity\",-0,5e-324],\
         \"timestamps\":[{},{},{},{},{},{t}]}}\n",
        t - 5,
        t - 4,
        t - 3,
        t - 2,
        t - 1
    );
    assert_eq!(post(&mut one, "/api/v1/import", &special).status, 204);

    let lines = export(&mut one, "/api/v1/export", "warmth", &[("max_rows_per_line", "1000")]);
    assert_eq!(lines.lines().count(), 5);
    assert_eq!(post(&mut two, "/api/v1/import", &lines).status, 204);
    let again = export(&mut two, "/api/v1/export", "warmth", &[("max_rows_per_line", "1000")]);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(&again), sorted(&lines));

    let format = "city,__value__,__timestamp__:unix_ms";
    let cells =
        export(&mut one, "/api/v1/export/csv", "warmth{city=\"Oslo\"}", &[("format", format)]);
    assert_eq!(cells.lines().count(), 1501);
    let path = "/api/v1/import/csv?format=1:label:city,2:metric:other,3:time:unix_ms";
    assert_eq!(post(&mut two, path, &cells).status, 204);
    let counted = found(&mut two, "count_over_time(other{city=\"Oslo\"}[2h])", t);
    assert_eq!(counted[0].1, "1500");
}

/// A body larger than any body of remote write may be, in chunks whose number is not told.
#[test]
fn a_body_of_any_size_is_taken_piece_by_piece() {
    let home = tempfile::tempdir().expect("a directory");
    let (server, mut client) = start(home.path());
    let t = now_ms() / 1000 * 1000;
    let mut stream = connect(server.address());
    let head = "POST /api/v1/import/prometheus HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("sent");
    let padding = "x".repeat(900);
    let mut samples = 0;
    for chunk in 0..80 {
        let mut body = String::new();
        for i in 0..600 {
            let t = t - (chunk * 600 + i) * 50;
            body.push_str(&format!("big{{i=\"{}\",pad=\"{padding}\"}} {i} {t}\n", i % 10));
            samples += 1;
        }
        write!(stream, "{:x}\r\n{body}\r\n", body.len()).expect("sent");
    }
    stream.write_all(b"0\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    let counted = found(&mut client, "sum(count_over_time(big[2h]))", t);
    assert_eq!(counted[0].1, samples.to_string());
}

#[expect(clippy::disallowed_methods, reason = "a client of its own, which blocks")]
fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a socket");
    stream
}
