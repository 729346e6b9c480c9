//! M3's own files, and what its coordinator said of fragments; both are beside the repository
//! where there is a copy of M3's material, and each test tells if there is none.
//!
//! Run with `M3RS_BLESS=1` to write the table of verdicts anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use m3rs_core::config::{Environment, Node, Value, merge, tree_from_file, tree_from_text};
use m3rs_core::fs::{DiskFs, Fs};

use super::finding::Finding;
use super::{Loaded, Role, load, loaded};

/// What is said of each file.
const VERDICTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/m3-config/verdicts.tsv");

/// Own files, one for each rule.
const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/m3-config");

fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures").join(path);
    let is_there = path.exists();
    if !is_there {
        eprintln!("skipped: {} is not there", path.display());
    }
    is_there.then_some(path)
}

fn sentences(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

fn none() -> Environment {
    Environment::of_map(BTreeMap::new())
}

fn own(names: &[&str], environment: &Environment) -> Loaded {
    let files: Vec<PathBuf> = names.iter().map(|name| Path::new(OWN).join(name)).collect();
    load(&files, None, &DiskFs, environment).expect("it can be read")
}

/// The program that a file is for, by the beginning of its name.
fn role_of(name: &str) -> Option<Role> {
    [
        ("m3coordinator", Role::Coordinator),
        ("docs-promremote-m3_coord", Role::Coordinator),
        ("m3query", Role::Query),
        ("docs-m3query", Role::Query),
        ("m3dbnode", Role::Dbnode),
        ("docs-m3dbnode", Role::Dbnode),
        ("m3aggregator", Role::Aggregator),
    ]
    .iter()
    .find_map(|(start, role)| name.starts_with(start).then_some(*role))
}

/// One line: file, role, verdict, warnings.
fn verdict(path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    let text = match load(&[path.to_owned()], role_of(name), &DiskFs, &none()) {
        Err(error) => format!("-\trefused: {error}\t0 warnings"),
        Ok(Loaded { role, checked, .. }) => {
            let verdict = match checked.errors.as_slice() {
                [] => "starts".to_owned(),
                [one] => format!("refused: {one}"),
                [first, rest @ ..] => format!("refused: {first} (and {} more)", rest.len()),
            };
            format!("{}\t{verdict}\t{} warnings", role.name(), checked.warnings.len())
        }
    };
    let dir = path.parent().map(|dir| format!("{}/", dir.display())).unwrap_or_default();
    format!("{name}\t{}\n", text.replace(&dir, ""))
}

#[test]
fn every_file_of_m3_has_its_verdict() {
    let (Some(files), Some(recorded)) = (shared("m3-config"), shared("m3-http/config")) else {
        return;
    };
    let mut fresh = String::new();
    for dir in [files, recorded] {
        let mut names = DiskFs.list(&dir).expect("a directory");
        names.sort();
        for name in names {
            let is_yaml =
                name.extension().is_some_and(|ending| ending == "yml" || ending == "yaml");
            if is_yaml {
                fresh.push_str(&verdict(&dir.join(name)));
            }
        }
    }
    if std::env::var_os("M3RS_BLESS").is_some() {
        let write = |file: &mut dyn m3rs_core::fs::FsFile| file.write_all(fresh.as_bytes());
        m3rs_core::fs::write_atomic(&DiskFs, Path::new(VERDICTS), write).expect("written");
    }
    let committed = DiskFs.read(Path::new(VERDICTS)).expect("the table");
    let committed = String::from_utf8(committed).expect("text");
    for (was, is) in committed.lines().zip(fresh.lines()) {
        assert_eq!(was, is, "a verdict changed: is it meant?");
    }
    assert_eq!(committed.lines().count(), fresh.lines().count(), "files came or went");
}

/// A record of what M3's coordinator did with a fragment laid over a whole file.
struct Record {
    name: String,
    starts: bool,
    fragment: Node,
}

fn records(path: &Path) -> Vec<Record> {
    let text = String::from_utf8(DiskFs.read(path).expect("records")).expect("text");
    let record = |line: &str| {
        let json: serde_json::Value = serde_json::from_str(line).expect("a record");
        // JSON is YAML; its dollar signs stand for variables, as in a file.
        let environment = Environment::of_map(BTreeMap::from([(
            "M3_HTTP_TEST_UNSET".to_owned(),
            "no address".to_owned(),
        )]));
        let fragment = tree_from_text(&json["config"].to_string(), "fragment", &environment);
        Record {
            name: json["name"].as_str().expect("a name").to_owned(),
            starts: json["starts"].as_bool().expect("a verdict"),
            fragment: fragment.expect("YAML").expect("a mapping"),
        }
    };
    text.lines().map(record).collect()
}

#[test]
fn fragments_are_judged_as_by_m3_s_coordinator() {
    let Some(dir) = shared("m3-http") else { return };
    let base = dir.join("config/d5-one-bad-rule.yml");
    let mut base = tree_from_file(&DiskFs, &base, &none()).expect("read").expect("a document");
    without(&mut base, "downsample", "rules");
    let mut judged = 0;
    for Record { name, starts, mut fragment } in records(&dir.join("d6-config.jsonl")) {
        let mut under = base.clone();
        if let Some(removed) = fragment.get("removed").cloned() {
            let Value::Map(entries) = &mut under.value else { panic!("a mapping") };
            let is_removed = |key: &str| {
                removed.items().iter().any(|item| item.scalar().is_some_and(|s| s.text == key))
            };
            entries.retain(|entry| !is_removed(&entry.key));
            fragment = Node { value: Value::Map(Vec::new()), ..fragment };
        }
        let loaded = loaded(&merge(under, fragment).expect("alike"), Some(Role::Coordinator));
        let errors = sentences(&loaded.checked.errors);
        // M3 refuses a key of its own documents, which users have: here it is a warning.
        if name == "d6-config/augment-m3-tags" {
            assert!(errors.is_empty() && loaded.checked.warnings.len() == 1, "{errors:?}");
            continue;
        }
        assert_eq!(errors.is_empty(), starts, "{name}: {errors:?}");
        judged += 1;
    }
    assert_eq!(judged, 46);
}

/// Takes a key out of a mapping of a mapping.
fn without(root: &mut Node, outer: &str, inner: &str) {
    let Value::Map(entries) = &mut root.value else { panic!("a mapping") };
    for entry in entries.iter_mut().filter(|entry| entry.key == outer) {
        let Value::Map(entries) = &mut entry.node.value else { panic!("a mapping") };
        entries.retain(|entry| entry.key != inner);
    }
}

#[test]
fn files_are_laid_over_each_other() {
    let loaded = own(&["base.yml", "over.yml"], &none());
    assert_eq!(sentences(&loaded.checked.errors), Vec::<String>::new());
    assert_eq!(loaded.role, Role::Coordinator);
    let settings = loaded.settings.expect("it starts").told();
    let want = [
        ("HTTP API", ":7301"),
        ("metrics", "0.0.0.0:7203"),
        ("Graphite lines", "0.0.0.0:7204"),
        ("log level", "info"),
        ("backend", "m3db"),
        ("cluster", "2 namespaces, writes one, reads unstrict_majority"),
        ("namespace", "default, kept 2d"),
        ("namespace", "hourly, kept 1y, aggregated to 1h by rules"),
        ("name and bucket labels", "__name__, le"),
        ("ID scheme", "quoted"),
        ("query timeout", "30s"),
        ("lookback", "10m"),
        ("query limits", "20 series; more is cut off"),
    ];
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, &**value)).collect();
    assert_eq!(settings, want);
}

#[test]
fn variables_are_put_in() {
    let set = [("M3RS_TEST_PORT", "7301"), ("M3RS_TEST_PREFIX", "p")];
    let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let loaded = own(&["variables.yml"], &Environment::of_map(set.collect()));
    assert_eq!(sentences(&loaded.checked.errors), Vec::<String>::new());
    let settings = loaded.settings.expect("it starts").told();
    assert_eq!(settings.first(), Some(&("HTTP API", "127.0.0.1:7301".to_owned())));
    let files = [Path::new(OWN).join("variables.yml")];
    let error = load(&files, None, &DiskFs, &none()).expect_err("unset").to_string();
    assert!(
        error.ends_with("line 2: variable M3RS_TEST_PORT is not set and has no default"),
        "{error}"
    );
}

#[test]
fn mistakes_and_old_names() {
    for (file, role, want) in [
        (
            "unknown-key.yml",
            Role::Coordinator,
            &["5:7: rpc.remotes[0].remoteListenAdresses is no key; did you mean \
                 remoteListenAddresses?"] as &[&str],
        ),
        (
            "wrong-type.yml",
            Role::Coordinator,
            &[
                "3:21: clusters[0].client.writeTimeout: \"soon\" is not a duration: its units must \
                 be h, m, s, ms, us, ns",
                "6:23: limits.perQuery.maxFetchedSeries: \"10\" is no whole number",
            ],
        ),
        (
            "no-start.yml",
            Role::Coordinator,
            &[
                "7:7: the endpoint raw is there twice",
                "7:7: the endpoint raw: resolution must be longer than 0",
                "carbon.ingester needs backend m3db",
                "2:19: lookbackDuration must be longer than 0",
            ],
        ),
        ("old-names.yml", Role::Dbnode, &[]),
        ("aggregator.yml", Role::Aggregator, &[]),
    ] {
        let loaded = own(&[file], &none());
        assert_eq!(loaded.role, role, "{file}");
        let place = format!("{OWN}/{file}:");
        let errors: Vec<String> = sentences(&loaded.checked.errors)
            .iter()
            .map(|error| error.replace(&place, ""))
            .collect();
        assert_eq!(errors, want, "{file}");
    }
    let aggregator = own(&["aggregator.yml"], &none()).settings.expect("it starts").told();
    let want = [
        ("HTTP API", "0.0.0.0:6001"),
        ("M3Msg", "0.0.0.0:6000"),
        ("metrics", "0.0.0.0:6002"),
        ("log level", "info"),
    ];
    let told: Vec<_> = aggregator.iter().map(|(name, value)| (*name, &**value)).collect();
    assert_eq!(told, want);
    let old = own(&["old-names.yml"], &none());
    assert_eq!(old.checked.warnings.len(), 4, "{:?}", sentences(&old.checked.warnings));
    let settings = old.settings.expect("it starts").told();
    assert_eq!(settings.first(), Some(&("data directory", "/data".to_owned())));
}
