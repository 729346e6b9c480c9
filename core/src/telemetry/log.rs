//! Logs on standard error: readable lines, or JSON.
//!
//! ERROR: a person must act. WARN: something is wrong and the program goes on. INFO: what an
//! operator wants to find later. DEBUG: for developers. An error is logged once, where it is
//! handled, not where it passes through.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::TryInitError;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one.
    #[error("log filter {filter:?}: {source}")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Logging was started before.
    #[error("logging was started twice")]
    StartedTwice(#[from] TryInitError),
}

/// Starts logging for the whole process. `filter` is a level (`info`) or a list of
/// `target=level`.
///
/// # Errors
/// A filter that is none, or a second start.
pub fn start(filter: &str, format: Format) -> Result<(), LogError> {
    use tracing_subscriber::util::SubscriberInitExt;
    let filter = parse(filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // A line that cannot be written, such as to a full disk, must not end who logs it: told of
        // it, the library would print to standard error, which panics.
        .log_internal_errors(false)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()));
    match format {
        Format::Text => builder.finish().try_init()?,
        Format::Json => builder.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|source| LogError::Filter { filter: filter.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked() {
        assert!(parse("info,m3rs_tsdb=debug").is_ok());
        let error = parse("m3rs=loud").expect_err("no level").to_string();
        assert!(error.starts_with("log filter \"m3rs=loud\": "), "{error}");
    }
}
