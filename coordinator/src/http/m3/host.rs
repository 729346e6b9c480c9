//! The seam to the storage that serves namespaces.

use std::future::Future;
use std::pin::Pin;

use m3rs_cluster::generated::namespace::NamespaceOptions;

use crate::write::StoreError;

/// A future that a host returns.
pub type HostFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Storage that follows the registry of namespaces.
///
/// It is told of a change after the change is durable in the registry, and must make it come true
/// in the end: a host that fails is told nothing again, and finds what it missed in the registry.
pub trait NamespaceHost: Send + Sync {
    /// A namespace was added.
    ///
    /// # Errors
    /// Why it is not served yet.
    fn created<'a>(&'a self, name: &'a str, options: &'a NamespaceOptions) -> HostFuture<'a, ()>;

    /// Options of a namespace changed.
    ///
    /// # Errors
    /// Why they do not hold yet.
    fn updated<'a>(&'a self, name: &'a str, options: &'a NamespaceOptions) -> HostFuture<'a, ()>;

    /// A namespace was removed.
    ///
    /// # Errors
    /// Why it is still served.
    fn deleted<'a>(&'a self, name: &'a str) -> HostFuture<'a, ()>;

    /// Whether the namespace takes reads and writes.
    ///
    /// # Errors
    /// Why that cannot be told.
    fn is_ready<'a>(&'a self, name: &'a str) -> HostFuture<'a, bool>;
}
