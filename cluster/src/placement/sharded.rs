//! Placements whose shards are spread one by one: databases.

use super::balance::{ANY_STATE, Balance, PLACED_ONLY};
use super::{Instance, Placement, PlacementError, Shard, ShardState, Timing};

/// Whether shards of instances that are replaced may go to others than those that come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replacing {
    /// They may, and load is levelled at the end.
    WithHelp,
    /// They may not.
    OneByOne,
}

/// The first placement of `instances`, replica by replica.
pub(super) fn initial(
    instances: Vec<Instance>,
    (shards, replica_factor): (u32, u32),
    timing: Timing,
) -> Result<Placement, PlacementError> {
    let mut placement = Placement { shards, is_sharded: true, ..Placement::default() };
    instances.into_iter().for_each(|instance| placement.insert(instance));
    for replicas in 1..=replica_factor {
        let mut balance = Balance::new(placement, &[], replicas, timing);
        balance.place_all()?;
        if replicas > 1 {
            balance.level(&PLACED_ONLY);
        }
        placement = balance.finish();
    }
    Ok(placement)
}

/// Adds `instances`, one after the other; each takes its share from all others.
pub(super) fn add(
    mut placement: Placement,
    instances: Vec<Instance>,
    timing: Timing,
) -> Result<Placement, PlacementError> {
    check(&placement)?;
    for instance in instances {
        let id = instance.id.clone();
        match placement.instances.get(&id) {
            Some(there) if !there.is_leaving() => return Err(PlacementError::NotLeaving),
            Some(_) => {}
            None => placement.insert(instance),
        }
        let replica_factor = placement.replica_factor;
        let mut balance = Balance::new(placement, &[], replica_factor, timing);
        // An instance that leaves has no target; it gets its shards back and no more.
        let at = balance.find(&id).expect("BUG: the instance was put in");
        balance.fill_new(at);
        placement = balance.finish();
    }
    Ok(placement)
}

/// Removes instances, one after the other; the others take their shards.
pub(super) fn remove(
    mut placement: Placement,
    ids: &[String],
    timing: Timing,
) -> Result<Placement, PlacementError> {
    check(&placement)?;
    for id in ids {
        placement.instance(id)?;
        let replica_factor = placement.replica_factor;
        let removed = std::slice::from_ref(id);
        let mut balance = Balance::new(placement, removed, replica_factor, timing);
        let from = balance.find(id).expect("BUG: the instance was just seen");
        balance.give_away(from, &balance.takers())?;
        balance.level(&PLACED_ONLY);
        placement = balance.finish();
    }
    Ok(placement)
}

/// Replaces the instances `leaving` by `adding`.
pub(super) fn replace(
    mut placement: Placement,
    leaving: &[String],
    adding: Vec<Instance>,
    (timing, replacing): (Timing, Replacing),
) -> Result<Placement, PlacementError> {
    check(&placement)?;
    for id in leaving {
        placement.instance(id)?;
    }
    let new_ids: Vec<String> = adding.iter().map(|instance| instance.id.clone()).collect();
    for instance in adding {
        if placement.instances.contains_key(&instance.id) {
            return Err(PlacementError::AlreadyAdded);
        }
        placement.insert(instance);
    }
    let replica_factor = placement.replica_factor;
    let mut balance = Balance::new(placement, leaving, replica_factor, timing);
    let takers: Vec<usize> = new_ids.iter().filter_map(|id| balance.find(id)).collect();
    let givers: Vec<usize> = leaving.iter().filter_map(|id| balance.find(id)).collect();
    for from in &givers {
        match balance.give_away(*from, &takers) {
            // The others may have isolation groups that those who come lack.
            Ok(()) | Err(PlacementError::IsolationGroups) => {}
            Err(error) => return Err(error),
        }
        let giver = balance.instance(*from);
        if giver.load() > 0 && replacing == Replacing::OneByOne {
            let (id, left) = (giver.id.clone(), giver.load());
            return Err(PlacementError::PartlyReplaced { id, left });
        }
    }
    if replacing == Replacing::WithHelp {
        for from in givers {
            balance.give_away(from, &balance.takers())?;
        }
        balance.level(&ANY_STATE);
    }
    Ok(balance.finish())
}

/// Says that `id` has the shard that it was taking; the giver forgets it.
pub(super) fn mark_available(
    placement: &mut Placement,
    (id, shard_id): (&str, u32),
    timing: Timing,
) -> Result<(), PlacementError> {
    let broken = |why: String| PlacementError::Inconsistent(why);
    let instance = placement.instance(id)?;
    let shard = instance
        .shards
        .get(&shard_id)
        .ok_or_else(|| broken(format!("shard {shard_id} does not exist in instance {id}")))?;
    if shard.state != ShardState::Initializing {
        let state = "it's not in Initializing state";
        return Err(broken(format!("could not mark shard {shard_id} as available, {state}")));
    }
    timing.check_cutover(shard_id, shard)?;
    let source_id = shard.source_id.clone();
    if !source_id.is_empty() {
        let source = placement.instances.get_mut(&source_id).ok_or_else(|| {
            let missing = "does not exist in placement";
            broken(format!("source instance {source_id} for shard {shard_id} {missing}"))
        })?;
        let leaving = source.shards.get(&shard_id).ok_or_else(|| {
            broken(format!("shard {shard_id} does not exist in source instance {source_id}"))
        })?;
        if leaving.state != ShardState::Leaving {
            return Err(broken(format!("shard {shard_id} is not leaving instance {source_id}")));
        }
        timing.check_cutoff(shard_id, leaving)?;
        source.shards.remove(&shard_id);
        if source.shards.is_empty() {
            placement.instances.remove(&source_id);
        }
    }
    placement.cutover_ns = timing.placement_cutover_ns();
    let instance = placement.instances.get_mut(id);
    let instance = instance.ok_or_else(|| PlacementError::NoInstance(id.to_owned()))?;
    instance.shards.insert(shard_id, Shard::new(ShardState::Available));
    Ok(())
}

/// Says of all instances that they have the shards that they were taking.
pub(super) fn mark_all_available(
    placement: &mut Placement,
    timing: Timing,
) -> Result<(), PlacementError> {
    let ids: Vec<String> = placement.instances.keys().cloned().collect();
    ids.iter().try_for_each(|id| mark_instance_available(placement, id, timing))
}

/// Says of one instance that it has the shards that it was taking; nothing if it is gone.
pub(super) fn mark_instance_available(
    placement: &mut Placement,
    id: &str,
    timing: Timing,
) -> Result<(), PlacementError> {
    let Some(instance) = placement.instances.get(id) else { return Ok(()) };
    let shards = instance.shards.iter();
    let pending: Vec<u32> = shards
        .filter(|(_, shard)| shard.state == ShardState::Initializing)
        .map(|(id, _)| *id)
        .collect();
    pending.into_iter().try_for_each(|shard| mark_available(placement, (id, shard), timing))
}

fn check(placement: &Placement) -> Result<(), PlacementError> {
    match placement.is_sharded {
        true => Ok(()),
        false => Err(PlacementError::Incompatible { algorithm: "sharded" }),
    }
}
