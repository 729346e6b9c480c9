//! Searches and lists, the same ones in memory and sealed.

use m3rs_core::model::{MatchOp, Matcher};
use m3rs_index::Index;

use crate::fleet::{Fleet, hostname, metric};
use crate::timing::spread;
use m3rs_benches::Failure;
use m3rs_benches::fleet::PER_HOST;

/// Series whose labels are asked for together.
const LABELS_MAX: u32 = 100_000;

/// What is searched for in a repetition.
type Matchers = Box<dyn Fn(u32) -> Vec<Matcher>>;

/// Prints what each case takes.
pub(crate) fn print_all(kind: &str, index: &Index, fleet: Fleet) -> Result<(), Failure> {
    for (name, matchers) in cases(fleet) {
        // The first touch of a file's pages does not count, nor the scan that is cached.
        let _warm = index.search(&matchers(0), usize::MAX)?;
        let (found, time) = spread(|run| Ok(index.search(&matchers(run + 1), usize::MAX)?))?;
        println!("{kind}: {name}: {time}, {} series", found.len());
    }
    let lists = [
        ("values of device", "device", Vec::new()),
        ("values of device where job is node", "device", vec![equal("job", "node")]),
        ("values of device of a metric", "device", vec![equal("__name__", &metric(33))]),
        ("values of __name__", "__name__", Vec::new()),
    ];
    for (name, label, matchers) in lists {
        let sets: Vec<_> = std::iter::once(matchers).filter(|set| !set.is_empty()).collect();
        let (found, time) = spread(|_| Ok(index.label_values(label, &sets, None, usize::MAX)?))?;
        println!("{kind}: {name}: {time}, {} values", found.items.len());
    }
    print_labels(kind, index, fleet)
}

/// What the labels of found series cost, which an answer needs.
fn print_labels(kind: &str, index: &Index, fleet: Fleet) -> Result<(), Failure> {
    let count = fleet.series.min(LABELS_MAX);
    let scattered = (0..fleet.series).step_by((fleet.series / count) as usize);
    let kinds = [("neighbours", (0..count).collect()), ("scattered", scattered.collect())];
    for (name, ids) in kinds {
        let ids: Vec<u32> = ids;
        let (all, time) = spread(|_| Ok(index.labels_of(&ids)?))?;
        println!("{kind}: labels of {} {name}: {time}", all.len());
    }
    Ok(())
}

fn cases(fleet: Fleet) -> Vec<(&'static str, Matchers)> {
    let (device, host) = (fleet.device(fleet.series / 2), hostname(fleet.series / PER_HOST / 2));
    vec![
        ("exact, one device", same(vec![equal("device", &device)])),
        ("exact, one host", same(vec![equal("hostname", &host)])),
        ("exact, one metric", same(vec![equal("__name__", &metric(33))])),
        (
            "three, metric and job and datacenter",
            same(vec![
                equal("__name__", &metric(33)),
                equal("job", "node"),
                equal("datacenter", "eu-central-1b"),
            ]),
        ),
        (
            "three, metric and host and job",
            same(vec![
                equal("__name__", &metric(33)),
                equal("hostname", &host),
                equal("job", "node"),
            ]),
        ),
        (
            "three, metric and not rack and service",
            same(vec![
                equal("__name__", &metric(33)),
                Matcher::new("rack", MatchOp::NotEqual, "13"),
                equal("service", "7"),
            ]),
        ),
        ("prefix, some devices, cold", unseen("device", "dm-77.*")),
        ("prefix, ten metrics, cold", unseen("__name__", "node_memory_.*")),
        ("prefix, ten metrics, cached", same(vec![regexp("__name__", "node_memory_.*")])),
        ("regexp of devices, cold", unseen("device", "[^x]*(1a|3c)[0-9]")),
        ("regexp of devices, cached", same(vec![regexp("device", "[^x]*(1a|3c)[0-9]")])),
        ("suffix of devices, cold", unseen("device", ".*777")),
    ]
}

fn equal(name: &str, value: &str) -> Matcher {
    Matcher::equal(name, value)
}

fn regexp(name: &str, value: &str) -> Matcher {
    Matcher::new(name, MatchOp::Regexp, value)
}

fn same(matchers: Vec<Matcher>) -> Matchers {
    Box::new(move |_| matchers.clone())
}

/// One expression, written otherwise in each repetition: results are kept by what was written.
fn unseen(name: &'static str, pattern: &'static str) -> Matchers {
    Box::new(move |run| {
        let bits = (0..u32::BITS - run.leading_zeros()).map(|bit| run >> bit & 1);
        let nothing: String = bits.map(|bit| ["(?:)", "(?s:)"][bit as usize]).collect();
        vec![regexp(name, &format!("{pattern}{nothing}"))]
    })
}
