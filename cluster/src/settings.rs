//! Settings of a running cluster: single values under keys that M3 knows.

use prost::{Message, Name};
use serde_json::Value;

use crate::error::Error;
use crate::generated::commonpb::{Int64Proto, StringProto};
use crate::generated::kvpb::QueryLimits;
use crate::generated::namespace::Registry;
use crate::json::{self, Defaults};
use crate::kv::{Expected, Key, SETTINGS, Scope, SharedKv};

/// A setting, before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// The JSON of its value before; without defaults.
    pub old: String,
    /// The version of the new value; 0 if it was not written.
    pub version: u64,
}

/// Which message a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Namespaces,
    Number,
    Text,
    QueryLimits,
}

impl Kind {
    /// PARITY(m3): these keys and no others; its code misses some that it lists.
    fn of(key: &str) -> Option<Self> {
        match key {
            crate::namespaces::REGISTRY => Some(Self::Namespaces),
            "m3db.node.encoders-per-block-limit" => Some(Self::Number),
            "m3db.client.write-consistency-level" => Some(Self::Text),
            "m3db.query.limits" => Some(Self::QueryLimits),
            _ => None,
        }
    }
}

/// Sets a key of the default environment to the message that `value` describes.
///
/// # Errors
/// [`Error::Refused`] for a key that is no setting, JSON of another message, and what the store
/// says.
pub async fn set(
    store: &SharedKv,
    name: &str,
    value: &Value,
    commit: Commit,
) -> Result<Changed, Error> {
    let unsupported = || Error::Refused(format!("unsupported kvstore key {name}"));
    let kind = Kind::of(name).ok_or_else(unsupported)?;
    let key = Scope::default().key(SETTINGS, name);
    match kind {
        Kind::Namespaces => set_as::<Registry>(store, &key, value, commit).await,
        Kind::Number => set_as::<Int64Proto>(store, &key, value, commit).await,
        Kind::Text => set_as::<StringProto>(store, &key, value, commit).await,
        Kind::QueryLimits => set_as::<QueryLimits>(store, &key, value, commit).await,
    }
}

/// Whether a change is made or only shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// It is made.
    Yes,
    /// It is only shown.
    No,
}

async fn set_as<M: Message + Name + Default>(
    store: &SharedKv,
    key: &Key,
    value: &Value,
    commit: Commit,
) -> Result<Changed, Error> {
    let old = match store.get(key).await {
        Ok(old) => old.decode(key)?,
        Err(Error::NotFound) => M::default(),
        Err(error) => return Err(error),
    };
    // PARITY(m3): a value that is wrong is a failure of the server there.
    let new: M = json::read_value(value).map_err(|error| Error::Refused(error.to_string()))?;
    let version = match commit {
        Commit::Yes => store.put(key, Expected::Any, new.encode_to_vec()).await?,
        Commit::No => 0,
    };
    Ok(Changed { old: json::write(&old, Defaults::LeftOut), version })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::kv::DEFAULT_ZONE;
    use crate::kv::embedded::EmbeddedKv;

    #[tokio::test]
    async fn what_is_not_committed_is_not_written() {
        let store: SharedKv = Arc::new(EmbeddedKv::in_memory(DEFAULT_ZONE));
        let key = "m3db.node.encoders-per-block-limit";
        let value = |number: i64| serde_json::json!({ "value": number });
        let shown = set(&store, key, &value(1), Commit::No).await.expect("a setting");
        assert_eq!(shown, Changed { old: "{}".to_owned(), version: 0 });
        set(&store, key, &value(2), Commit::Yes).await.expect("a setting");
        let changed = set(&store, key, &value(3), Commit::Yes).await.expect("a setting");
        assert_eq!(changed, Changed { old: r#"{"value":"2"}"#.to_owned(), version: 2 });
        assert!(set(&store, "other", &value(1), Commit::Yes).await.is_err());
        assert!(set(&store, key, &Value::Null, Commit::Yes).await.is_err());
    }
}
