//! The keys of M3's configuration files: name, type, and what m3rs does with each.
//!
//! One description, from which a file is checked, `m3rs check-config` answers, and the page
//! `docs/m3-config.md` is written. A file of this module is one part of M3's files.

mod aggregator;
mod client;
mod coordinator;
mod dbnode;
mod downsample;
mod etcd;
mod message;
mod pool;
mod process;

pub(super) use aggregator::AGGREGATOR;
pub(super) use coordinator::COORDINATOR;
pub(super) use dbnode::DBNODE;

/// A key of a mapping.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) here: Here,
    /// Whether the mapping that it belongs to needs it.
    pub(super) is_required: bool,
    /// What holds without it, as it would be written; empty if nothing is to be said.
    pub(super) default: &'static str,
}

/// What a value must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Any scalar, as its text.
    Text,
    /// A text that answers and messages do not show.
    Secret,
    /// `host:port`.
    Address,
    Bool,
    Int,
    Float,
    /// A number from 0 to 1.
    Share,
    /// Go's grammar, or a whole number of nanoseconds.
    Duration,
    /// A time as RFC 3339 writes it.
    Time,
    /// A whole number, or `dynamic`.
    PoolSize,
    /// `resolution:retention`, such as `10s:2d`.
    Policy,
    /// A way to aggregate, in letters of any case.
    AggregationType,
    /// One of some words.
    Words(&'static [&'static str]),
    List(&'static Kind),
    /// A mapping whose keys are the user's.
    Map(&'static Kind),
    /// A mapping of these keys.
    Block(&'static [Key]),
    /// Whatever it is.
    Any,
}

/// What m3rs does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Here {
    /// What is said of the mapping around it.
    AsAround,
    /// It is a setting of m3rs: this one.
    Used(&'static str),
    /// It is taken and has no effect: why.
    Ignored(&'static str),
    /// It is taken, and waits for what m3rs does not do yet.
    Later(&'static str),
    /// A value that asks for it stops the start: why.
    Refused(&'static str),
    /// A name that M3 does not know any more; it is taken with a warning: what holds now.
    Old(&'static str),
}

impl Here {
    /// The word by which it is told.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::AsAround => "as around it",
            Self::Used(_) => "used",
            Self::Ignored(_) => "no effect",
            Self::Later(_) => "later",
            Self::Refused(_) => "refused",
            Self::Old(_) => "old name",
        }
    }

    /// What is said of it.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::AsAround => "",
            Self::Used(text)
            | Self::Ignored(text)
            | Self::Later(text)
            | Self::Refused(text)
            | Self::Old(text) => text,
        }
    }

    /// What holds of a key within a mapping of which `around` holds.
    pub(super) fn within(self, around: Self) -> Self {
        if self == Self::AsAround { around } else { self }
    }
}

impl Kind {
    /// What it is called in messages and on the page.
    pub(super) fn name(self) -> String {
        match self {
            Self::Text | Self::Secret => "text".to_owned(),
            Self::Address => "host:port".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Int => "whole number".to_owned(),
            Self::Float => "number".to_owned(),
            Self::Share => "number from 0 to 1".to_owned(),
            Self::Duration => "duration".to_owned(),
            Self::Time => "time".to_owned(),
            Self::PoolSize => "whole number or dynamic".to_owned(),
            Self::Policy => "policy such as 10s:2d".to_owned(),
            Self::AggregationType => "aggregation type".to_owned(),
            Self::Words(words) => words.join(", "),
            Self::List(inner) => format!("list of {}", inner.name()),
            Self::Map(inner) => format!("mapping to {}", inner.name()),
            Self::Block(_) => "mapping".to_owned(),
            Self::Any => "any".to_owned(),
        }
    }
}

/// A key of which holds what is said of the mapping around it.
const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, here: Here::AsAround, is_required: false, default: "" }
}

impl Key {
    const fn here(self, here: Here) -> Self {
        let Self { name, kind, is_required, default, .. } = self;
        Self { name, kind, here, is_required, default }
    }

    const fn used(self, text: &'static str) -> Self {
        self.here(Here::Used(text))
    }

    const fn ignored(self, why: &'static str) -> Self {
        self.here(Here::Ignored(why))
    }

    const fn later(self, what: &'static str) -> Self {
        self.here(Here::Later(what))
    }

    const fn refused(self, why: &'static str) -> Self {
        self.here(Here::Refused(why))
    }

    const fn old(self, now: &'static str) -> Self {
        self.here(Here::Old(now))
    }

    const fn required(self) -> Self {
        let Self { name, kind, here, default, .. } = self;
        Self { name, kind, here, is_required: true, default }
    }

    const fn or(self, default: &'static str) -> Self {
        let Self { name, kind, here, is_required, .. } = self;
        Self { name, kind, here, is_required, default }
    }
}

/// A list of texts.
const TEXTS: Kind = Kind::List(&Kind::Text);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn check(keys: &[Key], path: &str, around: Here) {
        let mut names = HashSet::new();
        for key in keys {
            let path = format!("{path}.{}", key.name);
            assert!(names.insert(key.name), "{path} is there twice");
            let here = key.here.within(around);
            assert_ne!(here, Here::AsAround, "nothing is said of {path}");
            assert!(here.text().len() > 3 && !here.text().ends_with('.'), "{path}");
            let mut kind = key.kind;
            while let Kind::List(inner) | Kind::Map(inner) = kind {
                kind = *inner;
            }
            if let Kind::Block(keys) = kind {
                check(keys, &path, here);
            }
        }
    }

    #[test]
    fn every_key_is_there_once_and_something_is_said_of_it() {
        for (name, keys) in
            [("coordinator", COORDINATOR), ("dbnode", DBNODE), ("aggregator", AGGREGATOR)]
        {
            check(keys, name, Here::AsAround);
        }
    }
}
