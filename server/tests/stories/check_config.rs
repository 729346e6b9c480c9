//! `m3rs check-config` over files of M3's form, as an operator and as a script would call it.

use std::process::{Command, Output};

use crate::server::PROGRAM;

fn check(args: &[&str]) -> Output {
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/m3-config");
    let mut command = Command::new(PROGRAM);
    command.current_dir(files).arg("check-config").args(args).output().expect("it runs")
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[test]
fn an_operator_sees_each_key_and_the_verdict() {
    let output = check(&["base.yml", "over.yml"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let line = said.lines().find(|line| line.contains("limits.perQuery.maxFetchedSeries"));
    let words: Vec<&str> = line.expect("the key").split_whitespace().collect();
    let want = "limits.perQuery.maxFetchedSeries 20 used: the most series of a query";
    assert_eq!(words.join(" "), want);
    assert!(said.contains("\n  HTTP API "), "{said}");
    assert!(said.ends_with("\n\ncoordinator would start\n"), "{said}");
}

#[test]
fn mistakes_are_told_and_fail() {
    let output = check(&["unknown-key.yml"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let want = "error: unknown-key.yml:5:7: rpc.remotes[0].remoteListenAdresses is no key; \
                did you mean remoteListenAddresses?\n\ncoordinator would not start\n";
    assert!(said.ends_with(want), "{said}");
    let output = check(&["base.yml", "none.yml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).starts_with("error: none.yml: "), "{}", text(&output));
    assert_eq!(check(&[]).status.code(), Some(2));
}

#[test]
fn a_script_reads_json() {
    let output = check(&["--format", "json", "--role", "dbnode", "old-names.yml"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!((&said["role"], &said["starts"]), (&"dbnode".into(), &true.into()));
    let key = &said["keys"].as_array().expect("keys")[2];
    assert_eq!(key["key"], "db.fs.filePathPrefix");
    assert_eq!(key["here"], "used");
    assert_eq!((&key["line"], &key["default"]), (&9.into(), &"/var/lib/m3db".into()));
    assert_eq!(said["warnings"][0]["line"], 4);
    let output = check(&["--format", "json", "none.yml"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&said["starts"], output.status.code()), (&false.into(), Some(1)));
}
