//! YAML as a tree whose nodes know their places: for files whose keys a table describes.
//!
//! Reads the first document of a text. Scalars keep their text, so that who knows the type of a
//! key reads it ([`Scalar`]); aliases and merge keys (`<<`) are put in.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use granit_parser::{Event, Marker, Options, Parser, ScalarStyle, Tag};

use super::scalar::Scalar;

/// Lists and maps within each other.
pub const DEPTH_MAX: usize = 64;

/// Nodes of a tree, with those that aliases put in.
pub const NODES_MAX: usize = 100_000;

/// Bytes of the scalars and keys of a tree, with those that aliases put in.
pub const TEXT_BYTES_MAX: usize = 8 << 20;

/// Where something stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as the caller named it.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct TreeError {
    /// Where.
    pub place: Place,
    /// What.
    pub what: String,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins; what an alias put in has the place of its anchor.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a node may be.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text, number, truth value or nothing.
    Scalar(Scalar),
    /// Values in order.
    List(Vec<Node>),
    /// Values by key, in the order of the file.
    Map(Vec<Entry>),
}

/// A key of a map and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key begins.
    pub place: Place,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// Whether it says nothing: `~`, `null`, or no value at all.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }

    /// The scalar, if it is one.
    #[must_use]
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The entries of a map; none of anything else.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Scalar(_) | Value::List(_) => &[],
        }
    }

    /// The values of a list; none of anything else.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            Value::Scalar(_) | Value::Map(_) => &[],
        }
    }

    /// The value of a key of a map.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// The value that a path of keys leads to, such as `db.filesystem`.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, key| node.get(key))
    }

    /// What it is, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Scalar(_) => "a scalar",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Reads the first document of `text`; `file` is what places call it.
///
/// A text of comments alone has no document, and a `---` at its end begins none.
///
/// # Errors
/// What is no YAML, a second document that is not empty, a key that is there twice or is no scalar,
/// an alias that leads nowhere, and [`DEPTH_MAX`], [`NODES_MAX`], [`TEXT_BYTES_MAX`].
pub(super) fn read_tree(text: &str, file: &str) -> Result<Option<Node>, TreeError> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = DEPTH_MAX;
    options.block_nesting_limit = DEPTH_MAX;
    let mut reader = Reader {
        file: Arc::from(file),
        open: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        documents: 0,
        nodes: 0,
        text_bytes: 0,
    };
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| {
            let place = reader.place(*error.marker());
            TreeError { place, what: error.info() }
        })?;
        let place = reader.place(span.start);
        reader.take(event, place)?;
    }
    Ok(reader.root)
}

/// A list or map that has not ended yet.
struct Open {
    node: Node,
    anchor: usize,
    /// The key of a map that waits for its value.
    key: Option<(String, Place)>,
    /// Keys of a map so far.
    keys: HashSet<String>,
    /// Values of its merge keys.
    merged: Vec<Node>,
}

struct Reader {
    file: Arc<str>,
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    documents: usize,
    nodes: usize,
    text_bytes: usize,
}

impl Reader {
    fn place(&self, at: Marker) -> Place {
        Place { file: Arc::clone(&self.file), line: at.line(), column: at.col() + 1 }
    }

    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), TreeError> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = style != ScalarStyle::Plain || is_text_tag(tag.as_deref());
                let scalar = Scalar { text: text.into_owned(), is_plain: !is_text };
                self.count(1, scalar.text.len(), &place)?;
                if self.documents > 1 && scalar.is_null() {
                    return Ok(());
                }
                self.ended(Node { place, value: Value::Scalar(scalar) }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.begin(Value::List(Vec::new()), anchor, place)
            }
            Event::MappingStart(_, anchor, _) => self.begin(Value::Map(Vec::new()), anchor, place),
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop().expect("BUG: the parser ends only what it began");
                let anchor = open.anchor;
                let node = self.with_merged(open)?;
                self.ended(node, anchor)
            }
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id).cloned() else {
                    let what = "this alias stands within its own anchor".to_owned();
                    return Err(TreeError { place, what });
                };
                let (nodes, bytes, depth) = size(&node);
                self.count(nodes, bytes, &place)?;
                self.check_depth(depth, &place)?;
                self.ended(node, 0)
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, value: Value, anchor: usize, place: Place) -> Result<(), TreeError> {
        self.count(1, 0, &place)?;
        self.check_depth(1, &place)?;
        let node = Node { place, value };
        let (keys, merged) = (HashSet::new(), Vec::new());
        self.open.push(Open { node, anchor, key: None, keys, merged });
        Ok(())
    }

    fn check_depth(&self, more: usize, place: &Place) -> Result<(), TreeError> {
        if self.open.len() + more <= DEPTH_MAX {
            return Ok(());
        }
        let what = format!("more than {DEPTH_MAX} lists and mappings within each other");
        Err(TreeError { place: place.clone(), what })
    }

    fn count(&mut self, nodes: usize, bytes: usize, place: &Place) -> Result<(), TreeError> {
        self.nodes = self.nodes.saturating_add(nodes);
        self.text_bytes = self.text_bytes.saturating_add(bytes);
        let what = if self.nodes > NODES_MAX {
            format!("more than {NODES_MAX} values, with those of aliases")
        } else if self.text_bytes > TEXT_BYTES_MAX {
            format!("more than {TEXT_BYTES_MAX} bytes of values, with those of aliases")
        } else {
            return Ok(());
        };
        Err(TreeError { place: place.clone(), what })
    }

    /// Puts a whole node where it belongs.
    fn ended(&mut self, node: Node, anchor: usize) -> Result<(), TreeError> {
        if anchor != 0 {
            let (nodes, bytes, _) = size(&node);
            self.count(nodes, bytes, &node.place)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            if self.documents > 1 {
                let what = "a second document: a configuration is one".to_owned();
                return Err(TreeError { place: node.place, what });
            }
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.node.value, open.key.take()) {
            (Value::Map(_), None) => {
                let Value::Scalar(scalar) = node.value else {
                    let what = format!("{} as a key", node.kind());
                    return Err(TreeError { place: node.place, what });
                };
                open.key = Some((scalar.text, node.place));
            }
            (Value::Map(_), Some((key, _))) if key == "<<" => open.merged.push(node),
            (Value::Map(entries), Some((key, place))) => {
                if !open.keys.insert(key.clone()) {
                    return Err(TreeError { place, what: format!("{key} is here twice") });
                }
                entries.push(Entry { key, place, node });
            }
            (Value::List(items), _) => items.push(node),
            (Value::Scalar(_), _) => unreachable!("BUG: a scalar is never open"),
        }
        Ok(())
    }

    /// The map with what its merge keys bring; its own keys count, then the first that brings one.
    fn with_merged(&mut self, open: Open) -> Result<Node, TreeError> {
        let Open { mut node, mut keys, merged, .. } = open;
        for source in merged {
            let sources = match source.value {
                Value::List(items) => items,
                _ => vec![source],
            };
            for Node { place, value } in sources {
                let (Value::Map(brought), Value::Map(entries)) = (value, &mut node.value) else {
                    let what = "<< brings mappings alone".to_owned();
                    return Err(TreeError { place, what });
                };
                entries.extend(brought.into_iter().filter(|entry| keys.insert(entry.key.clone())));
            }
        }
        Ok(node)
    }
}

/// Whether a tag says that the scalar is a text, whatever it looks like.
fn is_text_tag(tag: Option<&Tag>) -> bool {
    tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"))
}

/// Values in a node, their bytes, and how deep lists and maps are within it.
fn size(node: &Node) -> (usize, usize, usize) {
    let (mut nodes, mut bytes, mut deepest) = (0, 0, 0);
    let mut todo = vec![(node, 0)];
    while let Some((node, depth)) = todo.pop() {
        nodes += 1;
        deepest = deepest.max(depth);
        match &node.value {
            Value::Scalar(scalar) => bytes += scalar.text.len(),
            Value::List(items) => todo.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Map(entries) => {
                bytes += entries.iter().map(|entry| entry.key.len()).sum::<usize>();
                todo.extend(entries.iter().map(|entry| (&entry.node, depth + 1)));
            }
        }
    }
    (nodes, bytes, deepest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Node>, String> {
        read_tree(text, "f.yml").map_err(|error| error.to_string())
    }

    fn root(text: &str) -> Node {
        read(text).expect("valid").expect("a document")
    }

    /// The tree on one line, plain scalars without quotes.
    fn told(node: &Node) -> String {
        match &node.value {
            Value::Scalar(scalar) if scalar.is_plain => scalar.text.clone(),
            Value::Scalar(scalar) => format!("{:?}", scalar.text),
            Value::List(items) => {
                format!("[{}]", items.iter().map(told).collect::<Vec<_>>().join(","))
            }
            Value::Map(entries) => {
                let told = |entry: &Entry| format!("{}:{}", entry.key, told(&entry.node));
                format!("{{{}}}", entries.iter().map(told).collect::<Vec<_>>().join(","))
            }
        }
    }

    #[test]
    fn values_keep_their_text_and_place() {
        let tree = root("# head\na: 1.0\nb:\n  - x: \"true\"\n    y: True\n  - !!str 5\nc:\n");
        assert_eq!(told(&tree), "{a:1.0,b:[{x:\"true\",y:True},\"5\"],c:~}");
        let y = tree.get("b").and_then(|b| b.items()[0].get("y")).expect("there");
        assert_eq!(y.place.to_string(), "f.yml:5:8");
        assert_eq!(tree.entries()[1].place.to_string(), "f.yml:3:1");
        assert!(tree.get("c").expect("there").is_null());
        assert_eq!(read("# nothing\n"), Ok(None));
        assert_eq!(read(""), Ok(None));
    }

    #[test]
    fn aliases_and_merge_keys_are_put_in() {
        let text = "base: &b {x: 1, y: 2}\none: *b\ntwo:\n  <<: *b\n  y: 3\n\
                    three: {<<: [*b, {x: 9, z: 4}]}\n";
        let want = "{base:{x:1,y:2},one:{x:1,y:2},two:{y:3,x:1},three:{x:1,y:2,z:4}}";
        assert_eq!(told(&root(text)), want);
        assert_eq!(
            read("a: &a [*a]\n"),
            Err("f.yml:1:8: this alias stands within its own anchor".into())
        );
        assert_eq!(read("a: {<<: 5}\n"), Err("f.yml:1:9: << brings mappings alone".into()));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        assert_eq!(read("a: 1\nb: 2\na: 3\n"), Err("f.yml:3:1: a is here twice".into()));
        assert_eq!(read("a: 1\n? [x]\n: 2\n"), Err("f.yml:2:3: a list as a key".into()));
        let second = read("a: 1\n---\nb: 2\n").expect_err("two");
        assert!(second.starts_with("f.yml:3:1: a second document"), "{second}");
        assert_eq!(told(&root("---\na: 1\n---\n")), "{a:1}");
        let broken = read("a: 1\n  b: [\n").expect_err("not closed");
        assert!(broken.starts_with("f.yml:"), "{broken}");
    }

    #[test]
    fn depth_nodes_and_bytes_have_limits() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(read(&nested(DEPTH_MAX)).is_ok());
        assert!(read(&nested(DEPTH_MAX + 1)).is_err());
        let block = |n: usize| (0..n).map(|i| format!("{}a:\n", " ".repeat(i))).collect::<String>();
        assert!(read(&block(DEPTH_MAX)).is_ok());
        assert!(read(&block(DEPTH_MAX + 1)).is_err());
        let deep = format!("a: &a {}\nb: {}*a{}\n", nested(40), "[".repeat(30), "]".repeat(30));
        assert!(read(&deep).expect_err("deep by an alias").contains("within each other"));
        let list = |n: usize| format!("[{}]", "1,".repeat(n));
        assert!(read(&list(NODES_MAX - 1)).is_ok());
        assert!(read(&list(NODES_MAX)).expect_err("too many").contains("100000 values"));
        // Each line ten times the one before.
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..9 {
            let ten = format!("*a{}, ", i - 1).repeat(10);
            laughs.push_str(&format!("a{i}: &a{i} [{ten}]\n"));
        }
        assert!(read(&laughs).expect_err("laughs").contains("values, with those of aliases"));
        let big = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a,".repeat(8));
        assert!(read(&big).expect_err("big").contains("bytes of values"));
    }

    proptest::proptest! {
        /// Any text is a tree within the limits, or is refused with a place; reading never panics.
        #[test]
        fn any_text_is_read_or_refused(text in "[ab:&*<{}\\[\\],!'\"|>~#\n -]{0,60}") {
            match read_tree(&text, "f.yml") {
                Ok(None) => {}
                Ok(Some(node)) => {
                    let (nodes, bytes, depth) = size(&node);
                    let is_within = nodes <= NODES_MAX && bytes <= TEXT_BYTES_MAX;
                    proptest::prop_assert!(is_within && depth <= DEPTH_MAX);
                }
                Err(error) => proptest::prop_assert!(error.place.line >= 1),
            }
        }
    }
}
