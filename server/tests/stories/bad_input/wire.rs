//! Bytes that are no HTTP, or HTTP that lies.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::server::Server;

/// How long the server may think about garbage.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends `bytes`, ends the sending side if `half_close`, and returns all that comes back.
#[expect(clippy::disallowed_methods, reason = "a client of its own, which blocks")]
fn talk(server: &Server, bytes: &[u8], half_close: bool) -> String {
    let mut stream = TcpStream::connect(server.address()).expect("a connection");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    // The server may answer and close before it has read all.
    drop(stream.write_all(bytes));
    if half_close {
        drop(stream.shutdown(std::net::Shutdown::Write));
    }
    let mut answer = Vec::new();
    // A connection that is reset with bytes unread ends with an error after the answer.
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn garbage_on_the_wire_harms_nobody_else() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path());
    let mut neighbour = server.client();
    assert_eq!(neighbour.get("/-/ready").status, 200);
    let long_head = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(600 << 10));
    let many_fields = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(101));
    let huge_length = "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                       Content-Length: 99999999999\r\n\r\n";
    let bad_length = "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n";
    let bad_chunk = "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                     Transfer-Encoding: chunked\r\n\r\nxyz\r\n";
    let short_body = "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nshort";
    let short_form = "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Type: \
                      application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nquery=";
    for (name, bytes, statuses) in [
        ("no HTTP", &b"\x00\x01\x02\x03\r\n\r\n"[..], &["400"][..]),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", &["400"]),
        ("a long head", long_head.as_bytes(), &["414", "431"]),
        ("many fields", many_fields.as_bytes(), &["431"]),
        ("a huge length", huge_length.as_bytes(), &["400"]),
        ("a bad length", bad_length.as_bytes(), &["400"]),
        ("a bad chunk", bad_chunk.as_bytes(), &["400"]),
        ("a short body", short_body.as_bytes(), &["400", ""]),
        ("a short form", short_form.as_bytes(), &["400", ""]),
        ("half a head", b"GET /api/v1/query HTTP/1.1\r\nHos", &["400", ""]),
        ("nothing", b"", &[""]),
    ] {
        let answer = talk(&server, bytes, true);
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(statuses.contains(&status), "{name}: {status:?} in {answer:?}");
        assert_eq!(neighbour.get("/-/ready").status, 200, "after {name}");
    }
    let log = server.log();
    assert!(!log.contains("ERROR") && !log.contains("panic"), "{log}");
    server.terminate();
}
