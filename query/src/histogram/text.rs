//! Histograms as text.

use super::{Bucket, FloatHistogram};
use crate::number::{general, write_float};

/// Appends the JSON object of Prometheus's query API: count, sum, and the buckets that hold
/// something as kind of interval, bounds and count.
pub fn write_json(out: &mut Vec<u8>, h: &FloatHistogram) {
    let quoted = |out: &mut Vec<u8>, v: f64| {
        out.push(b'"');
        write_float(out, v);
        out.push(b'"');
    };
    out.extend_from_slice(b"{\"count\":");
    quoted(out, h.count);
    out.extend_from_slice(b",\"sum\":");
    quoted(out, h.sum);
    let mut start: &[u8] = b",\"buckets\":[[";
    for bucket in h.buckets().filter(|bucket| bucket.count != 0.0) {
        out.extend_from_slice(std::mem::replace(&mut start, b",["));
        out.push(interval(&bucket));
        for v in [bucket.lower, bucket.upper, bucket.count] {
            out.push(b',');
            quoted(out, v);
        }
        out.push(b']');
    }
    if start == b",[" {
        out.push(b']');
    }
    out.push(b'}');
}

/// Which bounds belong to a bucket: the upper one, the lower one, none, both.
fn interval(bucket: &Bucket) -> u8 {
    match (bucket.is_lower_inside, bucket.is_upper_inside) {
        (false, true) => b'0',
        (true, false) => b'1',
        (false, false) => b'2',
        (true, true) => b'3',
    }
}

/// The text that `count_values` writes into a label.
impl std::fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{{count:{}, sum:{}", general(self.count), general(self.sum))?;
        let zero = (self.zero_count != 0.0 && !self.is_custom()).then(|| self.zero_bucket());
        let all = self.negative_buckets().rev().chain(zero).chain(self.positive_buckets());
        for bucket in all.filter(|bucket| bucket.count != 0.0) {
            let open = if bucket.is_lower_inside { '[' } else { '(' };
            let close = if bucket.is_upper_inside { ']' } else { ')' };
            let [lower, upper, count] = [bucket.lower, bucket.upper, bucket.count].map(general);
            write!(f, ", {open}{lower},{upper}{close}:{count}")?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{custom, exponential, side};
    use super::*;

    fn json(h: &FloatHistogram) -> String {
        let mut out = Vec::new();
        write_json(&mut out, h);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn filled_buckets_are_written() {
        let h = FloatHistogram {
            zero_threshold: 0.25,
            zero_count: 3.0,
            negative: side(0, &[1.5]),
            ..exponential(0, &[12.0, 0.0, 21.0])
        };
        assert_eq!(
            json(&h),
            "{\"count\":\"33\",\"sum\":\"33\",\"buckets\":[[1,\"-1\",\"-0.5\",\"1.5\"],\
             [3,\"-0.25\",\"0.25\",\"3\"],[0,\"0.5\",\"1\",\"12\"],[0,\"2\",\"4\",\"21\"]]}"
        );
        assert_eq!(
            h.to_string(),
            "{count:33, sum:33, [-1,-0.5):1.5, [-0.25,0.25]:3, (0.5,1]:12, (2,4]:21}"
        );
    }

    #[test]
    fn empty_and_infinite_ones_are_written() {
        assert_eq!(json(&FloatHistogram::default()), "{\"count\":\"0\",\"sum\":\"0\"}");
        let h = custom(&[5.0], &[1.0, 2.0]);
        assert_eq!(
            json(&h),
            "{\"count\":\"3\",\"sum\":\"3\",\"buckets\":[[3,\"-Inf\",\"5\",\"1\"],\
             [0,\"5\",\"+Inf\",\"2\"]]}"
        );
        assert_eq!(h.to_string(), "{count:3, sum:3, [-Inf,5]:1, (5,+Inf]:2}");
    }
}
