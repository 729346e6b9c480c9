//! What all admin requests have: where they are meant for, and a body of JSON.

use axum::extract::Request;
use http::HeaderMap;
use m3rs_cluster::json;
use m3rs_cluster::kv::Scope;
use m3rs_cluster::topic;
use prost::{Message, Name};

use super::Admin;
use super::answer::AdminError;
use crate::http::App;
use crate::http::body::{BodyLimit, collect};
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::read::ErrorType;

const ENVIRONMENT: &str = "cluster-environment-name";
const ZONE: &str = "cluster-zone-name";
const DRY_RUN: &str = "dry-run";
const FORCE: &str = "force";
const TOPIC_NAME: &str = "topic-name";

/// An admin request, read in full.
#[derive(Debug)]
pub(super) struct AdminRequest {
    params: Params,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl AdminRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// A body over its limit, or a URL that cannot be decoded.
    pub(super) async fn read(app: &App, request: Request) -> Result<Self, AdminError> {
        let (parts, body) = request.into_parts();
        let limit = BodyLimit {
            bytes_max: app.state.limits.query.body_bytes_max,
            setting: "query.body_bytes_max",
            timeout: app.state.limits.write.body_timeout,
        };
        let collected = collect(&parts.headers, body, limit, &app.bodies).await;
        let body = collected.map_err(ApiError::from)?.as_slice().to_vec();
        let params = Params::of_url(&parts)?;
        Ok(Self { params, headers: parts.headers, body })
    }

    /// The message in its body.
    ///
    /// # Errors
    /// As [`json::read`].
    pub(super) fn message<M: Message + Name + Default>(&self) -> Result<M, AdminError> {
        let message = json::read(&self.body).map_err(m3rs_cluster::Error::from)?;
        Ok(message)
    }

    /// Its body.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// A parameter of its URL.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name)
    }

    /// The environment and the zone that it is meant for.
    pub(super) fn scope(&self) -> Scope {
        let default = Scope::default();
        let or = |name, default: String| self.header(name).map_or(default, str::to_owned);
        Scope { environment: or(ENVIRONMENT, default.environment), zone: or(ZONE, default.zone) }
    }

    /// The topic that it is meant for.
    pub(super) fn topic(&self) -> &str {
        self.header(TOPIC_NAME).unwrap_or(topic::DEFAULT_NAME)
    }

    /// Whether nothing is to be written.
    pub(super) fn is_dry_run(&self) -> bool {
        self.header(DRY_RUN) == Some("true")
    }

    /// Whether it insists.
    pub(super) fn is_forced(&self) -> bool {
        self.header(FORCE) == Some("true")
    }

    fn header(&self, name: &str) -> Option<&str> {
        let text = self.headers.get(name)?.to_str().ok()?.trim();
        Some(text).filter(|text| !text.is_empty())
    }
}

/// What the routes work on.
///
/// # Errors
/// The server holds no state of a cluster.
pub(super) fn admin(app: &App) -> Result<&Admin, AdminError> {
    let admin = app.state.admin.as_ref();
    let admin = admin.ok_or_else(|| AdminError::not_found("there is no cluster here"))?;
    if admin.host.is_some() && !app.state.storage.is_ready() {
        // What the registry says could not be done yet.
        return Err(ApiError::new(ErrorType::Unavailable, "storage is not ready").into());
    }
    Ok(admin)
}
