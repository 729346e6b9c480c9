//! Routes of topics.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use m3rs_cluster::Error;
use m3rs_cluster::generated::admin::{
    TopicAddRequest, TopicGetResponse, TopicInitRequest, TopicUpdateRequest,
};
use m3rs_cluster::topic::{Topics, VersionedTopic};

use super::answer::{self, AdminError};
use super::request::{AdminRequest, admin};
use crate::http::{App, SharedApp};

/// `POST /api/v1/topic/init`: makes a topic.
pub(super) async fn init(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let TopicInitRequest { number_of_shards } = request.message()?;
    let topics = topics(&app, &request)?;
    Ok(shown(topics.init(request.topic(), number_of_shards).await?))
}

/// `GET /api/v1/topic`: a topic.
pub(super) async fn get(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let topic = topics(&app, &request)?.get(request.topic()).await;
    Ok(shown(topic.map_err(absent)?))
}

/// `POST /api/v1/topic`: adds a consumer.
pub(super) async fn add(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let TopicAddRequest { consumer_service } = request.message()?;
    let topics = topics(&app, &request)?;
    Ok(shown(topics.add(request.topic(), consumer_service).await?))
}

/// `PUT /api/v1/topic`: replaces all consumers.
pub(super) async fn update(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let TopicUpdateRequest { consumer_services, version } = request.message()?;
    let topics = topics(&app, &request)?;
    let updated = topics.update(request.topic(), consumer_services, version.into()).await;
    Ok(shown(updated.map_err(absent)?))
}

/// `DELETE /api/v1/topic`: removes a topic.
pub(super) async fn delete(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let request = AdminRequest::read(&app, request).await?;
    let name = request.topic();
    let deleted = topics(&app, &request)?.delete(name).await;
    deleted.map_err(|error| {
        let is_absent = matches!(error, Error::NotFound);
        let error = AdminError::from(error.within(format!("error deleting service '{name}'")));
        if is_absent { error.with_status(StatusCode::BAD_REQUEST) } else { error }
    })?;
    Ok(StatusCode::OK.into_response())
}

fn topics(app: &App, request: &AdminRequest) -> Result<Topics, AdminError> {
    Ok(Topics::new(admin(app)?.store.clone(), request.scope()))
}

fn absent(error: Error) -> AdminError {
    match error {
        Error::NotFound => AdminError::not_found(error.to_string()),
        other => other.into(),
    }
}

fn shown(VersionedTopic { topic, version }: VersionedTopic) -> Response {
    let version = u32::try_from(version).unwrap_or(u32::MAX);
    answer::message(&TopicGetResponse { topic: Some(topic), version })
}
