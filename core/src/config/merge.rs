//! Lays one file over another, as M3 does with several `-f`: maps key by key, all else replaced.

use super::tree::{Node, TreeError, Value};

// Recursion is bounded: trees are at most `DEPTH_MAX` deep.
/// `over` laid over `under`: maps deeply, lists and scalars as a whole. Nothing (`key:` or `~`) in
/// `over` takes away what is under it.
///
/// # Errors
/// A value of another kind than the one that it would lie on.
pub fn merge(under: Node, over: Node) -> Result<Node, TreeError> {
    if under.is_null() || over.is_null() {
        return Ok(over);
    }
    let (from, kind) = (under.place.clone(), under.kind());
    let over_kind = over.kind();
    match (under.value, over.value) {
        (Value::Map(mut entries), Value::Map(more)) => {
            let mut at: std::collections::HashMap<String, usize> =
                entries.iter().enumerate().map(|(i, entry)| (entry.key.clone(), i)).collect();
            for entry in more {
                match at.get(&entry.key).and_then(|i| entries.get_mut(*i)) {
                    Some(below) => {
                        let nothing = Node {
                            place: below.node.place.clone(),
                            value: Value::Scalar(super::Scalar::default()),
                        };
                        let lower = std::mem::replace(&mut below.node, nothing);
                        below.node = merge(lower, entry.node)?;
                        below.place = entry.place;
                    }
                    None => {
                        at.insert(entry.key.clone(), entries.len());
                        entries.push(entry);
                    }
                }
            }
            Ok(Node { place: over.place, value: Value::Map(entries) })
        }
        (Value::List(_), value @ Value::List(_)) | (Value::Scalar(_), value @ Value::Scalar(_)) => {
            Ok(Node { place: over.place, value })
        }
        _ => {
            let what = format!("{over_kind} cannot be laid over {kind}, which is at {from}");
            Err(TreeError { place: over.place, what })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::read_tree;
    use super::*;

    fn read(text: &str, file: &str) -> Node {
        read_tree(text, file).expect("valid").expect("a document")
    }

    #[test]
    fn maps_merge_and_all_else_is_replaced() {
        let base = read("a: {x: 1, y: {z: 2}}\nlist: [1, 2]\ngone: 5\nempty:\n", "a.yml");
        let over =
            read("a: {y: {w: 3}, x: 9}\nlist: [3]\ngone: ~\nempty: {k: 1}\nnew: 7\n", "b.yml");
        let merged = merge(base, over).expect("alike");
        let int =
            |path: &str| merged.at(path).and_then(Node::scalar).and_then(super::super::Scalar::int);
        assert_eq!((int("a.x"), int("a.y.z"), int("a.y.w")), (Some(9), Some(2), Some(3)));
        assert_eq!(merged.get("list").map(|list| list.items().len()), Some(1));
        assert!(merged.get("gone").expect("a key").is_null());
        assert_eq!((int("empty.k"), int("new")), (Some(1), Some(7)));
        assert_eq!(merged.at("a.x").expect("there").place.to_string(), "b.yml:1:19");
        assert_eq!(merged.at("a.y.z").expect("there").place.to_string(), "a.yml:1:18");
    }

    #[test]
    fn kinds_must_agree() {
        let error = merge(read("a: [1]\n", "a.yml"), read("a: {x: 1}\n", "b.yml"))
            .expect_err("a mapping over a list");
        let want = "b.yml:1:4: a mapping cannot be laid over a list, which is at a.yml:1:4";
        assert_eq!(error.to_string(), want);
    }
}
