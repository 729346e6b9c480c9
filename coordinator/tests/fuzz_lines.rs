//! Runs the fuzz targets of formats of lines over their seeds and past findings, on the stable
//! compiler, and over bodies made at random.

#[path = "fuzz/lines.rs"]
mod lines;

use std::path::{Path, PathBuf};

use m3rs_core::fs::{DiskFs, Fs};
use proptest::prelude::*;

use lines::{fuzz_csv, fuzz_exposition, fuzz_influx, fuzz_json_lines, fuzz_m3_json};

type Property = fn(&[u8]);

/// Names and texts.
type Seeds = &'static [(&'static str, &'static str)];

const TARGETS: [(&str, Property, Seeds); 5] = [
    (
        "influx",
        fuzz_influx,
        &[
            (
                "kinds",
                "cpu,host=a,zone=b v=1.5,i=2i,u=3u,t=T,f=false,s=\"x y\" 1700000000000000000\n",
            ),
            ("escapes", "a\\ b\\,c,t\\=x=y\\ z,u=\\\\ f\\ 1=1,s=\"a\\\"b\" 5\n# comment\n\nm v=1"),
            (
                "bad",
                "m\nm \nm a=\nm =1\nm a=1,b=x\nm a=\"x\n\
                 m a=1 z\nm,t a=1\nm a=1 99999999999999999999\n",
            ),
            ("precision", "m v=1 1700000000\nm v=1 1700000000123\nm v=1 -1\nm v=nan 0\n"),
        ],
    ),
    (
        "exposition",
        fuzz_exposition,
        &[
            (
                "text",
                "# HELP a A \\\\ b\\n\n# TYPE a counter\n\
                 a{b=\"c\\\"\",d=\"\"} 1 1395066363000\na +Inf\n",
            ),
            ("utf8", "{\"a.b\",\"c d\"=\"e\\n\"} 1\n# TYPE \"a.b\" gauge\n"),
            (
                "openmetrics",
                "# TYPE f counter\n# UNIT f seconds\nf_total{a=\"1\"} 1 1.5 # {t=\"x\"} 0.5 1.2\n\
             f_created{a=\"1\"} 1\n# TYPE h histogram\n\
             h_bucket{le=\"1\"} 1\nh_count 1\nh_created 2\n# EOF\n",
            ),
            (
                "bad",
                "a\na{b=\"c\"}\na{b=\"c} 1\na{b=c} 1\na{b} 1\n{x=\"y\"} 1\n\
                 a 1 2 3\na x\n# TYPE a x\n",
            ),
        ],
    ),
    (
        "json_lines",
        fuzz_json_lines,
        &[
            (
                "usual",
                "{\"metric\":{\"__name__\":\"up\",\"a\":\"b\"},\"values\":[1,2.5],\
                 \"timestamps\":[1,2]}\n",
            ),
            (
                "special",
                "{\"timestamps\":[1,2,3,-4],\"values\":[null,\"NaN\",\"-Infinity\",1e3],\
                 \"metric\":{\"__name__\":\"a\"}}",
            ),
            (
                "skipped",
                "{\"x\":[[{\"y\":[1,\"]\",true]}],{}],\
                 \"metric\":{\"__name__\":\"\\u00e9\\ud83d\\ude00\\n\"},\
             \"values\":[1],\"timestamps\":[1]}\n",
            ),
            (
                "bad",
                "{\n{}\n{\"metric\":{\"a\":1}}\n\
                 {\"metric\":{},\"values\":[1,],\"timestamps\":[1.5]}\n[[[[[\n",
            ),
        ],
    ),
    (
        "csv",
        fuzz_csv,
        &[
            ("usual", "1,x,1700000000000\n2,\"y,\"\"z\"\"\",1700000000001\n3,'q''r',5,further\n"),
            ("header", "value,label,time\n1,a,5\n,,\n"),
            ("times", "2024-02-29T13:04:05.5+02:00,1,2\n2024-02-29 13:04:05.500 +0200,1,2\n"),
            ("bad", "1\n\"\n'a'b,c,d\nx,y,z\n1,2,9e99\n"),
        ],
    ),
    (
        "m3_json",
        fuzz_m3_json,
        &[
            (
                "usual",
                "{\n \"tags\": {\"__name__\":\"third_avenue\",\"city\":\"new_york\"},\n \
                 \"timestamp\": \"1700000000.5\",\n \"value\": 3347.26\n}",
            ),
            (
                "rfc3339",
                "{\"value\":-1e-3,\"timestamp\":\"2024-02-29T13:04:05.5+02:00\",\
                 \"tags\":{\"__name__\":\"\\u00e9\"}} rest",
            ),
            (
                "skipped",
                "{\"Tags\":{\"__name__\":\"a\",\"a\":null},\"x\":[{}],\"TIMESTAMP\":\"1\"}",
            ),
            ("bad", "{\"tags\":{\"a\":1},\"timestamp\":\"soon\",\"value\":[1,tru\\x]}"),
        ],
    ),
];

fn corpus(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(kind).join(target)
}

#[test]
fn inputs_of_lines_hold() {
    for (target, property, _) in TARGETS {
        let mut inputs = 0;
        for kind in ["corpus", "regressions"] {
            for path in DiskFs.list(&corpus(kind, target)).expect("readable") {
                property(&DiskFs.read(&path).expect("readable"));
                inputs += 1;
            }
        }
        assert!(inputs >= 4, "{inputs} inputs of {target}");
    }
}

/// Seeds that show the fuzzer the shapes of a body. `M3RS_WRITE_GOLDEN=1` writes them.
#[test]
fn seeds_are_current() {
    for (target, _, seeds) in TARGETS {
        let dir = corpus("corpus", target);
        for (name, text) in seeds {
            let path = dir.join(name);
            if std::env::var_os("M3RS_WRITE_GOLDEN").is_some() {
                DiskFs.create_dir_all(&dir).expect("makes");
                let mut file = DiskFs.create(&path).expect("creates");
                file.write_all(text.as_bytes()).expect("writes");
            }
            let read = DiskFs.read(&path).expect("the seed is committed");
            assert_eq!(read, text.as_bytes(), "{name}");
        }
    }
}

/// Pieces of seeds, one after the other, and bytes that formats look at.
fn any_body(seeds: Seeds) -> impl Strategy<Value = Vec<u8>> {
    let part = (0..seeds.len(), any::<prop::sample::Index>(), 0usize..40).prop_map(
        move |(seed, from, len)| {
            let bytes = seeds[seed].1.as_bytes();
            let from = from.index(bytes.len());
            bytes[from..(from + len).min(bytes.len())].to_vec()
        },
    );
    let noise = prop::collection::vec(
        prop::sample::select(&b"\n\\\"',= {}[]:#0123456789.eE+-aint\xff\x00"[..]),
        0..4,
    );
    prop::collection::vec(prop_oneof![4 => part, 1 => noise], 0..12)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_influx_body_holds(body in any_body(TARGETS[0].2)) {
        fuzz_influx(&body);
    }

    #[test]
    fn any_exposition_holds(body in any_body(TARGETS[1].2)) {
        fuzz_exposition(&body);
    }

    #[test]
    fn any_json_lines_hold(body in any_body(TARGETS[2].2)) {
        fuzz_json_lines(&body);
    }

    #[test]
    fn any_m3_json_holds(body in any_body(TARGETS[4].2)) {
        fuzz_m3_json(&body);
    }

    #[test]
    fn any_csv_holds(body in any_body(TARGETS[3].2)) {
        fuzz_csv(&body);
    }
}
