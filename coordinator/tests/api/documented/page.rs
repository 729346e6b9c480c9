//! What a page of `docs/api` says: its requests with their answers, and its table of routes.
//!
//! A request is a block `http`: method and target, headers, an empty line, the body, an empty
//! line, the status, and those headers of the answer that matter. What is answered stands in the
//! next block, `json` or `text`; without one the answer has no body.

use std::collections::BTreeSet;
use std::mem::take;
use std::path::Path;

use m3rs_core::fs::{DiskFs, Fs};

/// Names and values.
pub(crate) type Headers = Vec<(String, String)>;

/// A request and its answer.
#[derive(Debug, Default)]
pub(crate) struct Example {
    /// Where it stands.
    pub(crate) page: String,
    pub(crate) line: usize,
    /// The anchors of the headings above it, the outermost first.
    pub(crate) sections: Vec<String>,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Headers,
    pub(crate) body: String,
    pub(crate) status: u16,
    pub(crate) answer_headers: Headers,
    /// The kind of the block with the answer, and its text.
    pub(crate) answer: Option<(String, String)>,
}

/// A row of the table of routes.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) paths: Vec<String>,
    pub(crate) methods: BTreeSet<String>,
    /// Where its link leads: a page, and the anchor of a section or nothing.
    pub(crate) link: (String, String),
}

/// The page that has the table of routes.
pub(crate) const TABLE: &str = "http.md";

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api"))
}

/// The names of all pages.
pub(crate) fn pages() -> Vec<String> {
    let paths = DiskFs.list(folder()).expect("the folder");
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    paths.iter().map(|path| name(path)).filter(|name| name.ends_with(".md")).collect()
}

fn read(page: &str) -> String {
    let page = DiskFs.read(&folder().join(page)).expect("the page");
    String::from_utf8(page).expect("text")
}

/// The table of routes: `` | [`/path`](page.md#section) | GET, POST | what | ``.
pub(crate) fn table() -> Vec<Row> {
    let page = read(TABLE);
    let rows = page.lines().filter(|line| line.starts_with("| [`/"));
    rows.map(|row| {
        let mut cells = row.split('|').skip(1);
        let (paths, methods) = (cells.next().expect("paths"), cells.next().expect("methods"));
        let link = paths.split("](").nth(1).and_then(|rest| rest.split(')').next());
        let (page, anchor) =
            link.map(|link| link.split_once('#').unwrap_or((link, ""))).expect("a link");
        let page = if page.is_empty() { TABLE } else { page };
        Row {
            paths: paths.split('`').filter(|t| t.starts_with('/')).map(str::to_owned).collect(),
            methods: methods.split(',').map(|method| method.trim().to_owned()).collect(),
            link: (page.to_owned(), anchor.to_owned()),
        }
    })
    .collect()
}

/// The requests of a page, in order.
pub(crate) fn examples(page: &str) -> Vec<Example> {
    let text = read(page);
    let mut lines = text.lines().enumerate();
    let mut sections: Vec<(usize, String)> = Vec::new();
    let mut examples: Vec<Example> = Vec::new();
    // Whether the last thing that was read is a request, whose answer may follow.
    let mut asks = false;
    while let Some((i, line)) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let block = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
            let block: Vec<&str> = block.collect();
            if kind == "http" {
                let sections = sections.iter().map(|(_, anchor)| anchor.clone()).collect();
                let place =
                    Example { page: page.to_owned(), line: i + 1, sections, ..parsed(&block) };
                examples.push(place);
            } else if take(&mut asks) && matches!(kind, "json" | "text") {
                let request = examples.last_mut().expect("BUG: there is a request");
                request.answer = Some((kind.to_owned(), block.join("\n")));
            }
            asks = kind == "http";
        } else if let Some((level, title)) = heading(line) {
            sections.retain(|(above, _)| *above < level);
            sections.push((level, anchor(title)));
            asks = false;
        } else if !line.is_empty() {
            asks = false;
        }
    }
    examples
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let title = line.trim_start_matches('#');
    let level = line.len() - title.len();
    title.strip_prefix(' ').filter(|_| level > 0).map(|title| (level, title))
}

/// The anchor that a heading has on GitHub.
fn anchor(title: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    title.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

fn parsed(block: &[&str]) -> Example {
    let is_status = |line: &&str| line.len() == 3 && line.parse::<u16>().is_ok();
    let (request, rest) = block.split_first().expect("a request");
    let status = rest.iter().rposition(is_status).unwrap_or_else(|| panic!("no status: {block:?}"));
    let (asked, answered) = (&rest[..status], &rest[status + 1..]);
    let (method, target) = request.split_once(' ').expect("method and target");
    let blank = asked.iter().position(|line| line.is_empty()).unwrap_or(asked.len());
    let body = asked.get(blank + 1..).unwrap_or_default().join("\n");
    Example {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: headers(&asked[..blank]),
        body: body.trim_end().to_owned(),
        status: rest[status].parse().expect("BUG: it is a number"),
        answer_headers: headers(answered),
        ..Example::default()
    }
}

fn headers(lines: &[&str]) -> Headers {
    let pair = |line: &&str| {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no header: {line}"));
        (name.to_owned(), value.to_owned())
    };
    lines.iter().map(pair).collect()
}

impl Example {
    /// Whether this asks `route`, in which names in braces stand for a part of a path.
    pub(crate) fn asks(&self, route: &str) -> bool {
        let path = self.target.split('?').next().unwrap_or_default();
        let mut parts = path.split('/');
        for wanted in route.split('/') {
            match parts.next() {
                Some(_) if wanted.starts_with("{*") => return true,
                Some(part) if part == wanted || (wanted.starts_with('{') && !part.is_empty()) => {}
                _ => return false,
            }
        }
        parts.next().is_none()
    }
}
