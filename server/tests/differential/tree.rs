//! A query as a tree of texts: enough to print it, and to make smaller queries of it.

pub(crate) use m3rs_query::promql::ast::ValueType as Kind;

/// What an order of an instant vector promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Nothing.
    Free,
    /// Values are in order; equal ones in any order.
    ByValue,
    /// Every series has its place.
    Exact,
}

/// An expression.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) order: Order,
    pub(crate) pieces: Vec<Piece>,
}

/// A part of an expression's text.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Text(String),
    /// A text that may be left out.
    Optional(String),
    Child(Node),
}

impl Node {
    /// An expression without operands.
    pub(crate) fn leaf(kind: Kind, text: impl Into<String>) -> Self {
        Self::new(kind).text(text)
    }

    /// To be filled.
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, order: Order::Free, pieces: Vec::new() }
    }

    pub(crate) fn text(mut self, text: impl Into<String>) -> Self {
        self.pieces.push(Piece::Text(text.into()));
        self
    }

    pub(crate) fn optional(mut self, text: impl Into<String>) -> Self {
        let text = text.into();
        if !text.is_empty() {
            self.pieces.push(Piece::Optional(text));
        }
        self
    }

    pub(crate) fn child(mut self, child: Self) -> Self {
        self.pieces.push(Piece::Child(child));
        self
    }

    pub(crate) fn ordered(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// In parentheses, which change neither kind nor order.
    pub(crate) fn in_parens(self) -> Self {
        let (kind, order) = (self.kind, self.order);
        Self::new(kind).text("(").child(self).text(")").ordered(order)
    }

    /// The query.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        self.render_into(&mut text);
        text
    }

    fn render_into(&self, out: &mut String) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) | Piece::Optional(text) => out.push_str(text),
                Piece::Child(child) => child.render_into(out),
            }
        }
    }

    /// Bytes of the query.
    pub(crate) fn len(&self) -> usize {
        let of = |piece: &Piece| match piece {
            Piece::Text(text) | Piece::Optional(text) => text.len(),
            Piece::Child(child) => child.len(),
        };
        self.pieces.iter().map(of).sum()
    }

    /// Smaller queries: parts of this one, and this one with something taken out of it.
    pub(crate) fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        self.parts(&mut all);
        self.reduced(&mut all);
        let len = self.len();
        all.retain(|node| node.len() < len);
        all.sort_by_key(Self::len);
        all
    }

    /// All expressions within.
    fn parts(&self, out: &mut Vec<Self>) {
        for piece in &self.pieces {
            if let Piece::Child(child) = piece {
                out.push(child.clone());
                child.parts(out);
            }
        }
    }

    /// The same expression with one change.
    fn reduced(&self, out: &mut Vec<Self>) {
        for (i, piece) in self.pieces.iter().enumerate() {
            match piece {
                Piece::Text(_) => {}
                Piece::Optional(_) => {
                    let mut node = self.clone();
                    node.pieces.remove(i);
                    out.push(node);
                }
                Piece::Child(child) => {
                    let mut instead = Vec::new();
                    child.parts(&mut instead);
                    instead.retain(|part| part.kind == child.kind);
                    instead.extend(simplest(child.kind));
                    child.reduced(&mut instead);
                    for new in instead {
                        let mut node = self.clone();
                        node.pieces[i] = Piece::Child(new);
                        out.push(node);
                    }
                }
            }
        }
    }
}

fn simplest(kind: Kind) -> Vec<Node> {
    let texts: &[&str] = match kind {
        Kind::Scalar => &["1", "0", "time()"],
        Kind::Vector => &["queue", "vector(1)"],
        Kind::Matrix => &["queue[5m]"],
        Kind::String => &["\"a\""],
    };
    texts.iter().map(|text| Node::leaf(kind, *text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smaller_queries_are_parts_or_lack_something() {
        let selector = Node::leaf(Kind::Vector, "room_temperature").optional(" offset 5m");
        let sum = Node::new(Kind::Vector).text("sum(").child(selector).text(")");
        let texts: Vec<String> = sum.smaller().iter().map(Node::render).collect();
        let expected =
            ["sum(queue)", "sum(vector(1))", "sum(room_temperature)", "room_temperature offset 5m"];
        assert_eq!(texts, expected);
    }
}
