//! `database/create`: a placement, if there is none, and namespaces, in one call; and settings.

use axum::extract::{Request, State};
use axum::response::Response;
use m3rs_cluster::Error;
use m3rs_cluster::generated::admin::{
    DatabaseCreateRequest, DatabaseCreateResponse, NamespaceGetResponse, PlacementGetResponse,
    PlacementInitRequest,
};
use m3rs_cluster::generated::namespace::NamespaceOptions;
use m3rs_cluster::generated::placementpb;
use m3rs_cluster::json;
use m3rs_cluster::kv::Scope;
use m3rs_cluster::namespaces::{Aggregated, BlockSize, Namespaces, aggregated, unaggregated};
use m3rs_cluster::placement::{ChangeOptions, Placement, PlacementService, Service};
use m3rs_cluster::settings::{self, Commit};
use serde_json::Value;

use super::answer::{self, AdminError};
use super::request::{AdminRequest, admin};
use super::{namespaces, placements};
use crate::http::{App, SharedApp};

/// The one instance of a database that is not a cluster.
const LOCAL_ID: &str = "m3db_local";
const LOCAL_GROUP: &str = "local";
const LOCAL_ZONE: &str = "embedded";

/// Where a host is, if that is not said.
const HOST_GROUP: &str = "local";
const HOST_ZONE: &str = "local";

/// Shards for each host.
const SHARDS: usize = 64;

const REPLICA_FACTOR: i32 = 3;

const REPLACES_LOCAL: &str = "cannot replace existing local placement with a clustered placement. \
    Use the placement APIs directly to make placement changes, or remove the `type` field from \
    the  request to add a namespace without modifying the existing local placement";

const PLACED_ALREADY: &str = "cannot use database create API to modify clustered placements after \
    they are instantiated. Use the placement APIs directly to make placement changes, or remove \
    the list of hosts from the request to add a namespace without modifying the placement";

/// What kind of database is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Local,
    Cluster,
}

/// `POST /api/v1/database/create` and `/api/v1/database/namespace/create`.
///
/// PARITY(m3): whether there is a placement is asked of the default environment, and the version
/// in the answer reads 0.
pub(super) async fn create(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let store = admin(&app)?.store.clone();
    let current = PlacementService::new(store.clone(), Service::Database, Scope::default());
    let current = match current.get().await {
        Ok(current) => Some(current.placement),
        Err(Error::NotFound) => None,
        Err(error) => return Err(error.into()),
    };
    let create = read(&request)?;
    let kind = kind(&create, current.is_some())?;
    let new = new_namespaces(&create)?;
    let placed = match kind {
        Some(kind) if kind == Kind::Local || !create.hosts.is_empty() => {
            Some(first_placement(&create, kind, admin(&app)?.database_port)?)
        }
        _ => None,
    };
    let placement = match current {
        Some(current) => kept(current, kind, placed.is_some())?,
        None => {
            let init = placed.ok_or_else(|| AdminError::invalid("missing required field"))?;
            let options = ChangeOptions { dry_run: request.is_dry_run(), ..Default::default() };
            let place = (Service::Database, request.scope());
            placements::first(&app, place, &init, options).await?
        }
    };
    let registry = add_all(&app, &request.scope(), new).await?;
    Ok(answer::message(&DatabaseCreateResponse {
        namespace: Some(NamespaceGetResponse { registry: Some(registry) }),
        placement: Some(PlacementGetResponse {
            placement: Some(placement.to_message()),
            version: 0,
        }),
    }))
}

fn read(request: &AdminRequest) -> Result<DatabaseCreateRequest, AdminError> {
    let value = json::to_nanos(request.body()).map_err(|error| {
        AdminError::invalid(format!("error converting duration to nano bytes: {error}"))
    })?;
    let create: DatabaseCreateRequest = json::read_value(&value).map_err(Error::from)?;
    if create.namespace_name.is_empty() {
        return Err(AdminError::invalid("missing required field: namespaceName"));
    }
    Ok(create)
}

/// The kind that is asked for, if any.
fn kind(create: &DatabaseCreateRequest, is_placed: bool) -> Result<Option<Kind>, AdminError> {
    match &*create.r#type {
        "local" => Ok(Some(Kind::Local)),
        "cluster" if !is_placed && create.hosts.is_empty() => {
            Err(AdminError::invalid("missing required field"))
        }
        "cluster" => Ok(Some(Kind::Cluster)),
        "" if is_placed => Ok(None),
        _ => Err(AdminError::invalid("invalid database type")),
    }
}

type NewNamespace = (String, NamespaceOptions);

fn new_namespaces(create: &DatabaseCreateRequest) -> Result<Vec<NewNamespace>, AdminError> {
    let block = create.block_size.as_ref().map_or(BlockSize::default(), |block| BlockSize {
        time: &block.time,
        samples_per_hour: block.expected_series_datapoints_per_hour,
    });
    let options = unaggregated(&create.retention_time, block)?;
    let mut new = vec![(create.namespace_name.clone(), options)];
    if let Some(told) = &create.aggregated_namespace {
        let (name, resolution) = (&*told.name, &*told.resolution);
        let options = aggregated(Aggregated { name, resolution, retention: &told.retention_time })?;
        new.push((told.name.clone(), options));
    }
    Ok(new)
}

fn first_placement(
    create: &DatabaseCreateRequest,
    kind: Kind,
    port: Option<u16>,
) -> Result<PlacementInitRequest, AdminError> {
    let (shards, replication_factor, instances) = match kind {
        Kind::Local => {
            let missing = "unable to find local embedded database config";
            let port = port.ok_or_else(|| AdminError::invalid(missing))?;
            (SHARDS, 1, vec![local_instance(port)])
        }
        Kind::Cluster => {
            let shards = (create.hosts.len() * SHARDS).next_power_of_two();
            let replicas = match create.replication_factor {
                0 => REPLICA_FACTOR,
                replicas => replicas,
            };
            (shards, replicas, create.hosts.iter().map(instance).collect::<Result<_, _>>()?)
        }
    };
    let num_shards = match create.num_shards {
        told if told > 0 => told,
        _ => i32::try_from(shards).unwrap_or(i32::MAX),
    };
    Ok(PlacementInitRequest { instances, num_shards, replication_factor, option_override: None })
}

fn local_instance(port: u16) -> placementpb::Instance {
    placementpb::Instance {
        id: LOCAL_ID.to_owned(),
        isolation_group: LOCAL_GROUP.to_owned(),
        zone: LOCAL_ZONE.to_owned(),
        weight: 1,
        endpoint: format!("127.0.0.1:{port}"),
        hostname: "localhost".to_owned(),
        port: port.into(),
        ..Default::default()
    }
}

fn instance(
    host: &m3rs_cluster::generated::admin::Host,
) -> Result<placementpb::Instance, AdminError> {
    let or = |text: &str, default: &str| match text.trim() {
        "" => default.to_owned(),
        text => text.to_owned(),
    };
    let id = host.id.trim();
    if id.is_empty() {
        return Err(AdminError::invalid("missing host ID"));
    }
    Ok(placementpb::Instance {
        id: id.to_owned(),
        isolation_group: or(&host.isolation_group, HOST_GROUP),
        zone: or(&host.zone, HOST_ZONE),
        weight: host.weight.max(1),
        endpoint: format!("{}:{}", host.address, host.port),
        hostname: host.address.clone(),
        port: host.port,
        ..Default::default()
    })
}

/// The placement that is there, if it is of the kind that is asked for.
fn kept(
    current: Placement,
    kind: Option<Kind>,
    is_placed_anew: bool,
) -> Result<Placement, AdminError> {
    let is_local = is_local(&current);
    match kind {
        Some(Kind::Cluster) if is_placed_anew => Err(AdminError::invalid(PLACED_ALREADY)),
        Some(Kind::Cluster) if is_local => Err(AdminError::invalid(REPLACES_LOCAL)),
        Some(Kind::Local) if !is_local => Err(AdminError::invalid(REPLACES_LOCAL)),
        _ => Ok(current),
    }
}

fn is_local(placement: &Placement) -> bool {
    let mut instances = placement.instances.values();
    let only = instances.next().filter(|_| placement.instances.len() == 1);
    only.is_some_and(|only| {
        only.id == LOCAL_ID && only.isolation_group == LOCAL_GROUP && only.zone == LOCAL_ZONE
    })
}

async fn add_all(
    app: &App,
    scope: &Scope,
    new: Vec<NewNamespace>,
) -> Result<m3rs_cluster::generated::namespace::Registry, AdminError> {
    let (mut registry, _) = Namespaces::new(admin(app)?.store.clone(), scope).get().await?;
    if let Some((name, _)) = new.iter().find(|(name, _)| registry.namespaces.contains_key(name)) {
        let why = format!("unable to create namespace: {name} because it already exists");
        return Err(AdminError::invalid(why));
    }
    for (name, options) in new {
        let added = namespaces::added(app, scope, (&name, Some(options))).await;
        // PARITY(m3): two namespaces of one name in one request are a failure of the server.
        registry = added.map_err(AdminError::conflict_as_failure)?;
    }
    Ok(registry)
}

/// `POST /api/v1/kvstore`: a setting.
pub(super) async fn set_setting(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let update = json::read_any(request.body()).map_err(Error::from)?;
    let name = update.get("key").and_then(Value::as_str).unwrap_or_default();
    let is_committed = update.get("commit").and_then(Value::as_bool).unwrap_or(false);
    let commit = if is_committed { Commit::Yes } else { Commit::No };
    let value = update.get("value").cloned().unwrap_or(Value::Null);
    let changed = settings::set(&admin(&app)?.store, name, &value, commit).await?;
    let (name, version) = (Value::from(name), changed.version);
    let old = changed.old;
    Ok(answer::json(format!(r#"{{"key":{name},"old":{old},"new":{value},"version":{version}}}"#)))
}
