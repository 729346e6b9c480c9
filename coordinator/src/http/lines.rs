//! Takes a body of lines piece by piece, whatever its length: decompressed as it comes, cut at line
//! ends, each piece written before the next but one is read.

use std::pin::pin;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};
use tokio::sync::SemaphorePermit;

use crate::http::App;
use crate::http::body::{BodyError, BodyLimit, Room, collect, next_piece};
use crate::http::prometheus::write::WriteProblem;
use crate::http::take::{TakeError, admit, busy};
use crate::ingest::{
    CutLimits, Encoding, Format, LineCutter, Lines, Refusals, Unpacker, WriteOutcome,
};

/// How many bytes of a snappy block are looked at at once.
const BLOCK_STEP_BYTES: usize = 256 << 10;

/// Writes all lines of a body. Returns what was refused of it, once the rest is durable.
///
/// Memory: a piece (`ingest.piece_bytes_max`), the longest line (`ingest.line_bytes_max`) and what
/// the connection gives at once, within the bound of all bodies. A body counts as a write at work
/// while a piece of it is written and not durable yet, not while it waits for its sender.
///
/// # Errors
/// Why it ended early. Pieces before that may be written.
pub(crate) async fn take_lines(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    lines: Lines,
) -> Result<Refusals, WriteProblem> {
    drop(admit(app)?);
    let encoding = encoding_of(headers)?;
    let mut work = LineBody::new(app, lines);
    match work.take_all(headers, body, encoding).await {
        Ok(()) => Ok(work.refusals),
        Err(problem) => Err(work.told(problem)),
    }
}

fn encoding_of(headers: &HeaderMap) -> Result<Encoding, WriteProblem> {
    let name = headers.get(CONTENT_ENCODING).map(|v| String::from_utf8_lossy(v.as_bytes()));
    let name = name.unwrap_or_default();
    Encoding::named(&name).ok_or_else(|| {
        let why = format!(
            "content encoding {name:?} is not accepted; send gzip, zstd, deflate, snappy or none"
        );
        WriteProblem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why)
    })
}

struct LineBody<'a> {
    app: &'a App,
    cutter: LineCutter,
    format: Format,
    refusals: Refusals,
    room: Room<'a>,
    /// Held as long as a piece is pending.
    permit: Option<SemaphorePermit<'a>>,
    /// The piece before, which is perhaps not durable yet.
    pending: Option<WriteOutcome>,
    /// Whether a piece was handed over.
    is_begun: bool,
    /// Samples that are durable.
    written: u64,
}

impl<'a> LineBody<'a> {
    fn new(app: &'a App, lines: Lines) -> Self {
        let limits = &app.state.limits.write;
        let cut = CutLimits {
            line_bytes_max: limits.line_bytes_max,
            piece_bytes_max: limits.piece_bytes_max,
        };
        Self {
            app,
            cutter: LineCutter::new(cut),
            format: Format::Lines(Box::new(lines)),
            refusals: Refusals::new(limits.refusals_told_max),
            room: app.bodies.room(),
            permit: None,
            pending: None,
            is_begun: false,
            written: 0,
        }
    }

    async fn take_all(
        &mut self,
        headers: &HeaderMap,
        body: Body,
        encoding: Encoding,
    ) -> Result<(), WriteProblem> {
        match Unpacker::new(encoding)? {
            Some(unpacker) => self.take_stream(body, unpacker).await?,
            None => self.take_block(headers, body, encoding).await?,
        }
        self.cutter.finish();
        if let Format::Lines(lines) = &mut self.format {
            lines.end();
        }
        self.hand_over().await?;
        self.settle().await
    }

    async fn take_stream(
        &mut self,
        mut body: Body,
        mut unpacker: Unpacker,
    ) -> Result<(), WriteProblem> {
        while let Some(piece) = self.next_piece(&mut body).await? {
            self.app.state.metrics.write_body_bytes.inc_by(piece.len() as u64);
            let mut rest = &piece[..];
            while !rest.is_empty() {
                let cutter = &mut self.cutter;
                let taken = unpacker
                    .step(rest, &mut |bytes| cutter.push(bytes))
                    .map_err(|failure| WriteProblem::from(failure).closing())?;
                rest = &rest[taken..];
                self.cut().await?;
            }
        }
        let cutter = &mut self.cutter;
        unpacker.finish(&mut |bytes| cutter.push(bytes))?;
        self.cut().await
    }

    /// The next bytes of the body. What is pending is settled if it is durable before they come.
    async fn next_piece(&mut self, body: &mut Body) -> Result<Option<Bytes>, WriteProblem> {
        let mut piece = pin!(timely_piece(body, self.app.state.limits.write.body_timeout));
        if let Some(durable) = self.pending.as_mut().and_then(|outcome| outcome.durable.as_mut()) {
            let written = tokio::select! {
                biased;
                piece = piece.as_mut() => return Ok(piece?),
                written = durable => written,
            };
            if let Some(outcome) = &mut self.pending {
                outcome.durable = None;
            }
            written?;
            self.settle().await?;
        }
        Ok(piece.await?)
    }

    async fn take_block(
        &mut self,
        headers: &HeaderMap,
        body: Body,
        encoding: Encoding,
    ) -> Result<(), WriteProblem> {
        let limits = &self.app.state.limits.write;
        let limit = BodyLimit {
            bytes_max: limits.body_bytes_max,
            setting: "ingest.body_bytes_max",
            timeout: limits.body_timeout,
        };
        let text = {
            let body = collect(headers, body, limit, &self.app.bodies).await?;
            self.app.state.metrics.write_body_bytes.inc_by(body.as_slice().len() as u64);
            encoding.decode(body.as_slice(), limits.decoded_bytes_max, <[u8]>::to_vec)?
        };
        for step in text.chunks(BLOCK_STEP_BYTES) {
            self.cutter.push(step);
            self.cut().await?;
        }
        Ok(())
    }

    /// Hands over what is enough for a piece, and refuses a line that is too long.
    async fn cut(&mut self) -> Result<(), WriteProblem> {
        let is_overlong = self.cutter.is_overlong();
        if self.cutter.has_piece() || is_overlong {
            self.hand_over().await?;
        }
        if is_overlong {
            // What is refused is told in the order of its lines.
            self.settle().await?;
            let limit = self.app.state.limits.write.line_bytes_max;
            if let Format::Lines(lines) = &mut self.format {
                lines.skip_overlong(limit, &mut self.refusals);
            }
            self.cutter.skip_line();
        }
        Ok(self.room.resize(self.cutter.held())?)
    }

    /// Writes the whole lines, and waits for the piece before to be durable.
    async fn hand_over(&mut self) -> Result<(), WriteProblem> {
        if self.permit.is_none() {
            self.permit = Some(permit(self.app, self.is_begun).await?);
        }
        self.is_begun = true;
        let lines = self.cutter.whole_lines();
        let writes = &self.app.state.writes;
        let outcome = writes.receive(lines, Encoding::Identity, &mut self.format)?;
        self.cutter.drop_lines();
        let before = self.pending.replace(outcome);
        self.settle_piece(before).await
    }

    /// Waits until all that was handed over is durable.
    async fn settle(&mut self) -> Result<(), WriteProblem> {
        let pending = self.pending.take();
        self.settle_piece(pending).await?;
        self.permit = None;
        Ok(())
    }

    async fn settle_piece(&mut self, piece: Option<WriteOutcome>) -> Result<(), WriteProblem> {
        let Some(outcome) = piece else { return Ok(()) };
        if let Some(durable) = outcome.durable {
            durable.await?;
        }
        self.written += outcome.samples_written;
        let metrics = &self.app.state.metrics;
        metrics.observe_write(outcome.samples_written, &outcome.counts, &outcome.refusals);
        self.refusals.add_all(outcome.refusals);
        Ok(())
    }

    /// The problem, with a word on what was written before it.
    fn told(&self, mut problem: WriteProblem) -> WriteProblem {
        if self.written > 0 {
            let text = problem.text.trim_end();
            problem.text = format!("{text}; {} samples before it are written", self.written);
        }
        // What was not read of the body would be taken for the next request.
        problem.closing()
    }
}

/// The right to write. A body that was begun waits for it as long as its sender may take.
async fn permit(app: &App, is_begun: bool) -> Result<SemaphorePermit<'_>, TakeError> {
    if !is_begun {
        return admit(app);
    }
    let wait = app.state.limits.write.body_timeout;
    match tokio::time::timeout(wait, app.write_permits.acquire()).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(busy(app)),
    }
}

/// The next data of the body, which must not take too long; `None` at its end.
async fn timely_piece(body: &mut Body, timeout: Duration) -> Result<Option<Bytes>, BodyError> {
    let piece = tokio::time::timeout(timeout, next_piece(body)).await;
    Ok(piece.map_err(|_| BodyError::Timeout(timeout))??)
}
