//! Calls of every function in the table.

use m3rs_query::promql::signature::{Signature, Variadic, signatures};

use super::Grammar;
use crate::tree::{Kind, Node};

impl Grammar<'_> {
    /// A call that gives a vector.
    pub(super) fn vector_call(&mut self, depth: usize) -> Node {
        if self.dice.one_in(6) {
            return self.common(depth);
        }
        let signature = loop {
            let all = signatures();
            let signature = &all[self.dice.below(all.len())];
            if signature.returns == Kind::Vector && !signature.extension {
                break signature;
            }
        };
        match signature.name {
            "label_replace" => self.label_replace(depth),
            "label_join" => self.label_join(depth),
            "info" => self.info(depth),
            "histogram_quantile" | "histogram_fraction" | "histogram_quantiles" => {
                self.of_histogram(signature.name, depth)
            }
            _ => self.call(signature, depth),
        }
    }

    /// What queries of users are made of.
    fn common(&mut self, depth: usize) -> Node {
        let names =
            ["rate(", "rate(", "increase(", "delta(", "irate(", "sum_over_time(", "avg_over_time("];
        let name = self.dice.pick(&names);
        Node::new(Kind::Vector).text(name).child(self.any(Kind::Matrix, depth)).text(")")
    }

    fn call(&mut self, signature: &Signature, depth: usize) -> Node {
        let mut node = Node::new(signature.returns).text(signature.name).text("(");
        for i in 0..self.arg_count(signature) {
            let last = signature.args.len() - 1;
            let kind = signature.args[i.min(last)];
            if i > 0 {
                node = node.text(", ");
            }
            let arg = match (kind, signature.name) {
                (Kind::String, name) if name.starts_with("sort") => {
                    let label = self.dice.pick(&[
                        "\"job\"",
                        "\"instance\"",
                        "\"id\"",
                        "\"le\"",
                        "\"none\"",
                    ]);
                    Node::leaf(Kind::String, label)
                }
                (Kind::Vector, name) if name.starts_with("sort_by") && self.dice.one_in(2) => {
                    Node::leaf(Kind::Vector, "sort")
                }
                (Kind::Scalar, "double_exponential_smoothing") if self.dice.below(8) > 0 => {
                    Node::leaf(Kind::Scalar, self.dice.pick(&["0.1", "0.5", "0.875"]))
                }
                (Kind::Scalar, "quantile_over_time") if self.dice.below(5) > 0 => {
                    Node::leaf(Kind::Scalar, self.dice.eighth(0, 1).to_string())
                }
                (Kind::Scalar, _) if self.dice.below(3) > 0 => {
                    Node::leaf(Kind::Scalar, self.number())
                }
                _ => self.any(kind, depth),
            };
            node = node.child(arg);
        }
        Self::sorted(node.text(")"), signature.name)
    }

    /// As many as fit, once in a while one more or less.
    fn arg_count(&mut self, signature: &Signature) -> usize {
        let (least, most) = signature.arg_counts();
        let most = match (signature.variadic, most) {
            (Variadic::Any, _) | (_, None) => least + 2,
            (_, Some(most)) => most,
        };
        let count = least + self.dice.below(most - least + 1);
        match self.dice.below(120) {
            0 if !signature.args.is_empty() => count + 1,
            1 => count.saturating_sub(1),
            _ => count,
        }
    }

    fn label_replace(&mut self, depth: usize) -> Node {
        let label = self.dice.pick(&[
            "\"x\"",
            "\"job\"",
            "\"instance\"",
            "\"__name__\"",
            "\"\u{e9}\"",
            "\"\"",
        ]);
        let value = self.dice.pick(&[
            "\"$1\"",
            "\"a-$1-$2\"",
            "\"\"",
            "\"${name}x\"",
            "\"$0\"",
            "\"$1x\"",
            "\"fix\"",
        ]);
        let from =
            self.dice.pick(&["\"job\"", "\"instance\"", "\"none\"", "\"__name__\"", "\"code\""]);
        let pattern = self.dice.pick(&[
            "\"(.*)\"",
            "\"(.)(.*)\"",
            "\"(?P<name>a.*)\"",
            "\"\"",
            "\"x\"",
            "\"(a)|(b)\"",
            "\"(\"",
            "\".*(b|i)\"",
        ]);
        let rest = format!(", {label}, {value}, {from}, {pattern})");
        Node::new(Kind::Vector)
            .text("label_replace(")
            .child(self.any(Kind::Vector, depth))
            .text(rest)
    }

    fn label_join(&mut self, depth: usize) -> Node {
        let label = self.dice.pick(&["\"x\"", "\"job\"", "\"__name__\"", "\"a b\"", "\"\""]);
        let sources = self.dice.pick(&[
            "",
            ", \"job\"",
            ", \"job\", \"instance\"",
            ", \"none\", \"code\"",
            ", \"\"",
        ]);
        let separator = self.dice.pick(&["\"\"", "\"-\"", "\"\u{e9}\""]);
        let rest = format!(", {label}, {separator}{sources})");
        Node::new(Kind::Vector).text("label_join(").child(self.any(Kind::Vector, depth)).text(rest)
    }

    fn info(&mut self, depth: usize) -> Node {
        let data = self.dice.pick(&[
            "",
            "",
            ", {version=~\".+\"}",
            ", {version=\"2\"}",
            ", {__name__=\"build_info\"}",
            ", {__name__=~\".*_info\"}",
            ", {rev=\"r1\", __name__=~\".+_info\"}",
            ", {none=\"\"}",
            ", {version!=\"1\"}",
            ", target_info",
            ", {__name__!=\"target_info\"}",
            ", {}",
        ]);
        Node::new(Kind::Vector)
            .text("info(")
            .child(self.any(Kind::Vector, depth))
            .optional(data)
            .text(")")
    }

    /// Over a classic histogram, mostly.
    fn of_histogram(&mut self, name: &str, depth: usize) -> Node {
        let buckets = match self.dice.below(8) {
            0..=1 => Node::leaf(Kind::Vector, "latency_bucket"),
            2 => Node::leaf(Kind::Vector, "rate(latency_bucket[5m])"),
            3 => Node::leaf(Kind::Vector, "sum by (le) (rate(latency_bucket[9m]))"),
            4 => Node::leaf(Kind::Vector, "{__name__=~\"odd_bucket|no_inf_bucket\"}"),
            5 => {
                let native = [
                    "native",
                    "rate(native[5m])",
                    "native_custom",
                    "native_gauge",
                    "sum by (job) (rate(native_float[9m]))",
                    "increase(native_custom[7m])",
                ];
                Node::leaf(Kind::Vector, self.dice.pick(&native))
            }
            _ => self.any(Kind::Vector, depth),
        };
        let node = Node::new(Kind::Vector).text(name).text("(");
        let node = match name {
            "histogram_quantile" => node.child(self.quantile()).text(", ").child(buckets),
            "histogram_fraction" => {
                let (low, high) = (self.quantile(), self.quantile());
                node.child(low).text(", ").child(high).text(", ").child(buckets)
            }
            _ => {
                let label = self.dice.pick(&["\"q\"", "\"job\"", "\"le\""]);
                let node = node.child(buckets).text(", ").child(Node::leaf(Kind::String, label));
                let (first, second) = (self.quantile(), self.quantile());
                let node = node.text(", ").child(first);
                if self.dice.one_in(2) { node.text(", ").child(second) } else { node }
            }
        };
        node.text(")")
    }

    fn quantile(&mut self) -> Node {
        if self.dice.one_in(4) {
            return self.any(Kind::Scalar, 1);
        }
        Node::leaf(Kind::Scalar, self.dice.eighth(0, 1).to_string())
    }
}
