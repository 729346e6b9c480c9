//! Decompression of bodies, within a limit and in memory that a thread uses again.

use std::cell::RefCell;
use std::io::{self, Read};

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use zstd::zstd_safe::get_frame_content_size;

use crate::ingest::WriteFailure;

/// How much decompressed memory a thread keeps between requests. Larger bodies give theirs back.
const SCRATCH_KEPT_BYTES_MAX: usize = 4 << 20;

/// The largest window of a zstd frame, as a power of two: 8 MiB, what senders are told to stay
/// within (RFC 8878, section 3.1.1.1.2).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

thread_local! {
    /// The decompressed body. Fresh memory for each request would cost more in page faults than
    /// the decompression itself.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// One snappy block.
    Snappy,
    /// Zstandard frames.
    Zstd,
    /// Gzip members.
    Gzip,
    /// A zlib stream.
    Deflate,
}

impl Encoding {
    /// The encoding that a `Content-Encoding` header names.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [
            ("identity", Self::Identity),
            ("", Self::Identity),
            ("snappy", Self::Snappy),
            ("zstd", Self::Zstd),
            ("gzip", Self::Gzip),
            ("x-gzip", Self::Gzip),
            ("deflate", Self::Deflate),
        ];
        let name = name.trim();
        let found = all.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        found.map(|(_, encoding)| *encoding)
    }

    /// Hands the decompressed `body`, which may have at most `limit` bytes, to `then`.
    ///
    /// # Errors
    /// A body that is too large or that does not have this encoding.
    pub(crate) fn decode<T>(
        self,
        body: &[u8],
        limit: usize,
        then: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, WriteFailure> {
        if self == Self::Identity {
            check_len(body.len(), limit)?;
            return Ok(then(body));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let len = match self {
                Self::Snappy => unpack_snappy(body, limit, scratch)?,
                Self::Zstd => unpack_zstd(body, limit, scratch)?,
                Self::Gzip => unpack(MultiGzDecoder::new(body), limit, scratch)?,
                Self::Deflate | Self::Identity => unpack(ZlibDecoder::new(body), limit, scratch)?,
            };
            let done = then(&scratch[..len]);
            if scratch.len() > SCRATCH_KEPT_BYTES_MAX {
                *scratch = Vec::new();
            }
            Ok(done)
        })
    }
}

fn check_len(len: usize, limit: usize) -> Result<(), WriteFailure> {
    if len > limit { Err(WriteFailure::TooLarge { len, limit }) } else { Ok(()) }
}

fn make_room(scratch: &mut Vec<u8>, len: usize) {
    if scratch.len() < len {
        scratch.resize(len, 0);
    }
}

fn unpack_snappy(body: &[u8], limit: usize, to: &mut Vec<u8>) -> Result<usize, WriteFailure> {
    let broken = |error: snap::Error| WriteFailure::Encoding(error.to_string());
    let len = snap::raw::decompress_len(body).map_err(broken)?;
    check_len(len, limit)?;
    make_room(to, len);
    snap::raw::Decoder::new().decompress(body, to).map_err(broken)
}

/// Most senders say how long a frame's content is; then it takes one pass and no further memory.
fn unpack_zstd(body: &[u8], limit: usize, to: &mut Vec<u8>) -> Result<usize, WriteFailure> {
    let broken = |error: io::Error| WriteFailure::Encoding(error.to_string());
    if let Ok(Some(told)) = get_frame_content_size(body) {
        let len = usize::try_from(told).unwrap_or(usize::MAX);
        check_len(len, limit)?;
        make_room(to, len);
        if let Ok(len) = zstd::bulk::decompress_to_buffer(body, &mut to[..len]) {
            return Ok(len);
        }
        // There may be more than one frame.
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(broken)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(broken)?;
    unpack(decoder, limit, to)
}

/// Reads all of `from`, whatever it says about its length.
fn unpack(mut from: impl Read, limit: usize, to: &mut Vec<u8>) -> Result<usize, WriteFailure> {
    const PIECE: usize = 64 << 10;
    let mut len = 0;
    loop {
        if len == to.len() {
            make_room(to, (len * 2).max(PIECE).min(limit.saturating_add(1)));
        }
        let room = to.len().min(limit.saturating_add(1));
        let read = from
            .read(&mut to[len..room])
            .map_err(|error| WriteFailure::Encoding(error.to_string()))?;
        if read == 0 {
            return Ok(len);
        }
        len += read;
        check_len(len, limit)?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(encoding: Encoding, text: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::fast();
        match encoding {
            Encoding::Identity => text.to_vec(),
            Encoding::Snappy => snap::raw::Encoder::new().compress_vec(text).expect("short"),
            Encoding::Zstd => zstd::bulk::compress(text, 1).expect("short"),
            Encoding::Gzip => {
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
                gzip.write_all(text).expect("memory");
                gzip.finish().expect("memory")
            }
            Encoding::Deflate => {
                let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), level);
                zlib.write_all(text).expect("memory");
                zlib.finish().expect("memory")
            }
        }
    }

    const ALL: [Encoding; 5] =
        [Encoding::Identity, Encoding::Snappy, Encoding::Zstd, Encoding::Gzip, Encoding::Deflate];

    #[test]
    fn a_body_fits_at_the_limit_and_not_above() {
        for encoding in ALL {
            for len in [0, 1, 70_000, 200_000] {
                let text = vec![7; len];
                let body = packed(encoding, &text);
                let decoded = encoding.decode(&body, len, <[u8]>::to_vec).expect("fits");
                assert_eq!(decoded, text, "{encoding:?}");
                if len > 0 {
                    let failure = encoding.decode(&body, len - 1, |_| ()).expect_err("too large");
                    let is_told = matches!(failure, WriteFailure::TooLarge { .. });
                    assert!(is_told, "{encoding:?}: {failure}");
                }
            }
        }
    }

    #[test]
    fn cut_and_foreign_bodies_are_named() {
        for encoding in &ALL[1..] {
            let body = packed(*encoding, &[7; 1000]);
            for body in [&body[..body.len() - 1], b"\xff\xfe\xfd\xfc\xfb\xfa"] {
                let failure = encoding.decode(body, 5000, |_| ()).expect_err("broken");
                let is_told =
                    matches!(failure, WriteFailure::Encoding(_) | WriteFailure::TooLarge { .. });
                assert!(is_told, "{encoding:?}: {failure}");
            }
        }
    }

    #[test]
    fn frames_and_members_may_follow_each_other() {
        for encoding in [Encoding::Zstd, Encoding::Gzip] {
            let body = [packed(encoding, b"one "), packed(encoding, b"two")].concat();
            let decoded = encoding.decode(&body, 7, <[u8]>::to_vec).expect("fits");
            assert_eq!(decoded, b"one two", "{encoding:?}");
        }
    }

    #[test]
    fn headers_name_encodings() {
        assert_eq!(Encoding::named(" ZSTD"), Some(Encoding::Zstd));
        assert_eq!(Encoding::named(""), Some(Encoding::Identity));
        assert_eq!(Encoding::named("br"), None);
    }
}
