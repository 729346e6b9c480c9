//! Sums what test programs print, so that a run ends with one line.

use std::fmt;

/// How a test that could not run says so: a line that starts with this, then the reason.
///
/// The test counts as skipped, not as passed.
pub(crate) const SKIP_PREFIX: &str = "SKIP: ";

/// Counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Tests that ran and held.
    pub(crate) passed: u64,
    /// Tests that ran and did not hold.
    pub(crate) failed: u64,
    /// Tests that could not run.
    pub(crate) skipped: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

impl Summary {
    /// Adds another run.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// The counts of one `test result:` line of libtest; `None` for every other line.
pub(crate) fn result_line(line: &str) -> Option<Summary> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let mut summary = Summary::default();
    for part in counts.split(';') {
        let mut words = part.split_whitespace();
        let (Some(count), Some(what)) = (words.next(), words.next()) else { continue };
        let Ok(count) = count.parse::<u64>() else { continue };
        match what {
            "passed" => summary.passed = count,
            "failed" => summary.failed = count,
            "ignored" => summary.skipped = count,
            _ => {}
        }
    }
    Some(summary)
}

/// One finished test program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// Its name as cargo gives it.
    pub(crate) name: String,
    /// Its counts.
    pub(crate) summary: Summary,
    /// Why tests were skipped.
    pub(crate) skips: Vec<String>,
    /// Lines to show when it failed.
    pub(crate) said: Vec<String>,
}

/// Follows the merged output of `cargo test` line by line.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    name: String,
    skips: Vec<String>,
    said: Vec<String>,
}

impl Follower {
    /// Takes a line; returns the program that it finished, if it did.
    pub(crate) fn line(&mut self, line: &str) -> Option<Program> {
        if let Some(name) = started(line) {
            self.name = program_name(name);
            self.said.clear();
            self.skips.clear();
            return None;
        }
        if let Some(reason) = line.strip_prefix(SKIP_PREFIX) {
            self.skips.push(reason.to_owned());
        }
        self.said.push(line.to_owned());
        let mut summary = result_line(line)?;
        let skips = std::mem::take(&mut self.skips);
        let skipped = u64::try_from(skips.len()).unwrap_or(u64::MAX).min(summary.passed);
        summary.passed -= skipped;
        summary.skipped += skipped;
        let said = std::mem::take(&mut self.said);
        Some(Program { name: self.name.clone(), summary, skips, said })
    }

    /// What was said since the last finished program: a crash leaves no result line.
    pub(crate) fn rest(&self) -> &[String] {
        &self.said
    }
}

/// What cargo says it starts; it aligns these words to the twelfth column.
fn started(line: &str) -> Option<&str> {
    line.strip_prefix("     Running ")
        .or_else(|| line.strip_prefix("   Doc-tests ").map(|_| line.trim_start()))
}

/// `unittests src/lib.rs (target/debug/deps/m3rs_core-1f2e)` becomes `m3rs_core src/lib.rs`.
fn program_name(running: &str) -> String {
    let Some((what, path)) = running.split_once(" (") else { return running.to_owned() };
    let file = path.trim_end_matches(')').rsplit('/').next().unwrap_or(path);
    let program = file.rsplit_once('-').map_or(file, |(name, _)| name);
    format!("{program} {}", what.trim_start_matches("unittests "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_result_line() {
        let line = "test result: FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; \
                    3 filtered out; finished in 0.01s";
        let want = Summary { passed: 12, failed: 1, skipped: 2 };
        assert_eq!(result_line(line), Some(want));
        assert_eq!(result_line("test some::name ... ok"), None);
    }

    #[test]
    fn counts_a_skip_as_skipped_not_as_passed() {
        let mut follower = Follower::default();
        let lines = [
            "     Running tests/story.rs (target/debug/deps/story-0a1b)",
            "running 2 tests",
            "SKIP: no real component",
            "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        ];
        let program = lines.iter().find_map(|line| follower.line(line)).expect("a program ends");
        assert_eq!(program.name, "story tests/story.rs");
        assert_eq!(program.summary, Summary { passed: 1, failed: 0, skipped: 1 });
        assert_eq!(program.skips, ["no real component"]);
    }

    #[test]
    fn keeps_what_a_crash_said() {
        let mut follower = Follower::default();
        for line in ["     Running tests/a.rs (x/a-1)", "thread main has overflowed its stack"] {
            assert_eq!(follower.line(line), None);
        }
        assert_eq!(follower.rest(), ["thread main has overflowed its stack"]);
    }

    #[test]
    fn adds_and_prints() {
        let mut sum = Summary { passed: 1, failed: 2, skipped: 3 };
        sum.add(Summary { passed: 10, failed: 0, skipped: 1 });
        assert_eq!(sum.to_string(), "11 passed, 2 failed, 4 skipped");
    }
}
