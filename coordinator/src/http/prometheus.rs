//! Routes of Prometheus's API, and M3's of the same meaning.

pub(crate) mod exemplars;
pub(crate) mod labels;
pub(crate) mod metadata;
pub(crate) mod query;
pub(crate) mod running;
mod series_list;
pub(crate) mod status;
pub(crate) mod write;

use m3rs_core::model::Matcher;

use crate::http::App;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::read::ErrorType;

/// Refuses requests until storage can answer them.
pub(crate) fn check_ready(app: &App) -> Result<(), ApiError> {
    if app.state.storage.is_ready() {
        return Ok(());
    }
    let status = app.state.storage.status();
    let percent = status.progress * 100.0;
    let text = format!("storage is not ready: {} ({percent:.0} % done)", status.stage);
    Err(ApiError::new(ErrorType::Unavailable, text))
}

/// The text of a query, which must not be too long.
fn check_text<'a>(app: &App, parameter: &str, text: &'a str) -> Result<&'a str, ApiError> {
    let limit = app.state.limits.query.text_bytes_max;
    if text.len() > limit {
        let why =
            format!("{} bytes of text, the limit is {limit} (query.text_bytes_max)", text.len());
        return Err(ApiError::bad_parameter(parameter, why));
    }
    Ok(text)
}

/// The selectors in `match[]`. `refuse` words the error for a text that is no selector; routes
/// differ in that.
pub(crate) fn matcher_sets(
    app: &App,
    params: &Params,
    refuse: fn(String) -> ApiError,
) -> Result<Vec<Vec<Matcher>>, ApiError> {
    let limit = app.state.limits.query.selectors_max;
    let mut sets = Vec::new();
    for text in params.all("match[]") {
        if sets.len() == limit {
            let why = format!("more than {limit} selectors (query.selectors_max)");
            return Err(ApiError::bad_parameter("match[]", why));
        }
        let text = check_text(app, "match[]", text)?;
        sets.push(app.state.queries.selector(text).map_err(|e| refuse(e.message))?);
    }
    Ok(sets)
}
