//! `/api/v1/search` and M3's older `/search`: which tags, or series, match.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use m3rs_core::model::{Labels, MatchOp, Matcher, put_quoted_id};
use m3rs_core::wire::Ending;
use m3rs_query::source::{LabelRequest, SeriesSource, SourceError, TimeRange};
use serde::{Deserialize, Serialize};

use crate::http::SharedApp;
use crate::http::body::{BodyLimit, collect};
use crate::http::error::ApiError;
use crate::http::m3::operations::query_text;
use crate::http::params::Params;
use crate::http::prometheus::labels::list;
use crate::http::response::plain_json;
use crate::http::time::{MAX_TIME_MS, MIN_TIME_MS, parse_time};
use crate::ingest::go_error;

/// One tag with its values.
#[derive(Debug, Serialize)]
struct Tag {
    key: String,
    values: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Tags {
    hits: usize,
    tags: Vec<Tag>,
}

/// `GET` or `POST /api/v1/search`: the tags of all series that match, or their names alone.
///
/// PARITY(m3): each `query` has terms `tag:regex` between spaces, all of which must match.
pub(crate) async fn tags(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    query_text(&params)?;
    let mut matchers = Vec::new();
    for query in params.all("query") {
        for term in query.split_ascii_whitespace() {
            matchers.push(term_matcher(term)?);
        }
    }
    let names_only = match params.get("result") {
        None | Some("default") => false,
        Some("tagNamesOnly") => true,
        Some(other) => {
            let why = format!("{other:?} is none of default, tagNamesOnly");
            return Err(ApiError::bad_parameter("result", why));
        }
    };
    let range = TimeRange {
        start_ms: params.time_or("start", MIN_TIME_MS)?,
        end_ms: params.time_or("end", MAX_TIME_MS)?,
    };
    let ask = LabelRequest { matcher_sets: vec![matchers], range, limit: 0 };
    let key = app.gate.key(("search", params.all("query").collect::<Vec<_>>()));
    if names_only {
        let found = list(&app, key, move |source| source.label_names(&ask)).await?;
        return Ok(plain_json(StatusCode::OK, &found.entries));
    }
    let tags = list(&app, key, move |source| tags_of(source, &ask)).await?;
    Ok(plain_json(StatusCode::OK, &Tags { hits: tags.len(), tags }))
}

fn tags_of(source: &dyn SeriesSource, ask: &LabelRequest) -> Result<Vec<Tag>, SourceError> {
    let names = source.label_names(ask)?.entries;
    let tag = |key: String| {
        let values = source.label_values(&key, ask)?.entries;
        Ok(Tag { key, values })
    };
    names.into_iter().map(tag).collect()
}

fn term_matcher(term: &str) -> Result<Matcher, ApiError> {
    let Some((name, regex)) = term.split_once(':') else {
        let why = format!("{term:?} is no tag:regex");
        return Err(ApiError::bad_parameter("query", why));
    };
    Ok(Matcher::new(name, MatchOp::Regexp, regex))
}

/// A request of `/search`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SearchQuery {
    start: Option<String>,
    end: Option<String>,
    matchers: Vec<WireMatcher>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WireMatcher {
    #[serde(rename = "type")]
    kind: u8,
    name: String,
    value: String,
}

#[derive(Serialize)]
struct Found {
    #[serde(rename = "Metrics")]
    metrics: Vec<Metric>,
    #[serde(rename = "Metadata")]
    metadata: BTreeMap<&'static str, serde_json::Value>,
}

#[derive(Serialize)]
struct Metric {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Tags")]
    tags: MetricTags,
}

#[derive(Serialize)]
struct MetricTags {
    #[serde(rename = "Opts")]
    opts: BTreeMap<&'static str, ()>,
    #[serde(rename = "Tags")]
    tags: Vec<MetricTag>,
}

#[derive(Serialize)]
struct MetricTag {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Value")]
    value: String,
}

/// `POST /search`: the series that match, with texts in base64.
///
/// PARITY(m3): its storage types as Go writes them; what a fetch cost is not counted here, so those
/// members are 0.
pub(crate) async fn series(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let params = Params::of_url(&parts)?;
    let limit = BodyLimit {
        bytes_max: app.state.limits.query.body_bytes_max,
        setting: "query.body_bytes_max",
        timeout: app.state.limits.write.body_timeout,
    };
    let ask = {
        let body = collect(&parts.headers, body, limit, &app.bodies).await?;
        read_query(body.as_slice(), params.limit()?)?
    };
    let matchers: Vec<String> = ask.matcher_sets.iter().flatten().map(Matcher::to_string).collect();
    let key = app.gate.key(("search series", matchers));
    let found = list(&app, key, move |source| source.series(&ask)).await?;
    let metrics: Vec<Metric> = found.entries.iter().map(Metric::of).collect();
    let metadata = metadata(metrics.len(), !found.truncated);
    Ok(plain_json(StatusCode::OK, &Found { metrics, metadata }))
}

fn read_query(body: &[u8], limit: usize) -> Result<LabelRequest, ApiError> {
    let query: SearchQuery = serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_data(go_error(body, Ending::Whole, &error)))?;
    let time = |text: &Option<String>, default| match text {
        Some(text) => parse_time(text).map_err(|why| ApiError::bad_data(why.to_string())),
        None => Ok(default),
    };
    let range = TimeRange {
        start_ms: time(&query.start, MIN_TIME_MS)?,
        end_ms: time(&query.end, MAX_TIME_MS)?,
    };
    let matchers = query.matchers.iter().filter_map(WireMatcher::read);
    let matchers = matchers.collect::<Result<Vec<_>, _>>()?;
    Ok(LabelRequest { matcher_sets: vec![matchers], range, limit })
}

impl WireMatcher {
    /// The matcher; `None` for one that matches everything.
    fn read(&self) -> Option<Result<Matcher, ApiError>> {
        let text = |base64: &str| {
            let bytes = STANDARD.decode(base64).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            text.ok_or_else(|| ApiError::bad_data(format!("{base64:?} is no text in base64")))
        };
        let with = |op| Ok(Matcher::new(text(&self.name)?, op, text(&self.value)?));
        Some(match self.kind {
            0 => with(MatchOp::Equal),
            1 => with(MatchOp::NotEqual),
            2 => with(MatchOp::Regexp),
            3 => with(MatchOp::NotRegexp),
            4 => text(&self.name).map(|name| Matcher::new(name, MatchOp::NotEqual, "")),
            5 => text(&self.name).map(|name| Matcher::equal(name, "")),
            6 => return None,
            kind => Err(ApiError::bad_data(format!("there is no type {kind} of matchers"))),
        })
    }
}

impl Metric {
    fn of(labels: &Labels) -> Self {
        let mut id = Vec::new();
        put_quoted_id(&mut id, labels);
        let tag = |(name, value): (&str, &str)| MetricTag {
            name: STANDARD.encode(name),
            value: STANDARD.encode(value),
        };
        let tags = labels.iter().map(tag).collect();
        Self { id: STANDARD.encode(id), tags: MetricTags { opts: BTreeMap::new(), tags } }
    }
}

fn metadata(series: usize, is_exhaustive: bool) -> BTreeMap<&'static str, serde_json::Value> {
    use serde_json::Value;
    BTreeMap::from([
        ("FetchedResponses", Value::from(0)),
        ("FetchedBytesEstimate", Value::from(0)),
        ("LocalOnly", Value::from(true)),
        ("Exhaustive", Value::from(is_exhaustive)),
        ("Warnings", Value::Null),
        ("Resolutions", Value::Null),
        ("KeepNaNs", Value::from(false)),
        ("WaitedIndex", Value::from(0)),
        ("WaitedSeriesRead", Value::from(0)),
        ("FetchedSeriesCount", Value::from(series)),
        ("FetchedMetadataCount", Value::from(0)),
    ])
}
