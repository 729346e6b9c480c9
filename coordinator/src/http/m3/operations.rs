//! `/api/v1/parse` and `/api/v1/threshold`: what a query does, as a tree of operations.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use m3rs_query::promql::operations::{Operation, Threshold};
use serde::Serialize;

use crate::http::SharedApp;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::response::plain_json;

#[derive(Serialize)]
struct Node<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    children: Vec<Self>,
}

#[derive(Serialize)]
struct Comparison {
    comparator: &'static str,
    value: f64,
}

#[derive(Serialize)]
struct Compared<'a> {
    query: Node<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<Comparison>,
}

impl<'a> From<&'a Operation> for Node<'a> {
    fn from(operation: &'a Operation) -> Self {
        Self {
            name: &operation.name,
            children: operation.children.iter().map(Self::from).collect(),
        }
    }
}

/// `GET` or `POST /api/v1/parse`.
pub(crate) async fn parse(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    let expr = app.state.queries.parse(query_text(&params)?)?;
    Ok(plain_json(StatusCode::OK, &Node::from(&Operation::of(&expr))))
}

/// `GET` or `POST /api/v1/threshold`.
pub(crate) async fn threshold(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    let expr = app.state.queries.parse(query_text(&params)?)?;
    let Threshold { query, comparison } = Threshold::of(&expr);
    let threshold = comparison.map(|(op, value)| Comparison { comparator: op.as_str(), value });
    Ok(plain_json(StatusCode::OK, &Compared { query: Node::from(&query), threshold }))
}

/// The parameter `query`, which must be there.
pub(super) fn query_text(params: &Params) -> Result<&str, ApiError> {
    let missing = || ApiError::bad_data("error parsing param: query, error: no query found");
    params.get("query").filter(|text| !text.is_empty()).ok_or_else(missing)
}
