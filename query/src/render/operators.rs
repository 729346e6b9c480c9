//! What each operator did, as a member of an answer.

use crate::explain::OperatorReport;
use crate::number::write_float;

use super::{Escaping, write_text};

/// Writes `,"explain":[…]` if anything was collected. Times are in seconds.
pub(super) fn write_operators(out: &mut Vec<u8>, operators: &[OperatorReport]) {
    if operators.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"explain\":");
    write_list(out, operators);
}

fn write_list(out: &mut Vec<u8>, operators: &[OperatorReport]) {
    out.push(b'[');
    for (i, report) in operators.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_report(out, report);
    }
    out.push(b']');
}

fn write_report(out: &mut Vec<u8>, report: &OperatorReport) {
    out.extend_from_slice(b"{\"operator\":");
    write_text(out, &report.operator, Escaping::Html);
    let counts = [
        ("series", report.series),
        ("steps", report.steps),
        ("rows", report.rows),
        ("bytes", report.bytes),
    ];
    for (name, count) in counts {
        out.extend_from_slice(format!(",\"{name}\":{count}").as_bytes());
    }
    for (name, time) in [("openSeconds", report.open), ("readSeconds", report.read)] {
        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
        write_float(out, time.as_secs_f64());
    }
    out.extend_from_slice(b",\"inputs\":");
    write_list(out, &report.inputs);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn inputs_stand_within() {
        let input =
            OperatorReport { operator: "select {a=\"b\"}".to_owned(), ..Default::default() };
        let report = OperatorReport {
            operator: "aggregate sum by ()".to_owned(),
            series: 1,
            steps: 2,
            rows: 3,
            bytes: 4,
            open: Duration::from_millis(5),
            read: Duration::ZERO,
            inputs: vec![input],
        };
        let mut out = Vec::new();
        write_operators(&mut out, &[report]);
        let text = String::from_utf8(out).expect("text");
        assert!(
            text.starts_with(
                ",\"explain\":[{\"operator\":\"aggregate sum by ()\",\"series\":1,\"steps\":2,\
                 \"rows\":3,\"bytes\":4,\"openSeconds\":0.005,\"readSeconds\":0,\"inputs\":\
                 [{\"operator\":\"select {a=\\\"b\\\"}\","
            ),
            "{text}"
        );
        write_operators(&mut Vec::new(), &[]);
    }
}
