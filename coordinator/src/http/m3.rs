//! What M3's coordinator has beside Prometheus's API, and its admin API: placements, topics,
//! namespaces and settings of a cluster.
//!
//! PARITY(m3): statuses and bodies are M3's. The admin routes are there if the server holds the
//! state of a cluster.

mod answer;
mod database;
mod host;
pub(super) mod json_write;
mod namespaces;
pub(super) mod operations;
pub(super) mod paths;
mod placements;
mod request;
pub(super) mod search;
mod topics;

use std::fmt;
use std::sync::Arc;

use axum::routing::{delete, get, post};
use m3rs_cluster::kv::SharedKv;
use m3rs_cluster::placement::Service;

use super::routes::Listed;
pub use host::{HostFuture, NamespaceHost};

/// What the admin routes work on.
#[derive(Clone)]
pub struct Admin {
    /// What the cluster agrees on.
    pub store: SharedKv,
    /// Storage that serves the namespaces, if this process has some.
    pub host: Option<Arc<dyn NamespaceHost>>,
    /// The port of the storage node of this process, for a placement of it alone.
    pub database_port: Option<u16>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("store", &self.store).finish_non_exhaustive()
    }
}

/// All admin routes.
pub(super) fn admin_routes() -> Listed {
    let mut routes = Listed::new().route("/api/v1/topic/init", post(topics::init)).route(
        "/api/v1/topic",
        get(topics::get).post(topics::add).put(topics::update).delete(topics::delete),
    );
    routes = routes
        .route("/api/v1/database/create", post(database::create))
        .route("/api/v1/database/namespace/create", post(database::create))
        .route("/api/v1/kvstore", post(database::set_setting))
        .nest("/api/v1/services/m3db", namespace_routes());
    for service in Service::ALL {
        routes = routes.nest(
            &format!("/api/v1/services/{}/placement", service.name()),
            placement_routes(service),
        );
    }
    routes
}

fn namespace_routes() -> Listed {
    use namespaces::{add, add_schema, delete as remove, get as read, ready, reset_schema, update};
    Listed::new()
        .route("/namespace", get(read).post(add).put(update))
        .route("/namespace/ready", post(ready))
        .route("/namespace/{id}", delete(remove))
        .route("/schema", post(add_schema).delete(reset_schema))
}

fn placement_routes(service: Service) -> Listed {
    use placements::{add, delete_all, delete_one, get as read, init, remove, replace, set};
    Listed::new()
        .route(
            "/",
            get(move |state, request| read(service, state, request))
                .post(move |state, request| add(service, state, request))
                .delete(move |state, request| delete_all(service, state, request)),
        )
        .route("/init", post(move |state, request| init(service, state, request)))
        .route("/remove", post(move |state, request| remove(service, state, request)))
        .route("/replace", post(move |state, request| replace(service, state, request)))
        .route("/set", post(move |state, request| set(service, state, request)))
        .route("/{id}", delete(move |state, id, request| delete_one(service, state, id, request)))
}
