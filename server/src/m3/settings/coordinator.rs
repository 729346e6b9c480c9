//! Settings of a coordinator and of a query server.

use m3rs_core::config::Node;
use m3rs_core::time::NS_PER_S;
use m3rs_core::time::duration::DurationNs;

use super::super::finding::{Finding, shown};
use super::super::scalar::told;
use super::Told;
use super::namespaces::{self, NamespaceSetting};
use super::remote_backend::{self, Endpoint};
use super::values::{int, is_said, items, metrics_address, span, text, text_or, texts, truth};

/// Where a coordinator runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Within {
    /// In a process of its own.
    Itself,
    /// In the process of a storage node, which gives it clusters and etcd.
    Node,
}

/// Where samples are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// In storage nodes.
    M3db,
    /// Asked of remote coordinators.
    Grpc,
    /// Nowhere: for administration.
    NoopEtcd,
    /// In receivers of remote write.
    PromRemote,
}

/// Namespaces of a cluster, and how many of its replicas must take part.
#[derive(Clone, Debug)]
pub(crate) struct ClusterSettings {
    pub(crate) namespaces: usize,
    pub(crate) write_consistency: String,
    pub(crate) read_consistency: String,
}

/// A remote zone whose coordinators are asked too.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    pub(crate) name: String,
    pub(crate) addresses: Vec<String>,
}

/// What labels must be, and how an ID is made of them.
#[derive(Clone, Debug)]
pub(crate) struct TagOptions {
    pub(crate) metric_name: String,
    pub(crate) bucket_name: String,
    pub(crate) id_scheme: String,
    /// Series with such a label are not taken: its name, and patterns of its value.
    pub(crate) filters: Vec<(String, Vec<String>)>,
}

/// Limits of one query; 0 is no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueryLimits {
    pub(crate) series_max: i64,
    pub(crate) docs_max: i64,
    pub(crate) range_max: DurationNs,
    /// Whether a query over a limit fails; otherwise its answer is cut.
    pub(crate) is_exhaustive: bool,
}

/// What m3rs takes of a coordinator's file.
#[derive(Clone, Debug)]
pub(crate) struct CoordinatorSettings {
    pub(crate) listen: String,
    pub(crate) metrics_listen: Option<String>,
    pub(crate) log_level: String,
    pub(crate) backend: Backend,
    pub(crate) clusters: Vec<ClusterSettings>,
    /// Namespaces of all clusters, or of the node in this process.
    pub(crate) namespaces: Vec<NamespaceSetting>,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) remotes: Vec<Remote>,
    pub(crate) tags: TagOptions,
    /// The address for Graphite's lines, if they are taken.
    pub(crate) carbon_listen: Option<String>,
    /// The address for aggregated samples, if they are taken.
    pub(crate) m3msg_listen: Option<String>,
    pub(crate) limits: QueryLimits,
    pub(crate) query_timeout: DurationNs,
    pub(crate) lookback: DurationNs,
    /// `downsample.rules` as it is written.
    pub(crate) rules: Option<Node>,
}

impl CoordinatorSettings {
    /// Reads a file that was checked; what M3 would not start with goes to `errors`.
    pub(crate) fn read(root: &Node, within: Within, errors: &mut Vec<Finding>) -> Self {
        let backend = backend(root, errors);
        let namespaces = if items(root, "clusters").is_empty() {
            namespaces::read_all(items(root, "local.namespaces").iter(), errors)
        } else {
            let clusters = items(root, "clusters").iter();
            namespaces::read_all(clusters.flat_map(|node| items(node, "namespaces")), errors)
        };
        let is_remote = backend == Backend::PromRemote;
        let settings = Self {
            listen: text_or(root, "listenAddress", "0.0.0.0:7201"),
            metrics_listen: metrics_address(root, "0.0.0.0:7203"),
            log_level: text_or(root, "logging.level", "info").to_lowercase(),
            backend,
            clusters: items(root, "clusters").iter().map(cluster).collect(),
            namespaces,
            endpoints: if is_remote { remote_backend::read(root, errors) } else { Vec::new() },
            remotes: remotes(root),
            tags: tag_options(root),
            carbon_listen: is_said(root, "carbon.ingester")
                .then(|| text_or(root, "carbon.ingester.listenAddress", "0.0.0.0:7204")),
            m3msg_listen: text(root, "ingest.m3msg.server.listenAddress").map(str::to_owned),
            limits: limits(root),
            query_timeout: span(root, "query.timeout").unwrap_or(DurationNs(30 * NS_PER_S)),
            lookback: span(root, "lookbackDuration").unwrap_or(DurationNs(300 * NS_PER_S)),
            rules: root.at("downsample.rules").filter(|node| !node.is_null()).cloned(),
        };
        settings.check(root, within, errors);
        settings
    }

    /// What depends on several keys.
    fn check(&self, root: &Node, within: Within, errors: &mut Vec<Finding>) {
        let mut refuse = |text: &str| errors.push(Finding::of_all(text));
        match self.backend {
            Backend::M3db if self.clusters.is_empty() && within == Within::Itself => {
                refuse("clusters has none, and there is no node in this process");
            }
            Backend::Grpc if self.remotes.is_empty() => {
                refuse("rpc.remotes has none, and backend is grpc");
            }
            Backend::NoopEtcd if items(root, "clusterManagement.etcd.etcdClusters").is_empty() => {
                refuse("clusterManagement.etcd.etcdClusters has none, and backend is noop-etcd");
            }
            Backend::PromRemote
                if is_said(root, "downsample.remoteAggregator")
                    && !is_said(root, "clusterManagement.etcd") =>
            {
                refuse("downsample.remoteAggregator needs clusterManagement.etcd");
            }
            _ => {}
        }
        if self.carbon_listen.is_some() && self.backend != Backend::M3db {
            refuse("carbon.ingester needs backend m3db");
        }
        let positive = [("lookbackDuration", self.lookback), ("query.timeout", self.query_timeout)];
        for (key, value) in positive {
            if let Some(node) = root.at(key).filter(|_| value.0 <= 0) {
                errors.push(Finding::at(&node.place, format!("{key} must be longer than 0")));
            }
        }
    }

    /// The settings for people.
    pub(crate) fn told(&self) -> Vec<Told> {
        let mut out = vec![("HTTP API", self.listen.clone())];
        let addresses = [
            ("metrics", &self.metrics_listen),
            ("Graphite lines", &self.carbon_listen),
            ("M3Msg", &self.m3msg_listen),
        ];
        for (name, address) in addresses {
            out.extend(address.as_ref().map(|address| (name, address.clone())));
        }
        out.push(("log level", self.log_level.clone()));
        out.push(("backend", self.backend.name().to_owned()));
        out.extend(self.clusters.iter().map(|cluster| {
            let (write, read) = (&cluster.write_consistency, &cluster.read_consistency);
            let namespaces = match cluster.namespaces {
                0 => "namespaces found in etcd".to_owned(),
                n => format!("{n} namespaces"),
            };
            ("cluster", format!("{namespaces}, writes {write}, reads {read}"))
        }));
        out.extend(self.namespaces.iter().map(|namespace| ("namespace", namespace.told())));
        out.extend(self.endpoints.iter().map(|endpoint| ("endpoint", endpoint.told())));
        out.extend(self.remotes.iter().map(|remote| {
            (
                "remote zone",
                format!("{}: {}", shown(&remote.name), shown(&remote.addresses.join(", "))),
            )
        }));
        out.extend(self.tags.told());
        out.push(("query timeout", told(self.query_timeout)));
        out.push(("lookback", told(self.lookback)));
        out.push(("query limits", self.limits.told()));
        if let Some(rules) = &self.rules {
            let count = |key| items(rules, key).len();
            let (mapping, rollup) = (count("mappingRules"), count("rollupRules"));
            out.push(("rules", format!("{mapping} mapping, {rollup} rollup")));
        }
        out
    }
}

impl Backend {
    fn name(self) -> &'static str {
        match self {
            Self::M3db => "m3db",
            Self::Grpc => "grpc",
            Self::NoopEtcd => "noop-etcd",
            Self::PromRemote => "prom-remote",
        }
    }
}

impl TagOptions {
    fn told(&self) -> Vec<Told> {
        let Self { metric_name, bucket_name, id_scheme, filters } = self;
        let names = format!("{}, {}", shown(metric_name), shown(bucket_name));
        let mut out = vec![("name and bucket labels", names), ("ID scheme", id_scheme.clone())];
        out.extend(filters.iter().map(|(name, values)| {
            ("series not taken", format!("{}: {}", shown(name), shown(&values.join(", "))))
        }));
        out
    }
}

impl QueryLimits {
    fn told(self) -> String {
        let mut out = format!("{} series", self.series_max);
        if self.docs_max > 0 {
            out.push_str(&format!(", {} documents", self.docs_max));
        }
        if self.range_max.0 > 0 {
            out.push_str(&format!(", {}", told(self.range_max)));
        }
        out.push_str(if self.is_exhaustive { "; more is an error" } else { "; more is cut off" });
        out
    }
}

fn backend(root: &Node, errors: &mut Vec<Finding>) -> Backend {
    match text(root, "backend") {
        None | Some("m3db") => Backend::M3db,
        Some("grpc") => Backend::Grpc,
        Some("noop-etcd") => Backend::NoopEtcd,
        Some("prom-remote") => Backend::PromRemote,
        Some(other) => {
            let text = format!(
                "backend: \"{}\" is none of m3db, grpc, noop-etcd, prom-remote",
                shown(other)
            );
            errors.push(match root.get("backend") {
                Some(node) => Finding::at(&node.place, text),
                None => Finding::of_all(text),
            });
            Backend::M3db
        }
    }
}

fn cluster(node: &Node) -> ClusterSettings {
    ClusterSettings {
        namespaces: items(node, "namespaces").len(),
        write_consistency: text_or(node, "client.writeConsistencyLevel", "majority"),
        read_consistency: text_or(node, "client.readConsistencyLevel", "unstrict_majority"),
    }
}

/// Remote zones; the old list of addresses is one without a name.
fn remotes(root: &Node) -> Vec<Remote> {
    let named = items(root, "rpc.remotes").iter().map(|node| Remote {
        name: text_or(node, "name", ""),
        addresses: texts(node, "remoteListenAddresses"),
    });
    let old = texts(root, "rpc.remoteListenAddresses");
    let old = (!old.is_empty()).then(|| Remote { name: "default".to_owned(), addresses: old });
    named.chain(old).collect()
}

fn tag_options(root: &Node) -> TagOptions {
    let filter = |node: &Node| (text_or(node, "name", ""), texts(node, "values"));
    TagOptions {
        metric_name: text_or(root, "tagOptions.metricName", "__name__"),
        bucket_name: text_or(root, "tagOptions.bucketName", "le"),
        id_scheme: text_or(root, "tagOptions.idScheme", "quoted"),
        filters: items(root, "tagOptions.filters").iter().map(filter).collect(),
    }
}

/// 0 series is the default, as in M3.
fn limits(root: &Node) -> QueryLimits {
    let series = int(root, "limits.perQuery.maxFetchedSeries").filter(|max| *max > 0);
    QueryLimits {
        series_max: series.unwrap_or(100_000),
        docs_max: int(root, "limits.perQuery.maxFetchedDocs").unwrap_or(0),
        range_max: span(root, "limits.perQuery.maxFetchedRange").unwrap_or_default(),
        is_exhaustive: truth(root, "limits.perQuery.requireExhaustive").unwrap_or(true),
    }
}
