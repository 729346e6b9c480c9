//! Binary operators with their modifiers.

use super::Grammar;
use crate::tree::{Kind, Node};

const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^", "atan2"];
const COMPARISONS: &[&str] = &["==", "!=", ">", "<", ">=", "<="];
const SETS: &[&str] = &["and", "or", "unless"];

impl Grammar<'_> {
    /// Two vectors, or a vector and a scalar.
    pub(super) fn vector_binary(&mut self, depth: usize) -> Node {
        match self.dice.below(10) {
            0..=1 => {
                let (left, right) = self.sides(depth);
                let op = format!(" {}{} ", self.dice.pick(SETS), self.matching());
                Self::joined(left, &op, right)
            }
            2..=5 => {
                let op = self.operator();
                let (vector, scalar) =
                    (self.operand(Kind::Vector, depth), self.operand(Kind::Scalar, depth));
                let op = format!(" {op} ");
                if self.dice.one_in(3) {
                    Self::joined(scalar, &op, vector)
                } else {
                    Self::joined(vector, &op, scalar)
                }
            }
            _ => {
                let (left, right) = self.sides(depth);
                let (op, modifiers) = (self.operator(), self.join());
                Self::joined(left, &format!(" {op}{modifiers} "), right)
            }
        }
    }

    /// Two scalars.
    pub(super) fn scalar_binary(&mut self, depth: usize) -> Node {
        let (left, right) = (self.operand(Kind::Scalar, depth), self.operand(Kind::Scalar, depth));
        let op = match self.dice.below(10) {
            0..=5 => self.dice.pick(ARITHMETIC).to_owned(),
            6..=8 => format!("{} bool", self.dice.pick(COMPARISONS)),
            _ => self.operator(),
        };
        let mut node = Self::joined(left, &format!(" {op} "), right);
        node.kind = Kind::Scalar;
        node
    }

    fn operator(&mut self) -> String {
        match self.dice.below(12) {
            0..=6 => self.dice.pick(ARITHMETIC).to_owned(),
            7..=9 => self.dice.pick(COMPARISONS).to_owned(),
            10 => format!("{} bool", self.dice.pick(COMPARISONS)),
            _ => self.dice.pick(&["</", ">/"]).to_owned(),
        }
    }

    fn joined(left: Node, op: &str, right: Node) -> Node {
        Node::new(Kind::Vector).child(left).text(op).child(right)
    }

    /// Both sides alike, so that they find each other, or any two.
    fn sides(&mut self, depth: usize) -> (Node, Node) {
        let left = self.operand(Kind::Vector, depth);
        let right =
            if self.dice.one_in(4) { left.clone() } else { self.operand(Kind::Vector, depth) };
        (left, right)
    }

    fn operand(&mut self, kind: Kind, depth: usize) -> Node {
        let node = self.any(kind, depth);
        if depth > 0 && self.dice.one_in(2) { node.in_parens() } else { node }
    }

    /// `on (...)` or `ignoring (...)`, or nothing.
    fn matching(&mut self) -> String {
        match self.dice.below(8) {
            0..=2 => String::new(),
            3 => " on (job, instance)".to_owned(),
            4 => " on (job)".to_owned(),
            5 => format!(" on ({})", self.labels()),
            6 => " ignoring (code, version, rev, team)".to_owned(),
            _ => format!(" ignoring ({})", self.labels()),
        }
    }

    /// All modifiers of an operator between vectors.
    fn join(&mut self) -> String {
        let mut text = self.matching();
        if !text.is_empty() || self.dice.one_in(40) {
            match self.dice.below(6) {
                0 | 1 => text.push_str(" group_left"),
                2 => text.push_str(" group_right"),
                _ => {}
            }
            if text.contains("group") && self.dice.one_in(2) {
                text.push_str(&format!(" ({})", self.labels()));
            }
        }
        if self.dice.one_in(8) {
            let (left, right) = (self.number(), self.number());
            text.push_str(&match self.dice.below(5) {
                0 => format!(" fill ({left})"),
                1 => format!(" fill_left ({left})"),
                2 => format!(" fill_right ({left})"),
                3 => format!(" fill_left ({left}) fill_right ({right})"),
                _ => format!(" fill_right ({left}) fill_left ({right})"),
            });
        }
        text
    }
}
