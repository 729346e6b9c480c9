//! Random queries on random data are asked of a real Prometheus and of our server, and are answered
//! alike: status, error, type, labels, times, values, warnings and infos. Prometheus is right by
//! definition.
//!
//! Settings, all of them by variables of the environment:
//! - `M3RS_PROMETHEUS`: the program; `cargo xtask test` builds it and sets this. Without it nothing
//!   is compared.
//! - `M3RS_DIFFERENTIAL_SEED`: another seed for data and queries. The same seed asks the same.
//! - `M3RS_DIFFERENTIAL_QUERIES`: how many queries.
//! - `M3RS_DIFFERENTIAL_FIRST`: the number of the first query.
//! - `M3RS_DIFFERENTIAL_TELL`: the name of a known difference, which then fails like others.
//! - `M3RS_DIFFERENTIAL_ASK`: shows both answers to this query alone, at the milliseconds of
//!   `M3RS_DIFFERENTIAL_AT`: a time, or start, end and step with commas.
#![expect(clippy::print_stdout, reason = "a run tells its seed, and each difference")]

#[allow(dead_code, unreachable_pub, reason = "generated for all messages of the file")]
#[path = "../../../coordinator/src/generated/remote.rs"]
mod generated;

#[path = "../stories/deadline.rs"]
#[expect(dead_code, reason = "stories use more of it")]
mod deadline;
#[path = "../stories/http_client.rs"]
#[expect(dead_code, reason = "stories use more of it")]
mod http_client;
#[path = "../stories/query_url.rs"]
#[expect(dead_code, reason = "stories use more of it")]
mod query_url;
#[path = "../stories/remote_write.rs"]
#[expect(dead_code, reason = "stories use more of it")]
mod remote_write;
#[path = "../stories/server.rs"]
#[expect(dead_code, reason = "stories use more of it")]
mod server;

mod compare;
mod data;
mod dice;
mod grammar;
mod pair;
mod question;
mod shrink;
mod tree;
mod verdict;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use crate::dice::Dice;
use crate::pair::Pair;
use crate::question::{Question, Times};
use crate::shrink::shrink;
use crate::tree::{Kind, Node};
use crate::verdict::Verdict;

/// The seed of a run that names none, so that it is a change of the code that breaks it.
const SEED: u64 = 314;

/// Queries of a run that does not say how many; some seconds.
const QUERIES: u64 = 2000;

/// How many differences are made small; the others are counted.
const SHRUNK_MAX: usize = 60;

/// How much of an answer is shown.
const SHOWN_CHARS: usize = 1500;

#[test]
fn random_queries_are_answered_as_by_prometheus() {
    let home = tempfile::tempdir().expect("a directory");
    let Some(mut pair) = Pair::start(home.path(), variable("TELL")) else {
        println!("SKIP: M3RS_PROMETHEUS does not name a Prometheus: no random queries");
        return;
    };
    let seed = variable("SEED").unwrap_or(SEED);
    let first: u64 = variable("FIRST").unwrap_or(0);
    let queries: u64 = variable("QUERIES").unwrap_or(QUERIES);
    println!("M3RS_DIFFERENTIAL_SEED={seed}");
    let series = data::series(&mut Dice::new(seed));
    pair.write(&series);
    if let Some(query) = variable::<String>("ASK") {
        ask(&mut pair, &query);
        return;
    }
    let mut found = BTreeMap::new();
    let mut differences = 0;
    for number in first..first + queries {
        let question = Question::random(&mut Dice::new(seed ^ number.rotate_left(32)));
        let verdict = pair.judge(&question);
        let class = match &verdict {
            Verdict::Same => "same",
            Verdict::Panicked => "Prometheus panicked",
            Verdict::NotText => "not UTF-8",
            Verdict::BetterFormat => "formatted text that Prometheus would read otherwise",
            Verdict::Undefined => "not defined by Prometheus",
            Verdict::Known(name) => name,
            Verdict::Different(_) => "different",
        };
        *found.entry(class).or_insert(0) += 1;
        if let Verdict::Different(_) = verdict {
            differences += 1;
            if differences <= SHRUNK_MAX {
                tell(&mut pair, number, question);
            }
        }
    }
    println!("{queries} queries: {found:?}");
    assert_eq!(differences, 0, "M3RS_DIFFERENTIAL_SEED={seed}");
}

/// Prints both answers to one query.
fn ask(pair: &mut Pair, query: &str) {
    let times = variable::<String>("AT").expect("M3RS_DIFFERENTIAL_AT");
    let times: Vec<i64> =
        times.split_terminator(',').map(|ms| ms.parse().expect("milliseconds")).collect();
    let times = match times[..] {
        [] => Times::Format,
        [time] => Times::Instant(time),
        [start, end, step] => Times::Range { start, end, step },
        _ => panic!("M3RS_DIFFERENTIAL_AT is no time, and no start, end and step"),
    };
    let query = Node::leaf(Kind::Vector, query);
    show(pair, &Question { query, times, lookback: None });
}

/// Prints the least question that shows the difference, and both answers.
fn tell(pair: &mut Pair, number: u64, question: Question) {
    let original = question.query.render();
    println!("--- query {number}: {original}");
    let least = shrink(pair, question);
    show(pair, &least);
}

fn show(pair: &mut Pair, question: &Question) {
    let (expected, got) = pair.ask(question);
    let what = question.rules().difference(&expected, &got).unwrap_or_default();
    println!("{question}\n  differs in {what}");
    for (who, answer) in [("Prometheus", expected), ("m3rs", got)] {
        let text: String = answer.text().chars().take(SHOWN_CHARS).collect();
        println!("  {who}: {} {text}", answer.status);
    }
}

/// A setting of the environment.
fn variable<T: FromStr<Err: Display>>(name: &str) -> Option<T> {
    let name = format!("M3RS_DIFFERENTIAL_{name}");
    let text = std::env::var(&name).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}
