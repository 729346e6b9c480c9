//! The number of a request, by which its answer and lines of the log are found.
//!
//! Cost: one addition and a text of 16 bytes.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use m3rs_core::rng::Random;

/// The header of requests and answers.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id of a client that is taken.
const ID_BYTES_MAX: usize = 128;

/// The id of a request, in its extensions.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) HeaderValue);

impl RequestId {
    /// As text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Gives ids that no other request of this process has, and most likely none of another one.
#[derive(Debug)]
pub(crate) struct RequestIds {
    next: AtomicU64,
}

impl Default for RequestIds {
    fn default() -> Self {
        Self { next: AtomicU64::new(Random::from_machine().next_u64()) }
    }
}

impl RequestIds {
    /// The client's id if it can stand in a log as it is, else a new one.
    pub(crate) fn of(&self, headers: &HeaderMap) -> RequestId {
        let sent = headers.get(REQUEST_ID).filter(|id| is_sane(id.as_bytes()));
        sent.map_or_else(|| self.fresh(), |id| RequestId(id.clone()))
    }

    fn fresh(&self) -> RequestId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut text = [0; 16];
        for (i, digit) in text.iter_mut().rev().enumerate() {
            let [nibble, ..] = (number >> (4 * i)).to_le_bytes();
            *digit = b"0123456789abcdef"[usize::from(nibble & 15)];
        }
        RequestId(HeaderValue::from_bytes(&text).expect("BUG: digits are a header's value"))
    }
}

/// Printable, without spaces and quotes, and not too long.
fn is_sane(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    !id.is_empty() && id.len() <= ID_BYTES_MAX && id.iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ids: &RequestIds, sent: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_bytes(sent).expect("a value"));
        ids.of(&headers).as_str().to_owned()
    }

    #[test]
    fn sane_ids_are_kept_and_others_replaced() {
        let ids = RequestIds::default();
        let longest = "x".repeat(ID_BYTES_MAX);
        for sane in ["a", "0af7651916cd43dd-8448eb211c80319c:1", &longest] {
            assert_eq!(id(&ids, sane.as_bytes()), sane);
        }
        let too_long = format!("{longest}x");
        let mut made = Vec::new();
        for odd in [&b""[..], b"a b", b"a\"b", b"\xc3\xa9", b"a\\", too_long.as_bytes()] {
            let id = id(&ids, odd);
            assert!(id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
            made.push(id);
        }
        let first = ids.of(&HeaderMap::new());
        made.push(first.as_str().to_owned());
        let count = made.len();
        made.sort();
        made.dedup();
        assert_eq!(made.len(), count, "each has its own");
    }
}
