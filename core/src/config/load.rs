//! Reads YAML into a configuration struct.
//!
//! Structs say `#[serde(deny_unknown_fields)]`; then a misspelt key is an error with its place.

use std::io;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::env::{BareVariables, EnvError, Environment, expand, expand_with};
use super::tree::{Node, TreeError, read_tree};
use crate::fs::Fs;

/// Bytes of a configuration file.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Why a configuration could not be read. Each says the file and, where there is one, the line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the machine said.
        source: io::Error,
    },
    /// The file is too large to be a configuration.
    #[error("{file}: {len} bytes, at most {FILE_BYTES_MAX}")]
    TooLarge {
        /// The file.
        file: String,
        /// Its length in bytes.
        len: u64,
    },
    /// The file is not UTF-8 text.
    #[error("{file}: not UTF-8 text")]
    NotText {
        /// The file.
        file: String,
    },
    /// A variable could not be put in.
    #[error("{file}: {source}")]
    Env {
        /// The file.
        file: String,
        /// What is wrong.
        source: EnvError,
    },
    /// It is not YAML, or not of the shape that is wanted.
    #[error("{file}:{line}:{column}: {message}")]
    Yaml {
        /// The file.
        file: String,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// What is wrong, with the lines around it.
        message: String,
    },
}

impl From<TreeError> for ConfigError {
    fn from(error: TreeError) -> Self {
        let place = error.place;
        Self::Yaml {
            file: place.file.to_string(),
            line: place.line as u64,
            column: place.column as u64,
            message: error.what,
        }
    }
}

/// Reads a file.
///
/// # Errors
/// See [`ConfigError`].
pub fn from_file<T: DeserializeOwned>(
    fs: &dyn Fs,
    path: &Path,
    environment: &Environment,
) -> Result<T, ConfigError> {
    from_text(&read_text(fs, path)?, &path.display().to_string(), environment)
}

/// Reads a file of M3's into a tree, `$NAME` put in as well; a file of comments alone has none.
///
/// # Errors
/// See [`ConfigError`].
pub fn tree_from_file(
    fs: &dyn Fs,
    path: &Path,
    environment: &Environment,
) -> Result<Option<Node>, ConfigError> {
    tree_from_text(&read_text(fs, path)?, &path.display().to_string(), environment)
}

/// The text of a file, if it is one and not too long.
fn read_text(fs: &dyn Fs, path: &Path) -> Result<String, ConfigError> {
    let file = path.display().to_string();
    let io = |source| ConfigError::Io { file: file.clone(), source };
    let len = fs.file_len(path).map_err(io)?;
    if len > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge { file, len });
    }
    let bytes = fs.read(path).map_err(io)?;
    String::from_utf8(bytes).map_err(|_| ConfigError::NotText { file })
}

/// Reads a text of M3's into a tree; `file` is what errors call it.
///
/// # Errors
/// See [`ConfigError`].
pub fn tree_from_text(
    text: &str,
    file: &str,
    environment: &Environment,
) -> Result<Option<Node>, ConfigError> {
    let text = expand_with(text, environment, BareVariables::Replaced)
        .map_err(|source| ConfigError::Env { file: file.to_owned(), source })?;
    Ok(read_tree(&text, file)?)
}

/// Reads a text; `file` is what errors call it.
///
/// # Errors
/// See [`ConfigError`].
pub fn from_text<T: DeserializeOwned>(
    text: &str,
    file: &str,
    environment: &Environment,
) -> Result<T, ConfigError> {
    let text = expand(text, environment)
        .map_err(|source| ConfigError::Env { file: file.to_owned(), source })?;
    serde_saphyr::from_str(&text).map_err(|error| {
        let place = error.location();
        ConfigError::Yaml {
            file: file.to_owned(),
            line: place.map_or(1, |at| at.line()),
            column: place.map_or(1, |at| at.column()),
            message: error.without_snippet().to_string(),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fs::DiskFs;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        listen: String,
        shards: u16,
    }

    fn environment() -> Environment {
        Environment::of_map(BTreeMap::from([("PORT".to_owned(), "9".to_owned())]))
    }

    fn read(text: &str) -> Result<Config, ConfigError> {
        from_text(text, "server.yml", &environment())
    }

    #[test]
    fn reads_with_variables() {
        let config = read("listen: \"0.0.0.0:${PORT}\"\nshards: ${SHARDS:4}\n").expect("valid");
        assert_eq!(config, Config { listen: "0.0.0.0:9".into(), shards: 4 });
    }

    #[test]
    fn a_misspelt_key_is_told_with_its_place() {
        let error = read("listen: a\nshard: 4\n").expect_err("unknown key").to_string();
        assert!(error.starts_with("server.yml:2:1: "), "{error}");
        assert!(error.contains("shard"), "{error}");
    }

    #[test]
    fn a_wrong_type_is_told_with_its_place() {
        let error = read("listen: a\nshards: many\n").expect_err("no number").to_string();
        assert!(error.starts_with("server.yml:2:9: "), "{error}");
    }

    #[test]
    fn files_have_a_size_limit() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("c.yml");
        let mut text = "listen: a\nshards: 4\n".to_owned();
        let write = |text: &str| {
            let mut file = DiskFs.create(&path).expect("a file");
            file.write_all(text.as_bytes()).expect("space");
        };
        let room = usize::try_from(FILE_BYTES_MAX).expect("small") - text.len() - 1;
        text.push_str(&format!("#{}", "x".repeat(room)));
        write(&text);
        assert!(from_file::<Config>(&DiskFs, &path, &environment()).is_ok());
        text.push('x');
        write(&text);
        let error = from_file::<Config>(&DiskFs, &path, &environment()).expect_err("too large");
        assert!(matches!(error, ConfigError::TooLarge { .. }), "{error}");
    }
}
