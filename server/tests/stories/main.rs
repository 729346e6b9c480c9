//! Stories about the built program: each starts `m3rs server` as a user would and looks at it from
//! outside, over HTTP, signals and files.
//!
//! One test program, so that it is linked once.
#![expect(clippy::print_stdout, reason = "stories tell what they did, and why they could not")]

#[allow(dead_code, unreachable_pub, reason = "generated for all messages of the file")]
#[path = "../../../coordinator/src/generated/remote.rs"]
mod generated;
#[allow(dead_code, unreachable_pub, reason = "generated for all messages of the file")]
#[path = "../../../coordinator/src/generated/remote2.rs"]
mod generated2;
#[allow(
    clippy::enum_variant_names,
    dead_code,
    unreachable_pub,
    reason = "generated for all messages of the file"
)]
#[path = "../../../coordinator/src/generated/otlp.rs"]
mod generated_otlp;

mod answer;
mod deadline;
mod http_client;
mod journal;
mod query_url;
mod remote_write;
mod seed;
mod server;

mod backups;
mod bad_input;
mod check_config;
mod disk_full;
mod fetch_limits;
mod first_minute;
mod kill_nine;
mod kinds;
mod lines;
mod log_limits;
mod m3_quickstart;
mod otlp;
mod overload;
mod reading_out;
mod real_prometheus;
mod running_queries;
mod scrapes;
mod second_process;
mod sigterm;
