//! The rules that every placement keeps.

use std::collections::{BTreeMap, BTreeSet};

use super::{Instance, Placement, PlacementError, Shard, ShardState};
use crate::error::{Error, check_limit};
use crate::limits::{INSTANCES_MAX, SHARD_COPIES_MAX, SHARDS_MAX, WEIGHT_MAX};

/// What a placement may hold at all.
///
/// # Errors
/// [`Error::Limit`].
pub(super) fn check_limits(placement: &Placement) -> Result<(), Error> {
    check_limit("the number of shards", placement.shards as usize, SHARDS_MAX as usize)?;
    check_instances(placement.instances.values())?;
    let copies = placement.instances.values().map(|instance| instance.shards.len()).sum();
    check_limit("the number of shards of all instances", copies, SHARD_COPIES_MAX)
}

/// What instances may be.
///
/// # Errors
/// [`Error::Limit`].
pub(super) fn check_instances<'a>(
    instances: impl ExactSizeIterator<Item = &'a Instance>,
) -> Result<(), Error> {
    check_limit("the number of instances", instances.len(), INSTANCES_MAX)?;
    for instance in instances {
        check_limit("the weight of an instance", instance.weight as usize, WEIGHT_MAX as usize)?;
    }
    Ok(())
}

impl Placement {
    /// Whether the placement keeps all rules: each shard has as many owners as there are replicas,
    /// shards that come and shards that go belong together, and instances of one shard set own the
    /// same shards.
    ///
    /// # Errors
    /// [`PlacementError::Broken`] with the first rule that it breaks.
    pub fn check(&self) -> Result<(), PlacementError> {
        let broken = |why: &str| Err(PlacementError::Broken(why.to_owned()));
        if self.is_mirrored && !self.is_sharded {
            return broken("invalid placement, mirrored placement must be sharded");
        }
        if self.is_subclustered {
            return broken("invalid placement, subclustered placements are not supported");
        }
        let mut counts = Counts::default();
        let mut sets: BTreeMap<u32, &Instance> = BTreeMap::new();
        for instance in self.instances.values() {
            self.check_instance(instance)?;
            for (id, shard) in &instance.shards {
                counts.add(*id, shard);
                if shard.state == ShardState::Initializing && !shard.source_id.is_empty() {
                    self.check_source(instance, (*id, shard), &mut counts)?;
                }
            }
            if instance.shard_set_id != 0 {
                let other = *sets.entry(instance.shard_set_id).or_insert(instance);
                check_set(other, instance)?;
            }
        }
        if !self.is_sharded {
            return Ok(());
        }
        counts.check(self)
    }

    fn check_instance(&self, instance: &Instance) -> Result<(), PlacementError> {
        let id = &instance.id;
        let broken = |why: String| Err(PlacementError::Broken(why));
        if instance.endpoint.is_empty() {
            return broken(format!("instance {id} does not contain valid endpoint"));
        }
        if instance.shards.is_empty() && self.is_sharded {
            return broken(format!("instance {id} contains no shard in a sharded placement"));
        }
        if !instance.shards.is_empty() && !self.is_sharded {
            return broken(format!("instance {id} contains shards in a non-sharded placement"));
        }
        if instance.subcluster_id != 0 {
            let subcluster = instance.subcluster_id;
            let place = "in a non-subclustered placement";
            return broken(format!("instance {id} has subcluster id {subcluster} {place}"));
        }
        if instance.shard_set_id > self.max_shard_set_id {
            let (set, max) = (instance.shard_set_id, self.max_shard_set_id);
            let larger = format!("is larger than max shard set id {max} in the placement");
            return broken(format!("instance {id} shard set id {set} {larger}"));
        }
        Ok(())
    }

    /// A shard that comes from an instance leaves it, and goes to nobody else.
    fn check_source<'a>(
        &self,
        taker: &Instance,
        (id, shard): (u32, &'a Shard),
        counts: &mut Counts<'a>,
    ) -> Result<(), PlacementError> {
        let source = &shard.source_id;
        let head = format!(
            "instance {} has initializing shard {id} with source ID {source} but",
            taker.id
        );
        let broken = |why: &str| Err(PlacementError::Broken(format!("{head} {why}")));
        let Some(giver) = self.instances.get(source) else {
            return broken("no such instance in placement");
        };
        match giver.shards.get(&id).map(|shard| shard.state) {
            None => broken("leaving instance has no such shard"),
            Some(ShardState::Leaving) if counts.matched.insert((source, id)) => Ok(()),
            Some(ShardState::Leaving) => broken("leaving instance has shard already matched"),
            Some(state) => {
                broken(&format!("leaving instance has shard with state {}", state.name()))
            }
        }
    }
}

impl ShardState {
    /// PARITY(m3): its name in texts.
    fn name(self) -> &'static str {
        match self {
            Self::Placed => "Unknown",
            Self::Initializing => "Initializing",
            Self::Available => "Available",
            Self::Leaving => "Leaving",
        }
    }
}

#[derive(Default)]
struct Counts<'a> {
    owners: BTreeMap<u32, u32>,
    leaving: usize,
    initializing: usize,
    with_source: usize,
    matched: BTreeSet<(&'a str, u32)>,
}

impl Counts<'_> {
    fn add(&mut self, id: u32, shard: &Shard) {
        if shard.state == ShardState::Leaving {
            self.leaving += 1;
            return;
        }
        *self.owners.entry(id).or_default() += 1;
        if shard.state == ShardState::Initializing {
            self.initializing += 1;
            self.with_source += usize::from(!shard.source_id.is_empty());
        }
    }

    fn check(&self, placement: &Placement) -> Result<(), PlacementError> {
        let broken = |why: String| Err(PlacementError::Broken(why));
        let Self { leaving, initializing, with_source, .. } = self;
        let head = format!("invalid placement, {leaving} shards in Leaving state,");
        if leaving > initializing {
            return broken(format!("{head} more than {initializing} in Initializing state"));
        }
        if leaving != with_source {
            let state = "in Initializing state with source id";
            return broken(format!("{head} not equal {with_source} {state}"));
        }
        let owned: u64 = self.owners.values().map(|count| u64::from(*count)).sum();
        let expected = u64::from(placement.shards) * u64::from(placement.replica_factor);
        if owned != expected {
            let total = "the total available shards in the placement";
            return broken(format!("invalid placement, {total} is {owned}, expecting {expected}"));
        }
        for id in 0..placement.shards {
            let (count, expected) = (self.owners.get(&id).unwrap_or(&0), placement.replica_factor);
            if *count != expected {
                let found = format!("expected {expected}, actual {count}");
                return broken(format!("invalid shard count for shard {id}: {found}"));
            }
        }
        Ok(())
    }
}

fn check_set(a: &Instance, b: &Instance) -> Result<(), PlacementError> {
    if a.shards.keys().eq(b.shards.keys()) {
        return Ok(());
    }
    let what = if a.shards.len() == b.shards.len() { "shards" } else { "number of shards" };
    let both = format!("instance {} and {} have the same shard set id", a.id, b.id);
    Err(PlacementError::Broken(format!("{both} {} but different {what}", a.shard_set_id)))
}
