//! What clients of InfluxDB ask for: writes of both versions, `/ping`, and the statements that
//! agents begin with. M3's route for line protocol too.

mod map_tags;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use http_body::Body as _;
use m3rs_query::source::{LabelRequest, TimeRange};
use serde_json::json;

use crate::http::error::ApiError;
use crate::http::gate::Turn;
use crate::http::import::{bad_request, line_context};
use crate::http::lines::take_lines;
use crate::http::params::Params;
use crate::http::prometheus::check_ready;
use crate::http::prometheus::write::{WriteProblem, refused};
use crate::http::response::plain_json;
use crate::http::time::{MAX_TIME_MS, MIN_TIME_MS};
use crate::http::{App, SharedApp};
use crate::ingest::{Influx, InfluxDialect, LineFormat, Lines, Precision, Refusals};
use crate::queries::Stop;
use crate::read::QueryFailure;

/// PARITY(victoriametrics): the version that it says it is.
const VERSION: &str = "1.8.0";

const VERSION_HEADER: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-influxdb-version"), HeaderValue::from_static(VERSION));

/// The most databases that `SHOW DATABASES` lists.
const DATABASES_MAX: usize = 10_000;

/// Whose errors a route answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    /// `{"error":…}`
    Version1,
    /// `{"code":…,"message":…}`
    Version2,
    /// `{"status":"error","error":…}`
    M3,
}

/// `POST /write`.
pub(crate) async fn write_1(State(app): State<SharedApp>, request: Request) -> Response {
    write(&app, request, Answers::Version1).await
}

/// `POST /api/v2/write`.
pub(crate) async fn write_2(State(app): State<SharedApp>, request: Request) -> Response {
    write(&app, request, Answers::Version2).await
}

/// M3's `POST /api/v1/influxdb/write`.
pub(crate) async fn m3_write(State(app): State<SharedApp>, request: Request) -> Response {
    write(&app, request, Answers::M3).await
}

async fn write(app: &App, request: Request, answers: Answers) -> Response {
    let (parts, body) = request.into_parts();
    let is_empty = body.is_end_stream();
    let lines = Params::of_url(&parts).map_err(WriteProblem::from).and_then(|params| {
        if answers == Answers::M3 && is_empty {
            return Err(WriteProblem::new(StatusCode::BAD_REQUEST, "empty request body"));
        }
        let format = format_of(&params, answers)?;
        let mut context = line_context(app, &parts, &params)?;
        if answers == Answers::M3 {
            for (name, value) in map_tags::written_labels(&parts.headers)? {
                context.labels.retain(|(other, _)| *other != name);
                context.labels.push((name, value));
            }
        }
        Ok(Lines::new(LineFormat::Influx(format), context))
    });
    let taken = match lines {
        Ok(lines) => take_lines(app, &parts.headers, body, lines).await,
        Err(problem) => Err(problem.closing()),
    };
    let mut response = match taken {
        Ok(refusals) if refusals.is_empty() => StatusCode::NO_CONTENT.into_response(),
        Ok(refusals) => {
            let status = refused(&refusals).status;
            answer(WriteProblem::new(status, partial(&refusals, answers)), answers)
        }
        Err(problem) => answer(problem, answers),
    };
    if answers != Answers::M3 {
        response.headers_mut().extend([VERSION_HEADER]);
    }
    response
}

fn format_of(params: &Params, answers: Answers) -> Result<Influx, WriteProblem> {
    let precision = params.get("precision");
    let named = precision.map(|name| (name, Precision::named(name)));
    if answers == Answers::M3 {
        // PARITY(m3): a name that is none counts as nanoseconds, as none at all does.
        let precision = named.and_then(|(_, found)| found).unwrap_or(Precision::Ns(1));
        return Ok(Influx::new(InfluxDialect::M3, precision, ""));
    }
    let precision = match named {
        None => Precision::ByDigits,
        Some((_, Some(precision))) => precision,
        Some((name, None)) => {
            let why = format!("{name:?} is not one of n, ns, u, us, ms, s, m, h");
            return Err(bad_request("precision", why));
        }
    };
    let database = params.get("db").unwrap_or_default();
    Ok(Influx::new(InfluxDialect::VictoriaMetrics, precision, database))
}

/// What was refused of a body, in the words by which clients know that the rest was written.
fn partial(refusals: &Refusals, answers: Answers) -> String {
    let told = refusals.told();
    let count = refusals.samples();
    match answers {
        Answers::M3 => {
            let last = told.last().map_or("", String::as_str);
            format!("bad_request_errors: count={count}, last={last}")
        }
        Answers::Version1 | Answers::Version2 => {
            format!("partial write: {} dropped={count}", told.join("\n"))
        }
    }
}

fn answer(problem: WriteProblem, answers: Answers) -> Response {
    let text = problem.text.trim_end();
    let body = match answers {
        Answers::Version1 => json!({ "error": text }),
        Answers::Version2 => json!({ "code": code_of(problem.status), "message": text }),
        Answers::M3 => json!({ "status": "error", "error": text }),
    };
    let content_type = HeaderValue::from_static("application/json");
    let mut response = problem.respond(body.to_string() + "\n");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// The word of InfluxDB 2 for a status.
fn code_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "invalid",
        StatusCode::TOO_MANY_REQUESTS => "too many requests",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        StatusCode::PAYLOAD_TOO_LARGE => "request too large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported media type",
        StatusCode::REQUEST_TIMEOUT => "timeout",
        _ => "internal error",
    }
}

/// `GET` and `HEAD /ping`, whose body InfluxDB gives to those who ask for more.
pub(crate) async fn ping(request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let verbose = query.split('&').find_map(|pair| pair.strip_prefix("verbose="));
    let mut response = match verbose {
        None | Some("" | "0" | "false") => StatusCode::NO_CONTENT.into_response(),
        Some(_) => plain_json(StatusCode::OK, &json!({ "version": VERSION })),
    };
    response.headers_mut().extend([VERSION_HEADER]);
    response
}

/// `GET /influx/health`.
pub(crate) async fn health() -> Response {
    let told = json!({
        "name": "influxdb",
        "message": "ready for queries and writes",
        "status": "pass",
        "checks": [],
    });
    plain_json(StatusCode::OK, &told)
}

/// `GET` and `POST /query`: `SHOW DATABASES` and `CREATE DATABASE`, which agents begin with.
///
/// A database is a value of the label `db`; there is nothing to create.
pub(crate) async fn query(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(&app, request).await?;
    let statement = params.get("q").unwrap_or_default();
    let words: Vec<String> =
        statement.split_whitespace().take(2).map(str::to_ascii_uppercase).collect();
    let words: Vec<&str> = words.iter().map(|word| word.trim_end_matches(';')).collect();
    let mut response = match words[..] {
        ["SHOW", "DATABASES"] => {
            let values: Vec<[String; 1]> =
                databases(&app).await?.into_iter().map(|n| [n]).collect();
            let series = json!([{ "name": "databases", "columns": ["name"], "values": values }]);
            let results = json!({ "results": [{ "statement_id": 0, "series": series }] });
            plain_json(StatusCode::OK, &results)
        }
        ["CREATE", "DATABASE"] => {
            plain_json(StatusCode::OK, &json!({ "results": [{ "statement_id": 0 }] }))
        }
        _ => {
            let text = "only SHOW DATABASES and CREATE DATABASE are answered; query with PromQL at \
                        /api/v1/query";
            plain_json(StatusCode::BAD_REQUEST, &json!({ "error": text }))
        }
    };
    response.headers_mut().extend([VERSION_HEADER]);
    Ok(response)
}

/// Values of the label `db`, below the name that VictoriaMetrics has.
async fn databases(app: &SharedApp) -> Result<Vec<String>, ApiError> {
    check_ready(app)?;
    let range = TimeRange { start_ms: MIN_TIME_MS, end_ms: MAX_TIME_MS };
    let request = LabelRequest { matcher_sets: Vec::new(), range, limit: DATABASES_MAX };
    let worker = SharedApp::clone(app);
    let work = move |_: Turn<'_>| worker.state.source.label_values("db", &request);
    let (timeout, key) = (app.state.limits.query.timeout, app.gate.key("influx databases"));
    let found = app.gate.run(timeout, &Stop::default(), key, work).await?;
    let mut names = vec!["_internal".to_owned()];
    names.extend(found.map_err(QueryFailure::from)?.entries);
    names.dedup();
    Ok(names)
}
