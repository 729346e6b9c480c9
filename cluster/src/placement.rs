//! Placements: which instance owns which shards, and how that changes.
//!
//! A [`Placement`] is a value; the algorithms ([`sharded`], [`mirrored`], [`unsharded`]) make a
//! new one of it, and [`service`] stores it. The same input always gives the same placement.
//!
//! A shard that moves is `INITIALIZING` on the instance that takes it, with the id of the instance
//! that gives it, where it is `LEAVING`. Once the taker has the data, its shard is `AVAILABLE` and
//! the giver's is gone.

mod balance;
mod check;
mod error;
mod messages;
mod mirrored;
mod select;
mod select_mirrored;
mod service;
mod sharded;
mod timing;
mod unsharded;

use std::collections::{BTreeMap, BTreeSet};

pub use error::PlacementError;
pub use service::{Change, ChangeOptions, PlacementService, Service, Size, Versioned};
pub use timing::Timing;

/// How far a shard is on an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ShardState {
    /// It was given to the instance by the change that is being made; no placement that is
    /// finished has one.
    Placed,
    /// The instance does not have all of its data.
    Initializing,
    /// The instance has it.
    Available,
    /// Another instance takes it.
    Leaving,
}

/// A shard of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// How far it is.
    pub state: ShardState,
    /// The instance that gives it; empty if none does.
    pub source_id: String,
    /// From when on the instance owns it, in nanoseconds since 1970-01-01 UTC; 0 is at once.
    pub cutover_ns: i64,
    /// From when on the instance does not own it any more; 0 is never.
    pub cutoff_ns: i64,
    /// The shard that takes its writes.
    pub redirect_to: Option<u32>,
}

impl Shard {
    /// A shard without a source that holds at all times.
    #[must_use]
    pub fn new(state: ShardState) -> Self {
        Self { state, source_id: String::new(), cutover_ns: 0, cutoff_ns: 0, redirect_to: None }
    }
}

/// A process that may own shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// Its name, unique in the placement.
    pub id: String,
    /// What fails together has the same group.
    pub isolation_group: String,
    /// Where it runs.
    pub zone: String,
    /// Its share of the shards, against the weights of the others.
    pub weight: u32,
    /// Host and port of its RPC server.
    pub endpoint: String,
    /// What it owns, by the number of the shard.
    pub shards: BTreeMap<u32, Shard>,
    /// Its shard set if the placement is mirrored, else 0.
    pub shard_set_id: u32,
    /// Its host.
    pub hostname: String,
    /// Its port.
    pub port: u32,
    /// The port of its debug server.
    pub debug_port: u32,
    /// Its group of instances in a subclustered placement, else 0.
    pub subcluster_id: u32,
}

impl Instance {
    /// How many of its shards are in `state`.
    #[must_use]
    pub fn count(&self, state: ShardState) -> usize {
        self.shards.values().filter(|shard| shard.state == state).count()
    }

    /// How many shards it owns, those that leave it left out.
    #[must_use]
    pub fn load(&self) -> usize {
        self.shards.len() - self.count(ShardState::Leaving)
    }

    /// Whether all of its shards leave it. An instance without shards does not leave.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.has_only(ShardState::Leaving)
    }

    /// Whether it has all of its shards. An instance without shards does not.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.has_only(ShardState::Available)
    }

    fn has_only(&self, state: ShardState) -> bool {
        !self.shards.is_empty() && self.shards.values().all(|shard| shard.state == state)
    }
}

/// Which instance owns which shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Instances by their id.
    pub instances: BTreeMap<String, Instance>,
    /// Copies of each shard.
    pub replica_factor: u32,
    /// Shards are numbered from 0 up to this.
    pub shards: u32,
    /// Whether there are shards at all.
    pub is_sharded: bool,
    /// From when on it holds, in nanoseconds since 1970-01-01 UTC; 0 is at once.
    pub cutover_ns: i64,
    /// Whether the instances of a shard set own the same shards.
    pub is_mirrored: bool,
    /// The largest id that was ever given to a shard set.
    pub max_shard_set_id: u32,
    /// Whether the replicas of a shard stay inside one group of instances.
    pub is_subclustered: bool,
    /// How many instances such a group has.
    pub instances_per_subcluster: u32,
}

impl Placement {
    /// Refuses a placement of which some instance does not have all of its shards.
    ///
    /// # Errors
    /// [`PlacementError::NotAvailable`] with the ids of those instances.
    pub fn check_available(&self) -> Result<(), PlacementError> {
        let instances = self.instances.values().filter(|instance| !instance.is_available());
        let ids: Vec<String> = instances.map(|instance| instance.id.clone()).collect();
        match ids.is_empty() {
            true => Ok(()),
            false => Err(PlacementError::NotAvailable(ids.join(", "))),
        }
    }

    /// The ids of its shard sets.
    #[must_use]
    pub fn shard_set_ids(&self) -> BTreeSet<u32> {
        self.instances.values().map(|instance| instance.shard_set_id).collect()
    }

    fn instance(&self, id: &str) -> Result<&Instance, PlacementError> {
        self.instances.get(id).ok_or_else(|| PlacementError::NoInstance(id.to_owned()))
    }

    fn insert(&mut self, instance: Instance) {
        self.instances.insert(instance.id.clone(), instance);
    }
}
