//! Aggregations.

use super::Grammar;
use crate::tree::{Kind, Node, Order};

const PLAIN: &[&str] = &["sum", "avg", "count", "min", "max", "group", "stddev", "stdvar"];

impl Grammar<'_> {
    /// An aggregation, its grouping before or after.
    pub(super) fn aggregate(&mut self, depth: usize) -> Node {
        let (name, param) = self.aggregator(depth);
        let grouping = self.grouping();
        let (before, after) = match grouping.is_empty() {
            true => (String::new(), String::new()),
            false if self.dice.one_in(3) => (String::new(), format!(" {grouping}")),
            false => (format!(" {grouping} "), String::new()),
        };
        let sorts = matches!(name, "topk" | "bottomk") && grouping.is_empty();
        let mut node = Node::new(Kind::Vector).text(name).optional(before).text("(");
        if let Some(param) = param {
            node = node.child(param).text(", ");
        }
        let node = node.child(self.any(Kind::Vector, depth)).text(")").optional(after);
        node.ordered(if sorts { Order::ByValue } else { Order::Free })
    }

    fn aggregator(&mut self, depth: usize) -> (&'static str, Option<Node>) {
        let name = match self.dice.below(20) {
            0..=11 => return (self.dice.pick(PLAIN), None),
            12 | 13 => "topk",
            14 | 15 => "bottomk",
            16 => "quantile",
            17 => "limitk",
            18 => "limit_ratio",
            _ => "count_values",
        };
        (name, Some(self.param(name, depth)))
    }

    fn param(&mut self, name: &str, depth: usize) -> Node {
        if name == "count_values" {
            let label = self.dice.pick(&[
                "\"value\"",
                "\"job\"",
                "'le'",
                "\"\"",
                "\"a b\"",
                "\"__name__\"",
            ]);
            return Node::leaf(Kind::String, label);
        }
        match (self.dice.below(10), name) {
            (0, _) => self.any(Kind::Scalar, depth),
            (1, "quantile" | "limit_ratio") => Node::leaf(Kind::Scalar, self.number()),
            (1, _) => {
                let odd = ["NaN", "-1", "0", "1e20", "Inf", "-Inf", "2.9", "9223372036854775807"];
                Node::leaf(Kind::Scalar, self.dice.pick(&odd))
            }
            (_, "quantile") => Node::leaf(Kind::Scalar, self.dice.eighth(0, 1).to_string()),
            (_, "limit_ratio") => Node::leaf(Kind::Scalar, self.dice.eighth(-1, 1).to_string()),
            _ => Node::leaf(Kind::Scalar, self.dice.between(1, 6).to_string()),
        }
    }
}
