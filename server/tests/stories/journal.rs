//! Writers that never send the same sample twice, and the check that what was acked is there.
//!
//! Request `n` of a writer has three samples of three series at one time, all of which follow from
//! the writer and `n`; so whatever is read back tells where it came from.

use std::collections::BTreeMap;

use crate::answer::{Labels, Samples, series};
use crate::http_client::{Answer, Client};
use crate::query_url::instant;
use crate::remote_write::{self, HEADERS, PATH, TimeSeries, body};

/// Blocks of two hours that the samples are spread over.
const BLOCKS: i64 = 3;

/// Length of a block.
const BLOCK_MS: i64 = 2 * 3_600_000;

/// How many series of one writer take turns.
const TURNS: u64 = 16;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Acked,
    /// No answer, or a refusal to store it: it may be there or not.
    Unknown,
}

/// What one writer has sent.
#[derive(Debug)]
pub(crate) struct Journal {
    writer: u64,
    base_ms: i64,
    /// By number: the run in which it was sent, and its fate.
    sent: Vec<(u64, Fate)>,
    acked: usize,
}

/// How a request ended.
#[derive(Debug)]
pub(crate) enum Sent {
    Acked,
    /// The server said that it does not take it.
    Refused(Answer),
    /// There was no answer.
    Broken,
}

impl Journal {
    /// Nothing sent yet; all samples will lie before `end_ms`.
    pub(crate) fn new(writer: u64, end_ms: i64) -> Self {
        Self { writer, base_ms: end_ms - 3_600_000, sent: Vec::new(), acked: 0 }
    }

    /// Sends the next request in run `run` of the server.
    pub(crate) fn send(&mut self, client: &mut Client, run: u64) -> Sent {
        let number = self.sent.len() as u64;
        let body = body(self.request(number, run));
        let answer = client.send("POST", PATH, HEADERS, &body);
        let (fate, sent) = match answer {
            Ok(answer) if answer.status == 204 => (Fate::Acked, Sent::Acked),
            Ok(answer) => (Fate::Unknown, Sent::Refused(answer)),
            Err(_) => (Fate::Unknown, Sent::Broken),
        };
        self.sent.push((run, fate));
        self.acked += usize::from(fate == Fate::Acked);
        sent
    }

    /// How many requests were acked.
    pub(crate) fn acked(&self) -> usize {
        self.acked
    }

    /// Labels of the series of request `number`: one that all share, one of several that take
    /// turns, and one that is new in each run.
    fn labels(&self, number: u64, run: u64) -> [Labels; 3] {
        let labels = |name: &str, value: String| {
            let pairs = [
                ("__name__", "story".to_owned()),
                ("writer", self.writer.to_string()),
                (name, value),
            ];
            pairs.map(|(n, v)| (n.to_owned(), v)).into_iter().collect()
        };
        [
            labels("series", "steady".to_owned()),
            labels("turn", (number % TURNS).to_string()),
            labels("run", run.to_string()),
        ]
    }

    fn time_ms(&self, number: u64) -> i64 {
        let number = i64::try_from(number).expect("a small number");
        self.base_ms - number % BLOCKS * BLOCK_MS + number
    }

    /// The value of the sample in series `which` of request `number`: exact in a double.
    fn value(&self, number: u64, which: usize) -> f64 {
        ((self.writer << 40) + (number << 2) + which as u64) as f64
    }

    fn request(&self, number: u64, run: u64) -> Vec<TimeSeries> {
        let all = self.labels(number, run);
        let t = self.time_ms(number);
        all.iter()
            .enumerate()
            .map(|(which, labels)| {
                let labels: Vec<_> = labels.iter().collect();
                remote_write::series(&labels, &[(t, self.value(number, which))])
            })
            .collect()
    }

    /// Reads everything of this writer back: every acked sample is there, every sample that is
    /// there was sent and has its value, and none is there twice.
    pub(crate) fn check(&self, client: &mut Client) {
        let selector = format!("story{{writer=\"{}\"}}", self.writer);
        let end = self.base_ms + 3_600_000;
        let data = client.get(&instant(&format!("{selector}[{BLOCKS}d]"), end)).data();
        let mut found = series(&data);
        let mut samples = 0;
        for samples_of_one in found.values() {
            samples += samples_of_one.len();
            let in_order = samples_of_one.windows(2).all(|pair| pair[0].0 < pair[1].0);
            assert!(in_order, "a time twice in {samples_of_one:?}");
        }
        self.check_samples(&mut found);
        let left: BTreeMap<Labels, Samples> =
            found.into_iter().filter(|(_, samples)| !samples.is_empty()).collect();
        assert!(left.is_empty(), "never sent: {left:?}");
        // The engine must count what the raw answer showed.
        let count = format!("sum(count_over_time({selector}[{BLOCKS}d]))");
        let counted = client.get(&instant(&count, end)).data();
        let counted = counted["result"][0]["value"][1].as_str().unwrap_or("0").to_owned();
        assert_eq!(counted, samples.to_string(), "{count}");
    }

    /// Takes out of `found` what was sent.
    fn check_samples(&self, found: &mut BTreeMap<Labels, Samples>) {
        let mut lost = Vec::new();
        for (number, (run, fate)) in (0_u64..).zip(&self.sent) {
            for (which, labels) in self.labels(number, *run).iter().enumerate() {
                let t = self.time_ms(number);
                let samples = found.entry(labels.clone()).or_default();
                match samples.binary_search_by_key(&t, |(t, _)| *t) {
                    Ok(at) => {
                        let (_, bits) = samples.remove(at);
                        let wanted = self.value(number, which);
                        let got = f64::from_bits(bits);
                        assert_eq!(bits, wanted.to_bits(), "{got} for {wanted} in {labels:?}");
                    }
                    Err(_) if *fate == Fate::Acked => lost.push((number, which, *run)),
                    Err(_) => {}
                }
            }
        }
        let few = &lost[..lost.len().min(10)];
        assert!(lost.is_empty(), "writer {}: {} lost: {few:?}", self.writer, lost.len());
    }
}
