//! The HTTP API through its router, over fakes of storage and engine.

#[allow(dead_code, unreachable_pub, reason = "generated for all messages of the file")]
#[path = "../src/generated/remote.rs"]
mod generated;
#[allow(dead_code, unreachable_pub, reason = "generated for all messages of the file")]
#[path = "../src/generated/remote2.rs"]
mod generated2;
#[allow(
    clippy::enum_variant_names,
    dead_code,
    unreachable_pub,
    reason = "generated for all messages of the file"
)]
#[path = "../src/generated/otlp.rs"]
mod generated_otlp;

#[allow(dead_code, reason = "tests of chunks read more of them")]
#[path = "api/chunk_reader.rs"]
mod chunk_reader;
#[path = "api/client.rs"]
mod client;
#[path = "api/control.rs"]
mod control;
#[path = "api/fakes.rs"]
mod fakes;
#[path = "api/messages.rs"]
mod messages;
#[path = "api/transcript.rs"]
mod transcript;

#[path = "api/admin.rs"]
mod admin;
#[path = "api/documented.rs"]
mod documented;
#[path = "api/exemplars.rs"]
mod exemplars;
#[path = "api/export.rs"]
mod export;
#[path = "api/federate.rs"]
mod federate;
#[path = "api/grafana.rs"]
mod grafana;
#[path = "api/health.rs"]
mod health;
#[path = "api/import.rs"]
mod import;
#[path = "api/influx.rs"]
mod influx;
#[path = "api/labels.rs"]
mod labels;
#[path = "api/m3.rs"]
mod m3;
#[path = "api/m3_admin.rs"]
mod m3_admin;
#[path = "api/metadata.rs"]
mod metadata;
#[path = "api/otlp.rs"]
mod otlp;
#[path = "api/otlp_grpc.rs"]
mod otlp_grpc;
#[path = "api/query.rs"]
mod query;
#[path = "api/read.rs"]
mod read;
#[path = "api/read_messages.rs"]
mod read_messages;
#[path = "api/request_id.rs"]
mod request_id;
#[path = "api/routes.rs"]
mod routes;
#[path = "api/running.rs"]
mod running;
#[path = "api/serve.rs"]
mod serve;
#[path = "api/sources.rs"]
mod sources;
#[path = "api/write.rs"]
mod write;
#[path = "api/write_2.rs"]
mod write_2;
