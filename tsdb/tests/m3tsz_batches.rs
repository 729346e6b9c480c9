//! A batch writes the very bytes that the same samples write one by one, and refuses what they do.

use m3rs_core::time::TimestampNs;
use m3rs_tsdb::codec::m3tsz::{
    EncodeError, Encoder, EncoderOptions, Exactness, TimeUnit, decode_into, limits,
};
use proptest::prelude::*;

const START: i64 = 1_700_000_000_000_000_000;

/// How the next value follows from the last.
#[derive(Clone, Copy, Debug)]
enum Step {
    Same,
    Integer(i32),
    Decimal(i32, u8),
    Any(u64),
    Special(usize),
}

const SPECIAL: [f64; 12] = [
    0.0,
    -0.0,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    1e13,
    9_999_999_999_999.0,
    -1e12,
    9_223_372_036_854_775_807.0,
    -9_223_372_036_854_775_808.0,
    0.1 + 0.2,
    5e-324,
];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Same),
        20 => (-3000i32..3000).prop_map(Step::Integer),
        10 => (any::<i32>(), 0u8..7).prop_map(|(n, scale)| Step::Decimal(n, scale)),
        1 => any::<u64>().prop_map(Step::Any),
        1 => (0..SPECIAL.len()).prop_map(Step::Special),
    ]
}

/// Long stretches of one kind, with others between them.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let stretch = (step(), 0usize..80, prop::collection::vec(step(), 0..4));
    prop::collection::vec(stretch, 1..6).prop_map(|stretches| {
        let mut values = Vec::new();
        let mut last = 100.0;
        for (kind, count, others) in stretches {
            for (i, step) in std::iter::repeat_n(kind, count).chain(others).enumerate() {
                last = match step {
                    Step::Same => last,
                    Step::Integer(n) => last + f64::from(n) * (i as f64 + 1.0),
                    Step::Decimal(n, scale) => {
                        (f64::from(n) + i as f64) / 10f64.powi(i32::from(scale))
                    }
                    Step::Any(bits) => f64::from_bits(bits),
                    Step::Special(i) => SPECIAL[i],
                };
                values.push(last);
            }
        }
        values
    })
}

fn one_by_one(ts: &[i64], vs: &[f64], options: EncoderOptions) -> Vec<u8> {
    let mut encoder = Encoder::new(TimestampNs(START), options);
    for (&t, &v) in ts.iter().zip(vs) {
        encoder.push(TimestampNs(t), v, TimeUnit::Second, &[]).expect("it has room");
    }
    encoder.finish()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn batches_write_what_singles_write(
        vs in values(),
        cuts in prop::collection::vec(1usize..70, 1..8),
    ) {
        let ts: Vec<i64> = (1..=vs.len() as i64).map(|i| START + i * 15_000_000_000).collect();
        for exactness in [Exactness::Exact, Exactness::Reference] {
            let options = EncoderOptions { int_optimized: true, exactness };
            let mut encoder = Encoder::new(TimestampNs(START), options);
            let mut from = 0;
            for cut in cuts.iter().cycle() {
                let to = (from + cut).min(vs.len());
                encoder.push_all(&ts[from..to], &vs[from..to]).expect("it has room");
                from = to;
                if from == vs.len() {
                    break;
                }
            }
            let bytes = encoder.finish();
            prop_assert_eq!(&bytes, &one_by_one(&ts, &vs, options));
            if exactness == Exactness::Exact {
                let (mut got_ts, mut got_vs) = (Vec::new(), Vec::new());
                decode_into(&bytes, true, &mut got_ts, &mut got_vs).expect("decodes");
                let bits = |vs: &[f64]| vs.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(got_ts, ts.clone());
                prop_assert_eq!(bits(&got_vs), bits(&vs));
            }
        }
    }
}

/// A step that is longer would have a code that begins with the bits of a marker.
#[test]
fn the_longest_step_is_taken_and_one_more_is_not() {
    let max = limits::STEP_NS_MAX;
    for first in [max, -max] {
        for (second, fits) in [(first, true), (first + first.signum(), false)] {
            let mut encoder = Encoder::new(TimestampNs(0), EncoderOptions::default());
            encoder.push(TimestampNs(0), 1.0, TimeUnit::Second, &[]).expect("it has room");
            let before = encoder.clone().finish();
            let batch = encoder.clone().push_all(&[second], &[2.0]);
            let single = encoder.push(TimestampNs(second), 2.0, TimeUnit::Second, &[]);
            if fits {
                assert_eq!((batch, single), (Ok(()), Ok(())));
                encoder.push_all(&[0], &[3.0]).expect("back is as far");
                let (mut ts, mut vs) = (Vec::new(), Vec::new());
                decode_into(&encoder.finish(), true, &mut ts, &mut vs).expect("decodes");
                assert_eq!((ts, vs), (vec![0, second, 0], vec![1.0, 2.0, 3.0]));
            } else {
                let refused = Err(EncodeError::StepTooLong { step_ns: second });
                assert_eq!((batch, single), (refused.clone(), refused));
                assert_eq!(encoder.finish(), before, "the stream is as it was");
            }
        }
    }
}
