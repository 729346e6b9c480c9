//! M3's header `M3-Map-Tags-JSON`, which gives every series of a write further labels.

use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::http::prometheus::write::WriteProblem;

const HEADER: &str = "M3-Map-Tags-JSON";

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct MapTags {
    tag_mappers: Vec<TagMapper>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct TagMapper {
    write: Option<WriteTag>,
    drop: Option<serde_json::Value>,
    drop_with_value: Option<serde_json::Value>,
    replace: Option<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WriteTag {
    tag: String,
    value: String,
}

/// The labels that the header says to write.
///
/// # Errors
/// A header that is no such JSON, or an operation that M3 does not have either.
pub(crate) fn written_labels(headers: &HeaderMap) -> Result<Vec<(String, String)>, WriteProblem> {
    let bad = |why: String| WriteProblem::new(StatusCode::BAD_REQUEST, why);
    let Some(header) = headers.get(HEADER).filter(|header| !header.is_empty()) else {
        return Ok(Vec::new());
    };
    let read: MapTags = serde_json::from_slice(header.as_bytes())
        .map_err(|error| bad(format!("header {HEADER}: {error}")))?;
    let mut labels = Vec::new();
    for mapper in read.tag_mappers {
        let refused = [
            ("drop", mapper.drop.is_some()),
            ("dropWithValue", mapper.drop_with_value.is_some()),
            ("replace", mapper.replace.is_some()),
        ];
        if let Some((name, _)) = refused.into_iter().find(|(_, is_there)| *is_there) {
            return Err(bad(format!("'{name}' operation is not yet supported")));
        }
        if let Some(WriteTag { tag, value }) = mapper.write.filter(|write| !write.tag.is_empty()) {
            labels.push((tag, value));
        }
    }
    Ok(labels)
}
