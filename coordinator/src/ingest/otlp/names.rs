//! Names of metrics, units and labels, from OpenTelemetry's to Prometheus's.
//!
//! PARITY(prometheus): the module `github.com/prometheus/otlptranslator` 1.0.0, which Prometheus
//! 3.14 uses.

use crate::ingest::otlp::config::{OtlpConfig, TranslationStrategy};

/// Kinds of metric, as far as names depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// A value that goes up and down.
    Gauge,
    /// A sum that goes up only.
    Counter,
    /// A sum that goes up and down.
    UpDownCounter,
    /// Counts in buckets of given bounds.
    Histogram,
    /// Counts in buckets of an exponential scale.
    Exponential,
    /// Quantiles.
    Summary,
}

/// Words for units, by what OpenTelemetry (UCUM) calls them.
const UNITS: [(&str, &str); 26] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

/// Words for units after a slash.
const PER_UNITS: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// The name of the series of a metric, before what histograms and summaries add.
///
/// # Errors
/// Why there is none, in Prometheus's words.
pub(super) fn metric_name(
    name: &str,
    unit: &str,
    kind: Kind,
    strategy: TranslationStrategy,
) -> Result<String, String> {
    if name.is_empty() && !strategy.escapes() {
        return Err("metric name is empty".to_owned());
    }
    if !strategy.escapes() {
        return Ok(match strategy.adds_suffixes() {
            true => with_suffixes(name, unit, kind),
            false => name.to_owned(),
        });
    }
    let built = match strategy.adds_suffixes() {
        true => of_tokens(name, unit, kind),
        false => of_parts(name),
    };
    if built.is_empty() {
        return Err(format!("normalization for metric {name:?} resulted in empty name"));
    }
    if built != name && built.bytes().all(|byte| byte == b'_') {
        return Err(format!(
            "normalization for metric {name:?} resulted in invalid name {built:?}"
        ));
    }
    Ok(built)
}

/// The unit of a metric family as metadata tell it.
pub(super) fn unit_name(unit: &str) -> String {
    let (main, per) = units(unit);
    let (main, per) = (clean(main), clean(&per));
    let joined = match (main.is_empty(), per.is_empty()) {
        (false, false) => format!("{main}_{per}"),
        (false, true) => main,
        _ => per,
    };
    let joined = joined.strip_prefix('_').unwrap_or(&joined);
    joined.strip_suffix('_').unwrap_or(joined).to_owned()
}

/// The label of an attribute.
///
/// # Errors
/// Why there is none, in Prometheus's words.
pub(super) fn label_name(name: &str, config: &OtlpConfig) -> Result<String, String> {
    if name.is_empty() {
        return Err("label name is empty".to_owned());
    }
    if !config.translation_strategy.escapes() {
        return match name.bytes().all(|byte| byte == b'_') {
            true => Err(format!("label name {name:?} contains only underscores")),
            false => Ok(name.to_owned()),
        };
    }
    let mut label = escape_label(name, config.label_name_preserve_multiple_underscores);
    if label.starts_with(|c: char| c.is_ascii_digit()) {
        label.insert_str(0, "key_");
    } else if config.label_name_underscore_sanitization
        && label.starts_with('_')
        && !label.starts_with("__")
    {
        label.insert_str(0, "key");
    }
    match label.bytes().all(|byte| byte == b'_') {
        true => {
            Err(format!("normalization for label name {name:?} resulted in invalid name {label:?}"))
        }
        false => Ok(label),
    }
}

fn escape_label(name: &str, preserves: bool) -> String {
    if preserves {
        return name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    }
    // Names such as __name__ keep what is around them.
    let reserved = name.strip_prefix("__").and_then(|inner| inner.strip_suffix("__"));
    let inner = collapse(reserved.unwrap_or(name));
    if reserved.is_some() { format!("__{inner}__") } else { inner }
}

/// Puts one underscore for each run of characters that are no letters and digits.
fn collapse(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c);
        } else if !out.ends_with('_') {
            out.push('_');
        }
    }
    out
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

/// Words of a name joined by one underscore each, then unit and type.
fn of_tokens(name: &str, unit: &str, kind: Kind) -> String {
    let mut tokens: Vec<&str> =
        name.split(|c| !is_name_char(c)).filter(|token| !token.is_empty()).collect();
    let (main, per) = units(unit);
    let (main, per) = (clean(main), clean(&per));
    let (mut main, mut per) = (main.as_str(), per.as_str());
    if tokens.contains(&main) {
        main = "";
    }
    per = if per == "per_" { "" } else { per.strip_suffix('_').unwrap_or(per) };
    if tokens.contains(&per) {
        per = "";
    }
    if !per.is_empty() {
        main = main.strip_suffix('_').unwrap_or(main);
    }
    tokens.extend([main, per].into_iter().filter(|token| !token.is_empty()));
    let last = match kind {
        Kind::Counter => Some("total"),
        // PARITY(prometheus): counters of things often have the unit 1 by mistake.
        Kind::Gauge if unit == "1" => Some("ratio"),
        _ => None,
    };
    if let Some(last) = last {
        tokens.retain(|token| *token != last);
        tokens.push(last);
    }
    after_digit(tokens.join("_"))
}

/// Parts of a name, underscores included, joined by one underscore each.
fn of_parts(name: &str) -> String {
    let parts: Vec<&str> =
        name.split(|c| !is_name_char(c) && c != '_').filter(|part| !part.is_empty()).collect();
    after_digit(parts.join("_"))
}

fn after_digit(mut name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

/// The name as it is, with unit and type behind it.
fn with_suffixes(name: &str, unit: &str, kind: Kind) -> String {
    let is_ratio = unit == "1" && kind == Kind::Gauge;
    let is_counter = kind == Kind::Counter;
    let (main, per) = units(unit);
    let mut base = name;
    for (suffix, applies) in
        [("ratio", is_ratio), ("total", is_counter), (per.as_str(), !per.is_empty())]
    {
        if applies {
            base = without_suffix(base, suffix);
        }
    }
    let mut built = base.to_owned();
    if !main.is_empty() && !built.ends_with(main) {
        built = format!("{built}_{main}");
    }
    for (suffix, applies) in
        [(per.as_str(), !per.is_empty()), ("total", is_counter), ("ratio", is_ratio)]
    {
        if applies {
            built = format!("{built}_{suffix}");
        }
    }
    built
}

/// Takes `suffix` and what stands before it away.
fn without_suffix<'a>(name: &'a str, suffix: &str) -> &'a str {
    let rest = name.strip_suffix(suffix).filter(|rest| rest.len() > 1);
    // PARITY(prometheus): one byte goes, whatever it is; never half of a character.
    rest.and_then(|rest| rest.get(..rest.len() - 1)).unwrap_or(name)
}

/// The unit before the slash, and `per_` with the one after it; empty if there is none.
fn units(unit: &str) -> (&str, String) {
    let (main, per) = match unit.split_once('/') {
        Some((main, per)) => (main.trim(), per.trim()),
        None => (unit.trim(), ""),
    };
    let is_said = |unit: &str| !unit.is_empty() && !unit.contains(['{', '}']);
    let main = if is_said(main) { word(main, &UNITS) } else { "" };
    let per = if is_said(per) { word(per, &PER_UNITS) } else { "" };
    (main, if per.is_empty() { String::new() } else { format!("per_{per}") })
}

fn word<'a>(unit: &'a str, words: &[(&str, &'static str)]) -> &'a str {
    words.iter().find(|(known, _)| *known == unit).map_or(unit, |(_, word)| word)
}

fn clean(unit: &str) -> String {
    let mut out = String::with_capacity(unit.len());
    for c in unit.chars() {
        if is_name_char(c) {
            out.push(c);
        } else if !out.ends_with('_') {
            out.push('_');
        }
    }
    match out.strip_prefix('_') {
        Some(rest) => rest.to_owned(),
        None => out,
    }
}

#[cfg(test)]
mod tests {
    use TranslationStrategy::{
        NoTranslation, NoUTF8EscapingWithSuffixes, UnderscoreEscapingWithSuffixes,
        UnderscoreEscapingWithoutSuffixes,
    };

    use super::*;

    /// Cases of `metric_namer_test.go`, and some of ours.
    #[test]
    fn metrics_are_named_as_prometheus_names_them() {
        let name = |name, unit, kind| metric_name(name, unit, kind, UnderscoreEscapingWithSuffixes);
        for (metric, unit, kind, wanted) in [
            ("system.io", "By", Kind::Counter, "system_io_bytes_total"),
            ("system.filesystem.free", "By", Kind::Gauge, "system_filesystem_free_bytes"),
            ("system.network.io.bytes.total", "By", Kind::Counter, "system_network_io_bytes_total"),
            ("hertz.total", "Hz", Kind::Counter, "hertz_total"),
            ("active.ratio", "1", Kind::Gauge, "active_ratio"),
            ("active", "1", Kind::Gauge, "active_ratio"),
            ("active", "1", Kind::Counter, "active_total"),
            ("speed", "m/s", Kind::Gauge, "speed_meters_per_second"),
            ("a", "/m", Kind::Gauge, "a_per_minute"),
            ("requests", "{packets}/s", Kind::Gauge, "requests_per_second"),
            ("used", "%", Kind::Gauge, "used_percent"),
            ("v2.cost", "GBP/1000000cookies", Kind::Gauge, "v2_cost_GBP_per_1000000cookies"),
            ("total.memory", "By", Kind::UpDownCounter, "total_memory_bytes"),
            ("3xx", "", Kind::Counter, "_3xx_total"),
            ("a__b:c", "", Kind::Gauge, "a_b:c"),
            ("unit", "$%^", Kind::Gauge, "unit"),
        ] {
            assert_eq!(name(metric, unit, kind).as_deref(), Ok(wanted), "{metric} {unit}");
        }
        assert!(name("", "", Kind::Gauge).is_err());
        assert!(name("\u{20ac}", "", Kind::Histogram).is_err());
        let plain = |name, kind| metric_name(name, "s", kind, UnderscoreEscapingWithoutSuffixes);
        assert_eq!(plain("a.b__c", Kind::Counter).as_deref(), Ok("a_b__c"));
        assert_eq!(plain("1.b", Kind::Counter).as_deref(), Ok("_1_b"));
        let utf8 = |name, unit, kind| metric_name(name, unit, kind, NoUTF8EscapingWithSuffixes);
        for (metric, unit, kind, wanted) in [
            ("system.io", "By", Kind::Counter, "system.io_bytes_total"),
            ("io_total", "By", Kind::Counter, "io_bytes_total"),
            ("io_bytes", "By", Kind::Gauge, "io_bytes"),
            ("fill", "1", Kind::Gauge, "fill_ratio"),
            ("speed_per_second", "m/s", Kind::Gauge, "speed_meters_per_second"),
        ] {
            assert_eq!(utf8(metric, unit, kind).as_deref(), Ok(wanted), "{metric} {unit}");
        }
        let as_is = metric_name("a.b", "By", Kind::Counter, NoTranslation);
        assert_eq!(as_is.as_deref(), Ok("a.b"));
    }

    #[test]
    fn units_are_words() {
        for (unit, word) in [
            ("s", "seconds"),
            ("m/s", "meters_per_second"),
            ("{request}/s", "per_second"),
            ("{request}", ""),
            ("1", ""),
            ("By.s", "By_s"),
            ("_a_", "a"),
        ] {
            assert_eq!(unit_name(unit), word, "{unit}");
        }
    }

    #[test]
    fn labels_are_named_as_prometheus_names_them() {
        let config = OtlpConfig::default();
        for (name, wanted) in [
            ("http.method", "http_method"),
            ("a..b--c", "a_b_c"),
            ("1st", "key_1st"),
            ("_private", "_private"),
            ("__name__", "__name__"),
            ("__a.b__", "__a_b__"),
            ("\u{e4}b", "_b"),
        ] {
            assert_eq!(label_name(name, &config).as_deref(), Ok(wanted), "{name}");
        }
        for name in ["", "_", "____", "\u{e4}"] {
            assert!(label_name(name, &config).is_err(), "{name}");
        }
        let config = OtlpConfig {
            label_name_underscore_sanitization: true,
            label_name_preserve_multiple_underscores: true,
            ..OtlpConfig::default()
        };
        assert_eq!(label_name("_a..b", &config).as_deref(), Ok("key_a__b"));
        assert_eq!(label_name("__a", &config).as_deref(), Ok("__a"));
        let config = OtlpConfig { translation_strategy: NoTranslation, ..OtlpConfig::default() };
        assert_eq!(label_name("a..b", &config).as_deref(), Ok("a..b"));
        assert!(label_name("__", &config).is_err());
    }
}
