//! What a query cost, as a member of its answer.

use std::time::Duration;

use crate::number::{write_float, write_short_time};
use crate::result::{QueryOutput, QueryStats, QueryTimings, Value};

/// How much of its statistics an answer shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatsDetail {
    /// Nothing.
    #[default]
    Hidden,
    /// Times and totals.
    Totals,
    /// Also samples by evaluation time, if they were counted.
    PerStep,
}

/// Writes `,"stats":{…}`; members and their order are Prometheus's, and `seriesFetched` is what
/// vmalert asks for.
pub(super) fn write_stats(out: &mut Vec<u8>, output: &QueryOutput, detail: StatsDetail) {
    if detail == StatsDetail::Hidden {
        return;
    }
    let stats = &output.stats;
    out.extend_from_slice(b",\"stats\":{\"timings\":{");
    write_timings(out, &stats.timings);
    out.extend_from_slice(b"},\"samples\":{");
    if detail == StatsDetail::PerStep && !stats.samples_per_step.is_empty() {
        write_steps(out, &output.value, &stats.samples_per_step);
    }
    for (name, count) in [
        ("\"totalQueryableSamples\":", queryable(stats)),
        (",\"samplesRead\":", stats.samples),
        (",\"peakSamples\":", stats.samples_peak),
    ] {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(count.to_string().as_bytes());
    }
    out.extend_from_slice(b"},\"seriesFetched\":\"");
    out.extend_from_slice(stats.series.to_string().as_bytes());
    out.extend_from_slice(b"\"}");
}

/// Samples that evaluation times look at, each as often as one does; what was read, if nobody
/// counted that.
fn queryable(stats: &QueryStats) -> u64 {
    if stats.samples_per_step.is_empty() {
        return stats.samples;
    }
    stats.samples_per_step.iter().sum()
}

fn write_timings(out: &mut Vec<u8>, timings: &QueryTimings) {
    let QueryTimings { queue, preparation, evaluation, sort, total } = *timings;
    let mut separator = "";
    let mut write = |name: &str, time: Duration| {
        out.extend_from_slice(separator.as_bytes());
        separator = ",";
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        write_float(out, time.as_secs_f64());
    };
    write("evalTotalTime", total);
    write("resultSortTime", sort);
    write("queryPreparationTime", preparation);
    write("innerEvalTime", evaluation);
    write("execQueueTime", queue);
    write("execTotalTime", queue.saturating_add(total));
}

fn write_steps(out: &mut Vec<u8>, value: &Value, counts: &[u64]) {
    let times: Vec<i64> = match value {
        Value::Scalar { t_ms, .. } | Value::String { t_ms, .. } => vec![*t_ms],
        Value::Vector(vector) => vec![vector.t_ms],
        Value::Matrix(matrix) => matrix.grid.times().collect(),
    };
    out.extend_from_slice(b"\"totalQueryableSamplesPerStep\":[");
    for (i, (t_ms, count)) in times.iter().zip(counts).enumerate() {
        out.extend_from_slice(if i > 0 { b",[" } else { b"[" });
        write_short_time(out, *t_ms);
        out.push(b',');
        out.extend_from_slice(count.to_string().as_bytes());
        out.push(b']');
    }
    out.extend_from_slice(b"],");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Matrix;
    use crate::step::StepGrid;

    fn written(output: &QueryOutput, detail: StatsDetail) -> String {
        let mut out = Vec::new();
        write_stats(&mut out, output, detail);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn all_of_prometheus_s_members_are_there() {
        let ms = Duration::from_millis;
        let timings = QueryTimings {
            queue: ms(1),
            preparation: ms(2),
            evaluation: ms(4),
            sort: Duration::from_nanos(400),
            total: ms(7),
        };
        let stats = QueryStats {
            series: 3,
            samples: 40,
            samples_peak: 5,
            steps: 2,
            samples_per_step: vec![30, 31],
            timings,
        };
        let grid = StepGrid::range(1_000, 1_500, 500);
        let value = Value::Matrix(Matrix { grid, series: Vec::new() });
        let mut output =
            QueryOutput { value, warnings: vec![], infos: vec![], stats, operators: vec![] };
        let timings = "\"timings\":{\"evalTotalTime\":0.007,\"resultSortTime\":4e-07,\
                       \"queryPreparationTime\":0.002,\"innerEvalTime\":0.004,\
                       \"execQueueTime\":0.001,\"execTotalTime\":0.008}";
        let totals = "\"totalQueryableSamples\":61,\"samplesRead\":40,\"peakSamples\":5},\
                      \"seriesFetched\":\"3\"}";
        let wanted = format!(",\"stats\":{{{timings},\"samples\":{{{totals}");
        assert_eq!(written(&output, StatsDetail::Totals), wanted);
        let steps = "\"totalQueryableSamplesPerStep\":[[1,30],[1.5,31]],";
        let wanted = format!(",\"stats\":{{{timings},\"samples\":{{{steps}{totals}");
        assert_eq!(written(&output, StatsDetail::PerStep), wanted);
        assert_eq!(written(&output, StatsDetail::Hidden), "");
        output.stats.samples_per_step.clear();
        let text = written(&output, StatsDetail::PerStep);
        assert!(text.contains("\"samples\":{\"totalQueryableSamples\":40,"), "{text}");
    }
}
