//! Settings of a storage node.

use m3rs_core::config::Node;

use super::super::finding::Finding;
use super::Told;
use super::coordinator::{CoordinatorSettings, Within};
use super::values::{is_said, text, text_or};

/// Addresses on which a node listens.
#[derive(Clone, Debug)]
pub(crate) struct NodeAddresses {
    pub(crate) node: String,
    pub(crate) cluster: String,
    pub(crate) http_node: String,
    pub(crate) http_cluster: String,
    pub(crate) debug: String,
}

/// What m3rs takes of a node's file.
#[derive(Clone, Debug)]
pub(crate) struct NodeSettings {
    /// The node; nothing if the process is a coordinator alone.
    pub(crate) db: Option<DbSettings>,
    pub(crate) coordinator: Option<CoordinatorSettings>,
}

/// What is under `db`.
#[derive(Clone, Debug)]
pub(crate) struct DbSettings {
    /// The directory of all data.
    pub(crate) file_path_prefix: String,
    pub(crate) listen: NodeAddresses,
    pub(crate) metrics_listen: Option<String>,
    pub(crate) log_level: String,
    pub(crate) write_consistency: String,
    pub(crate) read_consistency: String,
}

impl NodeSettings {
    /// Reads a file that was checked; what M3 would not start with goes to `errors`.
    pub(crate) fn read(root: &Node, errors: &mut Vec<Finding>) -> Self {
        let db = root.get("db").map(DbSettings::read);
        let within = if db.is_some() { Within::Node } else { Within::Itself };
        let coordinator =
            root.get("coordinator").map(|node| CoordinatorSettings::read(node, within, errors));
        if db.is_none() && coordinator.is_none() {
            errors.push(Finding::of_all("neither db nor coordinator is there"));
        }
        let old_and_new = [("db.fs", "db.filesystem"), ("db.config", "db.discovery")];
        for (old, new) in old_and_new {
            if let Some(node) = root.at(old).filter(|_| is_said(root, old) && is_said(root, new)) {
                let text = format!("{old} is an earlier name of {new}, and both are there");
                errors.push(Finding::at(&node.place, text));
            }
        }
        Self { db, coordinator }
    }

    /// The settings for people.
    pub(crate) fn told(&self) -> Vec<Told> {
        let mut out = self.db.as_ref().map(DbSettings::told).unwrap_or_default();
        out.extend(self.coordinator.iter().flat_map(CoordinatorSettings::told));
        out
    }
}

impl DbSettings {
    fn read(db: &Node) -> Self {
        let prefix =
            text(db, "filesystem.filePathPrefix").or_else(|| text(db, "fs.filePathPrefix"));
        Self {
            file_path_prefix: prefix.unwrap_or("/var/lib/m3db").to_owned(),
            listen: NodeAddresses {
                node: text_or(db, "listenAddress", "0.0.0.0:9000"),
                cluster: text_or(db, "clusterListenAddress", "0.0.0.0:9001"),
                http_node: text_or(db, "httpNodeListenAddress", "0.0.0.0:9002"),
                http_cluster: text_or(db, "httpClusterListenAddress", "0.0.0.0:9003"),
                debug: text_or(db, "debugListenAddress", "0.0.0.0:9004"),
            },
            metrics_listen: text(db, "metrics.prometheus.listenAddress").map(str::to_owned),
            log_level: text_or(db, "logging.level", "info").to_lowercase(),
            write_consistency: text_or(db, "client.writeConsistencyLevel", "majority"),
            read_consistency: text_or(db, "client.readConsistencyLevel", "unstrict_majority"),
        }
    }

    fn told(&self) -> Vec<Told> {
        let NodeAddresses { node, cluster, http_node, http_cluster, debug } = self.listen.clone();
        let mut out = vec![
            ("data directory", self.file_path_prefix.clone()),
            ("node service", node),
            ("cluster service", cluster),
            ("node service by JSON", http_node),
            ("cluster service by JSON", http_cluster),
            ("profiles", debug),
        ];
        out.extend(self.metrics_listen.iter().map(|address| ("node metrics", address.clone())));
        out.push(("node log level", self.log_level.clone()));
        let (write, read) = (&self.write_consistency, &self.read_consistency);
        out.push(("consistency", format!("writes {write}, reads {read}")));
        out
    }
}
