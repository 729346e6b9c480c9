//! M3's configuration files: reading them as M3 does, and what they mean here.
//!
//! Several files are laid over each other, `${NAME:default}` and `$NAME` are put in, and every key
//! is checked against [`schema`]. In: files and a role. Out: [`Loaded`], with settings in m3rs's
//! own types if the role would start with them.

mod check;
mod finding;
mod report;
mod rules;
mod scalar;
mod schema;
mod settings;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod page;

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use m3rs_core::config::{ConfigError, Environment, Node, Place, Value, merge, tree_from_file};
use m3rs_core::fs::Fs;

use check::Checked;
use finding::Finding;
use schema::{AGGREGATOR, COORDINATOR, DBNODE, Key};
use settings::{AggregatorSettings, CoordinatorSettings, NodeSettings, Told, Within};

pub(crate) use report::run as check_config;

/// Which program of M3 reads a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// A storage node, with a coordinator in it if the file has one.
    Dbnode,
    /// A coordinator.
    Coordinator,
    /// A query server; it reads what a coordinator reads.
    Query,
    /// An aggregator.
    Aggregator,
}

impl Role {
    /// The role that reads the keys of a file.
    fn of(root: &Node) -> Self {
        let has = |keys: &[&str]| keys.iter().any(|key| root.get(key).is_some());
        if has(&["db", "coordinator"]) {
            Self::Dbnode
        } else if has(&["aggregator", "kvClient", "rawtcp", "runtimeOptions", "m3msg"]) {
            Self::Aggregator
        } else {
            Self::Coordinator
        }
    }

    fn keys(self) -> &'static [Key] {
        match self {
            Self::Dbnode => DBNODE,
            Self::Coordinator | Self::Query => COORDINATOR,
            Self::Aggregator => AGGREGATOR,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Dbnode => "dbnode",
            Self::Coordinator => "coordinator",
            Self::Query => "query",
            Self::Aggregator => "aggregator",
        }
    }
}

/// Settings of a role.
#[derive(Clone, Debug)]
pub(crate) enum RoleSettings {
    Node(Box<NodeSettings>),
    Coordinator(Box<CoordinatorSettings>),
    Aggregator(AggregatorSettings),
}

impl RoleSettings {
    fn told(&self) -> Vec<Told> {
        match self {
            Self::Node(settings) => settings.told(),
            Self::Coordinator(settings) => settings.told(),
            Self::Aggregator(settings) => settings.told(),
        }
    }

    /// Rules of the coordinator that it has.
    fn rules(&self) -> Option<&Node> {
        match self {
            Self::Node(node) => node.coordinator.as_ref()?.rules.as_ref(),
            Self::Coordinator(coordinator) => coordinator.rules.as_ref(),
            Self::Aggregator(_) => None,
        }
    }
}

/// Files that were read for a role.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) role: Role,
    /// Each key, and what is wrong.
    pub(crate) checked: Checked,
    /// What m3rs takes; nothing if keys or types are wrong. The role may start with it only if
    /// there are no errors.
    pub(crate) settings: Option<RoleSettings>,
}

/// Reads `files`, later ones laid over earlier ones, for `role` or for the one that keys show.
///
/// # Errors
/// A file that cannot be read or is no YAML, a variable without value, or a value that lies on one
/// of another kind. What is wrong with keys and values is in [`Loaded::checked`].
pub(crate) fn load(
    files: &[PathBuf],
    role: Option<Role>,
    fs: &dyn Fs,
    environment: &Environment,
) -> Result<Loaded, ConfigError> {
    let mut merged: Option<Node> = None;
    for file in files {
        let Some(tree) = tree_from_file(fs, file, environment)? else { continue };
        merged = Some(match merged {
            Some(under) => merge(under, tree)?,
            None => tree,
        });
    }
    let root = merged.unwrap_or_else(|| {
        let file = files.first().map(|file| file.display().to_string()).unwrap_or_default();
        let place = Place { file: Arc::from(file), line: 1, column: 1 };
        Node { place, value: Value::Map(Vec::new()) }
    });
    Ok(loaded(&root, role))
}

fn loaded(root: &Node, role: Option<Role>) -> Loaded {
    let role = role.unwrap_or_else(|| Role::of(root));
    let mut checked = check::check(root, role.keys());
    let settings = checked.errors.is_empty().then(|| {
        let errors: &mut Vec<Finding> = &mut checked.errors;
        match role {
            Role::Dbnode => RoleSettings::Node(Box::new(NodeSettings::read(root, errors))),
            Role::Coordinator | Role::Query => {
                let settings = CoordinatorSettings::read(root, Within::Itself, errors);
                RoleSettings::Coordinator(Box::new(settings))
            }
            Role::Aggregator => RoleSettings::Aggregator(AggregatorSettings::read(root)),
        }
    });
    if let Some(rules) = settings.as_ref().and_then(RoleSettings::rules) {
        rules::check(rules, &mut checked);
    }
    Loaded { role, checked, settings }
}
