//! The HTTP API through its router, over fakes of storage and engine.

#[allow(dead_code, unreachable_pub, reason = "generated for all messages of the file")]
#[path = "../src/generated/remote.rs"]
mod generated;
#[allow(dead_code, unreachable_pub, reason = "generated for all messages of the file")]
#[path = "../src/generated/remote2.rs"]
mod generated2;

#[path = "api/client.rs"]
mod client;
#[path = "api/fakes.rs"]
mod fakes;
#[path = "api/messages.rs"]
mod messages;

#[path = "api/admin.rs"]
mod admin;
#[path = "api/exemplars.rs"]
mod exemplars;
#[path = "api/health.rs"]
mod health;
#[path = "api/labels.rs"]
mod labels;
#[path = "api/metadata.rs"]
mod metadata;
#[path = "api/query.rs"]
mod query;
#[path = "api/running.rs"]
mod running;
#[path = "api/serve.rs"]
mod serve;
#[path = "api/write.rs"]
mod write;
#[path = "api/write_2.rs"]
mod write_2;
