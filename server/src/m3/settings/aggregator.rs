//! Settings of an aggregator.

use m3rs_core::config::Node;

use super::super::finding::Finding;
use super::Told;
use super::values::{is_said, text, text_or};

/// What m3rs takes of an aggregator's file.
#[derive(Clone, Debug)]
pub(crate) struct AggregatorSettings {
    pub(crate) http_listen: Option<String>,
    pub(crate) m3msg_listen: Option<String>,
    pub(crate) raw_tcp_listen: Option<String>,
    pub(crate) metrics_listen: Option<String>,
    pub(crate) log_level: String,
}

impl AggregatorSettings {
    /// Reads a file that was checked; what M3 would not start with goes to `errors`.
    pub(crate) fn read(root: &Node, errors: &mut Vec<Finding>) -> Self {
        if !is_said(root, "m3msg") && !is_said(root, "rawtcp") {
            errors.push(Finding::of_all("neither m3msg nor rawtcp is there: nothing comes in"));
        }
        let address = |path| text(root, path).map(str::to_owned);
        Self {
            http_listen: address("http.listenAddress"),
            m3msg_listen: address("m3msg.server.listenAddress"),
            raw_tcp_listen: address("rawtcp.listenAddress"),
            metrics_listen: address("metrics.prometheus.listenAddress"),
            log_level: text_or(root, "logging.level", "info").to_lowercase(),
        }
    }

    /// The settings for people.
    pub(crate) fn told(&self) -> Vec<Told> {
        let addresses = [
            ("HTTP API", &self.http_listen),
            ("M3Msg", &self.m3msg_listen),
            ("raw TCP", &self.raw_tcp_listen),
            ("metrics", &self.metrics_listen),
        ];
        let told = addresses.into_iter().filter_map(|(name, at)| Some((name, at.clone()?)));
        told.chain([("log level", self.log_level.clone())]).collect()
    }
}
