//! Prometheus's text format for metrics that are not our own: names that a scraper cannot read are
//! escaped as it asks.

use m3rs_query::number::general;

/// How names are written that the older rules of Prometheus do not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameEscaping {
    /// As they are, in quotes.
    AllowUtf8,
    /// `_` in place of what is not allowed.
    Underscores,
    /// `_dot_` for points, `__` for the rest.
    Dots,
    /// `U__` in front, and numbers of characters.
    Values,
}

impl NameEscaping {
    /// The scheme of an `Accept` header for text: that of its best entry for text, or of an entry
    /// before it.
    ///
    /// PARITY(prometheus): `expfmt.Negotiate`, where text is all that there is.
    pub(crate) fn from_accept(accept: &str) -> Self {
        let mut entries: Vec<(&str, f64)> = accept.split(',').map(|e| (e, quality(e))).collect();
        entries.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut escaping = Self::Underscores;
        for (entry, _) in entries {
            let mut parts = entry.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let mut version = "";
            for (name, value) in parts.filter_map(|p| p.split_once('=')) {
                match name.trim() {
                    "escaping" => escaping = Self::named(value.trim()).unwrap_or(escaping),
                    "version" => version = value.trim(),
                    _ => {}
                }
            }
            if kind == "text/plain" && matches!(version, "" | "0.0.4") {
                break;
            }
        }
        escaping
    }

    fn named(name: &str) -> Option<Self> {
        let all = [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values];
        all.into_iter().find(|scheme| scheme.as_str() == name)
    }

    /// The name of the scheme in headers.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }

    /// Appends a name, in quotes if it needs them.
    pub(crate) fn put_name(self, out: &mut Vec<u8>, name: &str) {
        if is_legacy(name) {
            return out.extend_from_slice(name.as_bytes());
        }
        if self == Self::AllowUtf8 {
            out.push(b'"');
            put_escaped(out, name);
            return out.push(b'"');
        }
        if self == Self::Values {
            out.extend_from_slice(b"U__");
        }
        for (i, c) in name.chars().enumerate() {
            // The digit in front alone is not allowed.
            let is_allowed = is_legacy_char(c) && !(i == 0 && c.is_ascii_digit());
            let mut utf8 = [0; 4];
            match (self, c) {
                (Self::Dots | Self::Values, '_') => out.extend_from_slice(b"__"),
                (Self::Dots, '.') => out.extend_from_slice(b"_dot_"),
                _ if is_allowed => out.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes()),
                (Self::Dots, _) => out.extend_from_slice(b"__"),
                (Self::Values, _) => {
                    out.extend_from_slice(format!("_{:x}_", u32::from(c)).as_bytes());
                }
                _ => out.push(b'_'),
            }
        }
    }
}

/// The quality of an entry of an `Accept` header.
fn quality(entry: &str) -> f64 {
    let mut params = entry.split(';').skip(1).filter_map(|p| p.trim().split_once('='));
    let quality = params.find(|(name, _)| name.trim() == "q").map(|(_, value)| value.trim());
    quality.map_or(1.0, |text| text.parse::<f64>().ok().filter(|q| q.is_finite()).unwrap_or(1.0))
}

/// Whether a name follows the older rules.
pub(crate) fn is_legacy(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(is_legacy_char)
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn is_legacy_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Appends a text of a label.
pub(crate) fn put_escaped(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' => out.extend_from_slice(b"\\\""),
            other => out.push(other),
        }
    }
}

/// Appends a value.
pub(crate) fn put_value(out: &mut Vec<u8>, v: f64) {
    // PARITY(prometheus): zero has no sign here.
    let text = if v == 0.0 { "0".to_owned() } else { general(v) };
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_asked() {
        for (scheme, wanted) in [
            (NameEscaping::AllowUtf8, "\"http.status_code\u{e9}\""),
            (NameEscaping::Underscores, "http_status_code_"),
            (NameEscaping::Dots, "http_dot_status__code__"),
            (NameEscaping::Values, "U__http_2e_status__code_e9_"),
        ] {
            let mut out = Vec::new();
            scheme.put_name(&mut out, "http.status_code\u{e9}");
            assert_eq!(String::from_utf8_lossy(&out), wanted);
            out.clear();
            scheme.put_name(&mut out, "a_b:c1");
            assert_eq!(out, b"a_b:c1", "no need to escape");
        }
        let mut out = Vec::new();
        NameEscaping::Underscores.put_name(&mut out, "1a");
        assert_eq!(out, b"_a");
    }

    #[test]
    fn the_accept_header_decides() {
        for (accept, wanted) in [
            ("", NameEscaping::Underscores),
            ("*/*", NameEscaping::Underscores),
            ("text/plain;version=0.0.4;escaping=allow-utf-8", NameEscaping::AllowUtf8),
            ("text/plain; escaping=dots;q=0.1, text/plain;escaping=values", NameEscaping::Values),
            (
                "application/openmetrics-text;version=1.0.0;escaping=dots,text/plain;q=0.2",
                NameEscaping::Dots,
            ),
            ("text/plain;escaping=nope", NameEscaping::Underscores),
        ] {
            assert_eq!(NameEscaping::from_accept(accept), wanted, "{accept}");
        }
    }

    #[test]
    fn values_are_written_as_go_does() {
        for (v, wanted) in [
            (-0.0, "0"),
            (1e6, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (0.25, "0.25"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            let mut out = Vec::new();
            put_value(&mut out, v);
            assert_eq!(String::from_utf8_lossy(&out), wanted);
        }
    }
}
