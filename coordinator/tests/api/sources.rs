//! Sources of queries over what a fake store was written.

use std::sync::Arc;

use m3rs_coordinator::read::{FetchLimits, QuerySource, QuerySources};
use m3rs_core::model::Labels;
use m3rs_query::source::vector::VectorSource;
use m3rs_query::source::{
    Cancel, LabelRequest, Listing, SelectRequest, Selection, SeriesSource, SourceError,
};

use crate::fakes::{FakeSource, FakeStore};

/// Sources over what the store was written.
#[derive(Debug)]
pub(crate) struct FakeSources(pub(crate) Arc<FakeStore>);

impl QuerySources for FakeSources {
    fn open(&self, _: &FetchLimits) -> Box<dyn QuerySource> {
        let mut source = VectorSource::new();
        for (labels, samples) in self.0.written.lock().iter() {
            for (t, bits) in samples {
                source.append(labels, *t, f64::from_bits(*bits));
            }
        }
        for (labels, t, h, start) in self.0.histograms.lock().iter() {
            source.append_histogram(labels, *t, Arc::new(h.clone()), *start);
        }
        let is_broken = |labels: &Labels| labels.get("broken").is_some();
        let is_broken = self.0.written.lock().keys().any(is_broken);
        let broken = is_broken.then(|| FakeSource(Arc::clone(&self.0)));
        Box::new(WrittenSource { source, broken })
    }
}

/// What was written, as one query sees it.
struct WrittenSource {
    source: VectorSource,
    /// There if a series cannot be read.
    broken: Option<FakeSource>,
}

impl QuerySource for WrittenSource {
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    fn is_cut(&self) -> bool {
        false
    }
}

impl SeriesSource for WrittenSource {
    fn select(&self, request: &SelectRequest, cancel: &Cancel) -> Result<Selection, SourceError> {
        match &self.broken {
            Some(broken) => broken.select(request, cancel),
            None => self.source.select(request, cancel),
        }
    }

    fn label_names(&self, request: &LabelRequest) -> Result<Listing<String>, SourceError> {
        self.source.label_names(request)
    }

    fn label_values(
        &self,
        name: &str,
        request: &LabelRequest,
    ) -> Result<Listing<String>, SourceError> {
        self.source.label_values(name, request)
    }

    fn series(&self, request: &LabelRequest) -> Result<Listing<Labels>, SourceError> {
        self.source.series(request)
    }
}
