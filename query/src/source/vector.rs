//! Series in memory, for tests, the test language and benches.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use m3rs_core::model::{Histogram, Labels, Matcher};

use super::condition::Condition;
use super::{
    Cancel, HistogramColumns, LabelRequest, Listing, SampleColumns, SelectHints, SelectRequest,
    Selection, SeriesReader, SeriesSource, SourceError, TimeRange,
};

/// Series in memory, in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub struct VectorSource {
    series: Vec<(Labels, Arc<SampleColumns>)>,
    by_labels: HashMap<Labels, usize>,
}

impl VectorSource {
    /// A source without series.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one sample. A sample at the time of an earlier one replaces it.
    pub fn append(&mut self, labels: &Labels, t_ms: i64, v: f64) {
        self.append_started(labels, t_ms, v, 0);
    }

    /// Adds one sample with its start timestamp; 0 for none.
    pub fn append_started(&mut self, labels: &Labels, t_ms: i64, v: f64, start_ms: i64) {
        let columns = self.columns(labels);
        let histograms = &mut columns.histograms;
        take_out(t_ms, &mut histograms.ts, &mut histograms.hs, &mut histograms.starts);
        put(t_ms, v, start_ms, (&mut columns.ts, &mut columns.vs, &mut columns.starts));
    }

    /// Adds a native histogram with its start timestamp; 0 for none.
    pub fn append_histogram(
        &mut self,
        labels: &Labels,
        t_ms: i64,
        h: Arc<Histogram>,
        start_ms: i64,
    ) {
        let columns = self.columns(labels);
        take_out(t_ms, &mut columns.ts, &mut columns.vs, &mut columns.starts);
        let HistogramColumns { ts, hs, starts, .. } = &mut columns.histograms;
        put(t_ms, h, start_ms, (ts, hs, starts));
    }

    /// Replaces the samples of a series by columns that ascend by time.
    pub fn insert(&mut self, labels: &Labels, columns: SampleColumns) {
        *self.columns(labels) = columns;
    }

    /// The number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there is no series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    fn columns(&mut self, labels: &Labels) -> &mut SampleColumns {
        let next = self.series.len();
        let at = *self.by_labels.entry(labels.clone()).or_insert(next);
        if at == next {
            self.series.push((labels.clone(), Arc::default()));
        }
        Arc::make_mut(&mut self.series[at].1)
    }

    fn matching(&self, matchers: &[Matcher]) -> Result<Vec<usize>, SourceError> {
        let conditions = matchers.iter().map(Condition::new).collect::<Result<Vec<_>, _>>()?;
        Ok((0..self.series.len())
            .filter(|&i| conditions.iter().all(|c| c.holds(&self.series[i].0)))
            .collect())
    }

    /// The series that a request for labels asks about.
    fn requested(&self, request: &LabelRequest) -> Result<Vec<usize>, SourceError> {
        let mut found = BTreeSet::new();
        if request.matcher_sets.is_empty() {
            found.extend(0..self.series.len());
        }
        for set in &request.matcher_sets {
            found.extend(self.matching(set)?);
        }
        found.retain(|&i| {
            let columns = &self.series[i].1;
            !bounds(&columns.ts, request.range).is_empty()
                || !bounds(&columns.histograms.ts, request.range).is_empty()
        });
        Ok(found.into_iter().collect())
    }
}

/// Puts a sample where it belongs; start timestamps are kept once one is known.
fn put<T>(
    t_ms: i64,
    value: T,
    start_ms: i64,
    (ts, values, starts): (&mut Vec<i64>, &mut Vec<T>, &mut Vec<i64>),
) {
    if start_ms != 0 && starts.is_empty() {
        starts.resize(ts.len(), 0);
    }
    let has_starts = start_ms != 0 || !starts.is_empty();
    let at = ts.partition_point(|&t| t < t_ms);
    if ts.get(at) == Some(&t_ms) {
        values[at] = value;
        if has_starts {
            starts[at] = start_ms;
        }
        return;
    }
    ts.insert(at, t_ms);
    values.insert(at, value);
    if has_starts {
        starts.insert(at, start_ms);
    }
}

/// Takes the sample at a time out, if there is one.
fn take_out<T>(t_ms: i64, ts: &mut Vec<i64>, values: &mut Vec<T>, starts: &mut Vec<i64>) {
    if let Ok(at) = ts.binary_search(&t_ms) {
        ts.remove(at);
        values.remove(at);
        if !starts.is_empty() {
            starts.remove(at);
        }
    }
}

/// The samples whose times lie in the range.
fn bounds(ts: &[i64], range: TimeRange) -> Range<usize> {
    let lo = ts.partition_point(|&t| t < range.start_ms);
    let hi = ts.partition_point(|&t| t <= range.end_ms);
    lo..hi.max(lo)
}

fn listing<T: Ord>(entries: impl IntoIterator<Item = T>, limit: usize) -> Listing<T> {
    let mut entries: Vec<T> = entries.into_iter().collect::<BTreeSet<T>>().into_iter().collect();
    let truncated = limit > 0 && entries.len() > limit;
    if truncated {
        entries.truncate(limit);
    }
    Listing { entries, truncated }
}

struct VectorReader {
    columns: Vec<Arc<SampleColumns>>,
    range: TimeRange,
    start_times: bool,
    last_only: bool,
}

impl SeriesReader for VectorReader {
    fn read(&self, index: usize, out: &mut SampleColumns) -> Result<(), SourceError> {
        let columns = &self.columns[index];
        let from = &columns.histograms;
        let mut floats = bounds(&columns.ts, self.range);
        let mut histograms = bounds(&from.ts, self.range);
        if self.last_only {
            let last = |ts: &[i64], of: &Range<usize>| ts[of.clone()].last().copied();
            let is_float = last(&columns.ts, &floats) > last(&from.ts, &histograms);
            floats.start = floats.end - usize::from(is_float);
            histograms.start = histograms.end - usize::from(!is_float && !histograms.is_empty());
        }
        out.clear();
        out.ts.extend_from_slice(&columns.ts[floats.clone()]);
        out.vs.extend_from_slice(&columns.vs[floats.clone()]);
        out.histograms.ts.extend_from_slice(&from.ts[histograms.clone()]);
        out.histograms.hs.extend_from_slice(&from.hs[histograms.clone()]);
        if self.start_times {
            out.starts.extend_from_slice(columns.starts.get(floats).unwrap_or_default());
            out.histograms
                .starts
                .extend_from_slice(from.starts.get(histograms).unwrap_or_default());
        }
        Ok(())
    }
}

impl SeriesSource for VectorSource {
    fn select(&self, request: &SelectRequest, cancel: &Cancel) -> Result<Selection, SourceError> {
        if cancel.is_cancelled() {
            return Err(SourceError::Cancelled);
        }
        let found = self.matching(&request.matchers)?;
        if found.len() > request.series_max {
            return Err(SourceError::TooManySeries {
                matched: found.len(),
                limit: request.series_max,
            });
        }
        let wanted = |labels: &Labels| match &request.hints.labels {
            None => labels.clone(),
            Some(names) => labels.retain(|name| names.iter().any(|n| n == name)),
        };
        let series = found.iter().map(|&i| wanted(&self.series[i].0)).collect();
        let columns = found.iter().map(|&i| Arc::clone(&self.series[i].1)).collect();
        let SelectHints { start_times, last_only, .. } = request.hints;
        let range = request.range;
        let reader = Box::new(VectorReader { columns, range, start_times, last_only });
        Ok(Selection { series, reader, warnings: Vec::new() })
    }

    fn label_names(&self, request: &LabelRequest) -> Result<Listing<String>, SourceError> {
        let found = self.requested(request)?;
        let names = found.iter().flat_map(|&i| self.series[i].0.iter().map(|(n, _)| n.to_owned()));
        Ok(listing(names, request.limit))
    }

    fn label_values(
        &self,
        name: &str,
        request: &LabelRequest,
    ) -> Result<Listing<String>, SourceError> {
        let found = self.requested(request)?;
        let values = found.iter().filter_map(|&i| self.series[i].0.get(name).map(str::to_owned));
        Ok(listing(values, request.limit))
    }

    fn series(&self, request: &LabelRequest) -> Result<Listing<Labels>, SourceError> {
        let found = self.requested(request)?;
        Ok(listing(found.iter().map(|&i| self.series[i].0.clone()), request.limit))
    }
}

#[cfg(test)]
mod tests {
    use m3rs_core::model::MatchOp;

    use super::*;

    fn source() -> VectorSource {
        let mut source = VectorSource::new();
        for (name, job) in [("up", "a"), ("up", "b"), ("down", "a")] {
            let labels = Labels::from_pairs([("__name__", name), ("job", job)]).unwrap();
            source.append(&labels, 2000, 2.0);
            source.append(&labels, 1000, 1.0);
            source.append(&labels, 2000, 3.0);
        }
        source
    }

    fn request(matchers: Vec<Matcher>) -> SelectRequest {
        let range = TimeRange { start_ms: 0, end_ms: 1999 };
        SelectRequest { matchers, range, hints: SelectHints::default(), series_max: 2 }
    }

    #[test]
    fn matchers_and_ranges_select() {
        let matchers = vec![
            Matcher::equal("__name__", "up"),
            Matcher::new("job", MatchOp::NotRegexp, "b|c"),
            Matcher::new("zone", MatchOp::Regexp, ".*"),
        ];
        let got = source().select(&request(matchers), &Cancel::new()).unwrap();
        assert_eq!(got.series.len(), 1);
        let mut columns = SampleColumns::default();
        got.reader.read(0, &mut columns).unwrap();
        assert_eq!((columns.ts, columns.vs), (vec![1000], vec![1.0]));
    }

    #[test]
    fn the_last_sample_is_given_alone() {
        let labels = Labels::from_pairs([("__name__", "up")]).unwrap();
        let mut source = VectorSource::new();
        let mut request = request(vec![Matcher::equal("__name__", "up")]);
        request.hints.last_only = true;
        let mut columns = SampleColumns::default();
        for (step, is_float) in [true, true, false, false, true].into_iter().enumerate() {
            let t = step as i64 * 100;
            match is_float {
                true => source.append(&labels, t, 1.0),
                false => source.append_histogram(&labels, t, Arc::new(Histogram::stale()), 0),
            }
            let got = source.select(&request, &Cancel::new()).unwrap();
            got.reader.read(0, &mut columns).unwrap();
            let want = if is_float { (vec![t], vec![]) } else { (vec![], vec![t]) };
            assert_eq!((columns.ts.clone(), columns.histograms.ts.clone()), want);
            assert!(columns.is_sound());
        }
        request.range = TimeRange { start_ms: 1000, end_ms: 2000 };
        let got = source.select(&request, &Cancel::new()).unwrap();
        got.reader.read(0, &mut columns).unwrap();
        assert!(columns.is_empty());
    }

    #[test]
    fn faults_are_typed() {
        let all = source().select(&request(Vec::new()), &Cancel::new());
        assert!(matches!(all, Err(SourceError::TooManySeries { matched: 3, limit: 2 })));
        let bad = vec![Matcher::new("job", MatchOp::Regexp, "(")];
        let bad = source().select(&request(bad), &Cancel::new());
        assert!(matches!(bad, Err(SourceError::Invalid(_))));
        let cancel = Cancel::new();
        cancel.cancel();
        let cancelled = source().select(&request(Vec::new()), &cancel);
        assert!(matches!(cancelled, Err(SourceError::Cancelled)));
    }

    #[test]
    fn labels_are_listed_sorted_and_cut() {
        let range = TimeRange { start_ms: 0, end_ms: 5000 };
        let mut request = LabelRequest { matcher_sets: Vec::new(), range, limit: 1 };
        let names = source().label_names(&request).unwrap();
        assert_eq!(names, Listing { entries: vec!["__name__".to_owned()], truncated: true });
        request.limit = 0;
        request.matcher_sets = vec![vec![Matcher::equal("job", "a")]];
        assert_eq!(source().label_values("__name__", &request).unwrap().entries, ["down", "up"]);
        assert_eq!(source().series(&request).unwrap().entries.len(), 2);
    }
}
