//! What the process was told at its start, for `/api/v1/status/…`.

use std::collections::BTreeMap;
use std::path::Path;

use m3rs_coordinator::http::{About, without_secrets};
use m3rs_core::clock::SharedClock;
use m3rs_core::fs::SharedFs;
use m3rs_core::spawn::ThreadCount;
use m3rs_core::time::NS_PER_MS;
use m3rs_core::time::duration::DurationNs;

use crate::cli::ServerArgs;
use crate::features::Features;
use crate::settings::Settings;

/// Facts of this process.
pub(crate) fn about(
    args: &ServerArgs,
    settings: &Settings,
    features: Features,
    fs: &SharedFs,
    clock: &SharedClock,
) -> About {
    About {
        flags: args.flags(),
        config_yaml: without_secrets(&settings.text),
        features: features.told(),
        working_dir: std::env::current_dir()
            .map_or_else(|_| String::new(), |dir| dir.display().to_string()),
        hostname: hostname(fs),
        started: clock.now(),
        cores: ThreadCount::of_machine().get(),
        retention: retention(args.retention),
        lookback_ms: args.lookback.0 / NS_PER_MS,
    }
}

fn hostname(fs: &SharedFs) -> String {
    let name = fs.read(Path::new("/proc/sys/kernel/hostname")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim().to_owned()
}

/// PARITY(prometheus): nothing is told of what is kept for ever.
fn retention(retention: DurationNs) -> String {
    if retention.0 == 0 { String::new() } else { retention.prometheus().to_string() }
}

impl ServerArgs {
    /// Every setting by the name of its flag, as it holds.
    fn flags(&self) -> BTreeMap<String, String> {
        let word = |value: &dyn std::fmt::Debug| format!("{value:?}").to_ascii_lowercase();
        let path = |path: Option<&Path>| path.map_or_else(String::new, |p| p.display().to_string());
        let flags = [
            ("data-dir", path(Some(&self.data_dir))),
            ("listen", self.listen.to_string()),
            ("retention", self.retention.prometheus().to_string()),
            ("lookback", self.lookback.prometheus().to_string()),
            ("query.result-cache", word(&self.result_cache)),
            ("enable-feature", self.enable_feature.join(",")),
            ("disable-feature", self.disable_feature.join(",")),
            ("enable-admin-api", self.enable_admin_api.to_string()),
            ("otlp-grpc", self.otlp_grpc.map_or_else(String::new, |a| a.to_string())),
            ("commitlog-sync", word(&self.commitlog_sync)),
            ("config", path(self.config.as_deref())),
            ("log", self.log.clone()),
            ("log-format", word(&self.log_format)),
        ];
        flags.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use crate::cli::{Cli, Command};

    #[test]
    fn every_flag_is_told_as_it_was_given() {
        let Command::Server(args) = Cli::parse_from([
            "m3rs",
            "server",
            "--retention",
            "90d",
            "--commitlog-sync",
            "interval",
        ])
        .wanted() else {
            panic!("asked for a server");
        };
        let flags = args.flags();
        assert_eq!((&*flags["commitlog-sync"], &*flags["retention"]), ("interval", "90d"));
        assert_eq!((&*flags["query.result-cache"], &*flags["log-format"]), ("off", "text"));
        let command = Cli::command();
        let server = command.find_subcommand("server").expect("a command");
        let mut known: Vec<&str> = server
            .get_arguments()
            .filter(|arg| arg.get_env().is_some())
            .filter_map(|arg| arg.get_long())
            .collect();
        known.sort_unstable();
        assert_eq!(flags.keys().map(String::as_str).collect::<Vec<_>>(), known);
        let page = include_str!("../../docs/api/status.md");
        for name in known {
            assert!(page.contains(&format!("\"{name}\":")), "status.md does not show --{name}");
        }
    }
}
