//! A line for each operator of a plan, for people.

use super::{
    AggregateParam, HistogramFunction, HistogramNumber, Mapping, MatrixNode, Relabel, SelectNode,
    Shift, SortOrder, VectorNode,
};
use crate::promql::parse::format_duration;
use crate::promql::print::format_matchers;

impl VectorNode {
    /// What the operator is, without its inputs.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Select(select) => format!("select {}", describe_select(select)),
            Self::Timestamp(select) => format!("timestamp of {}", describe_select(select)),
            Self::StartTimestamp(select) => {
                format!("start_timestamp of {}", describe_select(select))
            }
            Self::Range(range) => match &range.input {
                MatrixNode::Select { select, range_ms } => {
                    let (length, select) = (format_duration(*range_ms), describe_select(select));
                    format!("{} of {select}[{length}]", range.function)
                }
                MatrixNode::Subquery(subquery) => {
                    let length = format_duration(subquery.range_ms);
                    let step = format_duration(subquery.step_ms);
                    let shift = describe_shift(subquery.shift);
                    format!("{} of a subquery [{length}:{step}]{shift}", range.function)
                }
            },
            Self::Map { mapping, .. } => describe_mapping(mapping),
            Self::OfScalar(_) => "vector of a scalar".to_owned(),
            Self::Aggregate(aggregate) => {
                let by = if aggregate.without { "without" } else { "by" };
                let labels = aggregate.labels.join(", ");
                let param = match &aggregate.param {
                    AggregateParam::None => String::new(),
                    AggregateParam::Number { .. } => " (with a number)".to_owned(),
                    AggregateParam::Label(label) => format!(" into {label:?}"),
                };
                format!("aggregate {}{param} {by} ({labels})", aggregate.op.as_str())
            }
            Self::Binary(binary) => {
                let matching = &binary.matching;
                let on = if matching.on { "on" } else { "ignoring" };
                let labels = matching.labels.join(", ");
                format!("binary {} {on} ({labels})", binary.op.as_str())
            }
            Self::Absent { .. } => "absent".to_owned(),
            Self::Sort { order, .. } => match order {
                SortOrder::Value { .. } => "sort by value".to_owned(),
                SortOrder::Labels { names, .. } => format!("sort by {}", names.join(", ")),
            },
            Self::Relabel { relabel, .. } => match relabel {
                Relabel::Replace(replace) => format!("label_replace {}", replace.destination()),
                Relabel::Join(join) => format!("label_join {}", join.destination()),
            },
            Self::Histogram(histogram) => match &histogram.what {
                HistogramFunction::Quantile { .. } => "histogram_quantile".to_owned(),
                HistogramFunction::Quantiles { qs, .. } => {
                    format!("histogram_quantiles ({} of them)", qs.len())
                }
                HistogramFunction::Fraction { .. } => "histogram_fraction".to_owned(),
            },
            Self::Info(_) => "info".to_owned(),
            Self::Fail(why) => format!("fails: {why}"),
            Self::Settle(_) => "names go".to_owned(),
            Self::Invariant(_) => "once for all steps".to_owned(),
        }
    }
}

fn describe_select(select: &SelectNode) -> String {
    format!("{{{}}}{}", format_matchers(&select.matchers), describe_shift(select.shift))
}

fn describe_shift(shift: Shift) -> String {
    let mut text = String::new();
    if let Some(at_ms) = shift.at_ms {
        text.push_str(&format!(" @ {}", at_ms as f64 / 1000.0));
    }
    match shift.offset_ms {
        0 => {}
        ms @ 1.. => text.push_str(&format!(" offset {}", format_duration(ms))),
        ms => text.push_str(&format!(" offset -{}", format_duration(ms.saturating_neg()))),
    }
    text
}

fn describe_mapping(mapping: &Mapping) -> String {
    match mapping {
        Mapping::Negate => "negate".to_owned(),
        Mapping::EvaluationTime => "evaluation time".to_owned(),
        Mapping::OfHistogram(number) => match number {
            HistogramNumber::Count => "histogram_count",
            HistogramNumber::Sum => "histogram_sum",
            HistogramNumber::Average => "histogram_avg",
            HistogramNumber::Variance => "histogram_stdvar",
            HistogramNumber::Deviation => "histogram_stddev",
        }
        .to_owned(),
        Mapping::Element { .. } => "function of each value".to_owned(),
        Mapping::Operator { op, is_scalar_left: true, .. } => {
            format!("scalar {} each value", op.as_str())
        }
        Mapping::Operator { op, .. } => format!("each value {} scalar", op.as_str()),
    }
}
