//! A small blocking HTTP/1.1 client that keeps its connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take, on a machine that does many other things.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// An answer, whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {} {:?}", self.status, self.text()))
    }

    /// `data` of an answer of the query API.
    ///
    /// # Panics
    /// If the answer is no success.
    pub(crate) fn data(&self) -> serde_json::Value {
        assert_eq!(self.status, 200, "{}", self.text());
        let mut json = self.json();
        assert_eq!(json["status"], "success", "{json}");
        json["data"].take()
    }
}

/// A connection to one server, made when it is needed.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    /// Does not connect yet.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// `GET`, which must be answered.
    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.send("GET", target, &[], b"").unwrap_or_else(|e| panic!("GET {target}: {e}"))
    }

    /// `POST`, which must be answered.
    pub(crate) fn post(&mut self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.send("POST", target, headers, body).unwrap_or_else(|e| panic!("POST {target}: {e}"))
    }

    /// Sends a `GET`, whose answer is read by [`Client::finish`], or never.
    ///
    /// # Errors
    /// The connection broke.
    pub(crate) fn start(&mut self, target: &str) -> io::Result<()> {
        let mut stream = connect(self.address)?;
        let head = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        stream.get_mut().write_all(head.as_bytes())?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Reads the answer to what [`Client::start`] sent.
    ///
    /// # Errors
    /// The connection broke, or nothing was sent.
    pub(crate) fn finish(&mut self) -> io::Result<Answer> {
        let stream = self.stream.take();
        read_answer(&mut stream.ok_or(io::ErrorKind::NotConnected)?, "GET")
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// The connection broke; the next request makes a new one. Nothing is sent twice.
    pub(crate) fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.address)?,
        };
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || method == "POST" {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        let sent = stream.get_mut().write_all(&bytes);
        // A server may refuse a body before it has read all of it.
        let answer =
            read_answer(&mut stream, method).map_err(|error| sent.err().unwrap_or(error))?;
        if !answer.header("connection").eq_ignore_ascii_case("close") {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}

#[expect(clippy::disallowed_methods, reason = "a client of its own, which blocks")]
fn connect(address: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    Ok(BufReader::new(stream))
}

fn read_answer(stream: &mut BufReader<TcpStream>, method: &str) -> io::Result<Answer> {
    let status_line = read_line(stream)?;
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| bad(format!("status line {status_line:?}")))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| bad(format!("header {line:?}")))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    if method == "HEAD" || status == 204 || status == 304 {
        return Ok(answer);
    }
    if answer.header("transfer-encoding").eq_ignore_ascii_case("chunked") {
        answer.body = read_chunks(stream)?;
    } else {
        let length = answer.header("content-length");
        let length = length.parse().map_err(|_| bad(format!("content length {length:?}")))?;
        answer.body.resize(length, 0);
        stream.read_exact(&mut answer.body)?;
    }
    Ok(answer)
}

fn read_chunks(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream)?;
        let length =
            usize::from_str_radix(&line, 16).map_err(|_| bad(format!("chunk length {line:?}")))?;
        let from = body.len();
        body.resize(from + length, 0);
        stream.read_exact(&mut body[from..])?;
        if !read_line(stream)?.is_empty() {
            return Err(bad("a chunk that does not end".to_owned()));
        }
        if length == 0 {
            return Ok(body);
        }
    }
}

/// A line without its end.
fn read_line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended")),
    }
}

fn bad(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
