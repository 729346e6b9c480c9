//! Data points that are more than a number: histograms and summaries.

use m3rs_core::model::{HISTOGRAM_BUCKETS_MAX, Histogram, HistogramError};

use crate::ingest::WalkError;
use crate::ingest::intake::SampleTime;
use crate::ingest::otlp::attributes::put_bound;
use crate::ingest::otlp::config::DeltaTemporality;
use crate::ingest::otlp::delta::DeltaPoint;
use crate::ingest::otlp::metric::{Metric, Temporality};
use crate::ingest::otlp::native::{of_explicit, of_exponential};
use crate::ingest::otlp::points::{ExponentialPoint, HistogramPoint, SummaryPoint};
use crate::ingest::otlp::walk::Walk;
use crate::write::{WriteRefusal, WriteSession};

/// Bounds of buckets as labels tell them; neighbouring points have the same.
#[derive(Default)]
pub(super) struct BoundTexts {
    bounds: Vec<f64>,
    texts: Vec<String>,
}

impl BoundTexts {
    fn set(&mut self, bounds: &[f64]) {
        let is_same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits();
        if self.bounds.len() == bounds.len() && self.bounds.iter().zip(bounds).all(is_same) {
            return;
        }
        self.bounds = bounds.to_vec();
        self.texts = bounds.iter().map(|bound| bound_text(*bound)).collect();
    }
}

fn bound_text(bound: f64) -> String {
    let mut text = String::new();
    put_bound(&mut text, bound);
    text
}

impl<'a, W: WriteSession> Walk<'a, '_, W> {
    pub(super) fn exponential(
        &mut self,
        metric: &Metric<'a>,
        _family: &str,
        message: &'a [u8],
    ) -> Result<(), WalkError> {
        let mut point = ExponentialPoint::read(message)?;
        let exemplars = std::mem::take(&mut point.exemplars);
        let buckets = point.bucket_count();
        self.native(metric, &mut point, buckets, &exemplars, |point, is_delta| {
            of_exponential(point, is_delta)
        })
    }

    pub(super) fn custom_buckets(
        &mut self,
        metric: &Metric<'a>,
        _family: &str,
        message: &'a [u8],
    ) -> Result<(), WalkError> {
        let mut point = HistogramPoint::read(message)?;
        let exemplars = std::mem::take(&mut point.exemplars);
        let buckets = point.list_len();
        self.native(metric, &mut point, buckets, &exemplars, |point, is_delta| {
            of_explicit(point, is_delta)
        })
    }

    /// Takes a point as one native histogram.
    fn native<P: DeltaPoint<'a>>(
        &mut self,
        metric: &Metric<'a>,
        point: &mut P,
        buckets: u64,
        exemplars: &[&[u8]],
        histogram: impl Fn(&P, bool) -> Result<Histogram, HistogramError>,
    ) -> Result<(), WalkError> {
        let common = point.common().clone();
        let mark = self.intake.mark();
        let series = self.series(&common.attributes)?;
        self.intake.counts().histograms += 1;
        let is_delta = metric.temporality == Temporality::Delta;
        let keeps_deltas = self.otlp.config.delta_temporality == DeltaTemporality::AsIs;
        let mut is_taken = false;
        if let Some(series) = series
            && self.check_buckets(buckets)
            && self.add_delta(metric, point)
        {
            let t = SampleTime::of_ms(common.t_ms());
            let start_ms = point.common().start_ms();
            let h = histogram(point, is_delta && keeps_deltas);
            is_taken = self.intake.histogram(series, t, h, start_ms)?;
            let exemplars = self.exemplars(exemplars, &common)?;
            self.put_exemplars(series, exemplars)?;
        }
        self.end_point(&common, is_taken);
        self.intake.truncate(mark);
        Ok(())
    }

    fn check_buckets(&mut self, buckets: u64) -> bool {
        if buckets <= HISTOGRAM_BUCKETS_MAX as u64 {
            return true;
        }
        let refusal = WriteRefusal::Histogram(HistogramError::TooManyBuckets { buckets });
        self.intake.refuse(1, &refusal);
        false
    }

    /// Takes a point as a series for each bucket, and those of count and sum.
    pub(super) fn histogram(
        &mut self,
        metric: &Metric<'a>,
        family: &str,
        message: &'a [u8],
    ) -> Result<(), WalkError> {
        let mut point = HistogramPoint::read(message)?;
        let mark = self.intake.mark();
        self.intake.raw(&point.common.attributes);
        let buckets = point.list_len();
        let is_taken = self.check_buckets(buckets) && self.add_delta(metric, &mut point);
        self.intake.truncate(mark);
        let is_taken = is_taken && self.put_histogram(family, &point)?;
        self.end_point(&point.common, is_taken);
        // What the next point begins with.
        self.name(family, "", None);
        Ok(())
    }

    fn put_histogram(
        &mut self,
        family: &str,
        point: &HistogramPoint<'_>,
    ) -> Result<bool, WalkError> {
        let common = &point.common;
        let mut is_taken = true;
        if let Some(sum) = point.sum {
            is_taken &= self.put_one(family, "_sum", None, common, sum)?.is_some();
        }
        let count = point.count as f64;
        is_taken &= self.put_one(family, "_count", None, common, count)?.is_some();
        let exemplars = self.exemplars(&point.exemplars, common)?;
        let mut exemplars = exemplars.into_iter().peekable();
        let mut bounds = std::mem::take(&mut self.bounds);
        bounds.set(&point.bounds.kept);
        let mut below = 0u64;
        let buckets = point.bounds.kept.iter().zip(&bounds.texts).zip(&point.buckets.kept);
        for ((bound, text), bucket) in buckets {
            below = below.saturating_add(*bucket);
            let le = Some(("le", text.as_str()));
            let put = self.put_one(family, "_bucket", le, common, below as f64)?;
            is_taken &= put.is_some();
            // Those of a bucket stand before those of the next.
            while let Some(exemplar) = exemplars.next_if(|e| e.value <= *bound) {
                if let Some(series) = put {
                    self.put_exemplars(series, [exemplar])?;
                }
            }
        }
        self.bounds = bounds;
        let le = Some(("le", "+Inf"));
        let put = self.put_one(family, "_bucket", le, common, count)?;
        if let Some(series) = put {
            self.put_exemplars(series, exemplars)?;
        }
        Ok(is_taken && put.is_some())
    }

    pub(super) fn summary(
        &mut self,
        _metric: &Metric<'a>,
        family: &str,
        message: &'a [u8],
    ) -> Result<(), WalkError> {
        let point = SummaryPoint::read(message)?;
        let quantiles = point.quantiles.kept.len() as u64 + point.quantiles.beyond;
        let is_taken = self.check_buckets(quantiles) && self.put_summary(family, &point)?;
        self.end_point(&point.common, is_taken);
        Ok(())
    }

    fn put_summary(&mut self, family: &str, point: &SummaryPoint<'_>) -> Result<bool, WalkError> {
        let common = &point.common;
        let mut is_taken = self.put_one(family, "_sum", None, common, point.sum)?.is_some();
        let count = point.count as f64;
        is_taken &= self.put_one(family, "_count", None, common, count)?.is_some();
        for (quantile, value) in &point.quantiles.kept {
            let text = bound_text(*quantile);
            let further = Some(("quantile", text.as_str()));
            is_taken &= self.put_one(family, "", further, common, *value)?.is_some();
        }
        Ok(is_taken)
    }
}
