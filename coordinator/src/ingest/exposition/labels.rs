//! The name and the labels at the start of a line: `name{a="b"}`, `{"name",a="b"}`.

use memchr::memchr2;

use crate::ingest::exposition::{SUFFIXES, name_label};
use crate::ingest::intake::Intake;
use crate::ingest::lines::{LineContext, LineError, refuse};
use crate::write::WriteSession;

/// The text without blanks at its start.
#[inline]
pub(super) fn blank(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &text[blanks..]
}

/// The first word, and what follows it and blanks.
#[inline]
pub(super) fn token(text: &[u8]) -> (&[u8], &[u8]) {
    let text = blank(text);
    let end = memchr2(b' ', b'\t', text).unwrap_or(text.len());
    (&text[..end], blank(&text[end..]))
}

/// What stands between two quotes, without escapes, and what follows them.
pub(super) fn quoted<'a>(
    text: &'a [u8],
    scratch: &'a mut Vec<u8>,
) -> Result<(&'a [u8], &'a [u8]), LineError> {
    let inner = text.strip_prefix(b"\"").ok_or_else(|| refuse("no quote at its start"))?;
    let open = || refuse("no quote at its end");
    let mut at = memchr2(b'"', b'\\', inner).ok_or_else(open)?;
    if inner[at] == b'"' {
        return Ok((&inner[..at], &inner[at + 1..]));
    }
    scratch.clear();
    let mut from = 0;
    loop {
        scratch.extend_from_slice(&inner[from..at]);
        if inner[at] == b'"' {
            return Ok((scratch, &inner[at + 1..]));
        }
        match inner.get(at + 1).ok_or_else(open)? {
            b'n' => scratch.push(b'\n'),
            escaped @ (b'\\' | b'"') => scratch.push(*escaped),
            // PARITY(victoriametrics): a backslash that escapes nothing is one.
            other => scratch.extend_from_slice(&[b'\\', *other]),
        }
        from = at + 2;
        at = from + memchr2(b'"', b'\\', &inner[from..]).ok_or_else(open)?;
    }
}

/// A name and a value.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// `name="value"`, the name perhaps in quotes, and what follows it.
pub(super) fn pair(text: &[u8]) -> Result<(Pair, &[u8]), LineError> {
    let (mut name_scratch, mut value_scratch) = (Vec::new(), Vec::new());
    let (name, rest) = match text.first() {
        Some(b'"') => quoted(text, &mut name_scratch)?,
        _ => bare_name(text)?,
    };
    let rest = blank(rest).strip_prefix(b"=").ok_or_else(|| refuse("a label without a value"))?;
    let (value, rest) = quoted(blank(rest), &mut value_scratch)?;
    let after = &text[text.len() - rest.len()..];
    Ok(((name.to_vec(), value.to_vec()), after))
}

/// What follows a label and its comma; its brace stays.
pub(super) fn after_label(text: &[u8]) -> Result<&[u8], LineError> {
    let text = blank(text);
    match text.first() {
        Some(b',') => Ok(&text[1..]),
        Some(b'}') => Ok(text),
        _ => Err(refuse("no comma or brace after a label")),
    }
}

/// A name without quotes up to its equals sign.
fn bare_name(text: &[u8]) -> Result<(&[u8], &[u8]), LineError> {
    let end = memchr2(b'=', b'"', text).filter(|end| text[*end] == b'=');
    let end = end.ok_or_else(|| refuse("a label without a value"))?;
    Ok((text[..end].trim_ascii_end(), &text[end..]))
}

/// Reads a line's labels into an intake.
pub(super) struct LabelReader<'a> {
    pub(super) context: &'a LineContext,
    pub(super) scratch: &'a mut [Vec<u8>; 2],
    /// Where to put the labels that all lines of a metric have.
    pub(super) key: Option<&'a mut Vec<u8>>,
}

impl LabelReader<'_> {
    /// Reads name and labels. Returns what follows them, and what the name adds to that of
    /// `family`, if it belongs to it.
    pub(super) fn series<'t, W: WriteSession>(
        mut self,
        line: &'t [u8],
        family: Option<&str>,
        intake: &mut Intake<'_, W>,
    ) -> Result<(&'t [u8], Option<&'static str>), LineError> {
        let end = line
            .iter()
            .position(|byte| matches!(byte, b'{' | b' ' | b'\t'))
            .ok_or_else(|| refuse("no value"))?;
        let name = &line[..end];
        let mut suffix = family.and_then(|family| suffix_of(name, family));
        if !name.is_empty() {
            name_label(intake, name);
        }
        let mut has_name = !name.is_empty();
        let mut rest = blank(&line[end..]);
        if let Some(inner) = rest.strip_prefix(b"{") {
            rest = inner;
            loop {
                rest = blank(rest);
                if let Some(after) = rest.strip_prefix(b"}") {
                    rest = after;
                    break;
                }
                let (after, named) = self.item(rest, family, intake)?;
                if let Some(of_family) = named {
                    if std::mem::replace(&mut has_name, true) {
                        return Err(refuse("two metric names"));
                    }
                    suffix = of_family;
                }
                rest = after_label(after)?;
            }
        }
        if !has_name {
            return Err(refuse("no metric name"));
        }
        self.context.add_labels(intake);
        Ok((rest, suffix))
    }

    /// A label, or a metric name in quotes, of which it says what it adds to that of the family.
    #[inline]
    fn item<'t, W: WriteSession>(
        &mut self,
        text: &'t [u8],
        family: Option<&str>,
        intake: &mut Intake<'_, W>,
    ) -> Result<(&'t [u8], Option<Option<&'static str>>), LineError> {
        let [name_scratch, value_scratch] = &mut *self.scratch;
        let from_end = |rest: &[u8]| &text[text.len() - rest.len()..];
        let (name, rest) = match text.first() {
            Some(b'"') => {
                let (name, rest) = quoted(text, name_scratch)?;
                if matches!(blank(rest).first(), Some(b',' | b'}')) {
                    if name.is_empty() {
                        return Err(refuse("an empty metric name"));
                    }
                    name_label(intake, name);
                    let suffix = family.and_then(|family| suffix_of(name, family));
                    return Ok((from_end(rest), Some(suffix)));
                }
                (name, rest)
            }
            _ => bare_name(text)?,
        };
        let rest = blank(rest).strip_prefix(b"=");
        let rest = rest.ok_or_else(|| refuse("a label without a value"))?;
        let (value, rest) = quoted(blank(rest), value_scratch)?;
        if !self.context.overrides(name) {
            intake.label(name, value);
            if let Some(key) = &mut self.key
                && !matches!(name, b"le" | b"quantile")
            {
                m3rs_core::wire::put_length_prefixed(key, name);
                m3rs_core::wire::put_length_prefixed(key, value);
            }
        }
        Ok((from_end(rest), None))
    }
}

/// What `name` adds to the name of its family; `None` if it is of another one.
fn suffix_of(name: &[u8], family: &str) -> Option<&'static str> {
    let added = name.strip_prefix(family.as_bytes())?;
    SUFFIXES.into_iter().find(|suffix| suffix.as_bytes() == added)
}
