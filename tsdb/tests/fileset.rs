//! Stories of filesets: whole or absent, and readable around what is damaged.

use std::collections::BTreeMap;
use std::path::Path;

use m3rs_core::ErrorKind;
use m3rs_core::fs::{Fs, Mapped};
use m3rs_core::model::{Labels, SampleKind};
use m3rs_sim::disk::{SimFs, Unsynced};
use m3rs_tsdb::FilesetError;
use m3rs_tsdb::fileset::{
    BLOCK_BYTES_MAX, BlockCodec, FilesetEntry, FilesetInfo, FilesetKind, FilesetReader,
    FilesetTotals, LABEL_BYTES_MAX, SeriesBlock, write_fileset,
};
use proptest::prelude::*;

const PATH: &str = "/data/7-0.fileset";

fn info() -> FilesetInfo {
    FilesetInfo {
        kind: FilesetKind::Volume,
        namespace: "default".to_owned(),
        shard: 3,
        shard_count: 4,
        id_scheme: 1,
        block_start_ns: 7,
        block_size_ns: 7_200_000_000_000,
        volume: 0,
        log_segment: 11,
        created_ns: 1_700_000_000_000_000_000,
    }
}

/// Times that many series share, times of the series' own, or none beside the block.
fn times(series: u32) -> Vec<u8> {
    match series % 3 {
        0 => Vec::new(),
        1 => b"times of many".to_vec(),
        _ => series.to_le_bytes().to_vec(),
    }
}

/// All bytes of a series block, as they were given to the writer.
fn read_block(reader: &FilesetReader, entry: &FilesetEntry) -> Result<Vec<u8>, FilesetError> {
    Ok([reader.times(entry)?, reader.block(entry)?].concat())
}

fn whole(series: u32, block: &[u8]) -> Vec<u8> {
    [&times(series)[..], block].concat()
}

fn labels(series: u32) -> Labels {
    let name = format!("metric_{}", series % 5);
    Labels::from_pairs([("__name__", name), ("instance", series.to_string())]).expect("valid")
}

fn write(fs: &SimFs, blocks: &BTreeMap<u32, Vec<u8>>) -> Result<FilesetTotals, FilesetError> {
    fs.create_dir_all(Path::new("/data"))
        .map_err(|source| FilesetError::Io { path: "/data".into(), source })?;
    write_fileset(fs, Path::new(PATH), &info(), |sink| {
        for (&series, bytes) in blocks {
            sink.push(&SeriesBlock {
                series,
                labels: &labels(series),
                codec: BlockCodec::M3tsz,
                kind: SampleKind::Float,
                count: series % 9 + 1,
                first_ns: i64::from(series),
                last_ns: i64::from(series) + 5,
                times: &times(series),
                bytes,
            })?;
        }
        Ok(())
    })
}

fn written(blocks: &BTreeMap<u32, Vec<u8>>) -> Vec<u8> {
    let fs = SimFs::new(0);
    write(&fs, blocks).expect("no fault");
    fs.read(Path::new(PATH)).expect("readable")
}

fn open(bytes: Vec<u8>) -> Result<FilesetReader, FilesetError> {
    FilesetReader::of_bytes(Path::new(PATH), Mapped::of_bytes(bytes))
}

/// Checks everything that a sound fileset of `blocks` answers.
fn check_sound(reader: &FilesetReader, blocks: &BTreeMap<u32, Vec<u8>>) {
    assert_eq!(reader.info(), &info());
    assert_eq!(reader.len(), blocks.len());
    assert_eq!(reader.totals().samples, blocks.keys().map(|s| u64::from(s % 9 + 1)).sum::<u64>());
    assert_eq!(reader.verify(), []);
    let entries: Vec<_> = reader.entries().collect::<Result<_, _>>().expect("sound");
    assert!(entries.iter().map(|e| &e.series).eq(blocks.keys()));
    for (position, entry) in entries.iter().enumerate() {
        let series = entry.series;
        assert_eq!(entry.position as usize, position);
        assert_eq!(entry.count, series % 9 + 1);
        assert_eq!((entry.first_ns, entry.last_ns), (i64::from(series), i64::from(series) + 5));
        assert_eq!(read_block(reader, entry).expect("sound"), whole(series, &blocks[&series]));
        assert_eq!(reader.find(series).expect("sound"), Some(*entry));
        for absent in [series.saturating_sub(1), series.saturating_add(1)] {
            let found = reader.find(absent).expect("sound").map(|e| e.series);
            assert_eq!(found, blocks.contains_key(&absent).then_some(absent));
        }
    }
    assert!(reader.series_set().expect("sound").iter().eq(blocks.keys().copied()));
    let names: Vec<_> = reader.identities().collect::<Result<_, _>>().expect("sound");
    assert!(names.iter().map(|(position, _)| *position).eq(0..blocks.len()));
    for ((position, name), &series) in names.iter().zip(blocks.keys()) {
        assert_eq!(*name, labels(series));
        if position % 50 == 0 {
            assert_eq!(reader.labels(*position).expect("sound"), *name);
        }
    }
    assert_eq!(reader.entry(blocks.len()).expect("sound"), None);
    assert!(matches!(reader.labels(blocks.len()), Err(FilesetError::Invalid(_))));
}

/// `count` series whose refs have gaps of different sizes.
fn some_blocks(count: u32) -> BTreeMap<u32, Vec<u8>> {
    (0..count).map(|i| (10 + i * 3 + i * i / 50, vec![i as u8; (i % 5) as usize])).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn filesets_round_trip(blocks in prop::collection::btree_map(
        prop_oneof![any::<u32>(), 0u32..600],
        prop::collection::vec(any::<u8>(), 0..40),
        0..400,
    )) {
        check_sound(&open(written(&blocks)).expect("sound"), &blocks);
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(open(bytes).is_err());
    }
}

#[test]
fn sizes_around_a_page_round_trip() {
    for count in [0, 1, 2, 127, 128, 129, 256, 257, 1023, 1024, 1025] {
        let blocks = some_blocks(count);
        check_sound(&open(written(&blocks)).expect("sound"), &blocks);
    }
    let extremes = BTreeMap::from([(0, vec![1]), (u32::MAX, vec![2; 40 << 20])]);
    assert_eq!(times(u32::MAX), b"");
    check_sound(&open(written(&extremes)).expect("sound"), &extremes);
}

/// Every byte but those of names costs at most the series block that it is in; none goes unseen.
#[test]
fn a_flipped_bit_costs_one_series_and_is_told() {
    let blocks = some_blocks(131);
    let bytes = written(&blocks);
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let reader = open(flipped).expect("one sound footer and info are left");
        let damages = reader.verify();
        assert!(!damages.is_empty(), "byte {at} goes unnoticed");
        let mut lost = 0;
        for (&series, block) in &blocks {
            let entry = reader.find(series).expect("one sound index is left").expect("there");
            match read_block(&reader, &entry) {
                Ok(read) => assert_eq!(read, whole(series, block), "byte {at}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt);
                    lost += 1;
                }
            }
        }
        assert!(lost <= 1, "byte {at} costs {lost} series");
        for (position, name) in reader.identities().filter_map(Result::ok) {
            assert_eq!(Some(name), blocks.keys().nth(position).map(|s| labels(*s)), "byte {at}");
        }
    }
}

#[test]
fn a_file_cut_at_any_byte_is_no_fileset() {
    let bytes = written(&some_blocks(20));
    for cut in 0..bytes.len() {
        let error = open(bytes[..cut].to_vec()).expect_err("cut");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "cut at {cut}");
        assert!(error.into_damage().is_some());
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(open(longer).is_err());
}

/// Where a section stands, as the footer's table says: length and checksum for each.
fn section(bytes: &[u8], number: usize) -> std::ops::Range<usize> {
    let at = |number: usize| bytes.len() - 182 + 18 + number * 12;
    let len = |number: usize| {
        u64::from_le_bytes(bytes[at(number)..at(number) + 8].try_into().expect("eight")) as usize
    };
    let start = 10 + (0..number).map(len).sum::<usize>();
    start..start + len(number)
}

/// A page that is damaged in both copies hides its own series and no other.
#[test]
fn a_page_damaged_twice_hides_its_own_series() {
    let blocks = some_blocks(400);
    let mut damaged = written(&blocks);
    for copy in [3, 4] {
        let index = section(&damaged, copy);
        let directory = index.end - 4 - 4 * 20;
        let end = damaged[directory + 4..directory + 8].try_into().expect("four");
        // The first byte of the second page.
        damaged[index.start + u32::from_le_bytes(end) as usize] ^= 1;
    }
    let reader = open(damaged).expect("footers are sound");
    for (position, (&series, block)) in blocks.iter().enumerate() {
        match reader.find(series) {
            Ok(entry) => {
                assert!(!(128..256).contains(&position), "{position}");
                let entry = entry.expect("there");
                assert_eq!(read_block(&reader, &entry).expect("sound"), whole(series, block));
            }
            Err(error) => {
                assert!((128..256).contains(&position), "{position}");
                assert_eq!(error.kind(), ErrorKind::Corrupt);
            }
        }
    }
    for absent in 0..*blocks.keys().last().expect("some") + 10 {
        if !blocks.contains_key(&absent) {
            assert_eq!(reader.find(absent).expect("the set is sound"), None, "{absent}");
        }
    }
    assert!(reader.series_set().expect("sound").iter().eq(blocks.keys().copied()));
    assert_eq!(reader.entries().filter(Result::is_err).count(), 128);
    assert_eq!(reader.verify().len(), 3, "both copies, and what is hidden by them");
}

/// The set of series is there once: what it says stands in the index as well.
#[test]
fn a_damaged_set_of_series_costs_nothing() {
    let blocks = some_blocks(400);
    let mut damaged = written(&blocks);
    let set = section(&damaged, 5);
    damaged[set.start + 30] ^= 1;
    let reader = open(damaged).expect("footers are sound");
    for (&series, block) in &blocks {
        let entry = reader.find(series).expect("sound").expect("there");
        assert_eq!(read_block(&reader, &entry).expect("sound"), whole(series, block));
        assert_eq!(
            reader.find(series + 1).expect("sound").is_some(),
            blocks.contains_key(&(series + 1))
        );
    }
    assert!(reader.series_set().expect("from the index").iter().eq(blocks.keys().copied()));
    assert_eq!(reader.verify().len(), 1);
}

/// A column of times that is damaged in both copies costs the series that share it.
#[test]
fn times_damaged_twice_cost_those_that_share_them() {
    let blocks = some_blocks(60);
    let mut damaged = written(&blocks);
    for copy in [1, 2] {
        let times = section(&damaged, copy);
        damaged[times.start + 3] ^= 1;
    }
    let reader = open(damaged).expect("footers are sound");
    let entries: Vec<_> = reader.entries().collect::<Result<_, _>>().expect("sound");
    for entry in &entries {
        let series = entry.series;
        match read_block(&reader, entry) {
            Ok(read) => {
                assert!(entry.time_column != Some(0));
                assert_eq!(read, whole(series, &blocks[&series]));
            }
            Err(error) => {
                assert_eq!((entry.time_column, error.kind()), (Some(0), ErrorKind::Corrupt));
            }
        }
    }
    assert!(entries.iter().any(|e| e.time_column == Some(0)));
    assert_eq!(reader.verify().len(), 2, "both copies");
}

/// Names are packed 1,024 series at a time: damage of a page costs those names and no block.
#[test]
fn damaged_names_cost_their_page() {
    let blocks = some_blocks(1100);
    let mut damaged = written(&blocks);
    let names = section(&damaged, 6);
    damaged[names.start + 20] ^= 1;
    let reader = open(damaged).expect("footers are sound");
    let read: Vec<_> = reader.identities().filter_map(Result::ok).collect();
    assert!(read.iter().map(|(position, _)| *position).eq(1024..1100));
    assert!(reader.labels(1).is_err() && reader.labels(1030).is_ok());
    for (&series, block) in &blocks {
        let entry = reader.find(series).expect("sound").expect("there");
        assert_eq!(read_block(&reader, &entry).expect("sound"), whole(series, block));
    }
    assert_eq!(reader.verify().len(), 1);
}

#[test]
fn the_writer_refuses_what_the_format_cannot_hold() {
    let fs = SimFs::new(0);
    let path = Path::new("/f.fileset");
    let names = labels(1);
    let good = SeriesBlock {
        series: 5,
        labels: &names,
        codec: BlockCodec::M3tsz,
        kind: SampleKind::Float,
        count: 1,
        first_ns: 1,
        last_ns: 1,
        times: b"t",
        bytes: b"x",
    };
    let long = "v".repeat(LABEL_BYTES_MAX);
    let long_names = Labels::from_pairs([("a", long)]).expect("valid");
    // Zeros are not touched, so they take no memory.
    let large = vec![0; BLOCK_BYTES_MAX];
    let bad = [
        (SeriesBlock { series: 5, ..good }, ErrorKind::Internal),
        (SeriesBlock { series: 4, ..good }, ErrorKind::Internal),
        (SeriesBlock { series: 6, count: 0, ..good }, ErrorKind::Internal),
        (SeriesBlock { series: 6, first_ns: 2, ..good }, ErrorKind::Internal),
        (SeriesBlock { series: 6, labels: &long_names, ..good }, ErrorKind::Limit),
        (SeriesBlock { series: 6, bytes: &large, ..good }, ErrorKind::Limit),
    ];
    for (block, kind) in bad {
        let refused = write_fileset::<FilesetError>(&fs, path, &info(), |sink| {
            sink.push(&good)?;
            // Whoever overlooks the error still gets no file.
            assert_eq!(sink.push(&block).expect_err("refused").kind(), kind);
            Ok(())
        });
        assert!(refused.is_err(), "{block:?}");
        assert_eq!(fs.list(Path::new("/")).expect("listed"), Vec::<std::path::PathBuf>::new());
    }
    let long = FilesetInfo { namespace: "n".repeat(4097), ..info() };
    let refused = write_fileset::<FilesetError>(&fs, path, &long, |_| Ok(()));
    assert_eq!(refused.expect_err("too long").kind(), ErrorKind::Limit);
}

#[test]
fn a_callers_own_error_comes_through() {
    #[derive(Debug)]
    struct Mine(Option<FilesetError>);
    impl From<FilesetError> for Mine {
        fn from(error: FilesetError) -> Self {
            Self(Some(error))
        }
    }
    let fs = SimFs::new(0);
    let stopped = write_fileset(&fs, Path::new("/f"), &info(), |_| Err(Mine(None)));
    assert!(matches!(stopped, Err(Mine(None))));
    fs.set_space(Some(50));
    let full = write_fileset::<Mine>(&fs, Path::new("/f"), &info(), |_| Ok(()));
    let Err(Mine(Some(error))) = full else { panic!("{full:?}") };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("/f"), "{error}");
    assert!(!fs.exists(Path::new("/f")) && !fs.exists(Path::new("/f.tmp")));
}

/// Whenever the machine dies, the file is the old one, the new one, or absent.
#[test]
fn a_kill_at_any_step_leaves_a_whole_file_or_none() {
    let (old, new) = (some_blocks(10), some_blocks(150));
    let run = |fs: &SimFs| write(fs, &old).and_then(|_| write(fs, &new));
    let whole = SimFs::new(0);
    run(&whole).expect("no fault");
    for at in 1..=whole.ops() {
        for (unsynced, seeds) in [(Unsynced::Lost, 1), (Unsynced::Torn, 10), (Unsynced::Kept, 1)] {
            for seed in 0..seeds {
                let fs = SimFs::new(seed);
                fs.crash_at_op(at);
                run(&fs).expect_err("killed");
                fs.crash(unsynced);
                if fs.exists(Path::new(PATH)) {
                    let reader = FilesetReader::open(&fs, Path::new(PATH)).expect("whole");
                    check_sound(&reader, if reader.len() == 10 { &old } else { &new });
                }
            }
        }
    }
}

#[test]
fn a_missing_file_is_an_io_error() {
    let error = FilesetReader::open(&SimFs::new(0), Path::new(PATH)).expect_err("absent");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.into_damage().is_none());
}
