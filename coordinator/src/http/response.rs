//! Successful answers: `{"status":"success","data":…,"warnings":[…],"infos":[…]}`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use http_body::{Frame, SizeHint};
use m3rs_query::source::Cancel;
use serde::Serialize;
use tokio::task::JoinHandle;

use crate::http::gate::CancelOnDrop;
use crate::read::AnswerRest;

/// What stands before the data of an answer.
pub(crate) const HEAD: &[u8] = br#"{"status":"success","data":"#;

/// Answers with `data`, given as JSON. Absent warnings are left out, as Prometheus does.
pub(crate) fn success(data: Bytes, warnings: &[String]) -> Response {
    whole(vec![Bytes::from_static(HEAD), data, Bytes::from(tail(warnings))])
}

/// What stands after the data of an answer.
pub(crate) fn tail(warnings: &[String]) -> Vec<u8> {
    let mut tail = Vec::with_capacity(2);
    if !warnings.is_empty() {
        tail.extend_from_slice(b",\"warnings\":");
        tail.extend_from_slice(&json(&warnings));
    }
    tail.push(b'}');
    tail
}

/// Answers with a body that is made already.
pub(crate) fn whole(body: Vec<Bytes>) -> Response {
    let mut response = Response::new(Body::new(Pieces::new(body.into())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Answers with a body whose first pieces are made; the others are made while it is sent.
pub(crate) fn streamed(first: Vec<Bytes>, rest: Box<dyn AnswerRest>) -> Response {
    streamed_as(HeaderValue::from_static("application/json"), first, rest)
}

/// As [`streamed`], of another content type.
pub(crate) fn streamed_as(
    content_type: HeaderValue,
    first: Vec<Bytes>,
    rest: Box<dyn AnswerRest>,
) -> Response {
    streamed_until(content_type, first, rest, CancelOnDrop(Cancel::new()))
}

/// The same; `cancel` is dropped once nobody takes the body any more.
pub(crate) fn streamed_until(
    content_type: HeaderValue,
    first: Vec<Bytes>,
    rest: Box<dyn AnswerRest>,
    cancel: CancelOnDrop,
) -> Response {
    let mut response = Response::new(Body::new(Streamed::new(first, rest, cancel)));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Answers with `data` as JSON.
pub(crate) fn success_json<T: Serialize>(data: &T, warnings: &[String]) -> Response {
    success(Bytes::from(json(data)), warnings)
}

/// Answers with `value` as JSON, outside of Prometheus's envelope.
pub(crate) fn plain_json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    let mut response = Response::new(Body::from(json(value)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Serialises values that have no maps with odd keys and no fallible serialiser of their own.
fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("BUG: answers are strings, numbers, lists and string maps")
}

/// A body of known length in pieces.
///
/// Small pieces are joined, so that a short answer is one write.
struct Pieces {
    pieces: VecDeque<Bytes>,
    left: u64,
}

/// Pieces are joined as long as they fit this size.
const JOINED_BYTES_MAX: usize = 64 << 10;

impl Pieces {
    fn new(pieces: VecDeque<Bytes>) -> Self {
        let left = pieces.iter().map(|p| p.len() as u64).sum();
        Self { pieces, left }
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        let first = self.pieces.pop_front()?;
        let fits = |a: usize, next: &Bytes| a + next.len() <= JOINED_BYTES_MAX;
        if !self.pieces.front().is_some_and(|next| fits(first.len(), next)) {
            return Some(first);
        }
        let mut joined = Vec::from(first);
        while let Some(next) = self.pieces.pop_front_if(|next| fits(joined.len(), next)) {
            joined.extend_from_slice(&next);
        }
        Some(Bytes::from(joined))
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.next_piece();
        if let Some(piece) = &piece {
            self.left -= piece.len() as u64;
        }
        Poll::Ready(piece.map(|p| Ok(Frame::data(p))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A body of unknown length. While pieces are sent, the next ones are made on a blocking thread,
/// and no further ones: a slow client holds memory for two batches and no thread.
struct Streamed {
    pieces: VecDeque<Bytes>,
    /// Makes the next pieces; gone at the end.
    next: Option<JoinHandle<io::Result<Batch>>>,
    _cancel: CancelOnDrop,
}

type Batch = (Box<dyn AnswerRest>, Vec<Bytes>);

impl Streamed {
    fn new(first: Vec<Bytes>, rest: Box<dyn AnswerRest>, cancel: CancelOnDrop) -> Self {
        Self { pieces: first.into(), next: Some(make_next(rest)), _cancel: cancel }
    }
}

fn make_next(mut rest: Box<dyn AnswerRest>) -> JoinHandle<io::Result<Batch>> {
    tokio::task::spawn_blocking(move || {
        let pieces = rest.next_pieces()?;
        Ok((rest, pieces))
    })
}

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(piece) = self.pieces.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let Some(task) = &mut self.next else { return Poll::Ready(None) };
        let made = ready!(Pin::new(task).poll(context));
        self.next = None;
        // The connection is cut off when writing fails, so that nobody takes a part for the whole.
        let (rest, pieces) = made.map_err(io::Error::other)??;
        self.pieces = pieces.into();
        let Some(piece) = self.pieces.pop_front() else { return Poll::Ready(None) };
        self.next = Some(make_next(rest));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_joined_and_large_ones_left_alone() {
        let large = Bytes::from(vec![b'x'; JOINED_BYTES_MAX]);
        let pieces: VecDeque<Bytes> =
            [Bytes::from("a"), Bytes::from("b"), large.clone(), Bytes::from("c")].into();
        let mut body = Pieces::new(pieces);
        assert_eq!(body.left, 3 + JOINED_BYTES_MAX as u64);
        assert_eq!(body.next_piece().as_deref(), Some(&b"ab"[..]));
        assert_eq!(body.next_piece(), Some(large));
        assert_eq!(body.next_piece().as_deref(), Some(&b"c"[..]));
        assert_eq!(body.next_piece(), None);
    }
}
