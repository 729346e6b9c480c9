//! Settings of an aggregator.

use m3rs_core::config::Node;

use super::Told;
use super::values::{is_said, metrics_address, text, text_or};

/// What m3rs takes of an aggregator's file.
#[derive(Clone, Debug)]
pub(crate) struct AggregatorSettings {
    pub(crate) http_listen: String,
    pub(crate) m3msg_listen: Option<String>,
    pub(crate) raw_tcp_listen: Option<String>,
    pub(crate) metrics_listen: Option<String>,
    pub(crate) log_level: String,
}

impl AggregatorSettings {
    /// Reads a file that was checked. Who says neither `m3msg` nor `rawtcp` gets M3Msg.
    pub(crate) fn read(root: &Node) -> Self {
        let address = |path| text(root, path).map(str::to_owned);
        let is_silent = !is_said(root, "m3msg") && !is_said(root, "rawtcp");
        Self {
            http_listen: text_or(root, "http.listenAddress", "0.0.0.0:6001"),
            m3msg_listen: address("m3msg.server.listenAddress")
                .or_else(|| is_silent.then(|| "0.0.0.0:6000".to_owned())),
            raw_tcp_listen: address("rawtcp.listenAddress"),
            metrics_listen: metrics_address(root, "0.0.0.0:6002"),
            log_level: text_or(root, "logging.level", "info").to_lowercase(),
        }
    }

    /// The settings for people.
    pub(crate) fn told(&self) -> Vec<Told> {
        let addresses = [
            ("M3Msg", &self.m3msg_listen),
            ("raw TCP", &self.raw_tcp_listen),
            ("metrics", &self.metrics_listen),
        ];
        let told = addresses.into_iter().filter_map(|(name, at)| Some((name, at.clone()?)));
        let first = [("HTTP API", self.http_listen.clone())];
        first.into_iter().chain(told).chain([("log level", self.log_level.clone())]).collect()
    }
}
