//! M3's `quoted` series ID, which decides the shard of a series.
//!
//! The ID is not injective (a lone backslash is not escaped), so it never serves as identity.

use std::sync::LazyLock;

use crate::hash::murmur3_32;
use crate::model::{Labels, LabelsIter};

/// Appends the quoted ID `{a="1",b="2"}` of `labels` to `out`.
///
/// PARITY(m3): `query/models/tags_id_schemes.go`. A text is escaped as Go's `strconv.Quote` does
/// if it holds a byte below space, a double quote or a byte above `~`; else it stands as it is.
pub fn put_quoted_id(out: &mut Vec<u8>, labels: &Labels) {
    put_quoted(out, labels.iter());
}

fn put_quoted(out: &mut Vec<u8>, mut labels: LabelsIter<'_>) {
    out.push(b'{');
    let mut is_first = true;
    while let Some((name, value)) = labels.next_bytes() {
        if !is_first {
            out.push(b',');
        }
        is_first = false;
        put_escaped(out, name);
        out.extend_from_slice(b"=\"");
        put_escaped(out, value);
        out.push(b'"');
    }
    out.push(b'}');
}

/// The shard of a series among `shard_count`: murmur3 over its quoted ID, as in M3.
///
/// `scratch` is cleared and reused.
#[must_use]
pub fn shard_of(labels: &Labels, shard_count: u16, scratch: &mut Vec<u8>) -> u16 {
    shard_of_hash(shard_hash(labels.iter(), scratch), shard_count)
}

/// The murmur3 of a series' quoted ID. It does not depend on the number of shards, so a file may
/// keep it.
///
/// `scratch` is cleared and reused.
#[must_use]
pub fn shard_hash(labels: LabelsIter<'_>, scratch: &mut Vec<u8>) -> u32 {
    scratch.clear();
    put_quoted(scratch, labels);
    murmur3_32(scratch, 0)
}

/// The shard among `shard_count` of a series with that [`shard_hash`].
#[must_use]
pub fn shard_of_hash(hash: u32, shard_count: u16) -> u16 {
    let shard = hash % u32::from(shard_count.max(1));
    u16::try_from(shard).expect("BUG: the remainder is below a u16")
}

fn put_escaped(out: &mut Vec<u8>, text: &[u8]) {
    // Without a way out of the loop, so that it runs over many bytes at a time.
    let is_plain = |all, &b: &u8| all & (b >= b' ') & (b != b'"') & (b <= b'~');
    if text.iter().fold(true, is_plain) {
        out.extend_from_slice(text);
        return;
    }
    for c in String::from_utf8_lossy(text).chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\x07' => out.extend_from_slice(b"\\a"),
            '\x08' => out.extend_from_slice(b"\\b"),
            '\x0c' => out.extend_from_slice(b"\\f"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\x0b' => out.extend_from_slice(b"\\v"),
            ' '..='~' => out.push(c as u8),
            '\0'..='\x7f' => out.extend_from_slice(format!("\\x{:02x}", c as u32).as_bytes()),
            c if is_printable(c) => {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            c if (c as u32) < 0x1_0000 => {
                out.extend_from_slice(format!("\\u{:04x}", c as u32).as_bytes());
            }
            c => out.extend_from_slice(format!("\\U{:08x}", c as u32).as_bytes()),
        }
    }
}

/// Go's `unicode.IsPrint` above ASCII: letters, marks, numbers, punctuation, symbols.
fn is_printable(c: char) -> bool {
    static PRINTABLE: LazyLock<regex::Regex> = LazyLock::new(|| {
        regex::Regex::new(r"^[\p{L}\p{M}\p{N}\p{P}\p{S}]$").expect("BUG: the pattern is fixed")
    });
    PRINTABLE.is_match(c.encode_utf8(&mut [0; 4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(pairs: &[(&str, &str)]) -> String {
        let labels = Labels::from_pairs(pairs.iter().copied()).expect("valid labels");
        let mut out = Vec::new();
        put_quoted_id(&mut out, &labels);
        String::from_utf8(out).expect("IDs of UTF-8 labels are UTF-8")
    }

    #[test]
    fn ids_as_m3_writes_them() {
        assert_eq!(id(&[]), "{}");
        assert_eq!(id(&[("t2", "v2"), ("t1", "v1")]), r#"{t1="v1",t2="v2"}"#);
        assert_eq!(id(&[("a", "say \"x\"\n")]), r#"{a="say \"x\"\n"}"#);
        assert_eq!(id(&[("a", r"back\slash")]), r#"{a="back\slash"}"#);
        assert_eq!(id(&[("a", "back\\slash\t")]), r#"{a="back\\slash\t"}"#);
        assert_eq!(id(&[("a", "\u{e9}\u{200b}\u{7f}")]), "{a=\"\u{e9}\\u200b\\x7f\"}");
    }

    #[test]
    fn shard_is_stable() {
        let labels = Labels::from_pairs([("__name__", "up")]).expect("valid labels");
        let mut scratch = Vec::new();
        let shard = shard_of(&labels, 4, &mut scratch);
        assert_eq!(u32::from(shard), murmur3_32(br#"{__name__="up"}"#, 0) % 4);
    }
}
