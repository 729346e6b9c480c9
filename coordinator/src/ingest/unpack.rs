//! Decompression of a body that comes piece by piece, in steps of bounded size.

use std::io::{self, Write};

use flate2::write::{MultiGzDecoder, ZlibDecoder};
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use crate::ingest::encoding::ZSTD_WINDOW_LOG_MAX;
use crate::ingest::{Encoding, WriteFailure};

/// The most bytes that one step of Zstandard gives. A step of the others gives 32 KiB.
const STEP_BYTES: usize = 128 << 10;

/// A body that is being decompressed. Takes memory for a window and a step, whatever the body
/// would become.
pub(crate) struct Unpacker(Kind);

enum Kind {
    Identity,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Deflate(Box<ZlibDecoder<Vec<u8>>>),
    Zstd(Box<Zstd>),
}

struct Zstd {
    decoder: Decoder<'static>,
    step: Vec<u8>,
    /// Whether no frame is open.
    is_whole: bool,
}

fn broken(error: &io::Error) -> WriteFailure {
    WriteFailure::Encoding(error.to_string())
}

impl Unpacker {
    /// For a body in `encoding`; `None` for one that must be there as a whole: a snappy block.
    ///
    /// # Errors
    /// No memory for it.
    pub(crate) fn new(encoding: Encoding) -> Result<Option<Self>, WriteFailure> {
        let kind = match encoding {
            Encoding::Snappy => return Ok(None),
            Encoding::Identity => Kind::Identity,
            Encoding::Gzip => Kind::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Encoding::Deflate => Kind::Deflate(Box::new(ZlibDecoder::new(Vec::new()))),
            Encoding::Zstd => {
                let mut decoder = Decoder::new().map_err(|error| broken(&error))?;
                let window = zstd::stream::raw::DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX);
                decoder.set_parameter(window).map_err(|error| broken(&error))?;
                Kind::Zstd(Box::new(Zstd { decoder, step: vec![0; STEP_BYTES], is_whole: true }))
            }
        };
        Ok(Some(Self(kind)))
    }

    /// Takes a part of `input`, which is not empty, and hands what it becomes to `put`. Returns how
    /// many bytes it took: perhaps none, if what came before becomes much.
    ///
    /// # Errors
    /// A body that does not have its encoding.
    pub(crate) fn step(
        &mut self,
        input: &[u8],
        put: &mut impl FnMut(&[u8]),
    ) -> Result<usize, WriteFailure> {
        match &mut self.0 {
            Kind::Identity => {
                put(input);
                Ok(input.len())
            }
            Kind::Gzip(decoder) => {
                let taken = decoder.write(input).map_err(|error| broken(&error))?;
                drain(decoder.get_mut(), put);
                Ok(taken)
            }
            Kind::Deflate(decoder) => {
                let taken = decoder.write(input).map_err(|error| broken(&error))?;
                if taken == 0 {
                    let text = "bytes after the end of the zlib stream";
                    return Err(WriteFailure::Encoding(text.to_owned()));
                }
                drain(decoder.get_mut(), put);
                Ok(taken)
            }
            Kind::Zstd(zstd) => zstd.step(input, put).map_err(|error| broken(&error)),
        }
    }

    /// Hands on what is left at the end of the body.
    ///
    /// # Errors
    /// A body that was cut off.
    pub(crate) fn finish(&mut self, put: &mut impl FnMut(&[u8])) -> Result<(), WriteFailure> {
        match &mut self.0 {
            Kind::Identity => Ok(()),
            Kind::Gzip(decoder) => {
                decoder.try_finish().map_err(|error| broken(&error))?;
                drain(decoder.get_mut(), put);
                Ok(())
            }
            Kind::Deflate(decoder) => {
                decoder.try_finish().map_err(|error| broken(&error))?;
                drain(decoder.get_mut(), put);
                Ok(())
            }
            Kind::Zstd(zstd) => zstd.finish(put).map_err(|error| broken(&error)),
        }
    }
}

fn drain(from: &mut Vec<u8>, put: &mut impl FnMut(&[u8])) {
    if !from.is_empty() {
        put(from);
        from.clear();
    }
}

impl Zstd {
    fn step(&mut self, input: &[u8], put: &mut impl FnMut(&[u8])) -> io::Result<usize> {
        if self.is_whole && !input.is_empty() {
            self.decoder.reinit()?;
        }
        let mut from = InBuffer::around(input);
        let mut to = OutBuffer::around(&mut self.step[..]);
        let left = self.decoder.run(&mut from, &mut to)?;
        self.is_whole = left == 0;
        let (taken, made) = (from.pos(), to.pos());
        if made > 0 {
            put(&self.step[..made]);
        }
        if taken == 0 && made == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no progress in a frame"));
        }
        Ok(taken)
    }

    fn finish(&mut self, put: &mut impl FnMut(&[u8])) -> io::Result<()> {
        while !self.is_whole {
            let mut to = OutBuffer::around(&mut self.step[..]);
            let left = self.decoder.run(&mut InBuffer::around(&[]), &mut to)?;
            let made = to.pos();
            if made > 0 {
                put(&self.step[..made]);
            }
            self.is_whole = left == 0;
            if made == 0 && !self.is_whole {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "incomplete frame"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(encoding: Encoding, text: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::fast();
        match encoding {
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
            Encoding::Identity | Encoding::Snappy => text.to_vec(),
        }
    }

    const STREAMS: [Encoding; 4] =
        [Encoding::Identity, Encoding::Gzip, Encoding::Deflate, Encoding::Zstd];

    fn unpacked(encoding: Encoding, body: &[u8], piece: usize) -> Result<Vec<u8>, WriteFailure> {
        let mut unpacker = Unpacker::new(encoding)?.expect("a stream");
        let mut all = Vec::new();
        for mut piece in body.chunks(piece) {
            while !piece.is_empty() {
                let before = all.len();
                let taken = unpacker.step(piece, &mut |bytes| all.extend_from_slice(bytes))?;
                assert!(encoding == Encoding::Identity || all.len() - before <= STEP_BYTES);
                piece = &piece[taken..];
            }
        }
        unpacker.finish(&mut |bytes| all.extend_from_slice(bytes))?;
        Ok(all)
    }

    #[test]
    fn pieces_of_any_size_give_the_whole() {
        let mut text = vec![7u8; 1 << 20];
        text.extend((0..70_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8));
        for encoding in STREAMS {
            let body = packed(encoding, &text);
            for piece in [1, 3, 1000, body.len()] {
                if piece < 1000 && encoding == Encoding::Identity {
                    continue;
                }
                let all = unpacked(encoding, &body, piece).expect("sound");
                assert!(all == text, "{encoding:?} by {piece}");
            }
            let empty = packed(encoding, b"");
            assert_eq!(unpacked(encoding, &empty, 5).expect("sound"), b"", "{encoding:?}");
        }
    }

    #[test]
    fn members_and_frames_may_follow_each_other() {
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            let body = [packed(encoding, b"one "), packed(encoding, b"two")].concat();
            for piece in [1, 7, body.len()] {
                assert_eq!(unpacked(encoding, &body, piece).expect("sound"), b"one two");
            }
        }
    }

    #[test]
    fn cut_and_foreign_bodies_are_told() {
        for encoding in &STREAMS[1..] {
            let body = packed(*encoding, &[7; 100_000]);
            for bad in [&body[..body.len() - 1], &body[..body.len() / 2], b"\xff\xfe\xfd\xfc\xfb"] {
                let told = unpacked(*encoding, bad, 11);
                assert!(matches!(told, Err(WriteFailure::Encoding(_))), "{encoding:?}: {told:?}");
            }
        }
    }
}
