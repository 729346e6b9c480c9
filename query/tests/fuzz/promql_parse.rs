//! What must hold of any bytes taken for a query.

use m3rs_query::promql::{ParseLimits, ParseOptions, parse, parse_metric_selector, print};

/// Parses `data`; what was understood is printed and parsed again, in both ways of printing.
pub(crate) fn fuzz_promql_parse(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let options = ParseOptions::default();
    let _ = parse_metric_selector(text);
    let expr = match parse(text, &options) {
        Ok(expr) => expr,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let once = expr.to_string();
    // A range of nothing is refused where it is written so, and made by computing one.
    if once.contains("[0s") {
        return;
    }
    for printed in [once.clone(), print::pretty(&expr)] {
        if printed.len() > ParseLimits::default().bytes_max {
            continue;
        }
        let again = parse(&printed, &options);
        let again = again.unwrap_or_else(|error| panic!("{text:?} became {printed:?}: {error}"));
        assert_eq!(again.to_string(), once, "{text:?} became {printed:?}");
    }
}
