//! Placements without shards: a list of instances, such as the coordinators.

use super::{Instance, Placement, PlacementError};

/// The first placement of `instances`.
pub(super) fn initial(
    instances: Vec<Instance>,
    (shards, replica_factor): (u32, u32),
) -> Result<Placement, PlacementError> {
    if shards > 0 {
        return Err(PlacementError::ShardsOfUnsharded);
    }
    let mut placement = Placement { replica_factor, ..Placement::default() };
    instances.into_iter().for_each(|instance| placement.insert(instance));
    Ok(placement)
}

/// Adds `instances`.
pub(super) fn add(
    mut placement: Placement,
    instances: Vec<Instance>,
) -> Result<Placement, PlacementError> {
    check(&placement)?;
    for instance in instances {
        if placement.instances.contains_key(&instance.id) {
            return Err(PlacementError::ExistsUnsharded(instance.id));
        }
        placement.insert(instance);
    }
    Ok(placement)
}

/// Removes instances.
pub(super) fn remove(
    mut placement: Placement,
    ids: &[String],
) -> Result<Placement, PlacementError> {
    check(&placement)?;
    for id in ids {
        if !placement.instances.contains_key(id) {
            return Err(PlacementError::NotFound(id.clone()));
        }
    }
    placement.instances.retain(|id, _| !ids.contains(id));
    Ok(placement)
}

/// Replaces the instances `leaving` by `adding`.
pub(super) fn replace(
    placement: Placement,
    leaving: &[String],
    adding: Vec<Instance>,
) -> Result<Placement, PlacementError> {
    remove(add(placement, adding)?, leaving)
}

fn check(placement: &Placement) -> Result<(), PlacementError> {
    match placement.is_sharded || placement.is_mirrored {
        true => Err(PlacementError::Incompatible { algorithm: "non-sharded" }),
        false => Ok(()),
    }
}
