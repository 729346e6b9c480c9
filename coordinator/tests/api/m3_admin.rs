//! M3's admin API answers as M3 did: whole transcripts of it, replayed.

use std::sync::Arc;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use m3rs_cluster::generated::namespace::NamespaceOptions;
use m3rs_cluster::kv::embedded::EmbeddedKv;
use m3rs_cluster::kv::{DEFAULT_ZONE, Scope};
use m3rs_cluster::placement::{PlacementService, Service};
use m3rs_coordinator::http::{Admin, HostFuture, NamespaceHost};
use m3rs_core::clock::Clock;
use m3rs_sim::clock::SimClock;
use parking_lot::Mutex;

use crate::client::{Answer, get, send};
use crate::fakes::World;
use crate::transcript::{self, START_NS};

/// Records that are not replayed, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("009-coord-replace-force", "M3 panics; here the instance is replaced"),
    ("093-ready-noop", "a probe of storage, which has its own answer here"),
    ("094-write-noop", "M3 panics on samples without storage"),
    ("095-query-noop", "a query"),
    ("096-json-noop", "samples"),
    ("012-create-get", "a wrong method has a body of JSON here"),
    ("019-ready-get", "a wrong method has a body of JSON here"),
    ("076-placement-put", "a wrong method has a body of JSON here"),
    ("025-placement-unknown-service", "an unknown path has a body of JSON here"),
];

/// The record after which the node of the transcript said that it has its shards.
const NODE_HAS_STARTED: &str = "016-ready";

/// Parts of the paths of the admin API.
const ADMIN_PATHS: [&str; 4] = ["/services/", "/topic", "/database/", "/kvstore"];

/// Storage that is ready at once and notes what it is told.
#[derive(Default)]
struct Host(Mutex<Vec<String>>);

impl Host {
    fn note<'a, T: Send + 'a>(&self, what: &str, name: &str, answer: T) -> HostFuture<'a, T> {
        self.0.lock().push(format!("{what} {name}"));
        Box::pin(async move { Ok(answer) })
    }
}

impl NamespaceHost for Host {
    fn created<'a>(&'a self, name: &'a str, _options: &'a NamespaceOptions) -> HostFuture<'a, ()> {
        self.note("created", name, ())
    }

    fn updated<'a>(&'a self, name: &'a str, _options: &'a NamespaceOptions) -> HostFuture<'a, ()> {
        self.note("updated", name, ())
    }

    fn deleted<'a>(&'a self, name: &'a str) -> HostFuture<'a, ()> {
        self.note("deleted", name, ())
    }

    fn is_ready<'a>(&'a self, name: &'a str) -> HostFuture<'a, bool> {
        self.note("asked of", name, true)
    }
}

/// What the process is of which the transcript was made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Process {
    /// A coordinator that has no storage.
    Coordinator,
    /// A storage node with a coordinator inside.
    Node,
}

fn admin(process: Process, host: &Arc<Host>) -> Admin {
    let store = Arc::new(EmbeddedKv::in_memory(DEFAULT_ZONE));
    match process {
        Process::Coordinator => Admin { store, host: None, database_port: None },
        Process::Node => {
            Admin { store, host: Some(Arc::clone(host) as _), database_port: Some(9000) }
        }
    }
}

async fn replay(file: &str, process: Process) {
    let clock = Arc::new(SimClock::at(START_NS));
    let admin = admin(process, &Arc::default());
    let placements =
        PlacementService::new(Arc::clone(&admin.store), Service::Database, Scope::default());
    let world = World::administered(admin, Arc::clone(&clock) as _);
    let mut wrong = Vec::new();
    for record in transcript::records(file) {
        let is_left_out = LEFT_OUT.iter().any(|(name, _)| *name == record.name);
        if !is_left_out && ADMIN_PATHS.iter().any(|part| record.path().contains(part)) {
            wrong.extend(record.replay(&world.router, &clock).await);
        }
        if record.name == NODE_HAS_STARTED {
            let marked = placements.mark_available("m3db_local", clock.now()).await;
            marked.expect("the node has its shards");
        }
    }
    assert!(wrong.is_empty(), "{} answers are others:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn administration_of_a_cluster() {
    replay("c1-cluster-admin.jsonl", Process::Coordinator).await;
}

#[tokio::test]
async fn the_guide_of_the_aggregator() {
    replay("c2-aggregator-guide.jsonl", Process::Node).await;
}

#[tokio::test]
async fn changes_of_placements() {
    replay("c4-placement-changes.jsonl", Process::Coordinator).await;
}

#[tokio::test]
async fn the_first_steps_of_a_user() {
    replay("a1-quickstart.jsonl", Process::Node).await;
}

#[tokio::test]
async fn what_is_refused() {
    replay("b1-errors.jsonl", Process::Node).await;
}

fn world(process: Process) -> (World, Arc<Host>) {
    let host = Arc::default();
    let clock = Arc::new(SimClock::at(START_NS));
    (World::administered(admin(process, &host), clock), host)
}

async fn ask(world: &World, (method, path): (Method, &str), body: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned()));
    send(&world.router, request.expect("valid")).await
}

#[tokio::test]
async fn storage_is_told_of_namespaces() {
    let (world, host) = world(Process::Node);
    let create = r#"{"type":"local","namespaceName":"default"}"#;
    let answer = ask(&world, (Method::POST, "/api/v1/database/create"), create).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let path = "/api/v1/services/m3db/namespace";
    let update =
        r#"{"name":"default","options":{"retentionOptions":{"retentionPeriodDuration":"48h"}}}"#;
    ask(&world, (Method::PUT, path), update).await;
    ask(&world, (Method::POST, &format!("{path}/ready")), r#"{"name":"default"}"#).await;
    let ready = get(&world.router, path).await.json();
    let options = &ready["registry"]["namespaces"]["default"];
    assert_eq!(options["stagingState"]["status"], "READY");
    assert_eq!(options["retentionOptions"]["retentionPeriodNanos"], "172800000000000");
    ask(&world, (Method::DELETE, &format!("{path}/default")), "").await;
    let told = ["created default", "updated default", "asked of default", "deleted default"];
    assert_eq!(*host.0.lock(), told);
}

#[tokio::test]
async fn an_instance_of_a_list_is_replaced() {
    let (world, _) = world(Process::Coordinator);
    let path = "/api/v1/services/m3coordinator/placement";
    let instance = |id: &str| format!(r#"{{"id":"{id}","zone":"embedded","endpoint":"{id}:1"}}"#);
    let init = format!(r#"{{"instances":[{}]}}"#, instance("a"));
    ask(&world, (Method::POST, &format!("{path}/init")), &init).await;
    let replace =
        format!(r#"{{"force":true,"leavingInstanceIDs":["a"],"candidates":[{}]}}"#, instance("b"));
    let answer = ask(&world, (Method::POST, &format!("{path}/replace")), &replace).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let instances = &answer.json()["placement"]["instances"];
    assert!(instances["a"].is_null() && instances["b"].is_object(), "{instances}");
}

#[tokio::test]
async fn without_a_cluster_there_are_no_admin_routes() {
    let world = World::new();
    let answer = get(&world.router, "/api/v1/topic").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.json()["errorType"], "not_found");
}
