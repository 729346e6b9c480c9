//! Messages that answer an export, as protobuf and as JSON.

use http::StatusCode;
use m3rs_core::wire::{put_length_prefixed, put_varint};
use m3rs_query::render::{Escaping, write_text};

use crate::http::otlp::Form;
use crate::ingest::WriteOutcome;

/// The type of the detail that says when to come again.
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// Codes of gRPC, as far as they are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Code {
    Ok = 0,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
}

impl Code {
    /// The code that means what a status of HTTP means.
    pub(super) fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::OK => Self::Ok,
            StatusCode::REQUEST_TIMEOUT => Self::DeadlineExceeded,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => {
                Self::ResourceExhausted
            }
            StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            status if status.is_server_error() => Self::Internal,
            _ => Self::InvalidArgument,
        }
    }

    /// Whether the sender should come again, of a request answered with this and `status`.
    pub(super) fn is_retryable(self, status: StatusCode) -> bool {
        self == Self::Unavailable || status == StatusCode::TOO_MANY_REQUESTS
    }

    /// The word for metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
        }
    }
}

/// An `ExportMetricsServiceResponse`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Export {
    /// Data points of which something was refused.
    pub(super) rejected: u64,
    /// What and why; empty if all was taken.
    pub(super) message: String,
}

impl Export {
    pub(super) fn of(outcome: &WriteOutcome) -> Self {
        if outcome.refusals.is_empty() {
            return Self::default();
        }
        let rejected = outcome.counts.points_refused;
        let line = outcome.refusals.line();
        let message = format!("{rejected} data points refused, all others written: {line}");
        Self { rejected, message }
    }

    /// The message in the form of the request.
    pub(super) fn write(&self, form: Form) -> Vec<u8> {
        let mut out = Vec::new();
        let is_full = self.message.is_empty();
        match form {
            Form::Protobuf if is_full => {}
            Form::Protobuf => {
                let mut partial = Vec::new();
                put_number(&mut partial, 1, self.rejected);
                put_bytes(&mut partial, 2, self.message.as_bytes());
                put_bytes(&mut out, 1, &partial);
            }
            Form::Json if is_full => out.extend_from_slice(b"{}"),
            Form::Json => {
                out.extend_from_slice(b"{\"partialSuccess\":{\"rejectedDataPoints\":\"");
                out.extend_from_slice(self.rejected.to_string().as_bytes());
                out.extend_from_slice(b"\",\"errorMessage\":");
                write_text(&mut out, &self.message, Escaping::Json);
                out.extend_from_slice(b"}}");
            }
        }
        out
    }
}

/// A `google.rpc.Status`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Status<'a> {
    pub(super) code: Code,
    pub(super) message: &'a str,
}

impl Status<'_> {
    /// The message in the form of the request.
    pub(super) fn write(&self, form: Form) -> Vec<u8> {
        let mut out = Vec::new();
        match form {
            Form::Protobuf => {
                put_number(&mut out, 1, self.code as u64);
                put_bytes(&mut out, 2, self.message.as_bytes());
            }
            Form::Json => {
                out.extend_from_slice(format!("{{\"code\":{},", self.code as u8).as_bytes());
                out.extend_from_slice(b"\"message\":");
                write_text(&mut out, self.message, Escaping::Json);
                out.push(b'}');
            }
        }
        out
    }

    /// The message as protobuf, with the detail that the sender should come again in `seconds`.
    pub(super) fn with_retry(&self, seconds: u64) -> Vec<u8> {
        let mut delay = Vec::new();
        put_number(&mut delay, 1, seconds);
        let mut info = Vec::new();
        put_bytes(&mut info, 1, &delay);
        let mut detail = Vec::new();
        put_bytes(&mut detail, 1, RETRY_INFO.as_bytes());
        put_bytes(&mut detail, 2, &info);
        let mut out = self.write(Form::Protobuf);
        put_bytes(&mut out, 3, &detail);
        out
    }
}

fn put_number(out: &mut Vec<u8>, number: u8, value: u64) {
    out.push(number << 3);
    put_varint(out, value);
}

fn put_bytes(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    put_length_prefixed(out, bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_both_forms() {
        let full = Export::default();
        assert_eq!((full.write(Form::Protobuf), full.write(Form::Json)), (vec![], b"{}".to_vec()));
        let partial = Export { rejected: 300, message: "a\"b".into() };
        assert_eq!(partial.write(Form::Protobuf), b"\x0a\x08\x08\xac\x02\x12\x03a\"b");
        assert_eq!(
            String::from_utf8(partial.write(Form::Json)).expect("text"),
            r#"{"partialSuccess":{"rejectedDataPoints":"300","errorMessage":"a\"b"}}"#
        );
        let status = Status { code: Code::Unavailable, message: "busy" };
        assert_eq!(status.write(Form::Protobuf), b"\x08\x0e\x12\x04busy");
        assert_eq!(status.write(Form::Json), br#"{"code":14,"message":"busy"}"#);
        let retry = status.with_retry(1);
        assert!(retry.starts_with(b"\x08\x0e\x12\x04busy\x1a\x30\x0a\x28type."), "{retry:x?}");
        assert!(retry.ends_with(b"RetryInfo\x12\x04\x0a\x02\x08\x01"), "{retry:x?}");
    }
}
