//! Routes of namespaces and of their schemas.

use std::collections::BTreeMap;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::StatusCode;
use m3rs_cluster::Error;
use m3rs_cluster::generated::admin::{
    NamespaceAddRequest, NamespaceGetResponse, NamespaceReadyRequest, NamespaceReadyResponse,
    NamespaceSchemaAddRequest, NamespaceSchemaAddResponse, NamespaceSchemaResetRequest,
    NamespaceSchemaResetResponse, NamespaceUpdateRequest,
};
use m3rs_cluster::generated::namespace::{NamespaceOptions, Registry};
use m3rs_cluster::json::{self, Defaults};
use m3rs_cluster::kv::Scope;
use m3rs_cluster::namespaces::{Namespaces, Schema};
use m3rs_core::rng::Random;
use prost::{Message, Name};

use super::answer::{self, AdminError};
use super::request::{AdminRequest, admin};
use crate::http::error::ApiError;
use crate::http::{App, SharedApp};

/// `GET .../namespace`: all namespaces; with `debug=true`, durations as texts.
pub(super) async fn get(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let (registry, _) = namespaces(&app, &request.scope())?.get().await?;
    let is_debug =
        matches!(request.param("debug"), Some("1" | "t" | "T" | "true" | "TRUE" | "True"));
    if !is_debug {
        return Ok(shown(registry));
    }
    let text = json::write(&NamespaceGetResponse { registry: Some(registry) }, Defaults::Written);
    let text = json::to_durations(&text).map_err(Error::from)?;
    Ok(answer::json(text))
}

/// `POST .../namespace`: adds a namespace.
pub(super) async fn add(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let NamespaceAddRequest { name, options } = with_durations(&request)?;
    Ok(shown(added(&app, &request.scope(), (&name, options)).await?))
}

/// Adds a namespace to the registry, and tells storage of it.
///
/// # Errors
/// As [`Namespaces::add`], and what storage says.
pub(super) async fn added(
    app: &App,
    scope: &Scope,
    (name, options): (&str, Option<NamespaceOptions>),
) -> Result<Registry, AdminError> {
    let registry = namespaces(app, scope)?.add(name, options).await?;
    if let (Some(host), Some(options)) = (&admin(app)?.host, registry.namespaces.get(name)) {
        host.created(name, options).await.map_err(ApiError::from)?;
    }
    Ok(registry)
}

/// `PUT .../namespace`: changes a namespace.
pub(super) async fn update(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let NamespaceUpdateRequest { name, options } = with_durations(&request)?;
    let registry = namespaces(&app, &request.scope())?.update(&name, options).await?;
    if let (Some(host), Some(options)) = (&admin(&app)?.host, registry.namespaces.get(&name)) {
        host.updated(&name, options).await.map_err(ApiError::from)?;
    }
    Ok(shown(registry))
}

/// `DELETE .../namespace/{id}`: removes a namespace.
pub(super) async fn delete(
    State(app): State<SharedApp>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let name = name.trim();
    namespaces(&app, &request.scope())?.delete(name).await?;
    if let Some(host) = &admin(&app)?.host {
        host.deleted(name).await.map_err(ApiError::from)?;
    }
    Ok(answer::deleted())
}

/// `POST .../namespace/ready`: says that a namespace is ready, if storage does or it is forced.
pub(super) async fn ready(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let NamespaceReadyRequest { name, force } = request.message()?;
    let namespaces = namespaces(&app, &request.scope())?;
    if !namespaces.is_ready(&name).await? {
        if !force {
            check_ready(&app, &name).await?;
        }
        namespaces.set_ready(&name).await?;
    }
    Ok(answer::message(&NamespaceReadyResponse { ready: true }))
}

async fn check_ready(app: &App, name: &str) -> Result<(), AdminError> {
    let Some(host) = &admin(app)?.host else {
        return Err(AdminError::invalid(format!(
            "coordinator is not connected to dbnodes. cannot check namespace {name} for \
             readiness. set force = true to make namespaces ready without checking dbnodes"
        )));
    };
    match host.is_ready(name).await.map_err(ApiError::from)? {
        true => Ok(()),
        false => Err(AdminError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("namespace {name} not yet ready"),
        )),
    }
}

/// `POST .../schema`: adds a schema to a namespace.
pub(super) async fn add_schema(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let add: NamespaceSchemaAddRequest = request.message()?;
    let schema = Schema {
        deploy_id: random_uuid(),
        file: add.proto_name,
        message: add.msg_name,
        sources: add.proto_map.into_iter().collect::<BTreeMap<_, _>>(),
    };
    namespaces(&app, &request.scope())?.add_schema(&add.name, &schema).await?;
    Ok(answer::message(&NamespaceSchemaAddResponse { deploy_id: schema.deploy_id }))
}

/// `DELETE .../schema`: removes all schemas of a namespace, if it is forced.
pub(super) async fn reset_schema(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let NamespaceSchemaResetRequest { name } = request.message()?;
    if !request.is_forced() {
        return Err(AdminError::invalid(
            "CAUTION! Reset schema will prevent proto-enabled namespace from loading, proceed if \
             you know what you are doing, please retry with force set to true",
        ));
    }
    namespaces(&app, &request.scope())?.reset_schema(&name).await?;
    Ok(answer::message(&NamespaceSchemaResetResponse {}))
}

fn namespaces(app: &App, scope: &Scope) -> Result<Namespaces, AdminError> {
    Ok(Namespaces::new(admin(app)?.store.clone(), scope))
}

/// A message whose durations may be texts.
fn with_durations<M: Message + Name + Default>(request: &AdminRequest) -> Result<M, AdminError> {
    let value = json::to_nanos(request.body()).map_err(Error::from)?;
    Ok(json::read_value(&value).map_err(Error::from)?)
}

fn shown(registry: Registry) -> Response {
    answer::message(&NamespaceGetResponse { registry: Some(registry) })
}

/// A UUID of version 4.
fn random_uuid() -> String {
    let mut bytes = [0; 16];
    Random::from_machine().fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
