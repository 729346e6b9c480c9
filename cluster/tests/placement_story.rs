//! Placements through changes: whatever is asked for, the rules hold, and the same requests give
//! the same placement.

use std::sync::Arc;

use m3rs_cluster::kv::embedded::EmbeddedKv;
use m3rs_cluster::kv::{DEFAULT_ZONE, Scope};
use m3rs_cluster::placement::{
    Change, ChangeOptions, Instance, PlacementService, Service, ShardState, Size, Versioned,
};
use m3rs_core::time::TimestampNs;
use proptest::collection::vec;
use proptest::prelude::*;

const FORCE: ChangeOptions =
    ChangeOptions { is_sharded: None, skip_port_mirroring: false, force: true, dry_run: false };

fn instance(number: u32, groups: u32) -> Instance {
    let id = format!("i{number:02}");
    Instance {
        endpoint: format!("{id}:9000"),
        hostname: id.clone(),
        id,
        isolation_group: format!("g{}", number % groups),
        zone: DEFAULT_ZONE.to_owned(),
        weight: 100,
        port: 9000,
        ..Instance::default()
    }
}

fn service(service: Service) -> PlacementService {
    let store = Arc::new(EmbeddedKv::in_memory(DEFAULT_ZONE));
    PlacementService::new(store, service, Scope::default())
}

/// No two replicas of a shard are in one isolation group.
fn check_groups(Versioned { placement, .. }: &Versioned) {
    for id in 0..placement.shards {
        let owners = placement.instances.values().filter(|instance| {
            instance.shards.get(&id).is_some_and(|shard| shard.state != ShardState::Leaving)
        });
        let mut groups: Vec<&str> = owners.map(|owner| &*owner.isolation_group).collect();
        groups.sort_unstable();
        groups.dedup();
        assert_eq!(groups.len(), placement.replica_factor as usize, "shard {id}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(u32),
    Remove(u32),
    Replace(u32, u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u32..12).prop_map(Step::Add),
        (0_u32..12).prop_map(Step::Remove),
        (0_u32..12, 0_u32..12).prop_map(|(from, to)| Step::Replace(from, to)),
    ]
}

fn database_change(step: &Step) -> Change {
    let id = |number: &u32| instance(*number, 4).id;
    match step {
        Step::Add(number) => Change::Add(vec![instance(*number, 4)]),
        Step::Remove(number) => Change::Remove(vec![id(number)]),
        Step::Replace(from, to) => {
            Change::Replace { leaving: vec![id(from)], candidates: vec![instance(*to, 4)] }
        }
    }
}

/// Instances 2n and 2n + 1 are a pair of two isolation groups.
fn aggregator_change(step: &Step) -> Change {
    let pair = |number: &u32| [number * 2, number * 2 + 1].map(|number| instance(number, 2));
    let id = |number: &u32| instance(*number, 2).id;
    match step {
        Step::Add(number) => Change::Add(pair(number).to_vec()),
        Step::Remove(number) => Change::Remove(pair(number).map(|i| i.id).to_vec()),
        Step::Replace(from, to) => {
            Change::Replace { leaving: vec![id(from)], candidates: vec![instance(*to, 2)] }
        }
    }
}

const SIZE: Size = Size { shards: 32, replica_factor: 2 };
const MINUTE: i64 = 60_000_000_000;

async fn run(kind: Service, steps: &[(Step, i64)]) -> Versioned {
    let service = service(kind);
    let mut now = TimestampNs(MINUTE);
    let (first, groups) = if kind == Service::Database { (4, 4) } else { (2, 2) };
    let instances = (0..first).map(|number| instance(number, groups)).collect();
    let mut last = service.init(instances, SIZE, FORCE, now).await.expect("a first placement");
    for (step, minutes) in steps {
        now.0 += minutes * MINUTE;
        let change = match kind {
            Service::Database => database_change(step),
            _ => aggregator_change(step),
        };
        match service.change(change, FORCE, now).await {
            Ok(changed) => {
                assert_eq!(changed.version, last.version + 1);
                changed.placement.check().expect("the rules hold");
                check_groups(&changed);
                last = changed;
            }
            Err(_) => {
                let stored = service.get().await.expect("a placement");
                assert_eq!(stored, last, "a refusal changes nothing");
            }
        }
    }
    last
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rules_hold_through_changes_of_databases(steps in vec((step(), 0_i64..4), 0..12)) {
        let once = block_on(run(Service::Database, &steps));
        prop_assert_eq!(once, block_on(run(Service::Database, &steps)));
    }

    #[test]
    fn rules_hold_through_changes_of_aggregators(steps in vec((step(), 0_i64..4), 0..12)) {
        let once = block_on(run(Service::Aggregator, &steps));
        prop_assert_eq!(once, block_on(run(Service::Aggregator, &steps)));
    }
}

#[tokio::test]
async fn load_is_level_after_a_first_placement_and_after_an_addition() {
    let service = service(Service::Database);
    let (size, now) = (Size { shards: 64, replica_factor: 3 }, TimestampNs(0));
    let first = (0..6).map(|number| instance(number, 3)).collect();
    let placed = service.init(first, size, FORCE, now).await.expect("a placement");
    let loads = |placed: &Versioned| {
        let loads = placed.placement.instances.values().map(Instance::load);
        (loads.clone().min().expect("instances"), loads.max().expect("instances"))
    };
    assert_eq!(loads(&placed), (32, 32));
    let change = Change::Add((6..9).map(|number| instance(number, 3)).collect());
    let placed = service.change(change, FORCE, now).await.expect("an addition");
    assert_eq!(placed.placement.instances.len(), 7, "one is added at a time");
    check_groups(&placed);
}

#[tokio::test]
async fn a_weight_of_twice_the_size_gets_twice_the_shards() {
    let service = service(Service::Database);
    let size = Size { shards: 60, replica_factor: 1 };
    let mut instances: Vec<Instance> = (0..2).map(|number| instance(number, 2)).collect();
    instances[1].weight = 200;
    let placed = service.init(instances, size, FORCE, TimestampNs(0)).await.expect("placed");
    let loads: Vec<usize> = placed.placement.instances.values().map(Instance::load).collect();
    assert_eq!(loads, [20, 40]);
}

#[tokio::test]
async fn a_replacement_is_undone_by_the_opposite_one() {
    let service = service(Service::Aggregator);
    let pair = (0..2).map(|number| instance(number, 2)).collect();
    service.init(pair, SIZE, FORCE, TimestampNs(1)).await.expect("a placement");
    let replace = |from, to| Change::Replace {
        leaving: vec![instance(from, 2).id],
        candidates: vec![instance(to, 2)],
    };
    let settled = TimestampNs(2 * MINUTE);
    let replaced = service.change(replace(1, 3), FORCE, settled).await.expect("replaced");
    assert!(replaced.placement.instances["i01"].is_leaving());
    // The shards change hands at the end of the next window, which has not begun.
    let early = TimestampNs(settled.0 - 1);
    let undone = service.change(replace(3, 1), FORCE, early).await.expect("undone");
    assert!(undone.placement.instances["i01"].is_available());
    assert!(!undone.placement.instances.contains_key("i03"));
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let service = service(Service::Database);
    let dry = ChangeOptions { dry_run: true, ..FORCE };
    let instances: Vec<Instance> = (0..2).map(|number| instance(number, 2)).collect();
    let placed = service.init(instances, SIZE, dry, TimestampNs(0)).await.expect("a placement");
    assert_eq!((placed.version, placed.placement.instances.len()), (0, 2));
    assert!(service.get().await.is_err());
}

#[tokio::test]
async fn limits_hold() {
    let service = service(Service::Database);
    let shards = i32::try_from(m3rs_cluster::limits::SHARDS_MAX).expect("it is small");
    let init = |shards, weight| {
        let mut instance = instance(0, 1);
        instance.weight = weight;
        let size = Size { shards, replica_factor: 1 };
        let dry = ChangeOptions { dry_run: true, ..FORCE };
        service.init(vec![instance], size, dry, TimestampNs(0))
    };
    assert!(init(shards, 1).await.is_ok());
    let refused = init(shards + 1, 1).await.expect_err("a shard too many").to_string();
    assert_eq!(refused, "the number of shards is 65537, over the limit of 65536");
    let weight = m3rs_cluster::limits::WEIGHT_MAX;
    assert!(init(1, weight).await.is_ok() && init(1, weight + 1).await.is_err());
    assert!(init(-1, 1).await.is_err());
}

#[tokio::test]
async fn a_replacement_that_is_not_forced_waits_for_all_shards() {
    let service = service(Service::Database);
    let (first, now) = ((0..3).map(|number| instance(number, 3)).collect(), TimestampNs(0));
    service.init(first, SIZE, FORCE, now).await.expect("a placement");
    let careful = ChangeOptions { force: false, ..FORCE };
    let replace =
        || Change::Replace { leaving: vec![instance(0, 3).id], candidates: vec![instance(3, 3)] };
    let early = service.change(replace(), careful, now).await.expect_err("shards are taken");
    assert!(early.to_string().starts_with("instances do not have all shards available: [i00,"));
    for number in 0..3 {
        service.mark_available(&instance(number, 3).id, now).await.expect("it has its shards");
    }
    let replaced = service.change(replace(), careful, now).await.expect("replaced");
    check_groups(&replaced);
    assert!(replaced.placement.instances["i00"].is_leaving());
    let done = service.mark_available("i03", now).await.expect("it has its shards");
    assert!(!done.placement.instances.contains_key("i00"));
    done.placement.check_available().expect("at rest");
    assert!(service.mark_available("nobody", now).await.is_err());
}
