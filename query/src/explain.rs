//! What each operator of a query did: the answer to `explain=true`.

use std::time::Duration;

use parking_lot::Mutex;

/// An operator and what it did, its inputs included in times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OperatorReport {
    /// What it is, such as `aggregate sum by (job)`.
    pub operator: String,
    /// Series of its output.
    pub series: u64,
    /// Evaluation times.
    pub steps: u64,
    /// Rows that were read of it. Some operators collect all while they open and are read again.
    pub rows: u64,
    /// Bytes of values that were read of it.
    pub bytes: u64,
    /// Time to make it ready. Operators that need all of their input at once read it here.
    pub open: Duration,
    /// Time to read it, over all threads.
    pub read: Duration,
    /// What it reads.
    pub inputs: Vec<OperatorReport>,
}

/// Collects reports while operators open and are read. Operators open one after the other, each
/// within the one that it is an input of.
#[derive(Debug, Default)]
pub(crate) struct Explain {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    operators: Vec<(Option<usize>, OperatorReport)>,
    /// Those that are opening.
    open: Vec<usize>,
}

impl Explain {
    /// An operator starts to open; its number.
    pub(crate) fn enter(&self, operator: String, steps: usize) -> usize {
        let mut state = self.state.lock();
        let number = state.operators.len();
        let parent = state.open.last().copied();
        let report = OperatorReport { operator, steps: steps as u64, ..OperatorReport::default() };
        state.operators.push((parent, report));
        state.open.push(number);
        number
    }

    /// An operator has opened, or failed to.
    pub(crate) fn leave(&self, number: usize, series: usize, took: Duration) {
        let mut state = self.state.lock();
        state.open.pop();
        let report = &mut state.operators[number].1;
        report.series = series as u64;
        report.open = took;
    }

    /// Rows of an operator were read.
    pub(crate) fn add_read(&self, number: usize, rows: usize, bytes: u64, took: Duration) {
        let report = &mut self.state.lock().operators[number].1;
        report.rows += rows as u64;
        report.bytes += bytes;
        report.read += took;
    }

    /// The operators as trees; the last is that of the query itself.
    pub(crate) fn into_reports(self) -> Vec<OperatorReport> {
        let mut operators = self.state.into_inner().operators;
        let mut roots = Vec::new();
        // An input comes after what reads it.
        while let Some((parent, mut report)) = operators.pop() {
            report.inputs.reverse();
            match parent {
                Some(parent) => operators[parent].1.inputs.push(report),
                None => roots.push(report),
            }
        }
        roots.reverse();
        roots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_stand_below_what_reads_them() {
        let explain = Explain::default();
        let ms = Duration::from_millis;
        let sum = explain.enter("sum".to_owned(), 3);
        let left = explain.enter("left".to_owned(), 3);
        explain.leave(left, 7, ms(1));
        let right = explain.enter("right".to_owned(), 3);
        explain.leave(right, 8, ms(2));
        explain.leave(sum, 1, ms(4));
        explain.add_read(left, 2, 16, ms(5));
        explain.add_read(left, 5, 40, ms(5));
        let reports = explain.into_reports();
        assert_eq!(reports.len(), 1);
        let names: Vec<_> = reports[0].inputs.iter().map(|r| r.operator.as_str()).collect();
        assert_eq!(names, ["left", "right"]);
        let left = &reports[0].inputs[0];
        assert_eq!((left.series, left.rows, left.bytes, left.read), (7, 7, 56, ms(10)));
    }
}
