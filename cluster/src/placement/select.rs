//! Which candidates come into a placement that is not mirrored.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::balance::Balance;
use super::{Instance, Placement, PlacementError, Timing};
use crate::limits::REPLACE_STEPS_MAX;

/// The candidates that are not in the placement, or leave it, and are in the zone.
///
/// # Errors
/// There is none.
pub(super) fn valid(
    placement: &Placement,
    candidates: Vec<Instance>,
    zone: &str,
) -> Result<Vec<Instance>, PlacementError> {
    let known = |candidate: Instance| match placement.instances.get(&candidate.id) {
        None => Some(candidate),
        Some(there) if there.is_leaving() => Some(there.clone()),
        Some(_) => None,
    };
    let candidates = candidates.into_iter().filter_map(known);
    let valid: Vec<Instance> = candidates.filter(|candidate| candidate.zone == zone).collect();
    match valid.is_empty() {
        true => Err(PlacementError::NoCandidates),
        false => Ok(valid),
    }
}

/// The one candidate to add: of an isolation group that is new, else of the lightest one.
pub(super) fn to_add(
    placement: &Placement,
    candidates: Vec<Instance>,
) -> Result<Instance, PlacementError> {
    let mut weights: BTreeMap<&str, u64> = BTreeMap::new();
    for instance in placement.instances.values() {
        *weights.entry(&instance.isolation_group).or_default() += u64::from(instance.weight);
    }
    let weight = |candidate: &Instance| weights.get(&*candidate.isolation_group).copied();
    // `None`, a new group, is less than every weight; of equals the first is taken.
    candidates.into_iter().min_by_key(weight).ok_or(PlacementError::NoneSuits)
}

/// Candidates that together weigh at least what leaves, where there are such: first those into
/// whose isolation group all shards may go, and of those as few as come closest.
pub(super) fn to_replace(
    placement: &Placement,
    leaving: &[String],
    candidates: Vec<Instance>,
    timing: Timing,
) -> Result<Vec<Instance>, PlacementError> {
    let mut left = leaving_weight(placement, leaving)?;
    let balance = Balance::new(placement.clone(), &[], placement.replica_factor, timing);
    let mut by_conflicts: BTreeMap<usize, Vec<Instance>> = BTreeMap::new();
    for candidate in candidates {
        let group = &candidate.isolation_group;
        let conflicts = leaving.iter().filter_map(|id| {
            let (at, instance) = (balance.find(id)?, placement.instances.get(id)?);
            let moves = instance.shards.keys().filter(|s| !balance.can_move(**s, Some(at), group));
            Some(moves.count())
        });
        by_conflicts.entry(conflicts.sum()).or_default().push(candidate);
    }
    let mut chosen = Vec::new();
    for mut group in by_conflicts.into_values() {
        group.sort_by(|a, b| a.id.cmp(&b.id));
        let (taken, weight) = closest(group, left)?;
        chosen.extend(taken);
        left = left.saturating_sub(weight);
        if left == 0 {
            break;
        }
    }
    match chosen.is_empty() {
        true => Err(PlacementError::NoneSuits),
        false => Ok(chosen),
    }
}

/// The weight of instances that leave.
///
/// # Errors
/// One of them is not there.
pub(super) fn leaving_weight(
    placement: &Placement,
    leaving: &[String],
) -> Result<usize, PlacementError> {
    let mut weight = 0;
    for id in leaving {
        let instance = placement.instances.get(id).ok_or(PlacementError::NothingToReplace)?;
        weight += instance.weight as usize;
    }
    Ok(weight)
}

/// A way to a sum of weights.
struct Way {
    count: usize,
    last: usize,
    before: Option<Rc<Way>>,
}

/// Of `instances` those whose weight is at least `target` and closest to it, as few as do; all of
/// them if they weigh less. Costs steps and memory by weight times instances.
fn closest(
    instances: Vec<Instance>,
    target: usize,
) -> Result<(Vec<Instance>, usize), PlacementError> {
    let total: usize = instances.iter().map(|instance| instance.weight as usize).sum();
    if total <= target {
        return Ok((instances, total));
    }
    if total.saturating_mul(instances.len()) > REPLACE_STEPS_MAX {
        let steps =
            format!("the weight of the candidates is {total}, of {} instances", instances.len());
        let why = format!("{steps}; weight times instances may be {REPLACE_STEPS_MAX}");
        return Err(PlacementError::Inconsistent(why));
    }
    let mut ways: Vec<Option<Rc<Way>>> = (0..=total).map(|_| None).collect();
    for (at, instance) in instances.iter().enumerate() {
        let weight = instance.weight as usize;
        for sum in (weight.max(1)..=total).rev() {
            let before = ways[sum - weight].clone();
            if before.is_none() && sum != weight {
                continue;
            }
            let count = before.as_ref().map_or(0, |way| way.count) + 1;
            if ways[sum].as_ref().is_none_or(|known| count < known.count) {
                ways[sum] = Some(Rc::new(Way { count, last: at, before }));
            }
        }
    }
    let found = (target.max(1)..=total).find_map(|sum| Some((sum, ways[sum].clone()?)));
    let Some((weight, way)) = found else { return Ok((instances, total)) };
    let mut taken = Vec::new();
    let mut next = Some(way);
    while let Some(way) = next {
        taken.push(instances[way.last].clone());
        next = way.before.clone();
    }
    taken.reverse();
    Ok((taken, weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instances(weights: &[u32]) -> Vec<Instance> {
        let instance = |(at, weight): (usize, &u32)| Instance {
            id: at.to_string(),
            weight: *weight,
            ..Instance::default()
        };
        weights.iter().enumerate().map(instance).collect()
    }

    fn taken(weights: &[u32], target: usize) -> (Vec<u32>, usize) {
        let (taken, weight) = closest(instances(weights), target).expect("a choice");
        (taken.iter().map(|instance| instance.weight).collect(), weight)
    }

    #[test]
    fn the_closest_weight_and_then_the_fewest_are_taken() {
        assert_eq!(taken(&[1, 2, 3], 6), (vec![1, 2, 3], 6));
        assert_eq!(taken(&[1, 2, 3], 100), (vec![1, 2, 3], 6));
        assert_eq!(taken(&[1, 2, 3], 3), (vec![3], 3));
        assert_eq!(taken(&[5, 5, 7], 6), (vec![7], 7));
        assert_eq!(taken(&[10, 10], 1), (vec![10], 10));
    }

    #[test]
    fn the_search_is_bounded() {
        let weight = u32::try_from(REPLACE_STEPS_MAX / 4).expect("it is small");
        assert_eq!(taken(&[weight, weight], 1).0, [weight]);
        assert!(closest(instances(&[weight, weight + 1]), 1).is_err());
    }

    #[test]
    fn a_new_isolation_group_is_preferred() {
        let of = |id: &str, group: &str| Instance {
            id: id.to_owned(),
            isolation_group: group.to_owned(),
            weight: 1,
            ..Instance::default()
        };
        let mut placement = Placement::default();
        [of("1", "a"), of("2", "a"), of("3", "b")].into_iter().for_each(|i| placement.insert(i));
        let added = |candidates| to_add(&placement, candidates).expect("one").id;
        assert_eq!(added(vec![of("4", "a"), of("5", "b"), of("6", "c")]), "6");
        assert_eq!(added(vec![of("4", "a"), of("5", "b")]), "5");
    }
}
