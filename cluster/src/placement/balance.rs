//! How shards are spread over instances.
//!
//! Each instance has a target, its share of all copies by weight; an isolation group that has more
//! weight than a replica needs gets one whole replica and no more. Shards go to the instance with
//! the most room, and come from the one with the least. Two copies of a shard never come into one
//! isolation group.
//!
//! Finding an instance costs one look at each; a change looks as often as it moves shards.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::{Instance, Placement, PlacementError, Shard, ShardState, Timing};

/// The instances of a placement that is being changed.
#[derive(Debug)]
pub(super) struct Balance {
    members: Vec<Member>,
    /// Who owns each shard, those that it leaves left out.
    owners: Vec<Vec<usize>>,
    replica_factor: u32,
    max_shard_set_id: u32,
    is_mirrored: bool,
    timing: Timing,
}

#[derive(Debug)]
struct Member {
    instance: Instance,
    /// An instance that is being removed gives shards and takes none.
    is_removed: bool,
    /// How many shards it should own.
    target: i64,
    /// How many it owns.
    load: i64,
    /// The weight of its isolation group.
    group_weight: u64,
}

impl Member {
    /// How many shards it should take; less than zero if it has too many.
    fn room(&self) -> i64 {
        self.target - self.load
    }
}

/// What a search wants first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    MostRoom,
    LeastRoom,
}

impl Balance {
    /// Takes a placement apart. Instances of `removed` are not part of it any more, and give their
    /// shards to the others, of which each shard is to have `replica_factor` copies.
    pub(super) fn new(
        placement: Placement,
        removed: &[String],
        replica_factor: u32,
        timing: Timing,
    ) -> Self {
        let members = placement.instances.into_values().map(|instance| Member {
            is_removed: removed.contains(&instance.id),
            load: 0,
            target: 0,
            group_weight: 0,
            instance,
        });
        let mut balance = Self {
            members: members.collect(),
            owners: vec![Vec::new(); placement.shards as usize],
            replica_factor,
            max_shard_set_id: placement.max_shard_set_id,
            is_mirrored: placement.is_mirrored,
            timing,
        };
        balance.count();
        balance
    }

    fn count(&mut self) {
        for (at, member) in self.members.iter_mut().enumerate() {
            member.load = i64::try_from(member.instance.load()).unwrap_or(i64::MAX);
            if member.is_removed || member.instance.is_leaving() {
                continue;
            }
            for (id, shard) in &member.instance.shards {
                if shard.state != ShardState::Leaving {
                    self.owners[*id as usize].push(at);
                }
            }
        }
        let mut weights: BTreeMap<&str, u64> = BTreeMap::new();
        for member in self.members.iter().filter(|member| takes(member)) {
            let weight = weights.entry(&member.instance.isolation_group).or_default();
            *weight += u64::from(member.instance.weight);
        }
        let group_weights: Vec<u64> = self
            .members
            .iter()
            .map(|member| weights.get(&*member.instance.isolation_group).copied().unwrap_or(0))
            .collect();
        let targets = Targets::new(&weights, self.owners.len(), self.replica_factor);
        for (member, group_weight) in self.members.iter_mut().zip(group_weights) {
            member.group_weight = group_weight;
            if takes(member) {
                member.target = targets.of(member.instance.weight, group_weight);
            }
        }
    }

    /// Where the instance of that id stands.
    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.members.iter().position(|member| member.instance.id == id)
    }

    /// The instance that stands there.
    pub(super) fn instance(&self, at: usize) -> &Instance {
        &self.members[at].instance
    }

    /// All that take shards.
    pub(super) fn takers(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|at| takes(&self.members[*at])).collect()
    }

    /// Gives one more copy of each shard to the instances.
    pub(super) fn place_all(&mut self) -> Result<(), PlacementError> {
        for id in 0..u32::try_from(self.owners.len()).unwrap_or(u32::MAX) {
            let takers = self.takers();
            self.place(id, None, takers)?;
        }
        Ok(())
    }

    /// Gives the shards of `from` to `takers`: those that it is still taking go back to their
    /// sources where that is possible, the others to whom has the most room.
    pub(super) fn give_away(
        &mut self,
        from: usize,
        takers: &[usize],
    ) -> Result<(), PlacementError> {
        self.return_initializing(from, takers);
        let ids: Vec<u32> = self.members[from].instance.shards.keys().copied().collect();
        for id in ids {
            let shard = self.members[from].instance.shards.get(&id);
            if shard.is_some_and(|shard| shard.state != ShardState::Leaving) {
                self.place(id, Some(from), takers.to_vec())?;
            }
        }
        Ok(())
    }

    fn place(
        &mut self,
        id: u32,
        from: Option<usize>,
        mut takers: Vec<usize>,
    ) -> Result<(), PlacementError> {
        while let Some(at) = self.first(&takers, First::MostRoom) {
            let taker = takers.swap_remove(at);
            if self.move_shard(id, from, taker) {
                return Ok(());
            }
        }
        Err(PlacementError::IsolationGroups)
    }

    /// Gives the shards that `from` is still taking back to their sources.
    pub(super) fn return_initializing(&mut self, from: usize, takers: &[usize]) {
        let shards = self.members[from].instance.shards.iter();
        let pending: Vec<(u32, String)> = shards
            .filter(|(_, shard)| shard.state == ShardState::Initializing)
            .filter(|(_, shard)| !shard.source_id.is_empty())
            .map(|(id, shard)| (*id, shard.source_id.clone()))
            .collect();
        for (id, source_id) in pending {
            let source = self.find(&source_id).filter(|source| takers.contains(source));
            if let Some(source) = source.filter(|at| !self.members[*at].instance.is_leaving()) {
                self.move_shard(id, Some(from), source);
            }
        }
    }

    /// Takes back the shards that leave `to` and whose takers do not have them yet.
    pub(super) fn reclaim_leaving(&mut self, to: usize) {
        let id = self.members[to].instance.id.clone();
        for from in 0..self.members.len() {
            let shards = self.members[from].instance.shards.iter();
            let pending: Vec<u32> = shards
                .filter(|(_, shard)| shard.state == ShardState::Initializing)
                .filter(|(_, shard)| shard.source_id == id)
                .map(|(id, _)| *id)
                .collect();
            for shard in pending {
                self.move_shard(shard, Some(from), to);
            }
        }
    }

    /// Fills a new instance.
    pub(super) fn fill_new(&mut self, to: usize) {
        self.reclaim_leaving(to);
        self.fill(to, &ANY_STATE);
    }

    /// Moves shards to those that have room until all have their targets. Only shards that this
    /// change placed are moved, unless `states` says otherwise.
    pub(super) fn level(&mut self, states: &[ShardState]) {
        let mut filled = Vec::new();
        while let Some(at) = self.most_room() {
            if filled.contains(&at) {
                return;
            }
            filled.push(at);
            self.fill(at, states);
        }
    }

    fn most_room(&self) -> Option<usize> {
        let others = self.members.iter().filter(|member| !member.is_removed);
        if !others.clone().any(|member| member.room() < 0) {
            return None;
        }
        let with_room = (0..self.members.len())
            .filter(|at| !self.members[*at].is_removed && self.members[*at].room() > 0);
        with_room.max_by(|a, b| {
            let (a, b) = (&self.members[*a], &self.members[*b]);
            a.room().cmp(&b.room()).then_with(|| b.instance.id.cmp(&a.instance.id))
        })
    }

    fn fill(&mut self, to: usize, states: &[ShardState]) {
        let mut givers = self.takers();
        let has_room = |member: &Member| {
            i64::try_from(member.instance.shards.len()).unwrap_or(i64::MAX) < member.target
        };
        while has_room(&self.members[to]) {
            let Some(at) = self.first(&givers, First::LeastRoom) else { return };
            if !self.move_one(givers[at], to, states) {
                givers.swap_remove(at);
            }
        }
    }

    fn move_one(&mut self, from: usize, to: usize, states: &[ShardState]) -> bool {
        let movable = states.iter().find_map(|state| {
            let mut shards = self.members[from].instance.shards.iter();
            let suits =
                |id: u32, shard: &Shard| shard.state == *state && self.may_move(id, Some(from), to);
            shards.find(|(id, shard)| suits(**id, shard)).map(|(id, _)| *id)
        });
        movable.is_some_and(|id| self.move_shard(id, Some(from), to))
    }

    /// The place in `among` of the instance to try first.
    fn first(&self, among: &[usize], first: First) -> Option<usize> {
        let order = |a: &usize, b: &usize| self.compare(*a, *b, first);
        (0..among.len()).min_by(|a, b| order(&among[*a], &among[*b]))
    }

    /// PARITY(m3): of two that have room, the one of the heavier isolation group comes first, as
    /// it can take less kinds of shards; else room decides, then the id.
    fn compare(&self, a: usize, b: usize, first: First) -> Ordering {
        let (a, b) = (&self.members[a], &self.members[b]);
        let both_have_room = a.room() > 0 && b.room() > 0;
        if both_have_room && a.instance.isolation_group != b.instance.isolation_group {
            let by_group = b.group_weight.cmp(&a.group_weight);
            if by_group.is_ne() {
                return by_group;
            }
        }
        let by_room = a.room().cmp(&b.room());
        let by_room = if first == First::MostRoom { by_room.reverse() } else { by_room };
        by_room.then_with(|| a.instance.id.cmp(&b.instance.id))
    }

    /// Whether the shard may go from an instance, or from nowhere, into an isolation group.
    pub(super) fn can_move(&self, id: u32, from: Option<usize>, group: &str) -> bool {
        let group_of = |at: usize| &*self.members[at].instance.isolation_group;
        from.is_some_and(|from| group_of(from) == group)
            || !self.owners[id as usize].iter().any(|owner| group_of(*owner) == group)
    }

    /// Whether the shard may go to an instance, which does not own it yet.
    fn may_move(&self, id: u32, from: Option<usize>, to: usize) -> bool {
        let taker = &self.members[to].instance;
        let there = taker.shards.get(&id).map(|shard| shard.state);
        let owns_it = there.is_some_and(|state| state != ShardState::Leaving);
        !owns_it && from != Some(to) && self.can_move(id, from, &taker.isolation_group)
    }

    /// Moves a shard if that is allowed.
    fn move_shard(&mut self, id: u32, from: Option<usize>, to: usize) -> bool {
        if !self.may_move(id, from, to) {
            return false;
        }
        let there = self.members[to].instance.shards.get(&id).map(|shard| shard.state);
        let mut moved = Shard::new(ShardState::Placed);
        if let Some(from) = from {
            let giver = &mut self.members[from];
            let giver_id = giver.instance.id.clone();
            let Some(shard) = giver.instance.shards.get_mut(&id) else { return false };
            match shard.state {
                ShardState::Leaving => return false,
                ShardState::Available => {
                    shard.state = ShardState::Leaving;
                    shard.cutoff_ns = self.timing.shard_cutover_ns();
                    moved.source_id = giver_id;
                }
                ShardState::Placed | ShardState::Initializing => {
                    moved.source_id = std::mem::take(&mut shard.source_id);
                    giver.instance.shards.remove(&id);
                }
            }
            giver.load -= 1;
            self.owners[id as usize].retain(|owner| *owner != from);
        }
        if there == Some(ShardState::Leaving) {
            moved = Shard::new(ShardState::Available);
            self.forget_source(id, to);
        }
        let taker = &mut self.members[to];
        taker.instance.shards.insert(id, moved);
        taker.load += 1;
        self.owners[id as usize].push(to);
        true
    }

    /// A shard that its giver took back is not given to anybody any more.
    fn forget_source(&mut self, id: u32, giver: usize) {
        let giver_id = self.members[giver].instance.id.clone();
        for owner in &self.owners[id as usize] {
            let shard = self.members[*owner].instance.shards.get_mut(&id);
            if let Some(shard) = shard.filter(|shard| shard.source_id == giver_id) {
                shard.source_id.clear();
            }
        }
    }

    /// The new placement. Instances without shards are not part of it; those that were removed
    /// are as long as shards leave them.
    pub(super) fn finish(self) -> Placement {
        let cutover_ns = self.timing.shard_cutover_ns();
        let mut placement = Placement {
            replica_factor: self.replica_factor,
            shards: u32::try_from(self.owners.len()).unwrap_or(u32::MAX),
            is_sharded: true,
            is_mirrored: self.is_mirrored,
            cutover_ns: self.timing.placement_cutover_ns(),
            max_shard_set_id: self.max_shard_set_id,
            ..Placement::default()
        };
        for Member { mut instance, .. } in self.members {
            if instance.shards.is_empty() {
                continue;
            }
            for shard in instance.shards.values_mut() {
                if shard.state == ShardState::Placed {
                    shard.state = ShardState::Initializing;
                    shard.cutover_ns = cutover_ns;
                }
            }
            placement.max_shard_set_id = placement.max_shard_set_id.max(instance.shard_set_id);
            placement.insert(instance);
        }
        placement
    }
}

/// Shards of all kinds, those that are cheapest to move first.
pub(super) const ANY_STATE: [ShardState; 3] =
    [ShardState::Placed, ShardState::Initializing, ShardState::Available];

/// Only shards that the change itself placed, so that no data moves twice.
pub(super) const PLACED_ONLY: [ShardState; 1] = [ShardState::Placed];

fn takes(member: &Member) -> bool {
    !member.is_removed && !member.instance.is_leaving()
}

/// How many shards instances should own.
struct Targets {
    shards: u64,
    replica_factor: u64,
    total_weight: u64,
    /// Groups that get one whole replica, and their weight.
    heavy_groups: u64,
    heavy_weight: u64,
}

impl Targets {
    fn new(weights: &BTreeMap<&str, u64>, shards: usize, replica_factor: u32) -> Self {
        let mut targets = Self {
            shards: shards as u64,
            replica_factor: u64::from(replica_factor),
            total_weight: weights.values().sum(),
            heavy_groups: 0,
            heavy_weight: 0,
        };
        for weight in weights.values() {
            if targets.is_heavy(*weight) {
                targets.heavy_groups += 1;
                targets.heavy_weight += *weight;
            }
        }
        targets
    }

    fn is_heavy(&self, group_weight: u64) -> bool {
        group_weight > 0 && group_weight * self.replica_factor >= self.total_weight
    }

    fn of(&self, weight: u32, group_weight: u64) -> i64 {
        let weight = u64::from(weight);
        let target = if self.is_heavy(group_weight) {
            (self.shards * weight).div_ceil(group_weight)
        } else {
            let copies = self.shards * self.replica_factor.saturating_sub(self.heavy_groups);
            (copies * weight).checked_div(self.total_weight - self.heavy_weight).unwrap_or(0)
        };
        i64::try_from(target).unwrap_or(i64::MAX)
    }
}
