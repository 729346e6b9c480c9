//! One data directory has one server, and the second one is told why.

use std::path::Path;
use std::process::{Command, Output};

use crate::deadline::now_ms;
use crate::query_url::instant;
use crate::remote_write::{series, write};
use crate::server::{PROGRAM, Server, server_args};

fn run(args: &[String]) -> Output {
    Command::new(PROGRAM).args(args).output().expect("m3rs starts")
}

fn data_of(home: &Path) -> std::path::PathBuf {
    home.join("data")
}

#[test]
fn a_second_server_names_the_first_one_and_ends() {
    let home = tempfile::tempdir().expect("a directory");
    let first = Server::start(home.path());
    let now = now_ms();
    write(&mut first.client(), vec![series(&[("__name__", "up")], &[(now - 1000, 1.0)])]);

    let second = run(&server_args(&data_of(home.path())));
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    let said = String::from_utf8_lossy(&second.stderr);
    let dir = data_of(home.path()).display().to_string();
    let told = format!("the data directory {dir} is in use by process {}", first.pid());
    assert!(said.contains(&told), "{said}");
    assert!(said.contains("--data-dir"), "it says what to do: {said}");
    assert!(second.stdout.is_empty(), "no banner: {second:?}");

    // The first one did not notice.
    let mut client = first.client();
    write(&mut client, vec![series(&[("__name__", "up")], &[(now, 2.0)])]);
    let data = client.get(&instant("count_over_time(up[1m])", now)).data();
    assert_eq!(data["result"][0]["value"][1], "2");
    first.kill();

    // A dead process holds nothing.
    let third = Server::start(home.path());
    let data = third.client().get(&instant("count_over_time(up[1m])", now)).data();
    assert_eq!(data["result"][0]["value"][1], "2");
}

#[test]
fn a_taken_address_is_told_with_its_owner() {
    let home = tempfile::tempdir().expect("a directory");
    let first = Server::start(home.path());
    let listen = first.address().to_string();
    let args = |dir: &Path| {
        let mut args = server_args(&data_of(dir));
        let at = args.iter().position(|a| a == "--listen").expect("an address");
        args[at + 1].clone_from(&listen);
        args
    };
    let same = run(&args(home.path()));
    let said = String::from_utf8_lossy(&same.stderr);
    assert_eq!(same.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("cannot listen on {listen}: process {}", first.pid())),
        "{said}"
    );

    let other_home = tempfile::tempdir().expect("a directory");
    let other = run(&args(other_home.path()));
    let said = String::from_utf8_lossy(&other.stderr);
    assert_eq!(other.status.code(), Some(1), "{said}");
    assert!(said.contains("another program listens there"), "{said}");
    assert!(said.contains("--listen"), "it says what to do: {said}");
    assert_eq!(first.client().get("/-/healthy").status, 200);
}
