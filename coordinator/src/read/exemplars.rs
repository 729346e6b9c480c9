//! The seam to exemplars: examples of what series counted, by selector and time.

use std::collections::BTreeMap;

use m3rs_core::model::{Labels, Matcher};
use m3rs_core::time::{NS_PER_MS, TimestampNs};
use m3rs_query::source::{SourceError, TimeRange};

use super::local::{LocalSource, ns_range, source_error};

/// One example of what a series counted.
#[derive(Clone, Debug, PartialEq)]
pub struct ExemplarPoint {
    /// When it was observed, in milliseconds.
    pub t_ms: i64,
    /// What was observed.
    pub value: f64,
    /// Labels of its own, such as a trace's id.
    pub labels: Labels,
}

/// A request for exemplars.
#[derive(Clone, Debug, PartialEq)]
pub struct ExemplarRequest {
    /// Sets of matchers; a series counts if all matchers of any one set hold.
    pub matcher_sets: Vec<Vec<Matcher>>,
    /// When they were observed.
    pub range: TimeRange,
    /// The most series that one set may match.
    pub series_max: usize,
}

/// Exemplars by series, ascending by time.
pub type FoundExemplars = BTreeMap<Labels, Vec<ExemplarPoint>>;

/// Where exemplars are read. Calls block their thread.
pub trait ExemplarSource: Send + Sync {
    /// The exemplars that the request asks for; series without any are left out.
    ///
    /// # Errors
    /// Every kind of [`SourceError`].
    fn exemplars(&self, request: &ExemplarRequest) -> Result<FoundExemplars, SourceError>;
}

impl ExemplarSource for LocalSource {
    fn exemplars(&self, request: &ExemplarRequest) -> Result<FoundExemplars, SourceError> {
        let namespace = self.storage().namespace()?;
        let (start, end) = ns_range(request.range);
        let mut all = FoundExemplars::new();
        for matchers in &request.matcher_sets {
            let found = namespace.exemplars(matchers, start, end, request.series_max);
            for (labels, exemplars) in found.map_err(source_error)? {
                all.entry(labels).or_insert_with(|| {
                    exemplars
                        .into_iter()
                        .map(|exemplar| ExemplarPoint {
                            t_ms: TimestampNs(exemplar.t).0.div_euclid(NS_PER_MS),
                            value: exemplar.value,
                            labels: exemplar.labels,
                        })
                        .collect()
                });
            }
        }
        Ok(all)
    }
}
