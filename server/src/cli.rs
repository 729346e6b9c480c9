//! The command line. `docs/config.md` is generated from it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use m3rs_core::telemetry::log;
use m3rs_core::time::duration::{DurationError, DurationNs};
use m3rs_tsdb::commitlog::SyncMode;

use crate::m3::Role;

/// How late a log that syncs by interval may sync.
const SYNC_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);

/// Metrics storage and PromQL in one program.
///
/// Without a command it does what `m3rs server` does.
#[derive(Debug, Parser)]
#[command(name = "m3rs", version, arg_required_else_help = false)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take remote writes, keep them, and answer PromQL: everything in one process.
    Server(Box<ServerArgs>),
    /// Say what each key of M3's YAML files does here, and whether the role would start with them.
    CheckConfig(CheckConfigArgs),
    /// Print version, commit and compiler.
    Version,
}

/// Settings of `m3rs server`. Each may also be given as an environment variable.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServerArgs {
    /// Directory of all data; it is made if it is not there.
    #[arg(long, env = "M3RS_DATA_DIR", value_name = "DIR", default_value = "m3rs-data")]
    pub(crate) data_dir: PathBuf,

    /// Address of the HTTP API.
    #[arg(long, env = "M3RS_LISTEN", value_name = "ADDR:PORT", default_value = "0.0.0.0:7201")]
    pub(crate) listen: SocketAddr,

    /// Address of OTLP over gRPC, such as 0.0.0.0:4317; without it the port is not opened. OTLP
    /// over HTTP is on the address of the HTTP API.
    #[arg(long, env = "M3RS_OTLP_GRPC", value_name = "ADDR:PORT")]
    pub(crate) otlp_grpc: Option<SocketAddr>,

    /// How long samples are kept, such as 12h, 30d or 1y. 0 keeps them for ever.
    #[arg(
        long,
        env = "M3RS_RETENTION",
        value_name = "DURATION",
        default_value = "30d",
        value_parser = parse_duration
    )]
    pub(crate) retention: DurationNs,

    /// How old a sample may be to count at an evaluation time.
    #[arg(
        long,
        env = "M3RS_LOOKBACK",
        value_name = "DURATION",
        default_value = "5m",
        value_parser = parse_lookback
    )]
    pub(crate) lookback: DurationNs,

    /// Whether results of range queries are kept, so that a dashboard that refreshes evaluates new
    /// steps alone.
    #[arg(
        long = "query.result-cache",
        env = "M3RS_QUERY_RESULT_CACHE",
        value_name = "SWITCH",
        default_value = "off",
        value_enum
    )]
    pub(crate) result_cache: Switch,

    /// Features of Prometheus to switch on, separated by commas, such as
    /// promql-delayed-name-removal; docs/operate/features.md has the names.
    #[arg(long, env = "M3RS_ENABLE_FEATURE", value_name = "NAMES")]
    pub(crate) enable_feature: Vec<String>,

    /// Features to switch off, such as promql-experimental-functions, which are on here.
    #[arg(long, env = "M3RS_DISABLE_FEATURE", value_name = "NAMES")]
    pub(crate) disable_feature: Vec<String>,

    /// Let clients delete series and make backups by /api/v1/admin/tsdb, on any address; on a
    /// loopback address they may without it.
    #[arg(long, env = "M3RS_ENABLE_ADMIN_API")]
    pub(crate) enable_admin_api: bool,

    /// When a write is answered: see docs/adr/0001-durable-ack.md for what each may lose.
    #[arg(
        long,
        env = "M3RS_COMMITLOG_SYNC",
        value_name = "WHEN",
        default_value = "group",
        value_enum
    )]
    pub(crate) commitlog_sync: CommitLogSync,

    /// YAML file with limits; docs/operate/limits.md has the keys.
    #[arg(short = 'f', long = "config", env = "M3RS_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// What to log: a level (error, warn, info, debug), or a list such as info,m3rs_tsdb=debug.
    #[arg(long, env = "M3RS_LOG", value_name = "FILTER", default_value = "info")]
    pub(crate) log: String,

    /// How a log line looks.
    #[arg(
        long,
        env = "M3RS_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text",
        value_enum
    )]
    pub(crate) log_format: LogFormat,
}

/// What `m3rs check-config` reads, and how it answers.
#[derive(Clone, Debug, Args)]
pub(crate) struct CheckConfigArgs {
    /// Files of one program; later ones are laid over earlier ones, as with several -f in M3.
    #[arg(value_name = "FILE", required = true, num_args = 1..=64)]
    pub(crate) files: Vec<PathBuf>,

    /// The program that reads them; without it their keys show it.
    #[arg(long, value_name = "ROLE", value_enum)]
    pub(crate) role: Option<Role>,

    /// How the answer looks.
    #[arg(long, value_name = "FORMAT", default_value = "text", value_enum)]
    pub(crate) format: CheckFormat,
}

/// How an answer to a command looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

/// When the commit log is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CommitLogSync {
    /// After its bytes were synced to disk; one sync serves all who wait.
    Group,
    /// At once; the disk is synced within a second. A power cut may lose that second.
    Interval,
    /// At once; the operating system syncs when it likes.
    None,
}

impl From<CommitLogSync> for SyncMode {
    fn from(when: CommitLogSync) -> Self {
        match when {
            CommitLogSync::Group => Self::Group,
            CommitLogSync::Interval => Self::Interval(SYNC_INTERVAL),
            CommitLogSync::None => Self::None,
        }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl From<LogFormat> for log::Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

impl Cli {
    /// What to do; without a command, the server with its defaults and environment.
    pub(crate) fn wanted(self) -> Command {
        self.command.unwrap_or_else(|| {
            let Cli { command } = Self::parse_from(["m3rs", "server"]);
            command.expect("BUG: the command was given")
        })
    }
}

fn parse_duration(text: &str) -> Result<DurationNs, DurationError> {
    DurationNs::parse_prometheus(text)
}

fn parse_lookback(text: &str) -> Result<DurationNs, String> {
    match DurationNs::parse_prometheus(text) {
        Ok(DurationNs(0)) => Err("it must be longer than 0".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use m3rs_core::time::NS_PER_S;

    use super::*;

    fn server(args: &[&str]) -> Result<ServerArgs, clap::Error> {
        let words = ["m3rs", "server"].iter().chain(args);
        match Cli::try_parse_from(words)?.wanted() {
            Command::Server(args) => Ok(*args),
            Command::CheckConfig(_) | Command::Version => panic!("asked for a server"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_documented_ones() {
        let args = server(&[]).expect("valid");
        assert_eq!(args.listen.port(), 7201);
        assert_eq!(args.retention, DurationNs(30 * 86_400 * NS_PER_S));
        assert_eq!(SyncMode::from(args.commitlog_sync), SyncMode::Group);
    }

    #[test]
    fn durations_are_checked() {
        assert_eq!(server(&["--retention", "0"]).map(|a| a.retention.0).ok(), Some(0));
        let error = server(&["--retention", "1.5d"]).expect_err("a fraction").to_string();
        assert!(error.contains("\"1.5d\" is not a duration"), "{error}");
        let error = server(&["--lookback", "0"]).expect_err("nothing").to_string();
        assert!(error.contains("longer than 0"), "{error}");
    }
}
