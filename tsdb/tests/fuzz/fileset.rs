//! What must hold of any bytes taken for a fileset, and of any edit of a sound one.

use std::path::Path;

use m3rs_core::fs::{Fs, Mapped};
use m3rs_core::model::{Labels, SampleKind};
use m3rs_sim::disk::SimFs;
use m3rs_tsdb::FilesetError;
use m3rs_tsdb::fileset::{
    BlockCodec, FilesetInfo, FilesetKind, FilesetReader, SeriesBlock, write_fileset,
};

const SERIES: u32 = 140;

fn times_of(series: u32) -> Vec<u8> {
    vec![7; series as usize % 4]
}

fn block_of(series: u32) -> Vec<u8> {
    vec![series as u8; series as usize % 7]
}

/// A sound fileset of 140 series in two pages; series refs are the multiples of 3.
pub(crate) fn sound_fileset() -> Vec<u8> {
    let fs = SimFs::new(0);
    let path = Path::new("/seed.fileset");
    let info = FilesetInfo {
        kind: FilesetKind::Volume,
        namespace: "default".to_owned(),
        shard: 1,
        shard_count: 4,
        id_scheme: 1,
        block_start_ns: 0,
        block_size_ns: 7_200_000_000_000,
        volume: 2,
        log_segment: 9,
        created_ns: 5,
    };
    write_fileset::<FilesetError>(&fs, path, &info, |sink| {
        for series in (0..SERIES).map(|i| i * 3) {
            let labels = Labels::from_pairs([("a", series.to_string())]).expect("valid");
            sink.push(&SeriesBlock {
                series,
                labels: &labels,
                codec: BlockCodec::M3tsz,
                kind: SampleKind::Float,
                count: 1,
                first_ns: 1,
                last_ns: 1,
                times: &times_of(series),
                bytes: &block_of(series),
            })?;
        }
        Ok(())
    })
    .expect("no fault");
    fs.read(path).expect("written")
}

fn read_all(bytes: Vec<u8>, check: impl Fn(u32, &[u8])) -> bool {
    let Ok(reader) = FilesetReader::of_bytes(Path::new("fuzz"), Mapped::of_bytes(bytes)) else {
        return false;
    };
    let damages = reader.verify();
    for entry in reader.entries().take(1000).flatten() {
        if let (Ok(times), Ok(block)) = (reader.times(&entry), reader.block(&entry)) {
            check(entry.series, &[times, block].concat());
        }
        drop(reader.find(entry.series));
    }
    for series in [0, 1, 3, 200, u32::MAX] {
        drop(reader.find(series));
    }
    drop(reader.series_set());
    drop(reader.labels(0));
    assert!(reader.identities().take(1000).count() <= 1000);
    damages.is_empty()
}

/// Reads `data` as a fileset; then takes it for edits (two bytes of place, one to xor) of a
/// sound one, which must be noticed and never yield a wrong block.
pub(crate) fn fuzz_fileset(data: &[u8]) {
    read_all(data.to_vec(), |_, _| {});
    let sound = sound_fileset();
    let mut edited = sound.clone();
    for edit in data.chunks_exact(3).take(64) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % edited.len();
        edited[at] ^= edit[2];
    }
    let is_sound = edited == sound;
    let reads_sound = read_all(edited, |series, block| {
        assert_eq!(block, [times_of(series), block_of(series)].concat());
    });
    assert_eq!(is_sound, reads_sound);
}
