//! Labels in the path of a push, as the Pushgateway has them: `/metrics/job/<job>/<label>/<value>`.

/// The labels after `/metrics/` in a path; none if there is no `/metrics/job`.
///
/// A name that ends in `@base64` has a value in URL-safe base64. An empty value is no label.
///
/// # Errors
/// What is wrong with the path.
pub(crate) fn grouping_labels(path: &str) -> Result<Vec<(String, String)>, String> {
    let mut labels: Vec<(String, String)> = Vec::new();
    let Some(at) = path.find("/metrics/job") else { return Ok(labels) };
    let mut parts = path[at + "/metrics/".len()..].split('/').map(percent_decoded);
    while let Some(name) = parts.next() {
        let name = name?;
        let value = parts.next().ok_or_else(|| format!("the label {name:?} has no value"))??;
        let (name, value) = match name.strip_suffix("@base64") {
            Some(name) => (name.to_owned(), base64_decoded(&value)?),
            None => (name, value),
        };
        if name.is_empty() {
            return Err("a label without a name".to_owned());
        }
        if labels.iter().any(|(other, _)| *other == name) {
            return Err(format!("the label {name:?} is there twice"));
        }
        if !value.is_empty() {
            labels.push((name, value));
        }
    }
    Ok(labels)
}

fn percent_decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |at: usize| char::from(*tail.get(at)?).to_digit(16);
        let (high, low) =
            digit(0).zip(digit(1)).ok_or_else(|| format!("bad escape in {text:?}"))?;
        bytes.extend(u8::try_from(high * 16 + low));
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| format!("{text:?} is not valid UTF-8"))
}

/// Base64 with `-` and `_`, with or without padding.
fn base64_decoded(text: &str) -> Result<String, String> {
    let bad = || format!("{text:?} is not base64 of UTF-8");
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0u32);
    for byte in text.trim_end_matches('=').bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return Err(bad()),
        };
        bits = (bits << 6 | u32::from(six)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.extend(u8::try_from(bits >> count & 0xff));
        }
    }
    if count == 6 {
        return Err(bad());
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(path: &str) -> Result<Vec<(String, String)>, String> {
        grouping_labels(path)
    }

    #[test]
    fn paths_give_labels() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let base = "/api/v1/import/prometheus";
        assert_eq!(labels(base), Ok(vec![]));
        for (path, wanted) in [
            ("/metrics/job/a", vec![pair("job", "a")]),
            ("/metrics/job/a%2Fb/x/y%20z", vec![pair("job", "a/b"), pair("x", "y z")]),
            ("/metrics/job@base64/YS9i/e@base64/=", vec![pair("job", "a/b")]),
            ("/metrics/job@base64/w6nDqQ==", vec![pair("job", "\u{e9}\u{e9}")]),
            ("/metrics/job/a/empty/", vec![pair("job", "a")]),
        ] {
            assert_eq!(labels(&format!("{base}{path}")), Ok(wanted), "{path}");
        }
    }

    #[test]
    fn bad_paths_are_told() {
        for path in [
            "/metrics/job/a/b",
            "/metrics/job/%zz",
            "/metrics/job/%ff",
            "/metrics/job@base64/a",
            "/metrics/job@base64/a*b",
            "/metrics/job/a/job/b",
            "/metrics/job/a//b",
        ] {
            assert!(labels(path).is_err(), "{path}");
        }
    }
}
