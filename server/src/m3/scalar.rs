//! Whether a value is of its key's type, by the rules of M3's YAML reader.

use m3rs_core::config::{Node, Scalar};
use m3rs_core::time::NS_PER_S;
use m3rs_core::time::duration::DurationNs;

use super::finding::shown;
use super::schema::Kind;

/// Ways to aggregate, in small letters.
const AGGREGATION_TYPES: &[&str] = &[
    "last", "min", "max", "mean", "median", "count", "sum", "sumsq", "stdev", "p10", "p20", "p25",
    "p30", "p40", "p50", "p60", "p70", "p75", "p80", "p90", "p95", "p99", "p999", "p9999",
];

/// Says why `node` is not of `kind`. Nothing is of every kind: it means the default.
pub(super) fn check_scalar(kind: Kind, node: &Node) -> Result<(), String> {
    if matches!(kind, Kind::Any) || node.is_null() {
        return Ok(());
    }
    let Some(scalar) = node.scalar() else {
        return Err(format!("{} is wanted, and here is {}", kind.name(), node.kind()));
    };
    let text = &*scalar.text;
    let not = |what: &str| Err(format!("\"{}\" {what}", shown(text)));
    match kind {
        Kind::Bool if scalar.bool().is_none() => not("is neither true nor false"),
        Kind::Int if scalar.int().is_none() => not("is no whole number"),
        Kind::Float if scalar.float().is_none() => not("is no number"),
        Kind::Share => match scalar.float() {
            None => not("is no number"),
            Some(share) if (0.0..=1.0).contains(&share) => Ok(()),
            Some(_) => not("is not from 0 to 1"),
        },
        Kind::PoolSize => match scalar.int() {
            Some(size) if size >= 0 => Ok(()),
            None if text == "dynamic" => Ok(()),
            _ => not("is neither a size nor dynamic"),
        },
        Kind::Duration => duration(scalar).map(|_| ()),
        Kind::Time if !is_rfc_3339(text) => not("is no time such as 2022-01-01T00:00:00Z"),
        Kind::Policy => policy(text).map(|_| ()),
        Kind::AggregationType if !AGGREGATION_TYPES.contains(&&*text.to_lowercase()) => {
            not("is no aggregation type")
        }
        Kind::Words(words) if !text.is_empty() && !words.contains(&text) => {
            not(&format!("is none of {}", words.join(", ")))
        }
        Kind::Address => address(text),
        _ => Ok(()),
    }
}

/// A duration in Go's grammar, or a whole number of nanoseconds.
pub(super) fn duration(scalar: &Scalar) -> Result<DurationNs, String> {
    match scalar.int() {
        Some(ns) => Ok(DurationNs(ns)),
        None => DurationNs::parse_go(&scalar.text).map_err(|error| error.to_string()),
    }
}

/// How samples are aggregated, and how long they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoragePolicy {
    pub(crate) resolution: DurationNs,
    pub(crate) retention: DurationNs,
}

/// Reads `resolution:retention`, with days, weeks and years; a precision (`10s@1s:2d`) may follow
/// the resolution and says nothing more.
pub(super) fn policy(text: &str) -> Result<StoragePolicy, String> {
    let parse = |part: &str| {
        let parsed = DurationNs::parse_prometheus(part).or_else(|_| DurationNs::parse_go(part));
        parsed.ok().filter(|duration| duration.0 > 0)
    };
    let parts = text.split_once(':').and_then(|(resolution, retention)| {
        let (window, precision) = resolution.split_once('@').unwrap_or((resolution, "1s"));
        parse(precision)?;
        Some(StoragePolicy { resolution: parse(window)?, retention: parse(retention)? })
    });
    parts.ok_or_else(|| format!("\"{}\" is no policy such as 10s:2d", shown(text)))
}

/// Checks `host:port`; the host may be a name, nothing, or an IPv6 address in brackets.
fn address(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let is_host = |host: &str| {
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        !inner.unwrap_or(host).contains(['[', ']', '/', ' '])
            && (inner.is_some() || !host.contains(':'))
    };
    match text.rsplit_once(':') {
        None => Err(format!("\"{}\" is no address: it needs host:port", shown(text))),
        Some((host, port)) if is_host(host) && port.parse::<u16>().is_ok() => Ok(()),
        Some(_) => Err(format!("\"{}\" is no address such as 0.0.0.0:7201", shown(text))),
    }
}

/// Whether a text is a time as RFC 3339 writes it, or a date alone.
fn is_rfc_3339(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let (date, rest) = shape.split_at_checked(10).unwrap_or((&shape, ""));
    let is_time = |rest: &str| {
        let (time, rest) = rest.split_at_checked(9).unwrap_or((rest, ""));
        let zone = rest.strip_prefix('.').map_or(rest, |rest| rest.trim_start_matches('0'));
        matches!(time, "T00:00:00" | "t00:00:00" | " 00:00:00")
            && matches!(zone, "Z" | "z" | "+00:00" | "-00:00")
    };
    date == "0000-00-00" && (rest.is_empty() || is_time(rest))
}

/// A duration as M3's files write it, for people.
pub(super) fn told(duration: DurationNs) -> String {
    if duration.0 != 0 && duration.0 % NS_PER_S == 0 {
        return duration.prometheus().to_string();
    }
    duration.go().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies() {
        let day = 86_400 * NS_PER_S;
        let want =
            StoragePolicy { resolution: DurationNs(10 * NS_PER_S), retention: DurationNs(2 * day) };
        for text in ["10s:2d", "10s@1s:2d", "10s:48h", "10000ms:48h0m"] {
            assert_eq!(policy(text), Ok(want), "{text}");
        }
        for text in ["", "10s", "10s:", ":2d", "10s:2x", "0s:2d", "10s@:2d", "10s:2d:1"] {
            assert!(policy(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses() {
        for text in ["0.0.0.0:7201", ":7201", "host-1:0", "[::]:7201", "[fe80::1]:1", ""] {
            assert_eq!(address(text), Ok(()), "{text}");
        }
        for text in ["nope", "a:b", "a:70000", "::1:7201", "http://a:1", "[a:1", "a b:1"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times() {
        for text in ["2022-01-01T00:00:00Z", "2022-01-01", "2022-01-01T00:00:00.25+02:00"] {
            assert!(is_rfc_3339(text), "{text}");
        }
        for text in [
            "",
            "soon",
            "2022-01-01T",
            "2022-01-01T00:00:00",
            "22-01-01",
            "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
        ] {
            assert!(!is_rfc_3339(text), "{text}");
        }
    }
}
