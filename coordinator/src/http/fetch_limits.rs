//! M3's headers that limit what a query may fetch, and the header that says that they did.

use axum::response::Response;
use http::{HeaderName, HeaderValue};
use m3rs_core::time::duration::DurationNs;

use crate::http::error::ApiError;
use crate::http::params::{Params, parse_int};
use crate::read::FetchLimits;

const LIMITED: HeaderName = HeaderName::from_static("m3-results-limited");

const SERIES_LIMIT: HeaderValue = HeaderValue::from_static("max_fetch_series_limit_applied");

/// The limits that a request sets. A parameter counts where its header is absent; M3's
/// parameter `limit` has Prometheus's meaning here.
///
/// # Errors
/// Values that are none, in M3's words.
pub(crate) fn fetch_limits(params: &Params) -> Result<FetchLimits, ApiError> {
    let count = |header, name| match params.header_or(header, name) {
        None => Ok(0),
        Some(text) => parse_int(text)
            .map(|number| usize::try_from(number).unwrap_or(0))
            .map_err(|e| refuse("value", text, &e)),
    };
    let range_max_ns = match params.header_or("M3-Limit-Max-Range", "rangeLimit") {
        None => 0,
        Some(text) => {
            let why = format!("time: invalid duration {text:?}");
            DurationNs::parse_go(text).map_err(|_| refuse("duration limit", text, &why))?.0
        }
    };
    let exhaustive = params.header_or("M3-Limit-Require-Exhaustive", "requireExhaustive");
    Ok(FetchLimits {
        series_max: count("M3-Limit-Max-Series", "seriesLimit")?,
        docs_max: count("M3-Limit-Max-Docs", "docsLimit")?,
        range_max_ns: range_max_ns.max(0),
        is_exhaustive: exhaustive.map_or(Ok(true), parse_bool)?,
    })
}

/// PARITY(m3): the words of its errors.
fn refuse(what: &str, input: &str, error: &str) -> ApiError {
    ApiError::bad_data(format!("could not parse {what}: input={input}, err={error}"))
}

/// What Go takes for a truth value.
fn parse_bool(text: &str) -> Result<bool, ApiError> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => {
            let why = format!("strconv.ParseBool: parsing {text:?}: invalid syntax");
            Err(refuse("limit", text, &why))
        }
    }
}

/// Says in a header that something was left out.
pub(crate) fn tell_cut(mut response: Response, is_cut: bool) -> Response {
    if is_cut {
        response.headers_mut().insert(LIMITED, SERIES_LIMIT);
    }
    response
}
