//! `/metadata`: what writers told of metric families.

use axum::extract::{Request, State};
use axum::response::Response;
use m3rs_core::model::Metadata;
use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};

use crate::http::SharedApp;
use crate::http::error::ApiError;
use crate::http::params::{Params, parse_int};
use crate::http::response::success_json;

/// `GET /api/v1/metadata`.
pub(crate) async fn list(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    let families_max = count(&params, "limit", 0)?;
    let entries_max = count(&params, "limit_per_metric", 1)?;
    let found = app.state.metadata.list(params.get("metric"), families_max, entries_max);
    Ok(success_json(&Families(&found), &[]))
}

/// PARITY(prometheus): a number under `least` is no limit.
fn count(params: &Params, name: &str, least: i64) -> Result<usize, ApiError> {
    let Some(text) = params.get(name) else { return Ok(usize::MAX) };
    let number =
        parse_int(text).map_err(|_| ApiError::bad_data(format!("{name} must be a number")))?;
    Ok(if number < least { usize::MAX } else { usize::try_from(number).unwrap_or(usize::MAX) })
}

struct Families<'a>(&'a [(String, Vec<Metadata>)]);
struct Entries<'a>(&'a [Metadata]);
struct Entry<'a>(&'a Metadata);

impl Serialize for Families<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (family, entries) in self.0 {
            map.serialize_entry(family, &Entries(entries))?;
        }
        map.end()
    }
}

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for entry in self.0 {
            list.serialize_element(&Entry(entry))?;
        }
        list.end()
    }
}

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entry = serializer.serialize_struct("metadata", 3)?;
        entry.serialize_field("type", self.0.metric_type.as_str())?;
        entry.serialize_field("unit", &self.0.unit)?;
        entry.serialize_field("help", &self.0.help)?;
        entry.end()
    }
}
