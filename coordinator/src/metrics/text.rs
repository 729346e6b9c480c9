//! The two text formats of metrics.

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// A format that a scraper may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextFormat {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus's text format 0.0.4.
    Prometheus,
}

impl TextFormat {
    /// OpenMetrics if the `Accept` header names it, else the older format, which all can read.
    pub(crate) fn from_accept(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// The content type of the format.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Writes all metrics of a registry.
pub(crate) fn encode(format: TextFormat, registry: &Registry) -> String {
    let mut openmetrics = String::new();
    if let Err(error) = text::encode(&mut openmetrics, registry) {
        // Only a collector can fail, and a part is better for a scraper than nothing.
        tracing::error!(%error, "metrics could not be encoded in full");
    }
    match format {
        TextFormat::OpenMetrics => openmetrics,
        TextFormat::Prometheus => to_prometheus(&openmetrics),
    }
}

/// Rewrites OpenMetrics as format 0.0.4, in which a family's comment carries the name that its
/// samples carry, and units and an end mark do not exist.
fn to_prometheus(openmetrics: &str) -> String {
    let mut out = String::with_capacity(openmetrics.len());
    let mut help = "";
    for line in openmetrics.lines() {
        let mut words = line.splitn(4, ' ');
        let head = (words.next(), words.next());
        let (name, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match head {
            (Some("#"), Some("HELP")) => help = rest,
            (Some("#"), Some("TYPE")) => {
                let (suffix, kind) = match rest {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    other => ("", other),
                };
                out.push_str(&format!("# HELP {name}{suffix} {help}\n"));
                out.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
            }
            (Some("#"), _) => {}
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_names_what_its_samples_name() {
        let openmetrics = "# HELP a Some help.\n# TYPE a counter\n# UNIT a seconds\n\
                           a_total{x=\"# y\"} 1\n# HELP b B.\n# TYPE b info\nb_info{v=\"1\"} 1\n\
                           # HELP c C.\n# TYPE c gauge\nc 2\n# EOF\n";
        let wanted = "# HELP a_total Some help.\n# TYPE a_total counter\na_total{x=\"# y\"} 1\n\
                      # HELP b_info B.\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n\
                      # HELP c C.\n# TYPE c gauge\nc 2\n";
        assert_eq!(to_prometheus(openmetrics), wanted);
    }

    #[test]
    fn the_accept_header_decides() {
        let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
        assert_eq!(TextFormat::from_accept(accept), TextFormat::OpenMetrics);
        assert_eq!(TextFormat::from_accept("*/*"), TextFormat::Prometheus);
    }
}
