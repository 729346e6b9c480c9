//! Random queries out of the grammar of PromQL, most of them well typed.

mod aggregate;
mod call;
mod garble;
mod operator;
mod selector;
mod time;

pub(crate) use garble::garbled;

use crate::dice::Dice;
use crate::tree::{Kind, Node, Order};

/// Depth of most queries.
const DEPTH_MAX: i64 = 4;

/// Labels that grouping and matching name.
const LABELS: &[&str] = &[
    "job",
    "job",
    "instance",
    "instance",
    "code",
    "le",
    "id",
    "kind",
    "team",
    "version",
    "rev",
    "none",
    "__name__",
    "\"server.name\"",
];

/// Makes expressions of a kind; `depth` bounds how deep they nest.
#[derive(Debug)]
pub(crate) struct Grammar<'a> {
    pub(crate) dice: &'a mut Dice,
}

impl Grammar<'_> {
    /// A whole query.
    pub(crate) fn query(&mut self) -> Node {
        let depth = usize::try_from(self.dice.between(1, DEPTH_MAX)).expect("small");
        match self.dice.below(40) {
            0 | 1 => self.scalar(depth),
            2 => self.matrix(depth),
            3 if self.dice.one_in(4) => self.string(),
            _ => self.vector(depth),
        }
    }

    /// An expression of that kind; once in a while of another one.
    fn any(&mut self, kind: Kind, depth: usize) -> Node {
        let kind = if self.dice.one_in(150) {
            [Kind::Scalar, Kind::Vector, Kind::Matrix, Kind::String][self.dice.below(4)]
        } else {
            kind
        };
        match kind {
            Kind::Scalar => self.scalar(depth),
            Kind::Vector => self.vector(depth),
            Kind::Matrix => self.matrix(depth),
            Kind::String => self.string(),
        }
    }

    /// An instant vector.
    fn vector(&mut self, depth: usize) -> Node {
        if depth == 0 {
            return match self.dice.below(12) {
                0 => Node::leaf(Kind::Vector, format!("vector({})", self.number())),
                _ => self.selector(),
            };
        }
        match self.dice.below(20) {
            0..=6 => self.vector_call(depth - 1),
            7..=10 => self.aggregate(depth - 1),
            11..=14 => self.vector_binary(depth - 1),
            15 => {
                let sign = self.dice.pick(&["-", "+", "- "]);
                Node::new(Kind::Vector).text(sign).child(self.vector(depth - 1))
            }
            16 => self.vector(depth - 1).in_parens(),
            _ => self.vector(0),
        }
    }

    /// A number for each step.
    fn scalar(&mut self, depth: usize) -> Node {
        if depth == 0 {
            return match self.dice.below(8) {
                0 => Node::leaf(
                    Kind::Scalar,
                    self.dice.pick(&["time()", "pi()", "start()", "end()", "step()", "range()"]),
                ),
                _ => Node::leaf(Kind::Scalar, self.number()),
            };
        }
        match self.dice.below(10) {
            0..=2 => Node::new(Kind::Scalar)
                .text("scalar(")
                .child(self.any(Kind::Vector, depth - 1))
                .text(")"),
            3..=5 => self.scalar_binary(depth - 1),
            6 => {
                let sign = self.dice.pick(&["-", "+"]);
                Node::new(Kind::Scalar).text(sign).child(self.scalar(depth - 1))
            }
            7 => {
                let name = self.dice.pick(&["min_of(", "max_of("]);
                let first = self.any(Kind::Scalar, depth - 1);
                let second = self.any(Kind::Scalar, depth - 1);
                Node::new(Kind::Scalar).text(name).child(first).text(", ").child(second).text(")")
            }
            8 => self.scalar(depth - 1).in_parens(),
            _ => self.scalar(0),
        }
    }

    /// A range of samples for each step.
    fn matrix(&mut self, depth: usize) -> Node {
        if depth == 0 || self.dice.below(3) > 0 {
            return self.range_selector();
        }
        let inner = self.any(Kind::Vector, depth - 1);
        let (range, step) = (self.range(), self.subquery_step());
        let plain = self.dice.one_in(4);
        let node = if plain {
            Node::new(Kind::Matrix).child(inner)
        } else {
            Node::new(Kind::Matrix).text("(").child(inner).text(")")
        };
        let modifiers = self.modifiers();
        node.text(format!("[{range}:")).optional(step).text("]").optional(modifiers)
    }

    fn string(&mut self) -> Node {
        let text = self.dice.pick(&[
            "\"\"",
            "\"a\"",
            "'job'",
            "`instance`",
            "\"x$1\"",
            "\"\\u00e9\"",
            "\"(.*)\"",
            "'le'",
            "\"a b\"",
            "\"__name__\"",
            "'it\\'s'",
        ]);
        Node::leaf(Kind::String, text)
    }

    /// A number literal, with its sign.
    fn number(&mut self) -> String {
        match self.dice.below(16) {
            0 => self.dice.pick(&["Inf", "+Inf", "-Inf", "NaN", "nan", "inF"]).to_owned(),
            1 => self
                .dice
                .pick(&["0x1f", "1_000", "1e3", "017", ".5", "1.", "0b11", "1e-7"])
                .to_owned(),
            2 => self.duration(),
            3 => format!("{}", self.dice.eighth(-1000, 1000) / 7.0),
            4 => self
                .dice
                .pick(&["0", "-0", "1e300", "-1e300", "5e-324", "9007199254740993"])
                .to_owned(),
            5 | 6 => format!("{}", self.dice.eighth(-20, 20)),
            _ => self.dice.between(-2, 12).to_string(),
        }
    }

    /// `by (...)` or `without (...)`, or nothing.
    fn grouping(&mut self) -> String {
        match self.dice.below(5) {
            0 | 1 => String::new(),
            2 | 3 => format!("by ({})", self.labels()),
            _ => format!("without ({})", self.labels()),
        }
    }

    fn labels(&mut self) -> String {
        let count = self.dice.below(4);
        let mut labels: Vec<&str> = (0..count).map(|_| self.dice.pick(LABELS)).collect();
        if !labels.is_empty() && self.dice.one_in(20) {
            labels.push("");
        }
        labels.join(", ")
    }

    /// The order that `sort` and the like promise of the whole query.
    fn sorted(node: Node, name: &str) -> Node {
        let order = match name {
            "sort" | "sort_desc" => Order::ByValue,
            "sort_by_label" | "sort_by_label_desc" => Order::Exact,
            _ => Order::Free,
        };
        node.ordered(order)
    }
}
