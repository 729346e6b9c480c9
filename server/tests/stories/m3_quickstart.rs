//! The calls of M3's quickstart, on the all-in-one without any set-up: what is answered stays
//! after a kill, and samples go into the namespace that was asked for.

use serde_json::{Value, json};

use crate::deadline::now_ms;
use crate::http_client::{Answer, Client};
use crate::query_url::instant;
use crate::server::Server;

/// What curl sends with `-d`.
const CURL: [(&str, &str); 1] = [("content-type", "application/x-www-form-urlencoded")];

fn post(client: &mut Client, path: &str, body: &Value) -> Answer {
    client.post(path, &CURL, body.to_string().as_bytes())
}

fn registry(client: &mut Client) -> Value {
    let mut answer = client.get("/api/v1/services/m3db/namespace").json();
    answer["registry"]["namespaces"].take()
}

#[test]
fn the_quickstart_of_m3_works_as_written() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path());
    let mut client = server.client();
    assert_eq!(client.get("/api/v1/services/m3db/placement").status, 404);
    assert_eq!(registry(&mut client), json!({}));
    // Without any set-up there is a namespace, which the first call adopts with what it holds.
    let now_s = now_ms() / 1000;
    let early = json!({"tags": {"__name__": "early"}, "timestamp": (now_s - 4000).to_string()});
    assert_eq!(post(&mut client, "/api/v1/json/write", &early).status, 200);

    let create = json!({"type": "local", "namespaceName": "default", "retentionTime": "12h"});
    let created = post(&mut client, "/api/v1/database/create", &create);
    assert_eq!(created.status, 200, "{}", created.text());
    let again = post(&mut client, "/api/v1/database/create", &create);
    assert!(again.text().contains("exists"), "{}", again.text());
    let placement = client.get("/api/v1/services/m3db/placement").json();
    assert_eq!(placement["placement"]["instances"]["m3db_local"]["endpoint"], "127.0.0.1:9000");
    let ready =
        post(&mut client, "/api/v1/services/m3db/namespace/ready", &json!({"name": "default"}));
    assert_eq!((ready.status, ready.json()), (200, json!({"ready": true})));
    let second = json!({"name": "week", "options": {"retentionOptions": {
        "retentionPeriodDuration": "168h", "blockSizeDuration": "2h",
        "bufferFutureDuration": "10m", "bufferPastDuration": "10m"}}});
    let added = post(&mut client, "/api/v1/services/m3db/namespace", &second);
    assert_eq!(added.status, 200, "{}", added.text());

    for (ago, value) in [(45, 3347.26), (25, 5347.26), (5, 7347.26)] {
        let sample = json!({
            "tags": {"__name__": "third_avenue", "city": "new_york", "checkout": "1"},
            "timestamp": (now_s - ago).to_string(),
            "value": value,
        });
        let answer = post(&mut client, "/api/v1/json/write", &sample);
        assert_eq!((answer.status, answer.text()), (200, ""));
    }
    // Without cold writes, as M3 makes namespaces, old samples are refused, and told.
    let old = json!({"tags": {"__name__": "old"}, "timestamp": (now_s - 4000).to_string()});
    assert_eq!(post(&mut client, "/api/v1/json/write", &old).status, 400);

    let before = registry(&mut client);
    assert_eq!(before["default"]["retentionOptions"]["retentionPeriodNanos"], "43200000000000");
    assert_eq!(before["week"]["retentionOptions"]["retentionPeriodNanos"], "604800000000000");
    server.kill();

    let server = Server::start(home.path());
    let mut client = server.client();
    assert_eq!(registry(&mut client), before);
    assert_eq!(client.get("/api/v1/services/m3db/placement").json(), placement);
    let found = client.get(&instant("third_avenue > 6000", now_s * 1000)).data();
    assert_eq!(found["result"][0]["value"][1], "7347.26");
    let found = client.get(&instant("early", (now_s - 4000) * 1000)).data();
    assert_eq!(found["result"][0]["value"][1], "0", "written before the namespace was adopted");
    assert_eq!(post(&mut client, "/api/v1/json/write", &old).status, 400, "options hold still");
    for status in [200, 404] {
        let path = "/api/v1/services/m3db/namespace/week";
        assert_eq!(client.send("DELETE", path, &[], b"").expect("an answer").status, status);
    }
    server.terminate();
}
