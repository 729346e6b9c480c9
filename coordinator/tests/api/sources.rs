//! Sources of queries over what a fake store was written.

use std::sync::Arc;

use m3rs_coordinator::read::{FetchLimits, QuerySource, QuerySources};
use m3rs_core::model::Labels;
use m3rs_query::source::vector::VectorSource;
use m3rs_query::source::{
    Cancel, LabelRequest, Listing, SelectRequest, Selection, SeriesSource, SourceError,
};

use crate::fakes::FakeStore;

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
        Box::new(WrittenSource(source))
    }
}

/// What was written, as one query sees it.
struct WrittenSource(VectorSource);

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
        self.0.select(request, cancel)
    }

    fn label_names(&self, request: &LabelRequest) -> Result<Listing<String>, SourceError> {
        self.0.label_names(request)
    }

    fn label_values(
        &self,
        name: &str,
        request: &LabelRequest,
    ) -> Result<Listing<String>, SourceError> {
        self.0.label_values(name, request)
    }

    fn series(&self, request: &LabelRequest) -> Result<Listing<Labels>, SourceError> {
        self.0.series(request)
    }
}
