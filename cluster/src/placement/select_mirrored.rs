//! Which candidates form shard sets.
//!
//! The instances of a host form sets with those of other hosts: hosts of one weight and of
//! different isolation groups, instances of the same port.

use std::collections::{BTreeMap, BTreeSet};

use super::{Instance, Placement, PlacementError};

/// Whether the instances of a set have the same port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ports {
    /// They do.
    Mirrored,
    /// The hosts' instances are paired in the order of their ports.
    Free,
}

/// The instances of one machine.
#[derive(Clone, Debug)]
struct Host {
    name: String,
    isolation_group: String,
    weight: u32,
    by_port: BTreeMap<u32, Instance>,
}

impl Host {
    fn new(instance: &Instance) -> Self {
        Self {
            name: instance.hostname.clone(),
            isolation_group: instance.isolation_group.clone(),
            weight: instance.weight,
            by_port: BTreeMap::new(),
        }
    }

    fn add(&mut self, instance: Instance) -> Result<(), PlacementError> {
        let mismatch = |what, got: String, expected: String| PlacementError::HostMismatch {
            id: instance.id.clone(),
            host: self.name.clone(),
            what,
            got,
            expected,
        };
        if self.weight != instance.weight {
            let (got, expected) = (instance.weight.to_string(), self.weight.to_string());
            return Err(mismatch("weight", got, expected));
        }
        if self.isolation_group != instance.isolation_group {
            let (got, expected) = (instance.isolation_group.clone(), self.isolation_group.clone());
            return Err(mismatch("isolation group", got, expected));
        }
        self.by_port.insert(instance.port, instance);
        Ok(())
    }
}

/// All shard sets that the candidates make, with their ids.
pub(super) fn initial(
    candidates: Vec<Instance>,
    replica_factor: u32,
    ports: Ports,
) -> Result<Vec<Instance>, PlacementError> {
    let mut sets = Vec::new();
    for hosts in hosts_by_weight(candidates)?.into_values() {
        for hosts in host_groups(hosts, replica_factor) {
            sets.extend(pair(&hosts, ports)?);
        }
    }
    number(sets, &Placement::default())
}

/// The shard sets of one group of hosts.
pub(super) fn to_add(
    placement: &Placement,
    candidates: Vec<Instance>,
    ports: Ports,
) -> Result<Vec<Instance>, PlacementError> {
    for hosts in hosts_by_weight(candidates)?.into_values() {
        if let Some(hosts) = host_groups(hosts, placement.replica_factor).first() {
            return number(pair(hosts, ports)?, placement);
        }
    }
    Err(PlacementError::NoShardSet)
}

/// The instances of one host that replace those of another, in the order of `leaving`.
pub(super) fn to_replace(
    placement: &Placement,
    leaving: &[String],
    candidates: Vec<Instance>,
    ports: Ports,
) -> Result<Vec<Instance>, PlacementError> {
    let mut old = None;
    for id in leaving {
        let instance = placement.instances.get(id).ok_or(PlacementError::NothingToReplace)?;
        old.get_or_insert_with(|| Host::new(instance)).add(instance.clone())?;
    }
    let old = old.ok_or(PlacementError::NoShardSet)?;
    let hosts = hosts_by_weight(candidates)?.remove(&old.weight);
    let hosts = hosts.ok_or(PlacementError::NoWeight(old.weight))?;
    let sets: BTreeSet<u32> = old.by_port.values().map(|instance| instance.shard_set_id).collect();
    let peers = placement.instances.values().filter(|peer| {
        sets.contains(&peer.shard_set_id) && peer.hostname != old.name && !peer.is_leaving()
    });
    let taken: BTreeSet<&String> = peers.map(|peer| &peer.isolation_group).collect();
    let suits = |host: &Host| host.name != old.name && !taken.contains(&host.isolation_group);
    let pairs = hosts.into_iter().filter(suits).find_map(|new| {
        let pairs = pair(&[old.clone(), new], ports).ok()?;
        (!pairs.is_empty()).then_some(pairs)
    });
    let pairs = pairs.ok_or(PlacementError::NoShardSet)?;
    if pairs.len() != leaving.len() {
        let (found, leaving) = (pairs.len(), leaving.len());
        return Err(PlacementError::ReplacementCount { found, leaving });
    }
    let mut by_leaving: BTreeMap<String, Instance> = BTreeMap::new();
    for pair in pairs {
        let [old, new] = <[Instance; 2]>::try_from(pair).expect("BUG: two hosts make pairs");
        by_leaving.insert(old.id, Instance { shard_set_id: old.shard_set_id, ..new });
    }
    let found = leaving.iter().map(|id| {
        let missing = || {
            PlacementError::Inconsistent(format!(
                "could not find instance id: '{id}' in leaving instances"
            ))
        };
        by_leaving.remove(id).ok_or_else(missing)
    });
    found.collect()
}

/// Hosts in the order of the candidates, the lightest first.
fn hosts_by_weight(candidates: Vec<Instance>) -> Result<BTreeMap<u32, Vec<Host>>, PlacementError> {
    let mut hosts: Vec<Host> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for instance in candidates {
        let place = *places.entry(instance.hostname.clone()).or_insert_with(|| {
            hosts.push(Host::new(&instance));
            hosts.len() - 1
        });
        hosts[place].add(instance)?;
    }
    let mut by_weight: BTreeMap<u32, Vec<Host>> = BTreeMap::new();
    for host in hosts {
        by_weight.entry(host.weight).or_default().push(host);
    }
    Ok(by_weight)
}

/// Groups of `replica_factor` hosts of different isolation groups, as many as there are; each
/// takes its hosts from the isolation groups that have the most left.
fn host_groups(hosts: Vec<Host>, replica_factor: u32) -> Vec<Vec<Host>> {
    let size = replica_factor as usize;
    let mut left: BTreeMap<String, Vec<Host>> = BTreeMap::new();
    for host in hosts {
        left.entry(host.isolation_group.clone()).or_default().push(host);
    }
    let mut groups = Vec::new();
    while size > 0 && left.len() >= size {
        let mut largest: Vec<(usize, String)> =
            left.iter().map(|(group, hosts)| (hosts.len(), group.clone())).collect();
        largest.sort_by(|(a_len, a), (b_len, b)| b_len.cmp(a_len).then_with(|| a.cmp(b)));
        largest.truncate(size);
        let hosts = largest.iter().filter_map(|(_, group)| left.get_mut(group)?.pop());
        groups.push(hosts.collect());
        left.retain(|_, hosts| !hosts.is_empty());
    }
    groups
}

/// Sets of instances, one of each host.
fn pair(hosts: &[Host], ports: Ports) -> Result<Vec<Vec<Instance>>, PlacementError> {
    let Some((first, others)) = hosts.split_first() else { return Ok(Vec::new()) };
    if ports == Ports::Free {
        let count = hosts.iter().map(|host| host.by_port.len()).min().unwrap_or(0);
        let set = |at: usize| {
            hosts.iter().filter_map(|host| host.by_port.values().nth(at).cloned()).collect()
        };
        return Ok((0..count).map(set).collect());
    }
    let set = |(port, instance): (&u32, &Instance)| {
        let mut set = vec![instance.clone()];
        for host in others {
            let peer = host.by_port.get(port);
            let missing = || PlacementError::NoPort { port: *port, host: host.name.clone() };
            set.push(peer.ok_or_else(missing)?.clone());
        }
        Ok(set)
    };
    first.by_port.iter().map(set).collect()
}

/// Gives each set an id that the placement never had; a set that is there already keeps its own.
fn number(
    sets: Vec<Vec<Instance>>,
    placement: &Placement,
) -> Result<Vec<Instance>, PlacementError> {
    if sets.is_empty() {
        return Err(PlacementError::NoShardSet);
    }
    let mut next = placement.max_shard_set_id;
    let mut numbered = Vec::new();
    for set in sets {
        let known: BTreeSet<Option<u32>> = set
            .iter()
            .map(|instance| placement.instances.get(&instance.id).map(|i| i.shard_set_id))
            .collect();
        let kept = known.first().copied().flatten().filter(|_| known.len() == 1);
        let id = match kept {
            Some(id) => id,
            None => {
                let full =
                    || PlacementError::Inconsistent("there are no more shard set ids".to_owned());
                next = next.checked_add(1).ok_or_else(full)?;
                next
            }
        };
        numbered.extend(set.into_iter().map(|i| Instance { shard_set_id: id, ..i }));
    }
    Ok(numbered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(host: &str, group: &str, port: u32) -> Instance {
        Instance {
            id: format!("{host}:{port}"),
            hostname: host.to_owned(),
            isolation_group: group.to_owned(),
            weight: 1,
            port,
            ..Instance::default()
        }
    }

    fn sets(instances: &[Instance]) -> Vec<(u32, &str)> {
        instances.iter().map(|instance| (instance.shard_set_id, &*instance.id)).collect()
    }

    #[test]
    fn instances_of_a_port_form_a_set() {
        let candidates = vec![
            instance("a", "x", 2),
            instance("a", "x", 1),
            instance("b", "y", 1),
            instance("b", "y", 2),
        ];
        let formed = initial(candidates, 2, Ports::Mirrored).expect("sets");
        assert_eq!(sets(&formed), [(1, "a:1"), (1, "b:1"), (2, "a:2"), (2, "b:2")]);
    }

    #[test]
    fn ports_may_differ_where_that_is_asked_for() {
        let candidates = vec![instance("a", "x", 1), instance("b", "y", 2)];
        let refused = initial(candidates.clone(), 2, Ports::Mirrored).expect_err("no port 1");
        assert_eq!(refused.to_string(), "could not find port 1 on host b");
        let formed = initial(candidates, 2, Ports::Free).expect("a set");
        assert_eq!(sets(&formed), [(1, "a:1"), (1, "b:2")]);
    }

    #[test]
    fn hosts_of_one_isolation_group_form_no_set() {
        let candidates = vec![instance("a", "x", 1), instance("b", "x", 1)];
        assert_eq!(initial(candidates, 2, Ports::Mirrored), Err(PlacementError::NoShardSet));
    }

    #[test]
    fn the_largest_isolation_groups_give_first() {
        let hosts = ["a", "b", "c", "d"].map(|name| instance(name, "x", 1)).into_iter();
        let hosts = hosts.chain(["e", "f"].map(|name| instance(name, "y", 1)));
        let hosts = hosts.chain([instance("g", "z", 1)]);
        let formed = initial(hosts.collect(), 2, Ports::Mirrored).expect("sets");
        assert_eq!(formed.len(), 6);
        let x = formed.iter().filter(|instance| instance.isolation_group == "x");
        assert_eq!(x.count(), 3);
    }
}
