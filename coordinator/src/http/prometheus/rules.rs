//! `/rules` and `/alerts`: m3rs evaluates no rules, so there are none; parameters are checked as
//! Prometheus checks them.

use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::json;

use crate::http::SharedApp;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::prometheus::matcher_sets;
use crate::http::response::success_json;

/// `GET /api/v1/rules`.
pub(crate) async fn rules(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    matcher_sets(&app, &params, ApiError::bad_data)?;
    let kind = params.get("type").unwrap_or_default().to_lowercase();
    if !matches!(kind.as_str(), "" | "alert" | "record") {
        return Err(ApiError::bad_parameter("type", format!("not supported value {kind:?}")));
    }
    if let Some(text) = params.get("exclude_alerts")
        && !is_bool(text)
    {
        let why = format!(
            "error converting exclude_alerts: strconv.ParseBool: parsing {text:?}: invalid syntax"
        );
        return Err(ApiError::bad_parameter("exclude_alerts", why));
    }
    check_page(&params)?;
    Ok(success_json(&json!({ "groups": [] }), &[]))
}

/// What Go takes for true or false.
fn is_bool(text: &str) -> bool {
    const WORDS: [&str; 12] =
        ["1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False"];
    WORDS.contains(&text)
}

/// Checks which page of groups is asked for.
fn check_page(params: &Params) -> Result<(), ApiError> {
    let token = params.get("group_next_token");
    let Some(limit) = params.get("group_limit") else {
        return match token {
            Some(_) => Err(ApiError::bad_parameter(
                "group_next_token",
                "group_limit needs to be present in order to paginate over the groups",
            )),
            None => Ok(()),
        };
    };
    let refuse = |why: String| Err(ApiError::bad_parameter("group_limit", why));
    match limit.parse::<i32>() {
        Err(error) => {
            use std::num::IntErrorKind::{NegOverflow, PosOverflow};
            let why = match error.kind() {
                PosOverflow | NegOverflow => "value out of range",
                _ => "invalid syntax",
            };
            refuse(format!(
                "group_limit needs to be a valid number: strconv.ParseInt: parsing {limit:?}: {why}"
            ))
        }
        Ok(..=0) => refuse("group_limit needs to be greater than 0".to_owned()),
        Ok(_) => match token {
            Some(token) => Err(ApiError::bad_parameter(
                "group_next_token",
                format!("invalid group_next_token '{token}'. were rule groups changed?"),
            )),
            None => Ok(()),
        },
    }
}

/// `GET /api/v1/alerts`.
pub(crate) async fn alerts() -> Response {
    success_json(&json!({ "alerts": [] }), &[])
}
