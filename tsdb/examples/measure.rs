//! measure
#![allow(clippy::disallowed_methods, clippy::print_stdout, missing_docs)]
use m3rs_core::fs::*;
use m3rs_core::model::*;
use m3rs_core::wire::Cursor;
use m3rs_tsdb::commitlog::*;
use m3rs_tsdb::fileset::*;
use m3rs_tsdb::*;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn main() {
    let n = 500usize;
    for (name, step, jitter, kind) in [
        ("int, step 4, same t", 4u32, 0i64, 0),
        ("float, step 4, same t", 4, 0, 1),
        ("float random refs, times differ", 0, 7_000_000, 1),
        ("mixed, step 1..9, runs of t", 5, 1, 2),
    ] {
        let refs: Vec<u32> = (0..n as u32)
            .map(|i| {
                if step == 0 {
                    i.wrapping_mul(2654435761) % 1_000_000
                } else if kind == 2 {
                    1000 + i * 5 + i.wrapping_mul(7919) % 4
                } else {
                    1000 + i * step
                }
            })
            .collect();
        let ts: Vec<i64> = (0..n as i64)
            .map(|i| {
                1_700_000_000_123_000_000
                    + if jitter == 1 { i / 60 * 7_000_000 } else { (i * 7919 % 15000) * jitter }
            })
            .collect();
        let vs: Vec<f64> = (0..n)
            .map(|i| match kind {
                0 => (i * i * 7919 % 1_000_003) as f64,
                1 => (i as f64 * 0.731).sin() * 1e4,
                _ => match i % 3 {
                    0 => (i * 7919 % 100_003) as f64,
                    1 => (i as f64 * 0.731).sin() * 1e4,
                    _ => (i % 7) as f64,
                },
            })
            .collect();
        let mut out = Vec::with_capacity(1 << 20);
        let mut best = f64::MAX;
        for _ in 0..200 {
            let t = Instant::now();
            for _ in 0..20 {
                out.clear();
                encode_samples(&mut out, 1, 2, &refs, &ts, &vs);
                std::hint::black_box(&out);
            }
            best = best.min(t.elapsed().as_nanos() as f64 / (20 * n) as f64);
        }
        let mut d = EntryDecoder::new();
        let mut bestd = f64::MAX;
        for _ in 0..200 {
            let t = Instant::now();
            for _ in 0..20 {
                let mut c = Cursor::new("x", &out);
                std::hint::black_box(d.next(&mut c).unwrap());
            }
            bestd = bestd.min(t.elapsed().as_nanos() as f64 / (20 * n) as f64);
        }
        println!(
            "{name}: {:.2} B/sample, encode {best:.2} ns, decode {bestd:.2} ns",
            out.len() as f64 / n as f64
        );
    }
    // group commit
    let root = Path::new("/tmp/t/files_measure");
    drop(DiskFs.remove_dir_all(root));
    DiskFs.create_dir_all(root).unwrap();
    for threads in [1, 4, 16] {
        let dir = root.join(format!("log{threads}"));
        let log = CommitLog::open(Arc::new(DiskFs), &dir, CommitLogOptions::default(), 1).unwrap();
        let refs: Vec<u32> = (0..2000).map(|i| i * 4).collect();
        let ts = vec![1_700_000_000_123_000_000i64; 2000];
        let vs: Vec<f64> = (0..2000).map(|i| f64::from(i) * 0.731).collect();
        let start = Instant::now();
        let mut lat: Vec<Duration> = std::thread::scope(|s| {
            let hs: Vec<_> = (0..threads)
                .map(|_| {
                    s.spawn(|| {
                        let mut lat = Vec::new();
                        let mut buf = Vec::new();
                        while start.elapsed() < Duration::from_secs(3) {
                            let t = Instant::now();
                            for shard in 0..4 {
                                buf.clear();
                                let r = shard * 500..(shard + 1) * 500;
                                encode_samples(
                                    &mut buf,
                                    1,
                                    shard as u16,
                                    &refs[r.clone()],
                                    &ts[r.clone()],
                                    &vs[r],
                                );
                                if shard == 3 {
                                    let tk = log.append(&buf).unwrap();
                                    log.wait_durable(tk).unwrap();
                                } else {
                                    log.append(&buf).unwrap();
                                }
                            }
                            lat.push(t.elapsed());
                        }
                        lat
                    })
                })
                .collect();
            hs.into_iter().flat_map(|h| h.join().unwrap()).collect()
        });
        lat.sort();
        println!(
            "{threads} threads: {:.2} M samples/s, p50 {:?} p99 {:?}, {} B/sample",
            lat.len() as f64 * 2000.0 / 3.0 / 1e6,
            lat[lat.len() / 2],
            lat[lat.len() * 99 / 100],
            0
        );
        log.close().unwrap();
        if threads == 16 {
            let t = Instant::now();
            let mut d = EntryDecoder::new();
            let mut count = 0usize;
            let mut sum = 0u64;
            let rep = replay::<CommitLogError>(&DiskFs, &dir, 0, &mut d, |e| {
                if let Entry::Samples { refs, ts, vs, .. } = e {
                    count += refs.len();
                    sum += refs[0] as u64 + ts[0] as u64 + vs[0].to_bits();
                }
                Ok(())
            })
            .unwrap();
            let bytes: u64 = rep.segments.iter().map(|s| s.bytes).sum();
            println!(
                "replay: {count} samples, {:.2} B/sample, {:.2} ns/sample (sum {sum})",
                bytes as f64 / count as f64,
                t.elapsed().as_nanos() as f64 / count as f64
            );
        }
    }
    // filesets
    let series = 300_000u32;
    let labels: Vec<Labels> = (0..series)
        .map(|i| {
            Labels::from_pairs([
                ("__name__", format!("node_cpu_seconds_total_{}", i % 300)),
                ("cpu", (i % 16).to_string()),
                ("instance", format!("10.0.{}.{}:9100", i / 300 / 250, i / 300 % 250)),
                ("job", "node".into()),
                ("mode", "idle".into()),
                ("dc", "eu-west-1a".into()),
            ])
            .unwrap()
        })
        .collect();
    let bytes: Vec<u8> = (0..600u32).map(|i| (i.wrapping_mul(2654435761) >> 13) as u8).collect();
    let path = root.join("0-0.fileset");
    let info = FilesetInfo {
        kind: FilesetKind::Volume,
        namespace: "default".into(),
        shard: 0,
        shard_count: 4,
        id_scheme: 1,
        block_start_ns: 0,
        block_size_ns: 7_200_000_000_000,
        volume: 0,
        log_segment: 0,
        created_ns: 0,
    };
    let t = Instant::now();
    write_fileset::<FilesetError>(&DiskFs, &path, &info, |sink| {
        for (i, l) in (0..series).zip(&labels) {
            sink.push(&SeriesBlock {
                series: i * 4,
                labels: l,
                codec: BlockCodec::M3tsz,
                kind: SampleKind::Float,
                count: 480,
                first_ns: 1,
                last_ns: 7_200_000_000_000 - i64::from(i % 15000) * 1_000_000,
                bytes: &bytes[..400 + (i % 200) as usize],
            })?;
        }
        Ok(())
    })
    .unwrap();
    let data: u64 = (0..series).map(|i| 400 + u64::from(i % 200)).sum();
    let len = DiskFs.file_len(&path).unwrap();
    println!(
        "fileset write: {:?}, {:.2} us/series, overhead {:.1} B/series over data",
        t.elapsed(),
        t.elapsed().as_micros() as f64 / f64::from(series),
        (len - data) as f64 / f64::from(series)
    );
    let t = Instant::now();
    let reader = FilesetReader::open(&DiskFs, &path).unwrap();
    println!("open {:?}", t.elapsed());
    for round in 0..2 {
        let t = Instant::now();
        let mut found = 0u32;
        for i in 0..series {
            let s = (i.wrapping_mul(2654435761) % series) * 4;
            found += u32::from(reader.find(s).unwrap().is_some());
        }
        println!(
            "find round {round}: {:.1} ns ({found})",
            t.elapsed().as_nanos() as f64 / f64::from(series)
        );
        let t = Instant::now();
        let mut sum = 0usize;
        for e in reader.entries() {
            let e = e.unwrap();
            sum += reader.block(&e).unwrap().len();
        }
        println!(
            "entries+block: {:.1} ns/series ({sum})",
            t.elapsed().as_nanos() as f64 / f64::from(series)
        );
    }
    let t = Instant::now();
    let c = reader.identities().filter(Result::is_ok).count();
    println!(
        "identities: {:.1} ns/series ({c})",
        t.elapsed().as_nanos() as f64 / f64::from(series)
    );
    let t = Instant::now();
    println!("verify {} in {:?}", reader.verify().len(), t.elapsed());
    DiskFs.remove_dir_all(root).unwrap();
}
