//! A router that knows its routes, so that documents and tests can be held against them.

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, Route};
use tower::{Layer, Service};

use super::SharedApp;

/// Routes and the list of their paths.
pub(super) struct Listed {
    router: Router<SharedApp>,
    paths: Vec<String>,
}

impl Listed {
    /// No routes.
    pub(super) fn new() -> Self {
        Self { router: Router::new(), paths: Vec::new() }
    }

    /// Adds a route.
    pub(super) fn route(mut self, path: &str, methods: MethodRouter<SharedApp>) -> Self {
        self.paths.push(path.to_owned());
        Self { router: self.router.route(path, methods), ..self }
    }

    /// Adds all routes of `other`.
    pub(super) fn merge(mut self, other: Self) -> Self {
        self.paths.extend(other.paths);
        Self { router: self.router.merge(other.router), ..self }
    }

    /// Adds all routes of `other` under `prefix`.
    pub(super) fn nest(mut self, prefix: &str, other: Self) -> Self {
        self.paths.extend(other.paths.iter().map(|path| format!("{prefix}{path}")));
        Self { router: self.router.nest(prefix, other.router), ..self }
    }

    /// Puts `layer` around all routes so far.
    pub(super) fn layer<L>(self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request>>::Error: Into<std::convert::Infallible> + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        Self { router: self.router.layer(layer), ..self }
    }

    /// The paths, and the router.
    pub(super) fn into_parts(self) -> (Vec<String>, Router<SharedApp>) {
        (self.paths, self.router)
    }
}
