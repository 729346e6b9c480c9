//! `/labels`, `/label/{name}/values` and `/series`.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use m3rs_query::source::{LabelRequest, Listing, SeriesSource, SourceError, TimeRange};

use crate::http::error::ApiError;
use crate::http::fetch_limits::{fetch_limits, tell_cut};
use crate::http::gate::Turn;
use crate::http::params::Params;
use crate::http::prometheus::series_list::SeriesList;
use crate::http::prometheus::{check_ready, matcher_sets};
use crate::http::response::success_json;
use crate::http::short::WorkKey;
use crate::http::time::{MAX_TIME_MS, MIN_TIME_MS};
use crate::http::{App, SharedApp};
use crate::queries::Stop;
use crate::read::{FetchLimits, NOT_EXHAUSTIVE, QueryFailure, TRUNCATED};

/// The prefix of label names that escape what a path cannot hold.
const ESCAPED_PREFIX: &str = "U__";

/// `GET` or `POST /api/v1/labels`.
pub(crate) async fn names(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    let Asked { request, cut } = Asked::read(&app, &params, ApiError::bad_data)?;
    let key = key(&app, "names", &params);
    let found = list(&app, key, move |source| source.label_names(&request)).await?;
    let (warning, is_cut) = cut.told(&found).map_err(QueryFailure::from)?;
    Ok(tell_cut(success_json(&found.entries, &warning), is_cut))
}

/// `GET /api/v1/label/{name}/values`.
pub(crate) async fn values(
    State(app): State<SharedApp>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    let name = unescape_name(&name).unwrap_or(name);
    let Asked { request, cut } = Asked::read(&app, &params, ApiError::bad_data)?;
    let key = key(&app, &name, &params);
    let found = list(&app, key, move |source| source.label_values(&name, &request)).await?;
    let (warning, is_cut) = cut.told(&found).map_err(QueryFailure::from)?;
    Ok(tell_cut(success_json(&found.entries, &warning), is_cut))
}

/// `GET` or `POST /api/v1/series`.
pub(crate) async fn series(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let refuse = |why| ApiError::bad_parameter("match[]", why);
    let Asked { request, cut } = Asked::read(&app, &params, refuse)?;
    let key = key(&app, "series", &params);
    let (first, rest, is_cut) = list(&app, key, move |source| {
        let found = source.series(&request)?;
        let (warnings, is_cut) = cut.told(&found)?;
        let mut rest = SeriesList::new(found.entries, &warnings);
        Ok((rest.pieces(), rest, is_cut))
    })
    .await?;
    Ok(tell_cut(rest.answer(first), is_cut))
}

/// What a request asks for, and whose limits it has.
struct Asked {
    request: LabelRequest,
    cut: Cut,
}

/// Which limit cuts a listing.
struct Cut {
    fetch: FetchLimits,
    /// Whether it is that of M3's header, rather than that of the parameter.
    is_fetch: bool,
    /// Whether times were left out.
    is_shorter: bool,
}

impl Asked {
    fn read(
        app: &SharedApp,
        params: &Params,
        refuse: fn(String) -> ApiError,
    ) -> Result<Self, ApiError> {
        let fetch = fetch_limits(params)?;
        let mut limit = params.limit()?;
        let is_fetch = fetch.series_max != 0 && (limit == 0 || fetch.series_max < limit);
        if is_fetch {
            limit = fetch.series_max;
        }
        let start_ms = params.time_or("start", MIN_TIME_MS)?;
        let end_ms = params.time_or("end", MAX_TIME_MS)?;
        let (range, is_shorter) =
            fetch.range(TimeRange { start_ms, end_ms }).map_err(QueryFailure::from)?;
        let matcher_sets = matcher_sets(app, params, refuse)?;
        let request = LabelRequest { matcher_sets, range, limit };
        Ok(Self { request, cut: Cut { fetch, is_fetch, is_shorter } })
    }
}

impl Cut {
    /// The warning of a listing, and whether it says that M3's limits left something out.
    fn told<T>(&self, found: &Listing<T>) -> Result<(Vec<String>, bool), SourceError> {
        let mut is_cut = self.is_shorter;
        if found.truncated && self.is_fetch {
            // One more than there may be, at least.
            is_cut |= self.fetch.check_series(self.fetch.series_max as u64 + 1)?;
        }
        let mut warnings = Vec::new();
        if is_cut {
            warnings.push(NOT_EXHAUSTIVE.to_owned());
        }
        if found.truncated && !self.is_fetch {
            warnings.push(TRUNCATED.to_owned());
        }
        Ok((warnings, is_cut))
    }
}

/// The key of what is listed for the selectors of `params`.
fn key(app: &App, what: &str, params: &Params) -> WorkKey {
    app.gate.key(("lists", what, params.all("match[]").collect::<Vec<_>>()))
}

/// Asks the source under the limits of queries.
pub(crate) async fn list<T: Send + 'static>(
    app: &SharedApp,
    key: WorkKey,
    ask: impl FnOnce(&dyn SeriesSource) -> Result<T, SourceError> + Send + 'static,
) -> Result<T, ApiError> {
    check_ready(app)?;
    let worker = SharedApp::clone(app);
    let timeout = app.state.limits.query.timeout;
    let work = move |_: Turn<'_>| ask(&*worker.state.source);
    let answer = app.gate.run(timeout, &Stop::default(), key, work).await?;
    answer.map_err(|error| QueryFailure::from(error).into())
}

/// Undoes the escaping of `U__…`: `__` is an underscore, `_1f600_` the character of that number.
/// `None` if the text is not escaped, or not in a valid way.
fn unescape_name(text: &str) -> Option<String> {
    let mut rest = text.strip_prefix(ESCAPED_PREFIX)?;
    let mut name = String::with_capacity(rest.len());
    while let Some((plain, escape)) = rest.split_once('_') {
        name.push_str(plain);
        let (digits, after) = escape.split_once('_')?;
        if digits.is_empty() {
            name.push('_');
        } else {
            let is_number = digits.len() < 7 && digits.bytes().all(|b| b.is_ascii_hexdigit());
            let number = is_number.then(|| u32::from_str_radix(digits, 16).ok()).flatten()?;
            name.push(char::from_u32(number)?);
        }
        rest = after;
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names() {
        for (text, wanted) in [
            ("U__http_2e_status", Some("http.status")),
            ("U__a__b", Some("a_b")),
            ("U___1F600__", None),
            ("U___1F600_x", Some("\u{1f600}x")),
            ("U__plain", Some("plain")),
            ("plain", None),
            ("U__a_b", None),
            ("U__a_xyz_", None),
            ("U__a_d800_", None),
            ("U__a_0000041_", None),
            ("U__a_+41_", None),
        ] {
            assert_eq!(unescape_name(text).as_deref(), wanted, "{text}");
        }
    }
}
