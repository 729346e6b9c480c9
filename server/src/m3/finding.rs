//! What is wrong in a file, or worth a word, and where.

use std::fmt;

use m3rs_core::config::Place;

/// A sentence about a place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Where; nothing if it concerns the whole.
    pub(crate) place: Option<Place>,
    /// What.
    pub(crate) text: String,
}

impl Finding {
    pub(super) fn at(place: &Place, text: impl Into<String>) -> Self {
        Self { place: Some(place.clone()), text: text.into() }
    }

    pub(super) fn of_all(text: impl Into<String>) -> Self {
        Self { place: None, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.text)
    }
}

/// Characters of a text of the file that a message shows.
const SHOWN_MAX: usize = 60;

/// What stands for a secret.
pub(super) const HIDDEN: &str = "(hidden)";

/// A text of the file on one line, its end cut off if it is long, without the user and password of
/// an URL.
pub(super) fn shown(text: &str) -> String {
    let text = without_user(text);
    let mut out: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        out.push_str("...");
    }
    out
}

/// A text in which [`HIDDEN`] stands for what is between `://` and the last `@` of a host.
fn without_user(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((scheme, after)) = rest.split_once("://") {
        let end = after.find(['/', '?', '#', ' ', ',']).unwrap_or(after.len());
        let (host, behind) = after.split_at(end);
        out.push_str(scheme);
        out.push_str("://");
        match host.rsplit_once('@') {
            Some((_, host)) => {
                out.push_str(HIDDEN);
                out.push('@');
                out.push_str(host);
            }
            None => out.push_str(host),
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}
