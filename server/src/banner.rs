//! What a first user reads when the server is up.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use m3rs_core::time::duration::DurationNs;

/// One screen: where it listens, where it keeps data, what to write into a configuration.
#[derive(Debug)]
pub(crate) struct Banner<'a> {
    /// Address of the HTTP API.
    pub(crate) listen: SocketAddr,
    /// Address of the metrics of the program itself, if it has one of its own.
    pub(crate) metrics: Option<SocketAddr>,
    /// Address of OTLP over gRPC, if there is one.
    pub(crate) otlp_grpc: Option<SocketAddr>,
    /// The data directory.
    pub(crate) data_dir: &'a Path,
    /// How long samples are kept; 0 is for ever.
    pub(crate) retention: DurationNs,
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = reachable(self.listen);
        let metrics = reachable(self.metrics.unwrap_or(self.listen));
        let data_dir = self.data_dir.display();
        writeln!(f, "m3rs {} is ready.\n", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "  API      http://{base}  (listens on {})", self.listen)?;
        writeln!(f, "  metrics  http://{metrics}/metrics")?;
        if let Some(grpc) = self.otlp_grpc {
            writeln!(f, "  OTLP     http://{}  (gRPC, listens on {grpc})", reachable(grpc))?;
        }
        match self.retention {
            DurationNs(0) => writeln!(f, "  data     {data_dir}, kept for ever\n")?,
            kept => writeln!(f, "  data     {data_dir}, kept for {}\n", kept.prometheus())?,
        }
        writeln!(f, "In prometheus.yml:\n")?;
        writeln!(f, "  remote_write:")?;
        writeln!(f, "    - url: http://{base}/api/v1/write\n")?;
        writeln!(f, "In Grafana: a data source of type Prometheus with the URL http://{base}")
    }
}

/// An address that a client on this machine can use: "all addresses" is not one.
fn reachable(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_to_paste() {
        let banner = Banner {
            listen: "0.0.0.0:7201".parse().expect("an address"),
            metrics: Some("0.0.0.0:7203".parse().expect("an address")),
            otlp_grpc: Some("0.0.0.0:4317".parse().expect("an address")),
            data_dir: Path::new("m3rs-data"),
            retention: DurationNs(30 * 86_400_000_000_000),
        };
        let text = banner.to_string();
        assert!(text.contains("    - url: http://localhost:7201/api/v1/write\n"));
        assert!(text.contains("http://localhost:7203/metrics\n"), "{text}");
        assert!(text.contains("OTLP     http://localhost:4317 "), "{text}");
        assert!(text.contains("m3rs-data, kept for 30d\n"), "{text}");
        assert!(text.lines().count() <= 24, "{text}");
    }

    #[test]
    fn addresses_of_one_host_stay() {
        let own = "127.0.0.1:9000".parse().expect("an address");
        assert_eq!(reachable(own), "127.0.0.1:9000");
        let all = "[::]:1".parse().expect("an address");
        assert_eq!(reachable(all), "localhost:1");
    }
}
