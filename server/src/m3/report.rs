//! `m3rs check-config`: what m3rs does with each key of M3's files, for people and for programs.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use m3rs_core::config::Environment;
use m3rs_core::fs::DiskFs;
use serde::Serialize;

use super::check::{Checked, Row};
use super::finding::Finding;
use super::{Loaded, RoleSettings, load};
use crate::cli::{CheckConfigArgs, CheckFormat};

/// Reads the files, says what was found, and whether the role would start.
///
/// # Errors
/// The answer cannot be written.
pub(crate) fn run(args: &CheckConfigArgs) -> anyhow::Result<ExitCode> {
    let answer = match load(&args.files, args.role, &DiskFs, &Environment::of_process()) {
        Ok(loaded) => Answer::of(&loaded),
        Err(error) => Answer::of_nothing(error.to_string()),
    };
    let text = match args.format {
        CheckFormat::Text => answer.text(),
        CheckFormat::Json => answer.json()?,
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other?,
    }
    Ok(if answer.starts { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All that is said.
#[derive(Debug, Serialize)]
struct Answer {
    /// Nothing if the files could not be read.
    role: Option<&'static str>,
    starts: bool,
    settings: Vec<Setting>,
    keys: Vec<KeyAnswer>,
    warnings: Vec<Said>,
    errors: Vec<Said>,
}

#[derive(Debug, Serialize)]
struct Setting {
    name: &'static str,
    value: String,
}

#[derive(Debug, Serialize)]
struct KeyAnswer {
    key: String,
    value: String,
    default: &'static str,
    file: String,
    line: usize,
    column: usize,
    /// `used`, `no effect`, `later`, `refused` or `old name`.
    here: &'static str,
    text: &'static str,
}

#[derive(Debug, Serialize)]
struct Said {
    file: Option<String>,
    line: Option<usize>,
    column: Option<usize>,
    text: String,
}

impl Said {
    fn of(finding: &Finding) -> Self {
        let place = finding.place.as_ref();
        Self {
            file: place.map(|place| place.file.to_string()),
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            text: finding.text.clone(),
        }
    }

    fn line(&self, kind: &str) -> String {
        match (&self.file, self.line, self.column) {
            (Some(file), Some(line), Some(column)) => {
                format!("{kind}: {file}:{line}:{column}: {}\n", self.text)
            }
            _ => format!("{kind}: {}\n", self.text),
        }
    }
}

impl Answer {
    fn of(loaded: &Loaded) -> Self {
        let Checked { rows, warnings, errors } = &loaded.checked;
        let told = loaded.settings.as_ref().map(RoleSettings::told).unwrap_or_default();
        let key = |row: &Row| KeyAnswer {
            key: row.path.clone(),
            value: row.value.clone(),
            default: row.default,
            file: row.place.file.to_string(),
            line: row.place.line,
            column: row.place.column,
            here: row.here.word(),
            text: row.here.text(),
        };
        Self {
            role: Some(loaded.role.name()),
            starts: errors.is_empty(),
            settings: told.into_iter().map(|(name, value)| Setting { name, value }).collect(),
            keys: rows.iter().map(key).collect(),
            warnings: warnings.iter().map(Said::of).collect(),
            errors: errors.iter().map(Said::of).collect(),
        }
    }

    fn of_nothing(text: String) -> Self {
        let errors = vec![Said { file: None, line: None, column: None, text }];
        let (settings, keys, warnings) = (Vec::new(), Vec::new(), Vec::new());
        Self { role: None, starts: false, settings, keys, warnings, errors }
    }

    fn json(&self) -> anyhow::Result<String> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }

    fn text(&self) -> String {
        let mut out = String::new();
        if !self.keys.is_empty() {
            out.push_str("Keys of the file\n");
            let rows = self.keys.iter().map(|key| {
                let what = format!("{}: {}", key.here, key.text);
                [key.key.clone(), key.value.clone(), what]
            });
            table(&mut out, &rows.collect::<Vec<_>>());
        }
        if !self.settings.is_empty() {
            out.push_str("\nSettings, with defaults\n");
            let rows = self.settings.iter().map(|s| [s.name.to_owned(), s.value.clone()]);
            table(&mut out, &rows.collect::<Vec<_>>());
        }
        let is_all_well = self.warnings.is_empty() && self.errors.is_empty();
        if !is_all_well && !out.is_empty() {
            out.push('\n');
        }
        self.warnings.iter().for_each(|said| out.push_str(&said.line("warning")));
        self.errors.iter().for_each(|said| out.push_str(&said.line("error")));
        if let Some(role) = self.role {
            let verdict = if self.starts { "would start" } else { "would not start" };
            writeln!(out, "\n{role} {verdict}").expect("BUG: a string takes text");
        }
        out
    }
}

/// Characters up to which a column is aligned; what is longer pushes its line aside.
const COLUMN_MAX: usize = 64;

/// Writes rows with their columns under each other.
fn table<const N: usize>(out: &mut String, rows: &[[String; N]]) {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            let chars = cell.chars().count();
            *width = (*width).max(if chars > COLUMN_MAX { 0 } else { chars });
        }
    }
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            write!(line, "  {cell:<width$}").expect("BUG: a string takes text");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}
