//! An operator deletes series, gives back their space, and starts a server from a backup.

use std::process::Command;

use m3rs_core::fs::{DiskFs, Fs};
use serde_json::Value;

use crate::deadline::now_ms;
use crate::http_client::Client;
use crate::query_url::{instant, seconds, target};
use crate::remote_write::{series, write};
use crate::server::{PROGRAM, Server};

const ADMIN: &str = "/api/v1/admin/tsdb";

fn values(client: &mut Client, t: i64) -> Vec<(String, usize)> {
    let data = client.get(&instant("last_total[1h]", t)).data();
    let result = data["result"].as_array().expect("a matrix");
    let one = |s: &Value| {
        let count = s["values"].as_array().map_or(0, Vec::len);
        (s["metric"]["job"].as_str().expect("a job").to_owned(), count)
    };
    result.iter().map(one).collect()
}

#[test]
fn a_backup_has_what_was_not_deleted_before_it() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path());
    let mut client = server.client();
    let t = now_ms();
    let samples: Vec<(i64, f64)> = (0..10).map(|i| (t - i * 60_000, i as f64)).collect();
    for job in ["a", "b", "c"] {
        write(&mut client, vec![series(&[("__name__", "last_total"), ("job", job)], &samples)]);
    }
    let all = |counts: [(&str, usize); 2]| counts.map(|(job, count)| (job.to_owned(), count));
    let parameters = [("match[]", "last_total{job=\"a\"}")];
    let deleted = client.post(&target(&format!("{ADMIN}/delete_series"), &parameters), &[], b"");
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    let (start, end) = (seconds(t - 4 * 60_000), seconds(t));
    let parameters = [("match[]", "{job=\"b\"}"), ("start", &start), ("end", &end)];
    let deleted = client.post(&target(&format!("{ADMIN}/delete_series"), &parameters), &[], b"");
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    let cleaned = client.post(&format!("{ADMIN}/clean_tombstones"), &[], b"");
    assert_eq!(cleaned.status, 204, "{}", cleaned.text());
    assert_eq!(values(&mut client, t), all([("b", 5), ("c", 10)]));

    let name = client.post(&format!("{ADMIN}/snapshot"), &[], b"").data();
    let name = name["name"].as_str().expect("a name").to_owned();
    write(&mut client, vec![series(&[("__name__", "last_total"), ("job", "d")], &samples)]);
    let parameters = [("match[]", "last_total")];
    client.post(&target(&format!("{ADMIN}/delete_series"), &parameters), &[], b"");
    client.post(&format!("{ADMIN}/clean_tombstones"), &[], b"");
    assert!(values(&mut client, t).is_empty());
    drop(client);
    server.terminate();

    // A second server, over the backup.
    let second = tempfile::tempdir().expect("a directory");
    let backup = home.path().join("data/backups").join(name);
    DiskFs.rename(&backup, &second.path().join("data")).expect("moved");
    let server = Server::start(second.path());
    assert_eq!(values(&mut server.client(), t), all([("b", 5), ("c", 10)]));
    server.terminate();
}

#[test]
fn others_than_this_machine_may_not_unless_told() {
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data");
    for (flag, status) in [(None, 503), (Some("--enable-admin-api"), 200)] {
        let mut command = Command::new(PROGRAM);
        command.args(["server", "--listen", "0.0.0.0:0", "--data-dir"]).arg(&data).args(flag);
        let server = Server::start_command(home.path(), command);
        let answer = server.client().post(&format!("{ADMIN}/snapshot"), &[], b"");
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.text().contains("--enable-admin-api"), flag.is_none());
        server.terminate();
    }
}
