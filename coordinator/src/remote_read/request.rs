//! Reads a `prometheus.ReadRequest`.

use m3rs_core::Corrupt;
use m3rs_core::model::{MatchOp, Matcher};
use m3rs_core::wire::Cursor;
use m3rs_core::wire::proto::{Field, Fields, Value};
use m3rs_query::source::TimeRange;

use crate::limits::RemoteReadLimits;

const REQUEST: &str = "read request";
const QUERY: &str = "Query";
const MATCHER: &str = "LabelMatcher";
const HINTS: &str = "ReadHints";

/// Fields of `ReadRequest`.
const REQUEST_QUERY: u32 = 1;
const REQUEST_ACCEPTED: u32 = 2;

/// Fields of `Query`.
const QUERY_START: u32 = 1;
const QUERY_END: u32 = 2;
const QUERY_MATCHER: u32 = 3;
const QUERY_HINTS: u32 = 4;

/// Fields of `LabelMatcher`.
const MATCHER_TYPE: u32 = 1;
const MATCHER_NAME: u32 = 2;
const MATCHER_VALUE: u32 = 3;

/// Fields of `ReadHints`.
const HINTS_STEP: u32 = 1;
const HINTS_FUNC: u32 = 2;
const HINTS_START: u32 = 3;
const HINTS_END: u32 = 4;
const HINTS_RANGE: u32 = 7;

/// The function of a client that wants series without their samples.
const SERIES_ALONE: &str = "series";

/// A form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseType {
    /// One `ReadResponse`.
    Samples,
    /// A stream of `ChunkedReadResponse`.
    StreamedChunks,
}

/// One query of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadQuery {
    /// The first millisecond.
    pub start_ms: i64,
    /// The last millisecond.
    pub end_ms: i64,
    /// Conditions, all of which hold.
    pub matchers: Vec<Matcher>,
    /// What the client will do with the samples.
    pub hints: Option<ReadHints>,
}

/// What a client will do with samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadHints {
    /// The distance of evaluation times.
    pub step_ms: i64,
    /// The length of the range of the selector.
    pub range_ms: i64,
    /// The function or aggregation above the selector.
    pub function: String,
    /// The first millisecond that counts.
    pub start_ms: i64,
    /// The last one.
    pub end_ms: i64,
}

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadRequest {
    /// What is asked for.
    pub queries: Vec<ReadQuery>,
    /// Forms of an answer that the client takes, the best first, by their numbers.
    pub accepted: Vec<i32>,
}

/// Why a request is none.
#[derive(Debug, thiserror::Error)]
pub enum ReadRequestError {
    /// The bytes are no `ReadRequest`.
    #[error("cannot decode the read request: {0}")]
    Malformed(#[from] Corrupt),
    /// It asks for more than it may.
    #[error("more than {limit} {what} in a read request ({setting})")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
        /// The setting of that.
        setting: &'static str,
    },
    /// A type of matcher that there is not.
    #[error("query {query}: matcher of label {name:?} has the unknown type {number}")]
    MatcherType {
        /// The query, from 1.
        query: usize,
        /// The label.
        name: String,
        /// The number of the type.
        number: u64,
    },
    /// No form of an answer that both sides know.
    #[error(
        "server does not support any of the requested response types: {accepted:?}; supported: \
         SAMPLES (0), STREAMED_XOR_CHUNKS (1)"
    )]
    ResponseType {
        /// What the client takes.
        accepted: Vec<i32>,
    },
}

impl ReadRequest {
    /// The first form of an answer that the client takes and there is. A client that names none
    /// takes samples.
    ///
    /// # Errors
    /// [`ReadRequestError::ResponseType`].
    pub fn response_type(&self) -> Result<ResponseType, ReadRequestError> {
        let known = self.accepted.iter().find_map(|number| match number {
            0 => Some(ResponseType::Samples),
            1 => Some(ResponseType::StreamedChunks),
            _ => None,
        });
        match known {
            Some(known) => Ok(known),
            None if self.accepted.is_empty() => Ok(ResponseType::Samples),
            None => Err(ReadRequestError::ResponseType { accepted: self.accepted.clone() }),
        }
    }
}

impl ReadQuery {
    /// The times that are read; `None` if there are none.
    ///
    /// PARITY(prometheus): what hints leave out is left out. Hints without times are of clients
    /// that set none.
    pub(crate) fn range(&self) -> Option<TimeRange> {
        let (mut start_ms, mut end_ms) = (self.start_ms, self.end_ms);
        if let Some(hints) = &self.hints
            && (hints.start_ms, hints.end_ms) != (0, 0)
        {
            start_ms = start_ms.max(hints.start_ms);
            end_ms = end_ms.min(hints.end_ms);
        }
        (start_ms <= end_ms).then_some(TimeRange { start_ms, end_ms })
    }

    /// Whether the client wants series without their samples.
    pub(crate) fn wants_series_alone(&self) -> bool {
        self.hints.as_ref().is_some_and(|hints| hints.function == SERIES_ALONE)
    }
}

/// Reads a decompressed request within `limits`.
///
/// # Errors
/// Every kind of [`ReadRequestError`] but that of the response type.
pub fn parse_read_request(
    body: &[u8],
    limits: &RemoteReadLimits,
) -> Result<ReadRequest, ReadRequestError> {
    let mut request = ReadRequest::default();
    let mut matchers = 0;
    let mut fields = Fields::new(REQUEST, body);
    while let Some(field) = fields.next_field()? {
        match field.number {
            REQUEST_QUERY => {
                if request.queries.len() == limits.queries_max {
                    let (limit, setting) = (limits.queries_max, "read.queries_max");
                    return Err(ReadRequestError::TooMany { what: "queries", limit, setting });
                }
                let number = request.queries.len() + 1;
                let left = limits.matchers_max - matchers;
                let query = parse_query(field.bytes(REQUEST)?, number, left, limits)?;
                matchers += query.matchers.len();
                request.queries.push(query);
            }
            REQUEST_ACCEPTED => add_accepted(&field, &mut request.accepted)?,
            _ => {}
        }
    }
    Ok(request)
}

/// More types than there are make no sense; further ones are not looked at.
const ACCEPTED_MAX: usize = 16;

/// An enum, alone or packed.
fn add_accepted(field: &Field<'_>, to: &mut Vec<i32>) -> Result<(), Corrupt> {
    let mut add = |number: u64| {
        if to.len() < ACCEPTED_MAX {
            to.push(enum_number(number));
        }
    };
    match field.value {
        Value::Bytes(packed) => {
            let mut cursor = Cursor::new(REQUEST, packed);
            while !cursor.is_empty() {
                add(cursor.varint()?);
            }
        }
        _ => add(field.varint(REQUEST)?),
    }
    Ok(())
}

/// An enum has 32 bits; what is above is cut off, as every decoder does.
fn enum_number(number: u64) -> i32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

fn parse_query(
    message: &[u8],
    number: usize,
    matchers_left: usize,
    limits: &RemoteReadLimits,
) -> Result<ReadQuery, ReadRequestError> {
    let mut query = ReadQuery::default();
    let mut fields = Fields::new(QUERY, message);
    while let Some(field) = fields.next_field()? {
        match field.number {
            QUERY_START => query.start_ms = field.varint(QUERY)?.cast_signed(),
            QUERY_END => query.end_ms = field.varint(QUERY)?.cast_signed(),
            QUERY_MATCHER => {
                if query.matchers.len() == matchers_left {
                    let (limit, setting) = (limits.matchers_max, "read.matchers_max");
                    return Err(ReadRequestError::TooMany { what: "matchers", limit, setting });
                }
                query.matchers.push(parse_matcher(field.bytes(QUERY)?, number)?);
            }
            QUERY_HINTS => {
                // Of a message that comes twice the fields are merged.
                let mut hints = query.hints.take().unwrap_or_default();
                read_hints(field.bytes(QUERY)?, &mut hints)?;
                query.hints = Some(hints);
            }
            _ => {}
        }
    }
    Ok(query)
}

fn parse_matcher(message: &[u8], query: usize) -> Result<Matcher, ReadRequestError> {
    let (mut kind, mut name, mut value) = (0, "", "");
    let mut fields = Fields::new(MATCHER, message);
    while let Some(field) = fields.next_field()? {
        match field.number {
            MATCHER_TYPE => kind = field.varint(MATCHER)?,
            MATCHER_NAME => name = field.text(MATCHER)?,
            MATCHER_VALUE => value = field.text(MATCHER)?,
            _ => {}
        }
    }
    let op = match kind {
        0 => MatchOp::Equal,
        1 => MatchOp::NotEqual,
        2 => MatchOp::Regexp,
        3 => MatchOp::NotRegexp,
        number => {
            return Err(ReadRequestError::MatcherType { query, name: name.to_owned(), number });
        }
    };
    Ok(Matcher::new(name, op, value))
}

fn read_hints(message: &[u8], hints: &mut ReadHints) -> Result<(), Corrupt> {
    let mut fields = Fields::new(HINTS, message);
    while let Some(field) = fields.next_field()? {
        let number = || field.varint(HINTS).map(u64::cast_signed);
        match field.number {
            HINTS_STEP => hints.step_ms = number()?,
            HINTS_FUNC => field.text(HINTS)?.clone_into(&mut hints.function),
            HINTS_START => hints.start_ms = number()?,
            HINTS_END => hints.end_ms = number()?,
            HINTS_RANGE => hints.range_ms = number()?,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use m3rs_core::wire::{put_length_prefixed, put_varint};

    use super::*;

    fn message(fields: &[(u32, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, bytes) in fields {
            put_varint(&mut out, u64::from(number << 3 | 2));
            put_length_prefixed(&mut out, bytes);
        }
        out
    }

    fn parse(body: &[u8]) -> Result<ReadRequest, ReadRequestError> {
        parse_read_request(body, &RemoteReadLimits::default())
    }

    #[test]
    fn requests_are_read() {
        let matcher = [&b"\x08\x02"[..], &message(&[(2, b"job"), (3, b"a.*")])].concat();
        let hints = [&b"\x18\x05\x20\x07\x08\x01\x38\x02"[..], &message(&[(2, b"rate")])].concat();
        let query = [&b"\x08\x03\x10\x09"[..], &message(&[(3, &matcher), (4, &hints)])].concat();
        let body = [message(&[(1, &query), (1, b"")]), b"\x12\x02\x01\x00\x10\x01".to_vec()];
        let request = parse(&body.concat()).expect("valid");
        let first = &request.queries[0];
        assert_eq!((first.start_ms, first.end_ms), (3, 9));
        assert_eq!(first.matchers, [Matcher::new("job", MatchOp::Regexp, "a.*")]);
        assert_eq!(first.range(), Some(TimeRange { start_ms: 5, end_ms: 7 }));
        let hints = first.hints.as_ref().expect("hints");
        assert_eq!((hints.step_ms, hints.range_ms, hints.function.as_str()), (1, 2, "rate"));
        assert_eq!(request.queries[1], ReadQuery::default());
        assert_eq!(request.accepted, [1, 0, 1]);
        assert_eq!(request.response_type().ok(), Some(ResponseType::StreamedChunks));
    }

    #[test]
    fn response_types_are_agreed_on() {
        let of = |accepted: &[i32]| {
            let accepted = accepted.to_vec();
            ReadRequest { accepted, ..ReadRequest::default() }.response_type()
        };
        assert_eq!(of(&[]).ok(), Some(ResponseType::Samples));
        assert_eq!(of(&[9, 0, 1]).ok(), Some(ResponseType::Samples));
        assert_eq!(of(&[1]).ok(), Some(ResponseType::StreamedChunks));
        let error = of(&[7, -1]).expect_err("unknown").to_string();
        assert!(error.starts_with("server does not support any of the requested"), "{error}");
    }

    #[test]
    fn malformed_requests_are_named() {
        let unknown = message(&[(1, &message(&[(3, &[&b"\x08\x09"[..], b"\x12\x01a"].concat())]))]);
        let error = parse(&unknown).expect_err("no such type").to_string();
        assert_eq!(error, "query 1: matcher of label \"a\" has the unknown type 9");
        for body in [
            &b"\x0a\x05\x08"[..],
            b"\x0a\x02\x08\xff",
            b"\x0b",
            b"\x08\x01",
            b"\x12\x01\xff",
            &message(&[(1, &message(&[(3, &message(&[(2, b"\xff")]))]))]),
            &message(&[(1, b"\x0a\x00")]),
        ] {
            let error = parse(body).expect_err("malformed").to_string();
            assert!(error.starts_with("cannot decode the read request: "), "{error}");
        }
        assert_eq!(parse(b"").expect("empty"), ReadRequest::default());
    }

    #[test]
    fn limits_hold_at_n_and_not_above() {
        let limits =
            RemoteReadLimits { queries_max: 2, matchers_max: 3, ..RemoteReadLimits::default() };
        let query = |matchers: usize| message(&vec![(3, &b""[..]); matchers]);
        let of = |matchers: &[usize]| {
            let queries: Vec<Vec<u8>> = matchers.iter().map(|m| query(*m)).collect();
            let fields: Vec<(u32, &[u8])> = queries.iter().map(|q| (1, q.as_slice())).collect();
            parse_read_request(&message(&fields), &limits).map_err(|e| e.to_string())
        };
        assert!(of(&[1, 2]).is_ok());
        let error = of(&[2, 2]).expect_err("too many");
        assert_eq!(error, "more than 3 matchers in a read request (read.matchers_max)");
        let error = of(&[0, 0, 0]).expect_err("too many");
        assert_eq!(error, "more than 2 queries in a read request (read.queries_max)");
    }

    #[test]
    fn no_times_are_left_where_hints_and_query_do_not_meet() {
        let hints = |start_ms, end_ms| Some(ReadHints { start_ms, end_ms, ..ReadHints::default() });
        let query = |hints| ReadQuery { start_ms: 10, end_ms: 20, hints, ..ReadQuery::default() };
        assert_eq!(query(hints(21, 30)).range(), None);
        assert_eq!(query(hints(0, 0)).range(), Some(TimeRange { start_ms: 10, end_ms: 20 }));
        assert_eq!(query(hints(0, 12)).range(), Some(TimeRange { start_ms: 10, end_ms: 12 }));
        assert_eq!(ReadQuery { start_ms: 2, end_ms: 1, ..ReadQuery::default() }.range(), None);
    }
}
