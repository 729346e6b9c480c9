//! Random queries on random data are asked of a real Prometheus and of our server, and are answered
//! alike: status, error, type, labels, times, values, warnings and infos. Prometheus is right by
//! definition.
//!
//! Settings, all of them by variables of the environment:
//! - `M3RS_PROMETHEUS`: the program; `cargo xtask test` builds it and sets this. Without it nothing
//!   is compared.
//! - `M3RS_DIFFERENTIAL_SEED`: data and queries of an earlier run, which prints its seed.
//! - `M3RS_DIFFERENTIAL_QUERIES`: how many queries.
//! - `M3RS_DIFFERENTIAL_FIRST`: the number of the first query.
//! - `M3RS_DIFFERENTIAL_HISTOGRAMS=1`: native histograms too.
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

use std::fmt::Display;
use std::str::FromStr;

use m3rs_core::rng::Random;

use crate::dice::Dice;
use crate::pair::Pair;
use crate::question::Question;
use crate::shrink::shrink;

/// Queries of a run that does not say how many; some seconds.
const QUERIES: u64 = 500;

/// How many differences are made small; the others are counted.
const SHRUNK_MAX: usize = 60;

/// How much of an answer is shown.
const SHOWN_BYTES: usize = 1200;

#[test]
fn random_queries_are_answered_as_by_prometheus() {
    let home = tempfile::tempdir().expect("a directory");
    let Some(mut pair) = Pair::start(home.path()) else {
        println!("SKIP: M3RS_PROMETHEUS does not name a Prometheus: no random queries");
        return;
    };
    let seed = variable("SEED").unwrap_or_else(|| Random::from_machine().next_u64());
    let first: u64 = variable("FIRST").unwrap_or(0);
    let queries: u64 = variable("QUERIES").unwrap_or(QUERIES);
    let histograms = variable::<u8>("HISTOGRAMS") == Some(1);
    println!("M3RS_DIFFERENTIAL_SEED={seed}");
    let series = data::series(&mut Dice::new(seed), histograms);
    pair.write(&series);
    let (mut answered, mut differences) = (0, 0);
    for number in first..first + queries {
        let question = Question::random(&mut Dice::new(seed.wrapping_add(number)), histograms);
        let (expected, got) = pair.ask(&question);
        answered += usize::from(expected.status == 200);
        if question.rules().difference(&expected, &got).is_none() {
            continue;
        }
        differences += 1;
        if differences <= SHRUNK_MAX {
            tell(&mut pair, number, question);
        }
    }
    println!("{queries} queries, {answered} of them answered, {differences} differences");
    assert_eq!(differences, 0, "M3RS_DIFFERENTIAL_SEED={seed}");
    // Errors are compared too, but a run of nothing else would prove little.
    assert!(queries < 100 || answered as u64 > queries / 2, "{answered} of {queries} answered");
}

/// Prints the least question that shows the difference, and both answers.
fn tell(pair: &mut Pair, number: u64, question: Question) {
    let original = question.query.render();
    let least = shrink(pair, question);
    let (expected, got) = pair.ask(&least);
    let what = least.rules().difference(&expected, &got).unwrap_or_default();
    println!("--- query {number}: {original}\n{least}\n  differs in {what}");
    for (who, answer) in [("Prometheus", expected), ("m3rs", got)] {
        let text: String = answer.text().chars().take(SHOWN_BYTES).collect();
        println!("  {who}: {} {text}", answer.status);
    }
}

/// A setting of the environment.
fn variable<T: FromStr<Err: Display>>(name: &str) -> Option<T> {
    let name = format!("M3RS_DIFFERENTIAL_{name}");
    let text = std::env::var(&name).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}
