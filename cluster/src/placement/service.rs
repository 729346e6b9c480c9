//! The placements of services in the key-value store.

use m3rs_core::time::TimestampNs;
use m3rs_core::time::duration::DurationNs;

use super::check::{check_instances, check_limits};
use super::messages::Stored;
use super::select_mirrored::Ports;
use super::sharded::Replacing;
use super::{Instance, Placement, PlacementError, Timing};
use super::{mirrored, select, select_mirrored, sharded, unsharded};
use crate::error::{Error, check_limit};
use crate::kv::{Expected, Key, Scope, SharedKv};
use crate::limits::{INSTANCES_MAX, PLACEMENT_STEPS_MAX, SHARD_COPIES_MAX, SHARDS_MAX};

/// A service that has a placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Storage nodes: sharded.
    Database,
    /// Aggregators: sharded and mirrored.
    Aggregator,
    /// Coordinators: a list, unless a request says otherwise.
    Coordinator,
}

/// The longest aggregation window, if nothing is known: M3's default.
const WINDOW: DurationNs = DurationNs(60_000_000_000);

impl Service {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Database, Self::Aggregator, Self::Coordinator];

    /// Its name in keys and paths.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Database => "m3db",
            Self::Aggregator => "m3aggregator",
            Self::Coordinator => "m3coordinator",
        }
    }

    /// The key of its placement.
    #[must_use]
    pub fn key(self, scope: &Scope) -> Key {
        let namespace = match self {
            Self::Aggregator => "/placement",
            Self::Database | Self::Coordinator => "_sd.placement",
        };
        scope.key(namespace, self.name())
    }

    fn stored(self) -> Stored {
        match self {
            Self::Aggregator => Stored::Staged,
            Self::Database | Self::Coordinator => Stored::Plain,
        }
    }

    fn timing(self, now: TimestampNs) -> Timing {
        match self {
            Self::Aggregator => Timing::Windowed { now, window: WINDOW, warmup: DurationNs(0) },
            Self::Database | Self::Coordinator => Timing::Immediate { now },
        }
    }
}

/// What a request may say about how placements are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeOptions {
    /// Whether there are shards, if that is said.
    pub is_sharded: Option<bool>,
    /// Whether instances of a shard set may have different ports.
    pub skip_port_mirroring: bool,
    /// Whether a placement is changed of which not all shards are available.
    pub force: bool,
    /// Whether nothing is written.
    pub dry_run: bool,
}

/// The size of a first placement, as a request gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// How many shards.
    pub shards: i32,
    /// How many copies of each.
    pub replica_factor: i32,
}

/// How a placement is to change.
#[derive(Clone, Debug)]
pub enum Change {
    /// Instances come.
    Add(Vec<Instance>),
    /// Instances of these ids go.
    Remove(Vec<String>),
    /// Some go, and others come. PARITY(m3): who comes is chosen among the candidates if the
    /// change is forced; else all of them come, in the order of those that go.
    Replace {
        /// The ids of those that go.
        leaving: Vec<String>,
        /// Those that may come.
        candidates: Vec<Instance>,
    },
}

/// A placement and the version of its key; 0 if it is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The placement.
    pub placement: Placement,
    /// Its version.
    pub version: u64,
}

/// The placement of one service in one environment.
#[derive(Clone, Debug)]
pub struct PlacementService {
    store: SharedKv,
    service: Service,
    scope: Scope,
}

impl PlacementService {
    /// The placement of `service` in `scope`.
    #[must_use]
    pub fn new(store: SharedKv, service: Service, scope: Scope) -> Self {
        Self { store, service, scope }
    }

    /// The stored placement.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what the store says.
    pub async fn get(&self) -> Result<Versioned, Error> {
        let key = self.service.key(&self.scope);
        let value = self.store.get(&key).await?;
        let placement = self.service.stored().decode(&key, &value)?;
        Ok(Versioned { placement, version: value.version })
    }

    /// The placement as it was at a version.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no placement, [`Error::Refused`] if it does not have that
    /// version or it is not kept, and what the store says.
    pub async fn get_version(&self, version: u64) -> Result<Versioned, Error> {
        let key = self.service.key(&self.scope);
        let value = self.store.get_version(&key, version).await?.ok_or_else(|| {
            Error::Refused("invalid number of placements returned: 0, expecting 1".to_owned())
        })?;
        let placement = self.service.stored().decode(&key, &value)?;
        Ok(Versioned { placement, version })
    }

    /// Makes the first placement of `candidates`.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], what the algorithm says, and what the store says.
    pub async fn init(
        &self,
        candidates: Vec<Instance>,
        size: Size,
        options: ChangeOptions,
        now: TimestampNs,
    ) -> Result<Versioned, Error> {
        // PARITY(m3): a zone that the store does not serve is told before anything else.
        match self.store.get(&self.service.key(&self.scope)).await {
            Ok(_) | Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
        let this = self.clone();
        let placement = work(move || this.first(candidates, size, (options, now))).await?;
        self.save(placement, Expected::Absent, options.dry_run).await
    }

    /// Changes the stored placement.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::VersionMismatch`] if somebody else changed it meanwhile, what
    /// the algorithm says, and what the store says.
    pub async fn change(
        &self,
        change: Change,
        options: ChangeOptions,
        now: TimestampNs,
    ) -> Result<Versioned, Error> {
        let Versioned { placement, version } = self.get().await?;
        let is_replaced = matches!(change, Change::Replace { .. });
        // PARITY(m3): coordinators have no shards to look at; only replacing spares them that.
        let is_spared = is_replaced && self.service == Service::Coordinator;
        if !options.force && !is_spared {
            placement.check_available()?;
        }
        let this = self.clone();
        let placement = work(move || this.changed(placement, change, (options, now))).await?;
        self.save(placement, Expected::Version(version), options.dry_run).await
    }

    /// Says that an instance has all of the shards that it was taking; the instances that gave
    /// them forget them.
    ///
    /// # Errors
    /// [`Error::NotFound`], shards whose time has not come, [`Error::VersionMismatch`], and what
    /// the store says.
    pub async fn mark_available(&self, id: &str, now: TimestampNs) -> Result<Versioned, Error> {
        let Versioned { mut placement, version } = self.get().await?;
        if !placement.instances.contains_key(id) {
            return Err(PlacementError::NoInstance(id.to_owned()).into());
        }
        sharded::mark_instance_available(&mut placement, id, self.service.timing(now))?;
        self.save(placement, Expected::Version(version), false).await
    }

    /// Writes a placement as it is, in place of the one of that version; 0 is none.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] or [`Error::VersionMismatch`] if somebody else changed it
    /// meanwhile, rules that the placement breaks, and what the store says.
    pub async fn set(&self, placement: Placement, version: u64) -> Result<Versioned, Error> {
        let expected = match version {
            0 => Expected::Absent,
            version => Expected::Version(version),
        };
        self.save(placement, expected, false).await
    }

    /// Removes the placement.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what the store says.
    pub async fn delete(&self) -> Result<(), Error> {
        self.store.delete(&self.service.key(&self.scope)).await.map(drop)
    }

    async fn save(
        &self,
        placement: Placement,
        expected: Expected,
        dry_run: bool,
    ) -> Result<Versioned, Error> {
        placement.check()?;
        check_limits(&placement)?;
        let stored = self.service.stored();
        let placement = stored.active(placement);
        if dry_run {
            return Ok(Versioned { placement, version: 0 });
        }
        let key = self.service.key(&self.scope);
        let version = self.store.put(&key, expected, stored.encode(&placement)).await?;
        Ok(Versioned { placement, version })
    }

    fn is_sharded(&self, options: ChangeOptions) -> bool {
        options.is_sharded.unwrap_or(self.service != Service::Coordinator)
    }

    fn first(
        &self,
        candidates: Vec<Instance>,
        Size { shards, replica_factor }: Size,
        (options, now): (ChangeOptions, TimestampNs),
    ) -> Result<Placement, Error> {
        let shards = u32::try_from(shards).map_err(|_| PlacementError::ShardCount(shards))?;
        let replicas = u32::try_from(replica_factor).ok().filter(|replicas| *replicas > 0);
        let replicas = replicas.ok_or(PlacementError::ReplicaFactor(replica_factor))?;
        check_limit("the number of shards", shards as usize, SHARDS_MAX as usize)?;
        check_limit("the replica factor", replicas as usize, INSTANCES_MAX)?;
        check_instances(candidates.iter())?;
        check_steps((shards, replicas), candidates.len())?;
        let candidates = select::valid(&Placement::default(), candidates, &self.scope.zone)?;
        let (size, timing) = ((shards, replicas), self.service.timing(now));
        if self.service == Service::Aggregator {
            let instances = select_mirrored::initial(candidates, replicas, ports(options))?;
            return Ok(mirrored::initial(instances, size, timing)?);
        }
        if !self.is_sharded(options) {
            return Ok(unsharded::initial(candidates, size)?);
        }
        self.finished(sharded::initial(candidates, size, timing)?, timing)
    }

    fn changed(
        &self,
        placement: Placement,
        change: Change,
        (options, now): (ChangeOptions, TimestampNs),
    ) -> Result<Placement, Error> {
        let mut instances = placement.instances.len();
        if let Change::Add(candidates) | Change::Replace { candidates, .. } = &change {
            check_instances(candidates.iter())?;
            instances += candidates.len();
        }
        check_steps((placement.shards, placement.replica_factor), instances)?;
        let timing = self.service.timing(now);
        if self.service == Service::Aggregator {
            return self.changed_mirrored(placement, change, (options, timing));
        }
        let zone = &self.scope.zone;
        let changed = match (change, self.is_sharded(options)) {
            (Change::Add(candidates), is_sharded) => {
                let candidates = select::valid(&placement, candidates, zone)?;
                let instance = select::to_add(&placement, candidates)?;
                match is_sharded {
                    true => sharded::add(placement, vec![instance], timing)?,
                    false => unsharded::add(placement, vec![instance])?,
                }
            }
            (Change::Remove(ids), true) => sharded::remove(placement, &ids, timing)?,
            (Change::Remove(ids), false) => unsharded::remove(placement, &ids)?,
            (Change::Replace { leaving, candidates }, is_sharded) => {
                let chosen = if options.force {
                    let candidates = select::valid(&placement, candidates, zone)?;
                    select::to_replace(&placement, &leaving, candidates, timing)?
                } else {
                    candidates
                };
                let how = (timing, Replacing::WithHelp);
                match is_sharded {
                    true => sharded::replace(placement, &leaving, chosen, how)?,
                    false => unsharded::replace(placement, &leaving, chosen)?,
                }
            }
        };
        self.finished(changed, timing)
    }

    fn changed_mirrored(
        &self,
        placement: Placement,
        change: Change,
        (options, timing): (ChangeOptions, Timing),
    ) -> Result<Placement, Error> {
        let (zone, ports) = (&self.scope.zone, ports(options));
        Ok(match change {
            Change::Add(candidates) => {
                let candidates = select::valid(&placement, candidates, zone)?;
                let instances = select_mirrored::to_add(&placement, candidates, ports)?;
                mirrored::add(placement, instances, timing)?
            }
            Change::Remove(ids) => mirrored::remove(placement, &ids, timing)?,
            Change::Replace { leaving, candidates } => {
                let instances = if options.force {
                    let candidates = select::valid(&placement, candidates, zone)?;
                    select_mirrored::to_replace(&placement, &leaving, candidates, ports)?
                } else {
                    candidates
                };
                mirrored::replace(placement, &leaving, instances, timing)?
            }
        })
    }

    /// Coordinators keep no data, so that their shards are available at once.
    fn finished(&self, mut placement: Placement, timing: Timing) -> Result<Placement, Error> {
        if self.service == Service::Coordinator && placement.is_sharded {
            sharded::mark_all_available(&mut placement, timing)?;
        }
        Ok(placement)
    }
}

/// Spreads shards on a thread that may take its time.
async fn work(
    spread: impl FnOnce() -> Result<Placement, Error> + Send + 'static,
) -> Result<Placement, Error> {
    tokio::task::spawn_blocking(spread).await.map_err(|_| Error::Panicked)?
}

/// Each copy of a shard may be held against each instance.
fn check_steps((shards, replicas): (u32, u32), instances: usize) -> Result<(), Error> {
    let copies = (shards as usize).saturating_mul(replicas as usize);
    check_limit("the number of shards of all instances", copies, SHARD_COPIES_MAX)?;
    let steps = copies.saturating_mul(instances);
    check_limit("the number of shards times that of instances", steps, PLACEMENT_STEPS_MAX)
}

fn ports(options: ChangeOptions) -> Ports {
    if options.skip_port_mirroring { Ports::Free } else { Ports::Mirrored }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_of_a_placement_is_bounded() {
        let instances = PLACEMENT_STEPS_MAX / SHARD_COPIES_MAX;
        let shards = u32::try_from(SHARD_COPIES_MAX / 8).expect("it is small");
        assert!(check_steps((shards, 8), instances).is_ok());
        assert!(check_steps((shards, 8), instances + 1).is_err());
        assert!(check_steps((shards, 9), 1).is_err());
    }
}
