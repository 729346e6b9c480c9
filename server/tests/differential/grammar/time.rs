//! Durations, ranges, and the modifiers of time.

use super::Grammar;
use crate::data::{END_MS, START_MS};

impl Grammar<'_> {
    /// A duration as a literal.
    pub(super) fn duration(&mut self) -> String {
        match self.dice.below(8) {
            0 => format!("{}s", self.dice.between(1, 200)),
            1 => format!("{}s{}ms", self.dice.between(1, 200), self.dice.between(1, 999)),
            2 => format!("1h{}m", self.dice.between(1, 50)),
            3 => self.dice.between(1, 900).to_string(),
            _ => format!("{}m", self.dice.between(1, 20)),
        }
    }

    /// What stands between `[` and `]`.
    pub(super) fn range(&mut self) -> String {
        match self.dice.below(30) {
            0..=2 => self.duration_expression(2),
            3 if self.dice.one_in(4) => {
                self.dice.pick(&["0", "-5m", "0s", "1e18", "1m/0"]).to_owned()
            }
            4 => "1ms".to_owned(),
            _ => self.duration(),
        }
    }

    /// The step of a subquery, which may be left out.
    pub(super) fn subquery_step(&mut self) -> String {
        match self.dice.below(4) {
            0 => String::new(),
            1 if self.dice.one_in(5) => self.duration_expression(1),
            1 => format!("{}s", self.dice.between(17, 90)),
            _ => format!("{}m", self.dice.between(1, 6)),
        }
    }

    /// A duration that is computed.
    fn duration_expression(&mut self, depth: usize) -> String {
        if depth == 0 {
            return match self.dice.below(6) {
                0 => "step()".to_owned(),
                1 => "range()".to_owned(),
                _ => self.duration(),
            };
        }
        let (left, right) =
            (self.duration_expression(depth - 1), self.duration_expression(depth - 1));
        match self.dice.below(10) {
            0 => format!("{left} + {right}"),
            1 => format!("{left} - {right}"),
            2 => format!("{left} * {}", self.dice.between(-1, 3)),
            3 => format!("{left} / {}", self.dice.between(-1, 4)),
            4 => format!("{left} % {right}"),
            5 => format!("2 ^ {}", self.dice.between(0, 9)),
            6 => format!("min_of({left}, {right})"),
            7 => format!("max_of({left}, {right})"),
            8 => format!("-{left}"),
            _ => format!("({left})"),
        }
    }

    /// `offset` and `@`, each of which may be left out.
    pub(super) fn modifiers(&mut self) -> String {
        let offset = match self.dice.below(30) {
            0..=2 => format!(" offset {}", self.duration()),
            3..=4 => format!(" offset -{}", self.duration()),
            5 => format!(" offset ({})", self.duration_expression(1)),
            6 if self.dice.one_in(3) => format!(" offset {}", self.duration_expression(2)),
            _ => String::new(),
        };
        let at = match self.dice.below(30) {
            0 => " @ start()".to_owned(),
            1 => " @ end()".to_owned(),
            2 | 3 => {
                let time = self.dice.between(START_MS, END_MS);
                format!(" @ {}.{:03}", time / 1000, time % 1000)
            }
            4 if self.dice.one_in(6) => " @ NaN".to_owned(),
            _ => String::new(),
        };
        if self.dice.one_in(2) { at + &offset } else { offset + &at }
    }
}
