//! `docs/m3-config.md`, made from the description of the keys so that it cannot lie.
//!
//! Run the test with `M3RS_BLESS=1` to write the page anew.

use std::fmt::Write;
use std::path::Path;

use m3rs_core::fs::{DiskFs, Fs};

use super::schema::{AGGREGATOR, COORDINATOR, DBNODE, Here, Key, Kind};

/// Where the page is.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/m3-config.md");

const HEAD: &str = "# M3's configuration files

Generated from the keys that m3rs knows; `M3RS_BLESS=1 cargo test -p m3rs m3::page` writes it
anew.

`m3rs check-config FILE...` reads files of M3 and says what each key does, what the settings are
with their defaults, and whether the role would start: exit code 0 if it would, 1 if not.
`--role` names the role, if the keys do not show it; `--format json` is for programs. No command
starts from these files yet.

How they are read:

- Several files of one program are laid over each other: mappings key by key, lists and scalars
  as a whole, later files over earlier ones. A key without a value takes away what is under it.
  A list cannot lie on a mapping.
- `${NAME}`, `${NAME:default}` and `$NAME` are put in before anything else, in comments too;
  `$$` is a dollar sign, `${NAME:\"\"}` has nothing as its default, and a variable without value
  and default stops the start.
- A key that is not below stops the start, and so does a value of another type. Messages have
  file, line and column, and the key that was probably meant.
- Scalars are those of YAML 1.1: `True`, `yes` and `on` are true. Durations are Go's: `48h`, not
  `2d`; a number is nanoseconds. A second document in a file is refused, unless it is empty.
- A file is at most 4 MiB long, and has at most 64 levels, 100,000 values, and 8 MiB of text
  with what aliases put in.

What m3rs does with a key:

| word | meaning |
|---|---|
| used | it is a setting of m3rs |
| no effect | it is taken; what it is about is done in another way, or is not there |
| later | it is taken and checked, and waits for what m3rs does not do yet |
| refused | a value that asks for it stops the start |
| old name | M3 does not know it any more; it is taken with a warning |

A key of which nothing is said is as the mapping around it.
";

/// Mappings that several keys have, and by which key each is shown.
const SHARED: &[(&str, &[&str])] = &[
    ("a client of nodes", &["config", "writeConsistencyLevel"]),
    ("how nodes are found", &["service", "services", "static"]),
    ("a client of etcd", &["env", "zone", "service", "cacheDir"]),
    ("a place in the KV store", &["zone", "environment", "namespace"]),
    ("placements", &["allowPartialReplace", "allowAllZones"]),
    ("retries", &["initialBackoff", "backoffFactor"]),
    ("a listener", &["listenAddress", "retry", "keepAliveEnabled", "keepAlivePeriod", "tls"]),
    ("logs", &["level", "file", "fields"]),
    ("metrics", &["scope", "prometheus", "m3"]),
    ("traces", &["serviceName", "backend", "opentelemetry"]),
    ("a producer", &["buffer", "writer"]),
    ("a consumer", &["encoder", "decoder", "messagePool", "ackFlushInterval"]),
    ("a client of aggregators", &["type", "m3msg", "placementKV"]),
    ("how metrics are aggregated", &["defaultCounterAggregationTypes"]),
    ("a host's name", &["resolver", "value"]),
    ("limits of queries", &["perQuery"]),
    ("a namespace", &["namespace", "type", "retention"]),
    ("files of a node", &["filePathPrefix", "writeBufferSize"]),
    ("a pool of a node", &["size", "capacity", "maxCapacity"]),
    ("a pool of objects", &["size", "watermark"]),
    ("a pool of bytes", &["buckets", "watermark"]),
    ("namespaces of protobuf messages", &["enabled", "schema_registry"]),
];

/// The name of a mapping that several keys have.
fn shared(keys: &[Key]) -> Option<&'static str> {
    let begins = |first: &[&str]| {
        first.len() <= keys.len() && first.iter().zip(keys).all(|(name, key)| *name == key.name)
    };
    SHARED.iter().find(|(_, first)| begins(first)).map(|(name, _)| *name)
}

#[derive(Default)]
struct Page {
    text: String,
    /// Shared mappings that were met, in order, and how many of them are written.
    met: Vec<(&'static str, &'static [Key])>,
}

impl Page {
    fn table(&mut self, keys: &'static [Key]) {
        self.text.push_str("\n| key | type | default | here |\n|---|---|---|---|\n");
        self.rows(keys, "");
    }

    fn rows(&mut self, keys: &'static [Key], path: &str) {
        for key in keys {
            let (mut kind, mut path) = (key.kind, format!("{path}{}", key.name));
            while let Kind::List(inner) | Kind::Map(inner) = kind {
                if !matches!(inner, Kind::Block(_) | Kind::List(_) | Kind::Map(_)) {
                    break;
                }
                path.push_str(if matches!(kind, Kind::List(_)) { "[]" } else { ".*" });
                kind = *inner;
            }
            let (name, inside) = match kind {
                Kind::Block(keys) => match self.met(keys) {
                    Some(name) => {
                        (format!("[{name}](#{})", name.replace([' '], "-").replace('\'', "")), None)
                    }
                    None => ("mapping".to_owned(), Some(keys)),
                },
                other => (other.name(), None),
            };
            let default =
                if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
            let here = match key.here {
                Here::AsAround => String::new(),
                here => format!("{}: {}", here.word(), here.text()),
            };
            let needed = if key.is_required { ", needed" } else { "" };
            if inside.is_none() || !here.is_empty() || key.is_required {
                writeln!(self.text, "| `{path}` | {name}{needed} | {default} | {here} |")
                    .expect("BUG: a string takes text");
            }
            if let Some(keys) = inside {
                self.rows(keys, &format!("{path}."));
            }
        }
    }

    /// The name of a shared mapping, which is written once, after the roles.
    fn met(&mut self, keys: &'static [Key]) -> Option<&'static str> {
        let name = shared(keys)?;
        match self.met.iter().find(|(met, _)| *met == name) {
            Some((_, first)) => {
                let names = |keys: &[Key]| keys.iter().map(|key| key.name).collect::<Vec<_>>();
                assert_eq!(names(first), names(keys), "two mappings are called {name}");
            }
            None => self.met.push((name, keys)),
        }
        Some(name)
    }
}

fn page() -> String {
    let mut page = Page { text: HEAD.to_owned(), ..Page::default() };
    page.text.push_str("\n## Coordinator and query server\n");
    page.table(COORDINATOR);
    page.text
        .push_str("\n## Storage node\n\n`coordinator` has the keys of a coordinator's file.\n");
    let [coordinator, db] = DBNODE else { panic!("a node has two keys") };
    for key in [coordinator, db] {
        writeln!(page.text, "\n`{}`: {}.", key.name, key.here.text()).expect("it takes text");
    }
    let Kind::Block(keys) = db.kind else { panic!("db is a mapping") };
    page.table(keys);
    page.text.push_str("\n## Aggregator\n");
    page.table(AGGREGATOR);
    page.text.push_str("\n# Mappings that several keys have\n");
    let mut written = 0;
    while let Some((name, keys)) = page.met.get(written).copied() {
        written += 1;
        writeln!(page.text, "\n## {name}").expect("it takes text");
        page.table(keys);
    }
    page.text
}

#[test]
fn the_page_says_what_is_known() {
    let path = Path::new(PAGE);
    let fresh = page();
    if std::env::var_os("M3RS_BLESS").is_some() {
        let write = |file: &mut dyn m3rs_core::fs::FsFile| file.write_all(fresh.as_bytes());
        m3rs_core::fs::write_atomic(&DiskFs, path, write).expect("the page can be written");
    }
    let page = DiskFs.read(path).expect("docs/m3-config.md");
    assert!(
        page == fresh.as_bytes(),
        "docs/m3-config.md is old: run `M3RS_BLESS=1 cargo test -p m3rs m3::page`"
    );
}
