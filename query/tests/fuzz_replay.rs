//! Runs the fuzz target of the parser over its seeds and past findings, on the stable compiler.

#[path = "fuzz/promql_parse.rs"]
mod promql_parse;

use std::path::Path;

use m3rs_core::fs::{DiskFs, Fs};

#[test]
fn promql_inputs_hold() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let mut inputs = 0;
    for kind in ["corpus", "regressions"] {
        for path in DiskFs.list(&fuzz.join(kind).join("promql_parse")).expect("readable") {
            promql_parse::fuzz_promql_parse(&DiskFs.read(&path).expect("readable"));
            inputs += 1;
        }
    }
    assert!(inputs >= 10, "{inputs} inputs");
}
