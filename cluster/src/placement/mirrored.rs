//! Placements whose instances form shard sets: aggregators.
//!
//! The instances of a shard set own the same shards, one instance for each replica. A placement
//! is folded into one instance for each set, changed as one of a single replica, and unfolded.

use std::collections::{BTreeMap, BTreeSet};

use super::balance::Balance;
use super::sharded::{self, Replacing};
use super::{Instance, Placement, PlacementError, ShardState, Timing};

/// The first placement of `instances`, which have their shard sets.
pub(super) fn initial(
    instances: Vec<Instance>,
    (shards, replica_factor): (u32, u32),
    timing: Timing,
) -> Result<Placement, PlacementError> {
    let sets = fold(&instances, replica_factor)?;
    let folded = sharded::initial(sets, (shards, 1), timing)?;
    unfold(folded, instances, replica_factor)
}

/// Adds `instances`, which have their shard sets. If they are all of those that leave, they get
/// their shards back.
pub(super) fn add(
    mut placement: Placement,
    mut instances: Vec<Instance>,
    timing: Timing,
) -> Result<Placement, PlacementError> {
    check(&placement)?;
    let ids: Vec<String> = instances.iter().map(|instance| instance.id.clone()).collect();
    if are_the_only_pending(&placement, &ids, (ShardState::Leaving, timing)) {
        return reclaim(placement, &ids, timing);
    }
    sharded::mark_all_available(&mut placement, timing)?;
    check_new(&placement, &mut instances)?;
    let mut folded = fold_placement(&placement)?;
    for set in fold(&instances, placement.replica_factor)? {
        folded = sharded::add(folded, vec![set], timing)?;
    }
    let all = placement.instances.into_values().chain(instances).collect();
    unfold(folded, all, placement.replica_factor)
}

/// Removes whole shard sets. If they are all of those that come, their shards go back.
pub(super) fn remove(
    mut placement: Placement,
    ids: &[String],
    timing: Timing,
) -> Result<Placement, PlacementError> {
    check(&placement)?;
    if are_the_only_pending(&placement, ids, (ShardState::Initializing, timing)) {
        return give_back(placement, ids, timing);
    }
    sharded::mark_all_available(&mut placement, timing)?;
    let mut leaving = Vec::new();
    for id in ids {
        let instance = placement.instances.get(id);
        let instance = instance.ok_or_else(|| PlacementError::NoMirroredInstance(id.clone()))?;
        leaving.push(instance.clone());
    }
    let mut folded = fold_placement(&placement)?;
    for set in fold(&leaving, placement.replica_factor)? {
        folded = sharded::remove(folded, &[set.id], timing)?;
    }
    let replica_factor = placement.replica_factor;
    unfold(folded, placement.instances.into_values().collect(), replica_factor)
}

/// Replaces each of `leaving` by the instance of `adding` in the same place. A replacement that
/// is under way is undone by replacing the other way round.
pub(super) fn replace(
    mut placement: Placement,
    leaving: &[String],
    mut adding: Vec<Instance>,
    timing: Timing,
) -> Result<Placement, PlacementError> {
    check(&placement)?;
    if adding.len() != leaving.len() {
        let (leaving, adding) = (leaving.len(), adding.len());
        return Err(PlacementError::ReplaceCount { leaving, adding });
    }
    let new_ids: Vec<String> = adding.iter().map(|instance| instance.id.clone()).collect();
    let all = |ids: &[String], state| are_pending(&placement, ids, (state, timing));
    if all(&new_ids, ShardState::Leaving) && all(leaving, ShardState::Initializing) {
        let placement = reclaim(placement, &new_ids, timing)?;
        return give_back(placement, leaving, timing);
    }
    for id in leaving {
        mark_set_available(&mut placement, id, timing)?;
    }
    let is_at_rest = |id: &String| {
        let shards = placement.instances.get(id).map(|instance| &instance.shards);
        shards.is_some_and(|shards| shards.values().all(|s| s.state == ShardState::Available))
    };
    if !leaving.iter().all(is_at_rest) {
        return Err(PlacementError::ReplacedNotAvailable);
    }
    check_new(&placement, &mut adding)?;
    for (id, instance) in leaving.iter().zip(adding) {
        let how = (timing, Replacing::OneByOne);
        placement = sharded::replace(placement, std::slice::from_ref(id), vec![instance], how)?;
    }
    Ok(placement)
}

fn check(placement: &Placement) -> Result<(), PlacementError> {
    match placement.is_mirrored && placement.is_sharded {
        true => Ok(()),
        false => Err(PlacementError::Incompatible { algorithm: "mirrored" }),
    }
}

/// Whether all shards of these instances are in `state` with their time to come.
fn are_pending(placement: &Placement, ids: &[String], at: (ShardState, Timing)) -> bool {
    let is_pending =
        |id: &String| placement.instances.get(id).is_some_and(|instance| is_pending(instance, at));
    !ids.is_empty() && ids.iter().all(is_pending)
}

/// The same, and no other instance is so.
fn are_the_only_pending(placement: &Placement, ids: &[String], at: (ShardState, Timing)) -> bool {
    let pending = placement.instances.values().filter(|instance| is_pending(instance, at));
    let pending: BTreeSet<&String> = pending.map(|instance| &instance.id).collect();
    pending == ids.iter().collect()
}

fn is_pending(instance: &Instance, (state, timing): (ShardState, Timing)) -> bool {
    instance.shards.values().all(|shard| timing.is_pending(shard, state))
}

/// Says of the shard set of an instance that it has the shards that it was taking.
fn mark_set_available(
    placement: &mut Placement,
    id: &str,
    timing: Timing,
) -> Result<(), PlacementError> {
    let set = placement.instance(id)?.shard_set_id;
    let peers = placement.instances.values().filter(|peer| peer.shard_set_id == set);
    let peers: Vec<String> = peers.map(|peer| peer.id.clone()).collect();
    for id in peers {
        sharded::mark_instance_available(placement, &id, timing)
            .map_err(|source| PlacementError::OfInstance { id, source: Box::new(source) })?;
    }
    Ok(())
}

/// Refuses instances that are there; those that were leaving begin without shards.
fn check_new(placement: &Placement, instances: &mut [Instance]) -> Result<(), PlacementError> {
    for instance in instances {
        if placement.instances.contains_key(&instance.id) {
            return Err(PlacementError::Exists(instance.id.clone()));
        }
        if instance.is_leaving() {
            instance.shards.clear();
        }
    }
    Ok(())
}

/// Gives the shards that `ids` are taking back to their sources, as often as that gets further:
/// a source may itself be given its shard back first.
fn give_back(
    mut placement: Placement,
    ids: &[String],
    timing: Timing,
) -> Result<Placement, PlacementError> {
    let state = ShardState::Initializing;
    loop {
        let before = count(&placement, ids, state);
        for id in ids {
            if !placement.instances.contains_key(id) {
                continue;
            }
            let replica_factor = placement.replica_factor;
            let removed = std::slice::from_ref(id);
            let mut balance = Balance::new(placement, removed, replica_factor, timing);
            if let Some(from) = balance.find(id) {
                let takers = balance.takers();
                balance.return_initializing(from, &takers);
            }
            placement = balance.finish();
        }
        if count(&placement, ids, state) == before {
            check_done(&placement, ids, state)?;
            return Ok(placement);
        }
    }
}

/// Takes back the shards that leave `ids`, as often as that gets further.
fn reclaim(
    mut placement: Placement,
    ids: &[String],
    timing: Timing,
) -> Result<Placement, PlacementError> {
    let state = ShardState::Leaving;
    loop {
        let before = count(&placement, ids, state);
        for id in ids {
            if placement.instance(id)?.count(ShardState::Initializing) > 0 {
                return Err(PlacementError::StillInitializing);
            }
            let replica_factor = placement.replica_factor;
            let mut balance = Balance::new(placement, &[], replica_factor, timing);
            if let Some(to) = balance.find(id) {
                balance.reclaim_leaving(to);
            }
            placement = balance.finish();
        }
        if count(&placement, ids, state) == before {
            check_done(&placement, ids, state)?;
            return Ok(placement);
        }
    }
}

fn count(placement: &Placement, ids: &[String], state: ShardState) -> usize {
    let instances = ids.iter().filter_map(|id| placement.instances.get(id));
    instances.map(|instance| instance.count(state)).sum()
}

fn check_done(
    placement: &Placement,
    ids: &[String],
    state: ShardState,
) -> Result<(), PlacementError> {
    let (name, done) = match state {
        ShardState::Leaving => ("leaving", "reclaimed"),
        _ => ("initializing", "returned"),
    };
    for instance in ids.iter().filter_map(|id| placement.instances.get(id)) {
        let count = instance.count(state);
        if count > 0 {
            let id = instance.id.clone();
            return Err(PlacementError::Stuck { count, state: name, done, id });
        }
    }
    Ok(())
}

/// One instance for each shard set, named by its id.
fn fold(instances: &[Instance], replica_factor: u32) -> Result<Vec<Instance>, PlacementError> {
    let broken = |why: String| PlacementError::Inconsistent(why);
    let mut sets: BTreeMap<u32, Vec<&Instance>> = BTreeMap::new();
    for instance in instances {
        sets.entry(instance.shard_set_id).or_default().push(instance);
    }
    let mut folded = Vec::new();
    for (set, members) in sets {
        let first = members[0];
        let mut groups = BTreeSet::new();
        for member in &members {
            let group = &member.isolation_group;
            if !groups.insert(group) {
                let found = format!("found duplicated isolation group {group}");
                return Err(broken(format!("{found} for shardset id {set}")));
            }
            if member.weight != first.weight {
                let weights = format!("{} and {}", first.weight, member.weight);
                let found = format!("found different weights: {weights}");
                return Err(broken(format!("{found}, for shardset id {set}")));
            }
            if !owns_the_same(first, member) {
                let ids = format!("{} and {}", first.id, member.id);
                let found = format!("found different shards on {ids}");
                return Err(broken(format!("{found}, for shardset id {set}")));
            }
        }
        if members.len() != replica_factor as usize {
            let found = format!("found {} count of shard set id {set}", members.len());
            return Err(broken(format!("{found}, expecting {replica_factor}")));
        }
        folded.push(Instance {
            id: set.to_string(),
            isolation_group: set.to_string(),
            weight: first.weight,
            shard_set_id: set,
            shards: first.shards.clone(),
            ..Instance::default()
        });
    }
    Ok(folded)
}

fn owns_the_same(a: &Instance, b: &Instance) -> bool {
    a.shards == b.shards
}

fn fold_placement(placement: &Placement) -> Result<Placement, PlacementError> {
    let instances: Vec<Instance> = placement.instances.values().cloned().collect();
    let mut folded =
        Placement { instances: BTreeMap::new(), replica_factor: 1, ..placement.clone() };
    fold(&instances, placement.replica_factor)?.into_iter().for_each(|set| folded.insert(set));
    Ok(folded)
}

/// Gives each instance the shards of its set; the source of a shard is the instance in the same
/// place of the giving set.
fn unfold(
    folded: Placement,
    instances: Vec<Instance>,
    replica_factor: u32,
) -> Result<Placement, PlacementError> {
    let mut sets: BTreeMap<u32, Vec<Instance>> = BTreeMap::new();
    for instance in instances {
        sets.entry(instance.shard_set_id).or_default().push(instance);
    }
    let ids: BTreeMap<u32, Vec<String>> = sets
        .iter()
        .map(|(set, members)| (*set, members.iter().map(|member| member.id.clone()).collect()))
        .collect();
    let source_of = |set: &str, place: usize| {
        let source = set.parse().ok().and_then(|set: u32| ids.get(&set)?.get(place));
        let missing =
            || PlacementError::Inconsistent(format!("could not find source id {set} in placement"));
        source.cloned().ok_or_else(missing)
    };
    let mut placement = Placement {
        instances: BTreeMap::new(),
        replica_factor,
        is_mirrored: true,
        ..folded.clone()
    };
    for set in folded.instances.into_values() {
        let members = sets.remove(&set.shard_set_id).unwrap_or_default();
        for (place, mut member) in members.into_iter().enumerate() {
            member.shards = set.shards.clone();
            for shard in member.shards.values_mut().filter(|shard| !shard.source_id.is_empty()) {
                shard.source_id = source_of(&shard.source_id, place)?;
            }
            placement.insert(member);
        }
    }
    Ok(placement)
}
