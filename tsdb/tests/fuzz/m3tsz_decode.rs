//! What must hold of any bytes taken for an M3TSZ stream.

use m3rs_core::time::TimestampNs;
use m3rs_tsdb::codec::m3tsz::{
    Decoder, DecoderOptions, EncodeError, Encoder, EncoderOptions, decode_into, limits,
};

/// Reads `data` in both modes and by both readers; what they read is written and read again.
pub(crate) fn fuzz_m3tsz_decode(data: &[u8]) {
    for int_optimized in [true, false] {
        let (mut ts, mut vs) = (Vec::new(), Vec::new());
        let result = decode_into(data, int_optimized, &mut ts, &mut vs);
        assert_eq!(ts.len(), vs.len());
        // A sample takes two bits or more.
        assert!(ts.len() <= data.len() * 4);
        let mut points = Vec::new();
        let mut error = None;
        for point in Decoder::new(data, DecoderOptions { int_optimized }) {
            match point {
                Ok(point) => points.push(point),
                Err(corrupt) => error = Some(corrupt),
            }
        }
        assert_eq!(result.err(), error, "both readers see the same fault");
        assert!(points.iter().map(|p| p.time.0).eq(ts.iter().copied()));
        assert!(points.iter().map(|p| p.value.to_bits()).eq(vs.iter().map(|v| v.to_bits())));
        round_trip(&ts, &vs, int_optimized);
    }
}

fn round_trip(ts: &[i64], vs: &[f64], int_optimized: bool) {
    let options = EncoderOptions { int_optimized, ..EncoderOptions::default() };
    let mut encoder = Encoder::new(TimestampNs(ts.first().copied().unwrap_or(0)), options);
    match encoder.push_all(ts, vs) {
        Ok(()) => {}
        Err(EncodeError::StepTooLong { step_ns }) => {
            assert!(step_ns.unsigned_abs() > limits::STEP_NS_MAX.unsigned_abs());
            return;
        }
        Err(error) => panic!("{error}"),
    }
    let (mut again_ts, mut again_vs) = (Vec::new(), Vec::new());
    let bytes = encoder.finish();
    decode_into(&bytes, int_optimized, &mut again_ts, &mut again_vs)
        .expect("what we write decodes");
    assert_eq!(again_ts, ts);
    assert!(again_vs.iter().map(|v| v.to_bits()).eq(vs.iter().map(|v| v.to_bits())));
}
