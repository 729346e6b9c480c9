//! Request targets of the query API.

/// A path with parameters, percent-encoded.
pub(crate) fn target(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut target = path.to_owned();
    for (i, (name, value)) in parameters.iter().enumerate() {
        target.push(if i == 0 { '?' } else { '&' });
        push_encoded(&mut target, name);
        target.push('=');
        push_encoded(&mut target, value);
    }
    target
}

/// An instant query at a time in milliseconds.
pub(crate) fn instant(query: &str, time_ms: i64) -> String {
    target("/api/v1/query", &[("query", query), ("time", &seconds(time_ms))])
}

/// A range query with times in milliseconds.
pub(crate) fn range(query: &str, start_ms: i64, end_ms: i64, step_ms: i64) -> String {
    let parameters = [
        ("query", query),
        ("start", &seconds(start_ms)),
        ("end", &seconds(end_ms)),
        ("step", &seconds(step_ms)),
    ];
    target("/api/v1/query_range", &parameters)
}

/// Milliseconds as decimal seconds.
pub(crate) fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000))
}

/// Form bodies are written like queries in a target.
pub(crate) fn form(parameters: &[(&str, &str)]) -> String {
    target("", parameters).trim_start_matches('?').to_owned()
}

fn push_encoded(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}
