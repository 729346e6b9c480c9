//! The requests of the documents are answered with the statuses that stand there.
//!
//! A request of a document is a block of two lines: method and target, and the status.

use std::path::Path;

use m3rs_core::fs::{DiskFs, Fs};

use crate::query_url::encoded;
use crate::server::Server;

/// Pages with requests, and how many each has at least.
const PAGES: [(&str, usize); 2] = [("remote-read.md", 4), ("status.md", 12)];

#[test]
fn documented_requests_are_answered_as_documented() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(home.path());
    let mut client = server.client();
    for (page, least) in PAGES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api").join(page);
        let text = String::from_utf8(DiskFs.read(&path).expect("the page")).expect("text");
        let blocks = text.split("```http\n").skip(1);
        let mut count = 0;
        for block in blocks {
            let mut lines = block.lines();
            let (request, status) = (lines.next().expect("a request"), lines.next());
            let (method, target) = request.split_once(' ').expect("method and target");
            let answer = client.send(method, &encoded(target), &[], b"").expect("an answer");
            let status = status.and_then(|line| line.split(' ').next());
            let got = answer.status.to_string();
            assert_eq!(Some(got.as_str()), status, "{page}: {request}: {}", answer.text());
            count += 1;
        }
        println!("{count} requests of {page}");
        assert!(count >= least, "{page} has {count} requests");
    }
    server.terminate();
}
