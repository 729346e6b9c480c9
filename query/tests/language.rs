//! Parts of Prometheus's language that its own scripts cover, told once each for readers and for
//! machines without those scripts: edges of ranges, info series, start timestamps.

use m3rs_query::engine::{Engine, EngineOptions};
use m3rs_query::testdsl::{Script, run};

/// Runs a script of which every query must pass.
fn holds(text: &str) {
    holds_with(EngineOptions::default(), text);
}

fn holds_with(options: EngineOptions, text: &str) {
    let engine = Engine::new(options).expect("query threads");
    let report = run(&Script::parse(text).expect("a script"), &engine);
    assert!(report.evals > 0, "no queries");
    assert_eq!(report.passed, report.evals, "{report:?}");
}

#[test]
fn anchored_ranges_begin_with_the_sample_before_them() {
    holds(
        "load 10s\n\
         m 1 2 4 8 3 6\n\
         \n\
         eval instant at 35s increase(m[10s] anchored)\n\
         {} 4\n\
         \n\
         eval instant at 45s rate(m[20s] anchored)\n\
         {} 0.35\n\
         \n\
         eval range from 35s to 45s step 10s resets(m[20s] anchored)\n\
         {} 0 1\n\
         \n\
         eval instant at 45s changes(m[10s] anchored)\n\
         {} 1\n\
         \n\
         eval instant at 35s m[10s] anchored\n\
         expect range vector from 25s to 35s step 5s\n\
         m 4 8 8\n\
         \n\
         eval instant at 45s avg_over_time(m[10s] anchored)\n\
         expect fail msg: anchored modifier can only be used with: changes, delta, increase, rate, \
         resets - not with avg_over_time\n",
    );
}

#[test]
fn smoothed_ranges_and_instants_lie_on_the_line_between_samples() {
    holds(
        "load 10s\n\
         m 1 2 4 8 3 6\n\
         \n\
         eval instant at 25s increase(m[10s] smoothed)\n\
         {} 3\n\
         \n\
         eval instant at 38s increase(m[10s] smoothed)\n\
         {} 3.2\n\
         \n\
         eval range from 0 to 15s step 5s m smoothed\n\
         m 1 1.5 2 3\n\
         \n\
         eval instant at 60s m smoothed\n\
         m 6\n\
         \n\
         eval instant at 35s resets(m[10s] smoothed)\n\
         expect fail msg: smoothed modifier can only be used with: delta, increase, rate - not \
         with resets\n",
    );
}

#[test]
fn info_series_lend_their_labels_while_they_are_the_newest() {
    holds(
        "load 1m\n\
         up{job=\"a\", instance=\"1\"} 1 1 1 1\n\
         up{job=\"b\", instance=\"1\"} 1 1 1 1\n\
         target_info{job=\"a\", instance=\"1\", version=\"1\"} 1 1 stale\n\
         target_info{job=\"a\", instance=\"1\", version=\"2\"} _ _ 1 1\n\
         build_info{job=\"b\", instance=\"1\", revision=\"x\"} 1 1 1 1\n\
         \n\
         eval range from 0 to 3m step 1m info(up)\n\
         up{job=\"a\", instance=\"1\", version=\"1\"} 1 1 _ _\n\
         up{job=\"a\", instance=\"1\", version=\"2\"} _ _ 1 1\n\
         up{job=\"b\", instance=\"1\"} 1 1 1 1\n\
         \n\
         eval range from 1m to 1m step 1m info(up, {__name__=\"build_info\", revision=~\".+\"})\n\
         up{job=\"b\", instance=\"1\", revision=\"x\"} 1\n\
         \n\
         clear\n\
         load 1m\n\
         up{job=\"a\"} 1\n\
         target_info{job=\"a\", version=\"1\"} 1\n\
         target_info{job=\"a\", version=\"2\"} 1\n\
         \n\
         eval range from 0 to 1m step 1m info(up)\n\
         expect fail regex: found duplicate series for info metric\n",
    );
}

const STARTED: &str = "load 1m\n\
    m_total{of=\"gauge\"} 5 6 7\n\
    m_total{of=\"counter\"}@st -30s -90s -30s\n\
    m_total{of=\"counter\"} 5 6 7\n\
    \n";

#[test]
fn start_timestamps_tell_of_resets_and_of_zero() {
    let queries = "eval instant at 2m resets(m_total[3m])\n\
         {of=\"gauge\"} 0\n\
         {of=\"counter\"} 1\n\
         \n\
         eval instant at 2m irate(m_total{of=\"counter\"}[3m])\n\
         {of=\"counter\"} 0.11666666\n\
         \n\
         eval instant at 2m increase(m_total{of=\"counter\"}[3m])\n\
         {of=\"counter\"} 13\n\
         \n\
         eval instant at 2m start_timestamp(m_total)\n\
         {of=\"gauge\"} 0\n\
         {of=\"counter\"} 90\n\
         \n\
         eval instant at 2m start_timestamp(abs(m_total))\n";
    holds(&[STARTED, queries].concat());
}

#[test]
fn start_timestamps_count_for_nothing_where_they_are_switched_off() {
    let options = EngineOptions { uses_start_timestamps: false, ..EngineOptions::default() };
    let queries = "eval instant at 2m resets(m_total[3m])\n\
         {of=\"gauge\"} 0\n\
         {of=\"counter\"} 0\n\
         \n\
         eval instant at 2m start_timestamp(m_total)\n";
    holds_with(options, &[STARTED, queries].concat());
}

#[test]
fn starts_that_overlap_are_told_of() {
    holds(
        "load 1m\n\
         m_total@st -30s -80s -30s\n\
         m_total 5 6 7\n\
         \n\
         eval instant at 2m rate(m_total[5m])\n\
         expect warn msg: PromQL warning: sample has start time that overlaps with previous sample \
         timestamp for metric \"m_total\"\n\
         {} 0.0433333\n",
    );
}

#[test]
fn default_rollup_is_the_last_sample_of_its_range_unless_the_series_ended() {
    holds(
        "load 1m\n\
         ALERTS_FOR_STATE{alertname=\"a\"} 5 _ _ _ _ _ _ _ _ _ _\n\
         ALERTS_FOR_STATE{alertname=\"b\"} 6 stale\n\
         ALERTS_FOR_STATE{alertname=\"c\"} 7 8 9\n\
         \n\
         eval instant at 10m default_rollup(ALERTS_FOR_STATE[3600s])\n\
         ALERTS_FOR_STATE{alertname=\"a\"} 5\n\
         ALERTS_FOR_STATE{alertname=\"c\"} 9\n\
         \n\
         eval instant at 10m default_rollup(ALERTS_FOR_STATE[9m])\n\
         ALERTS_FOR_STATE{alertname=\"c\"} 9\n\
         \n\
         eval instant at 10m default_rollup((ALERTS_FOR_STATE * 2)[10m:1m])\n\
         {alertname=\"a\"} 10\n\
         {alertname=\"c\"} 18\n",
    );
}

#[test]
fn faults_and_notes_come_where_prometheus_has_them() {
    holds(
        "load 1m\n\
         x{a=\"1\"} 1+1x20\n\
         y{a=\"2\"} 2+1x20\n\
         few NaN 1+1x3\n\
         \n\
         eval instant at 10m x - increase(y[5m])\n\
         expect info msg: PromQL info: metric might not be a counter, name does not end in \
         _total/_sum/_count/_bucket: \"y\"\n\
         \n\
         eval instant at 10m start_timestamp(topk(scalar(z), x))\n\
         expect fail msg: Parameter value is NaN\n\
         \n\
         eval range from 0 to 1m step 1m topk(scalar(few), vector(1))\n\
         expect fail msg: Parameter value is NaN\n\
         \n\
         eval range from 2m to 9m step 1m count(topk(scalar(few offset 1m), y @ 300))\n\
         {} 1 1 1 1 1 1 1 1\n\
         \n\
         eval instant at 10m x[1m % 4s * 2]\n\
         expect fail msg: 2:13: duration must be greater than 0\n\
         \n\
         eval range from 0 to 1m step 1m count_over_time(x[max_of(86s, 2s) - (181)])\n\
         expect fail msg: 25:40: duration must be greater than 0\n\
         \n\
         eval range from 0 to 1m step 1m count_over_time(x[((step() - step()))])\n\
         expect fail msg: 20:35: duration must be greater than 0\n\
         \n\
         eval range from 0 to 1m step 1m count_over_time(x[(765) % -(step() - step())])\n\
         expect fail msg: 19:43: modulo by zero\n\
         \n\
         eval range from 0 to 1m step 1m x[min_of(1s - 2s, 3s)]\n\
         expect fail msg: invalid expression type \"range vector\" for range query, must be Scalar \
         or instant Vector\n\
         \n\
         eval instant at 10m label_join(x, \"\", \"-\", \"a\") + x[step() / (1 - 1)]\n\
         expect fail\n\
         \n\
         eval instant at 10m absent(z{a!~\"b\", a=\"c\"})\n\
         {} 1\n\
         \n\
         eval instant at 10m predict_linear(x[5m:] @ 300, 60)\n\
         \n\
         eval instant at 10m double_exponential_smoothing(x[5m], 0.5, 1)\n\
         expect fail msg: invalid trend factor. Expected: 0 < tf < 1, got: 1.000000\n",
    );
}

#[test]
fn a_quantile_that_varies_labels_its_results() {
    holds(
        "load 1m\n\
         h_bucket{le=\"1\"} 10x9\n\
         h_bucket{le=\"+Inf\"} 10x9\n\
         \n\
         eval range from 0 to 2m step 1m histogram_quantiles(h_bucket, \"q\", time() / 120)\n\
         {q=\"0.0\"} 0\n\
         {q=\"0.5\"} _ 0.5\n\
         {q=\"1.0\"} _ _ 1\n",
    );
}

#[test]
fn kinds_of_an_aggregation_are_looked_at_in_the_order_of_series() {
    holds(
        "load 1m\n\
         first{a=\"1\"} 1x9\n\
         first{a=\"2\"} {{schema:0 count:1 sum:1 buckets:[1]}}x9\n\
         first{a=\"3\"} {{schema:-53 count:1 sum:1 custom_values:[1] buckets:[1]}}x9\n\
         last{a=\"1\"} {{schema:0 count:1 sum:1 buckets:[1]}}x9\n\
         last{a=\"2\"} {{schema:-53 count:1 sum:1 custom_values:[1] buckets:[1]}}x9\n\
         last{a=\"3\"} 1x9\n\
         \n\
         eval instant at 5m sum(first)\n\
         expect warn msg: PromQL warning: encountered a mix of histograms and floats for \
         aggregation\n\
         \n\
         eval instant at 5m avg(last)\n\
         expect warn msg: PromQL warning: vector contains a mix of histograms with exponential \
         and custom buckets schemas for metric name \"last\"\n\
         \n\
         eval instant at 5m quantile_over_time(2, last[5m])\n\
         expect warn msg: PromQL warning: quantile value should be between 0 and 1, got 2\n\
         {a=\"3\"} +Inf\n",
    );
}
