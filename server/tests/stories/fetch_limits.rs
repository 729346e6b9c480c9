//! M3's headers that limit what a query may fetch: it fails, or is answered with what fits and says
//! so.

use crate::deadline::now_ms;
use crate::http_client::{Answer, Client};
use crate::query_url::{instant, target};
use crate::remote_write::{series, write};
use crate::server::Server;

const PARTIAL: (&str, &str) = ("M3-Limit-Require-Exhaustive", "false");
const NOTE: &str = "m3db exceeded query limit: results not exhaustive";

fn get(client: &mut Client, target: &str, headers: &[(&str, &str)]) -> Answer {
    client.send("GET", target, headers, b"").expect("an answer")
}

fn assert_refused(answer: &Answer, why: &str) {
    assert_eq!(answer.status, 400, "{}", answer.text());
    let json = answer.json();
    assert_eq!(json["errorType"], "bad_data", "{json}");
    assert!(json["error"].as_str().is_some_and(|text| text.contains(why)), "{why} in {json}");
}

fn assert_cut(answer: &Answer, series: usize) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("M3-Results-Limited"), "max_fetch_series_limit_applied");
    let json = answer.json();
    assert_eq!(json["warnings"], serde_json::json!([NOTE]), "{json}");
    let data = json["data"].as_array().or_else(|| json["data"]["result"].as_array());
    assert_eq!(data.map(Vec::len), Some(series), "{json}");
}

fn assert_whole(answer: &Answer) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("M3-Results-Limited"), "");
    assert!(answer.json().get("warnings").is_none(), "{}", answer.text());
}

#[test]
fn a_query_may_limit_what_it_fetches() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start_with(home.path(), &[]);
    let mut client = server.client();
    let t = now_ms();
    for job in ["a", "b", "c"] {
        let samples = [(t - 600_000, 1.0), (t, 2.0)];
        write(&mut client, vec![series(&[("__name__", "up"), ("job", job)], &samples)]);
    }
    let queries = [
        instant("up", t),
        target("/api/v1/series", &[("match[]", "up")]),
        target("/api/v1/label/job/values", &[]),
    ];
    for query in &queries {
        for max in ["3", "0", "-1"] {
            assert_whole(&get(&mut client, query, &[("M3-Limit-Max-Series", max)]));
        }
        let limit = ("M3-Limit-Max-Series", "2");
        assert_refused(&get(&mut client, query, &[limit]), "series_limit=2, series_matched=3");
        assert_cut(&get(&mut client, query, &[limit, PARTIAL]), 2);
        for (header, value, why) in [
            ("M3-Limit-Max-Series", "x", "input=x, err=strconv.Atoi: parsing \"x\": invalid"),
            ("M3-Limit-Max-Docs", "1.5", "could not parse value: input=1.5"),
            ("M3-Limit-Max-Range", "1y", "could not parse duration limit: input=1y"),
            ("M3-Limit-Require-Exhaustive", "maybe", "could not parse limit: input=maybe"),
        ] {
            assert_refused(&get(&mut client, query, &[(header, value)]), why);
        }
    }
    // Documents are counted after every 256, so that all are there.
    let docs = ("M3-Limit-Max-Docs", "1");
    assert_refused(&get(&mut client, &queries[0], &[docs]), "docs_limit=1, docs_matched=3");
    assert_cut(&get(&mut client, &queries[0], &[docs, PARTIAL]), 3);
    // A parameter counts where there is no header.
    let by_parameters = [("query", "up"), ("seriesLimit", "1"), ("requireExhaustive", "false")];
    let by_parameters = target("/api/v1/query", &by_parameters);
    assert_cut(&get(&mut client, &by_parameters, &[]), 1);
    let wider = ("M3-Limit-Max-Series", "9");
    assert_whole(&get(&mut client, &by_parameters, &[wider]));
    server.terminate();
}

#[test]
fn a_query_may_limit_how_far_it_reads() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start_with(home.path(), &[]);
    let mut client = server.client();
    let t = now_ms();
    let samples = [(t - 600_000, 1.0), (t, 2.0)];
    write(&mut client, vec![series(&[("__name__", "up"), ("job", "a")], &samples)]);
    let query = instant("count_over_time(up[20m])", t);
    let counted = |answer: &Answer| answer.data()["result"][0]["value"][1].clone();
    let answer = get(&mut client, &query, &[("M3-Limit-Max-Range", "30m")]);
    assert_whole(&answer);
    assert_eq!(counted(&answer), "2");
    let limit = ("M3-Limit-Max-Range", "5m");
    let answer = get(&mut client, &query, &[limit]);
    assert_refused(&answer, "require_exhaustive=true, range_limit=5m0s, range_matched=");
    let answer = get(&mut client, &query, &[limit, PARTIAL]);
    assert_cut(&answer, 1);
    assert_eq!(counted(&answer), "1", "the newest part is read");
    server.terminate();
}
