//! Paths of one machine, and hosts that only builds talk to.

use super::Finding;
use crate::tree::Source;

/// Text that means something on one machine only, or that names a package host.
const FORBIDDEN: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/fa", "rm/"),
    concat!("/tmp/", "wt"),
    concat!("proxy.gol", "ang.org"),
    concat!("crates.io/", "api"),
    concat!("registry.npm", "js"),
    concat!("deb.deb", "ian.org"),
];

/// Checks every line of every text file.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (i, line) in source.text.lines().enumerate() {
        if let Some(found) = FORBIDDEN.iter().find(|text| line.contains(**text)) {
            let what = format!("`{found}` belongs to one machine or to a package host");
            let mend = "use a path inside the repository, or a setting";
            findings.push(Finding::new(&source.path, i + 1, what, mend));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_line() {
        let text = format!("fine\nlet dir = \"{}x\";\n", FORBIDDEN[0]);
        let findings = check(&Source { path: "a.rs".into(), text });
        assert_eq!(findings.iter().map(|f| f.line).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn ordinary_paths_pass() {
        let text = "let dir = \"/var/lib/m3rs\"; // see /network/".to_owned();
        assert_eq!(check(&Source { path: "a.rs".into(), text }), []);
    }
}
