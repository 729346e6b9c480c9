//! Parameters of a request: the query of its URL and, for `POST`, its form.

use std::net::SocketAddr;

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode};

use crate::http::App;
use crate::http::body::{BodyError, BodyLimit, collect};
use crate::http::error::ApiError;
use crate::http::request_id::RequestId;
use crate::http::serve::ClientAddress;
use crate::http::time::{parse_duration_param, parse_time};
use crate::queries::Asker;
use crate::read::ErrorType;

/// Decoded names and values. Those of the form stand before those of the URL, as in Go.
#[derive(Debug, Default)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    headers: HeaderMap,
    client: Option<SocketAddr>,
    request_id: Option<RequestId>,
}

impl Params {
    /// Reads the parameters of a request.
    ///
    /// # Errors
    /// A body over its limit, or names and values that are not percent-encoded UTF-8.
    pub(crate) async fn read(app: &App, request: Request<Body>) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let mut params = Self::default();
        if parts.method == Method::POST && is_form(&parts) {
            let limit = BodyLimit {
                bytes_max: app.state.limits.query.body_bytes_max,
                setting: "query.body_bytes_max",
                timeout: app.state.limits.write.body_timeout,
            };
            let form = collect(&parts.headers, body, limit, &app.bodies).await?;
            params.decode(form.as_slice())?;
        }
        params.decode(parts.uri.query().unwrap_or_default().as_bytes())?;
        params.headers = parts.headers;
        params.client = parts.extensions.get().map(|ClientAddress(client)| *client);
        params.request_id = parts.extensions.get().cloned();
        Ok(params)
    }

    /// The parameters in the URL of a request whose body is something else.
    ///
    /// # Errors
    /// Names and values that are not percent-encoded UTF-8.
    pub(crate) fn of_url(parts: &Parts) -> Result<Self, ApiError> {
        let mut params = Self { headers: parts.headers.clone(), ..Self::default() };
        params.decode(parts.uri.query().unwrap_or_default().as_bytes())?;
        Ok(params)
    }

    fn decode(&mut self, text: &[u8]) -> Result<(), ApiError> {
        for pair in text.split(|b| *b == b'&').filter(|p| !p.is_empty()) {
            let mut halves = pair.splitn(2, |b| *b == b'=');
            let name = decode_component(halves.next().unwrap_or_default())?;
            let value = decode_component(halves.next().unwrap_or_default())?;
            self.pairs.push((name, value));
        }
        Ok(())
    }

    /// The first value of `name`; empty values count as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let first = self.pairs.iter().find(|(n, _)| n == name);
        first.map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    /// Whose request it is, as far as that is known.
    pub(crate) fn asker(&self) -> Asker {
        let request_id = self.request_id.as_ref().map(|id| id.as_str().to_owned());
        Asker { client: self.client, request_id }
    }

    /// The header of this name, if it is text; else the parameter.
    pub(crate) fn header_or(&self, header: &str, name: &str) -> Option<&str> {
        let text = self.headers.get(header).and_then(|value| value.to_str().ok());
        text.filter(|text| !text.is_empty()).or_else(|| self.get(name))
    }

    /// All values of `name`.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The time `name` in milliseconds.
    ///
    /// # Errors
    /// A value that is no time; an absent one is such a value.
    pub(crate) fn time(&self, name: &str) -> Result<i64, ApiError> {
        parse_time(self.get(name).unwrap_or_default())
            .map_err(|why| ApiError::bad_parameter(name, why))
    }

    /// The time `name` in milliseconds, or `default` if it is absent.
    ///
    /// # Errors
    /// A value that is no time.
    pub(crate) fn time_or(&self, name: &str, default: i64) -> Result<i64, ApiError> {
        match self.get(name) {
            None => Ok(default),
            Some(text) => parse_time(text).map_err(|why| {
                ApiError::bad_parameter(name, format!("invalid time value for '{name}': {why}"))
            }),
        }
    }

    /// The duration `name` in nanoseconds.
    ///
    /// # Errors
    /// A value that is no duration.
    pub(crate) fn duration_ns(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let parse = |text| parse_duration_param(text).map_err(|w| ApiError::bad_parameter(name, w));
        self.get(name).map(parse).transpose()
    }

    /// The parameter `limit`; 0 is no limit.
    ///
    /// # Errors
    /// A value that is no number, or a negative one.
    pub(crate) fn limit(&self) -> Result<usize, ApiError> {
        let Some(text) = self.get("limit") else { return Ok(0) };
        let number = parse_int(text).map_err(|why| ApiError::bad_parameter("limit", why))?;
        usize::try_from(number)
            .map_err(|_| ApiError::bad_parameter("limit", "limit must be non-negative"))
    }
}

/// A whole number; the error has Go's words.
pub(crate) fn parse_int(text: &str) -> Result<i64, String> {
    use std::num::IntErrorKind;
    text.parse::<i64>().map_err(|error| {
        let why = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.Atoi: parsing {text:?}: {why}")
    })
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        let status = match &error {
            BodyError::Full(_) => {
                return Self::new(ErrorType::Unavailable, error.to_string());
            }
            BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Timeout(_) => StatusCode::REQUEST_TIMEOUT,
            BodyError::Broken(_) => StatusCode::BAD_REQUEST,
        };
        Self::bad_data(error.to_string()).with_status(status)
    }
}

fn is_form(parts: &Parts) -> bool {
    let value = parts.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn decode_component(text: &[u8]) -> Result<String, ApiError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => match tail {
                [high, low, after @ ..] if hex(*high).zip(hex(*low)).is_some() => {
                    let (high, low) = (hex(*high).unwrap_or(0), hex(*low).unwrap_or(0));
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => return Err(bad_escape(tail)),
            },
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes)
        .map_err(|_| ApiError::bad_data("error parsing form values: a value is not valid UTF-8"))
}

fn bad_escape(tail: &[u8]) -> ApiError {
    let shown = String::from_utf8_lossy(tail.get(..2).unwrap_or(tail));
    ApiError::bad_data(format!("error parsing form values: invalid URL escape \"%{shown}\""))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Result<Params, ApiError> {
        let mut params = Params::default();
        params.decode(text.as_bytes()).map(|()| params)
    }

    #[test]
    fn components_are_decoded() {
        let p =
            params("query=a%2Bb+c&match[]=%7B%7D&match%5B%5D=x&empty=&flag&&e=1=2").expect("ok");
        assert_eq!(p.get("query"), Some("a+b c"));
        assert_eq!(p.all("match[]").collect::<Vec<_>>(), ["{}", "x"]);
        assert_eq!(p.get("empty"), None);
        assert_eq!(p.get("flag"), None);
        assert_eq!(p.get("e"), Some("1=2"));
        assert!(params("a=%zz").is_err());
        assert!(params("a=%4").is_err());
        assert!(params("a=%ff").is_err());
    }

    #[test]
    fn limits_are_whole_numbers() {
        assert_eq!(params("limit=7").expect("ok").limit().expect("ok"), 7);
        assert_eq!(params("").expect("ok").limit().expect("ok"), 0);
        assert!(params("limit=-1").expect("ok").limit().is_err());
        assert!(params("limit=1.5").expect("ok").limit().is_err());
        assert_eq!(
            parse_int("99999999999999999999"),
            Err("strconv.Atoi: parsing \"99999999999999999999\": value out of range".into())
        );
    }
}
