//! Routes of placements.

use std::collections::BTreeSet;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::StatusCode;
use m3rs_cluster::Error;
use m3rs_cluster::generated::admin::{
    PlacementAddRequest, PlacementGetResponse, PlacementInitRequest, PlacementRemoveRequest,
    PlacementReplaceRequest, PlacementSetRequest, PlacementSetResponse,
};
use m3rs_cluster::generated::placementpb;
use m3rs_cluster::kv::{SETTINGS, Scope};
use m3rs_cluster::placement::{
    Change, ChangeOptions, Instance, Placement, PlacementError, PlacementService, Service, Size,
    Versioned,
};

use super::answer::{self, AdminError};
use super::request::{AdminRequest, admin};
use crate::http::{App, SharedApp};

/// `POST .../placement/init`: makes the first placement. PARITY(m3): its version reads 0.
pub(super) async fn init(
    service: Service,
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let init: PlacementInitRequest = request.message()?;
    let options = options(&request, init.option_override, true);
    let placement = first(&app, (service, request.scope()), &init, options).await?;
    Ok(shown(Versioned { placement, version: 0 }))
}

/// Makes the first placement of a service.
///
/// # Errors
/// 409 if there is one.
pub(super) async fn first(
    app: &App,
    (service, scope): (Service, Scope),
    init: &PlacementInitRequest,
    options: ChangeOptions,
) -> Result<Placement, AdminError> {
    let replica_factor = match service {
        Service::Coordinator => 1,
        Service::Database | Service::Aggregator => init.replication_factor,
    };
    let size = Size { shards: init.num_shards, replica_factor };
    let instances = instances(&init.instances)?;
    let placements = PlacementService::new(admin(app)?.store.clone(), service, scope);
    let made = placements.init(instances, size, options, app.state.clock.now()).await;
    let made = made.map_err(|error| match error {
        Error::AlreadyExists => AdminError::from(error).with_status(StatusCode::CONFLICT),
        other => other.into(),
    });
    Ok(made?.placement)
}

/// `GET .../placement`: the placement, or the one of an older version.
pub(super) async fn get(
    service: Service,
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let placements = placements(&app, service, &request)?;
    let placement = match request.param("version").map(parse_version) {
        None => placements.get().await,
        Some(version) => placements.get_version(version?).await,
    };
    match placement {
        Err(Error::NotFound) => Err(AdminError::not_found("placement does not exist")),
        placement => Ok(shown(placement?)),
    }
}

/// PARITY(m3): Go's words.
fn parse_version(text: &str) -> Result<u64, AdminError> {
    text.parse().map_err(|_| {
        let why = format!("strconv.Atoi: parsing {text:?}: invalid syntax");
        AdminError::invalid(format!("could not parse version: {why}"))
    })
}

/// `POST .../placement`: adds instances.
pub(super) async fn add(
    service: Service,
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let add: PlacementAddRequest = request.message()?;
    let options = options(&request, add.option_override, add.force);
    let change = Change::Add(instances(&add.instances)?);
    changed(&app, service, &request, (change, options)).await
}

/// `POST .../placement/remove`: removes instances.
pub(super) async fn remove(
    service: Service,
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let remove: PlacementRemoveRequest = request.message()?;
    let options = options(&request, remove.option_override, remove.force);
    let change = Change::Remove(remove.instance_ids);
    changed(&app, service, &request, (change, options)).await
}

/// `POST .../placement/replace`: replaces instances.
pub(super) async fn replace(
    service: Service,
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let replace: PlacementReplaceRequest = request.message()?;
    let options = options(&request, replace.option_override, replace.force);
    let candidates = instances(&replace.candidates)?;
    let change = Change::Replace { leaving: replace.leaving_instance_i_ds, candidates };
    changed(&app, service, &request, (change, options)).await
}

async fn changed(
    app: &App,
    service: Service,
    request: &AdminRequest,
    (change, options): (Change, ChangeOptions),
) -> Result<Response, AdminError> {
    let placements = placements(app, service, request)?;
    Ok(shown(placements.change(change, options, app.state.clock.now()).await?))
}

/// `POST .../placement/set`: writes a placement as it is, if that is confirmed.
///
/// PARITY(m3): the version of the request is not compared, and the placement in the answer is the
/// one of the request.
pub(super) async fn set(
    service: Service,
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let set: PlacementSetRequest = request.message()?;
    let placements = placements(&app, service, &request)?;
    let current = match placements.get().await {
        Ok(current) => current.version,
        Err(Error::NotFound) => 0,
        Err(error) => return Err(error.into()),
    };
    let message = set.placement.ok_or_else(|| AdminError::invalid("nil placement proto"))?;
    let placement = Placement::from_message(&message)?;
    if let (Err(error), false) = (placement.check(), set.force) {
        return Err(Error::from(error).within("unable to validate new placement").into());
    }
    let version = match (set.confirm, current) {
        (true, _) => placements.set(placement, current).await?.version,
        (false, 0) => 0,
        (false, current) => current + 1,
    };
    Ok(answer::message(&PlacementSetResponse {
        placement: Some(message),
        version: i32::try_from(version).unwrap_or(i32::MAX),
        dry_run: !set.confirm,
    }))
}

/// `DELETE .../placement`: removes the placement, and what aggregators keep beside it.
pub(super) async fn delete_all(
    service: Service,
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let placements = placements(&app, service, &request)?;
    let absent = |error| match error {
        Error::NotFound => AdminError::not_found(error.to_string()),
        other => other.into(),
    };
    let current = placements.get().await.map_err(absent)?;
    if !request.is_dry_run() {
        placements.delete().await.map_err(absent)?;
        forget_shard_sets(&app, service, &request, current.placement.shard_set_ids()).await?;
    }
    Ok(answer::deleted())
}

/// `DELETE .../placement/{id}`: removes one instance.
pub(super) async fn delete_one(
    service: Service,
    State(app): State<SharedApp>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let placements = placements(&app, service, &request)?;
    let current = placements.get().await?.placement;
    let Some(instance) = current.instances.get(&id) else {
        return Err(AdminError::not_found(format!("instance not found: {id}")));
    };
    // Coordinators keep no data that others would miss.
    let force = request.param("force") == Some("true") || service == Service::Coordinator;
    let options = options(&request, None, force);
    let set = instance.shard_set_id;
    let mut others = current.instances.values().filter(|other| other.id != id);
    let is_last = !others.any(|other| other.shard_set_id == set);
    let change = Change::Remove(vec![id]);
    let changed = placements.change(change, options, app.state.clock.now()).await?;
    if is_last && !options.dry_run {
        forget_shard_sets(&app, service, &request, BTreeSet::from([set])).await?;
    }
    Ok(shown(changed))
}

/// Removes what the aggregators of shard sets keep: times of flushes, and who leads.
async fn forget_shard_sets(
    app: &App,
    service: Service,
    request: &AdminRequest,
    sets: BTreeSet<u32>,
) -> Result<(), AdminError> {
    if service != Service::Aggregator {
        return Ok(());
    }
    let (store, scope) = (&admin(app)?.store, request.scope());
    for set in sets {
        for what in ["flush", "lock"] {
            let key = scope.key(SETTINGS, &format!("shardset/{set}/{what}"));
            match store.delete(&key).await {
                Ok(_) | Err(Error::NotFound) => {}
                Err(error) => {
                    let context = "error delete flush times key for deleted instance";
                    return Err(error.within(context).into());
                }
            }
        }
    }
    Ok(())
}

fn placements(
    app: &App,
    service: Service,
    request: &AdminRequest,
) -> Result<PlacementService, AdminError> {
    Ok(PlacementService::new(admin(app)?.store.clone(), service, request.scope()))
}

fn options(
    request: &AdminRequest,
    told: Option<placementpb::Options>,
    force: bool,
) -> ChangeOptions {
    let told = told.unwrap_or_default();
    ChangeOptions {
        is_sharded: told.is_sharded,
        skip_port_mirroring: told.skip_port_mirroring.unwrap_or(false),
        force,
        dry_run: request.is_dry_run(),
    }
}

fn instances(messages: &[placementpb::Instance]) -> Result<Vec<Instance>, AdminError> {
    let instances = messages.iter().map(Instance::from_message);
    let instances: Result<Vec<Instance>, PlacementError> = instances.collect();
    instances.map_err(|error| Error::from(error).into())
}

fn shown(Versioned { placement, version }: Versioned) -> Response {
    answer::message(&PlacementGetResponse {
        placement: Some(placement.to_message()),
        version: i32::try_from(version).unwrap_or(i32::MAX),
    })
}
