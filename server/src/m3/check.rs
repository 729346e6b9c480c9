//! Walks a file along the description of its keys: unknown keys, wrong types, old names.

use m3rs_core::config::{Entry, Node, Place, Value};

use super::finding::{Finding, HIDDEN, shown};
use super::scalar::check_scalar;
use super::schema::{Here, Key, Kind};

/// What was found in a file.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Each key with its value, in the order of the file.
    pub(crate) rows: Vec<Row>,
    /// What the program goes on with, but its owner should know.
    pub(crate) warnings: Vec<Finding>,
    /// What stops the start.
    pub(crate) errors: Vec<Finding>,
}

/// A key of a file, and what m3rs does with it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Its path, such as `clusters[0].client.writeTimeout`.
    pub(crate) path: String,
    pub(crate) place: Place,
    /// Its value on one line; empty for a mapping.
    pub(crate) value: String,
    /// What holds without it; empty if nothing is to be said.
    pub(crate) default: &'static str,
    /// What is done with it.
    pub(crate) here: Here,
}

impl Row {
    fn new(path: String, place: &Place, default: &'static str, here: Here) -> Self {
        Self { path, place: place.clone(), value: String::new(), default, here }
    }
}

/// Checks a file against what its role reads.
pub(super) fn check(root: &Node, keys: &[Key]) -> Checked {
    let mut checked = Checked::default();
    checked.mapping(keys, root, "", Here::AsAround);
    checked
}

impl Checked {
    // Recursion is bounded: a tree is at most `DEPTH_MAX` deep.
    fn mapping(&mut self, keys: &[Key], node: &Node, path: &str, around: Here) {
        if node.is_null() {
            return;
        }
        let Value::Map(entries) = &node.value else {
            self.errors.push(wrong_kind(node, path, "a mapping"));
            return;
        };
        for entry in entries {
            match keys.iter().find(|key| key.name == entry.key) {
                Some(key) => self.entry(key, entry, path, around),
                None => self.errors.push(unknown(entry, keys, path)),
            }
        }
        for key in keys.iter().filter(|key| key.is_required) {
            let is_there = node.get(key.name).is_some_and(|value| {
                !value.is_null() && value.scalar().is_none_or(|scalar| !scalar.text.is_empty())
            });
            if !is_there {
                let path = joined(path, key.name);
                self.errors.push(Finding::at(&node.place, format!("{path} is missing")));
            }
        }
    }

    fn entry(&mut self, key: &Key, entry: &Entry, path: &str, around: Here) {
        let path = joined(path, key.name);
        match key.here {
            Here::Old(now) => {
                let text = format!("M3 does not know {path} any more: {now}");
                self.warnings.push(Finding::at(&entry.place, text));
            }
            Here::Refused(why) if asks_for_it(&entry.node) => {
                self.errors.push(Finding::at(&entry.node.place, format!("{path}: {why}")));
            }
            _ => {}
        }
        let here = key.here.within(around);
        let row = Row::new(path, &entry.place, key.default, here);
        self.value(key.kind, &entry.node, row);
    }

    fn value(&mut self, kind: Kind, node: &Node, mut row: Row) {
        match kind {
            Kind::Block(keys) => {
                let (path, here) = (row.path.clone(), row.here);
                if node.is_null() || node.entries().is_empty() {
                    self.rows.push(row);
                }
                self.mapping(keys, node, &path, here);
            }
            Kind::Map(inner) if matches!(node.value, Value::Map(_)) => {
                for entry in node.entries() {
                    let path = joined(&row.path, &shown(&entry.key));
                    self.value(*inner, &entry.node, Row::new(path, &entry.place, "", row.here));
                }
            }
            Kind::List(inner) if matches!(node.value, Value::List(_)) => {
                self.list(*inner, node, row);
            }
            Kind::Map(_) | Kind::List(_) => {
                let wanted = if matches!(kind, Kind::Map(_)) { "a mapping" } else { "a list" };
                if !node.is_null() {
                    self.errors.push(wrong_kind(node, &row.path, wanted));
                }
                self.rows.push(row);
            }
            _ => {
                self.scalar(kind, node, &row.path);
                let is_secret = matches!(kind, Kind::Secret);
                row.value = if is_secret { HIDDEN.to_owned() } else { value_of(node) };
                self.rows.push(row);
            }
        }
    }

    fn list(&mut self, inner: Kind, node: &Node, mut row: Row) {
        let is_of_scalars = !matches!(inner, Kind::Block(_) | Kind::Map(_) | Kind::List(_));
        for (i, item) in node.items().iter().enumerate() {
            let path = format!("{}[{i}]", row.path);
            if is_of_scalars {
                self.scalar(inner, item, &path);
            } else {
                self.value(inner, item, Row::new(path, &item.place, "", row.here));
            }
        }
        if is_of_scalars || node.items().is_empty() {
            row.value = value_of(node);
            self.rows.push(row);
        }
    }

    fn scalar(&mut self, kind: Kind, node: &Node, path: &str) {
        if let Err(why) = check_scalar(kind, node) {
            self.errors.push(Finding::at(&node.place, format!("{path}: {why}")));
        }
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Whether a value switches something on.
fn asks_for_it(node: &Node) -> bool {
    !node.is_null() && node.scalar().and_then(|scalar| scalar.bool()) != Some(false)
}

/// A value on one line.
fn value_of(node: &Node) -> String {
    match &node.value {
        Value::Scalar(scalar) => shown(&scalar.text),
        Value::List(items) => {
            let texts = items.iter().take(8).filter_map(Node::scalar);
            let texts: Vec<&str> = texts.map(|scalar| &*scalar.text).collect();
            shown(&texts.join(", "))
        }
        Value::Map(_) => String::new(),
    }
}

fn wrong_kind(node: &Node, path: &str, wanted: &str) -> Finding {
    let path = if path.is_empty() { "the file" } else { path };
    Finding::at(&node.place, format!("{path}: {wanted} is wanted, and here is {}", node.kind()))
}

fn unknown(entry: &Entry, keys: &[Key], path: &str) -> Finding {
    let name = joined(path, &shown(&entry.key));
    let text = match near(&entry.key, keys) {
        Some(near) => format!("{name} is no key; did you mean {near}?"),
        None => format!("{name} is no key"),
    };
    Finding::at(&entry.place, text)
}

/// Bytes of a key that is compared with others.
const NEAR_BYTES_MAX: usize = 80;

/// The known key that was probably meant.
fn near(name: &str, keys: &[Key]) -> Option<&'static str> {
    if name.len() > NEAR_BYTES_MAX {
        return None;
    }
    let small = name.to_lowercase();
    let known = keys.iter().filter(|key| !matches!(key.here, Here::Old(_)));
    let distance = |key: &Key| strsim::damerau_levenshtein(&small, &key.name.to_lowercase());
    let nearest = known.map(|key| (distance(key), key.name)).min()?;
    (nearest.0 <= (small.len() / 3).max(1)).then_some(nearest.1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use m3rs_core::config::{Environment, tree_from_text};

    use super::super::schema::{COORDINATOR, DBNODE};
    use super::*;

    fn checked(text: &str, keys: &[Key]) -> Checked {
        let none = Environment::of_map(BTreeMap::new());
        let root = tree_from_text(text, "f.yml", &none).expect("YAML").expect("a document");
        check(&root, keys)
    }

    fn told(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn unknown_keys_are_told_with_a_near_name() {
        let text = "listenAdress: 0.0.0.0:7201\nlimits:\n  perQuery:\n    maxFetchedSerie: 1\n\
                    clusters:\n  - client:\n      zzz: 1\n";
        let errors = told(&checked(text, COORDINATOR).errors);
        let want = [
            "f.yml:1:1: listenAdress is no key; did you mean listenAddress?",
            "f.yml:4:5: limits.perQuery.maxFetchedSerie is no key; did you mean maxFetchedSeries?",
            "f.yml:7:7: clusters[0].client.zzz is no key",
        ];
        assert_eq!(errors, want);
    }

    #[test]
    fn wrong_types_are_told_with_their_place() {
        let text = "listenAddress: nope\nlimits: {perQuery: {maxFetchedSeries: many}}\n\
                    lookbackDuration: 2d\nclusters: {}\nlocal: [1]\nstoreMetricsType: \"true\"\n\
                    metrics: {samplingRate: 2}\n";
        let errors = told(&checked(text, COORDINATOR).errors);
        let want = [
            "f.yml:1:16: listenAddress: \"nope\" is no address: it needs host:port",
            "f.yml:2:39: limits.perQuery.maxFetchedSeries: \"many\" is no whole number",
            "f.yml:3:19: lookbackDuration: \"2d\" is not a duration: its units must be h, m, s, \
             ms, us, ns",
            "f.yml:4:11: clusters: a list is wanted, and here is a mapping",
            "f.yml:5:8: local: a mapping is wanted, and here is a list",
            "f.yml:6:19: storeMetricsType: \"true\" is neither true nor false",
            "f.yml:7:25: metrics.samplingRate: \"2\" is not from 0 to 1",
        ];
        assert_eq!(errors, want);
    }

    #[test]
    fn old_names_are_taken_with_a_warning() {
        let text = "db:\n  fs: {filePathPrefix: /data}\n  config:\n    service: {service: m3db}\n";
        let checked = checked(text, DBNODE);
        assert_eq!(told(&checked.errors), Vec::<String>::new());
        let want = [
            "f.yml:2:3: M3 does not know db.fs any more: the key is filesystem now",
            "f.yml:3:3: M3 does not know db.config any more: the key is discovery.config now",
        ];
        assert_eq!(told(&checked.warnings), want);
    }

    #[test]
    fn what_is_not_kept_is_refused_only_if_it_is_asked_for() {
        let proto = |on| checked(&format!("db: {{proto: {{enabled: {on}}}}}\n"), DBNODE).errors;
        let want = "f.yml:1:23: db.proto.enabled: namespaces of protobuf messages are not kept";
        assert_eq!(told(&proto("true")), [want]);
        assert!(proto("false").is_empty());
    }

    #[test]
    fn secrets_are_not_shown() {
        let text = "writeForwarding: {promRemoteWrite: {targets: [{url: 'http://me:word@a/b', \
                    headers: {Authorization: word}}]}}\n";
        let rows = checked(text, COORDINATOR).rows;
        let values: Vec<&str> = rows.iter().map(|row| &*row.value).collect();
        assert_eq!(values, ["http://(hidden)@a/b", "(hidden)"]);
    }

    #[test]
    fn needed_keys_and_every_row() {
        let text = "ingest:\n  m3msg:\n    server: {}\n";
        let errors = told(&checked(text, COORDINATOR).errors);
        assert_eq!(errors, ["f.yml:3:13: ingest.m3msg.server.listenAddress is missing"]);
        let text = "tagOptions:\n  filters:\n    - name: a\n      values: [x, y]\nbackend: m3db\n";
        let rows: Vec<(String, String)> = checked(text, COORDINATOR)
            .rows
            .into_iter()
            .map(|row| (format!("{} = {}", row.path, row.value), row.here.word().to_owned()))
            .collect();
        let want = [
            ("tagOptions.filters[0].name = a", "used"),
            ("tagOptions.filters[0].values = x, y", "used"),
            ("backend = m3db", "used"),
        ];
        let want: Vec<_> = want.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(rows, want);
    }
}
