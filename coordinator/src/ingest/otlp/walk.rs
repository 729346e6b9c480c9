//! Walks an OTLP request and hands its samples to a write session.

mod histograms;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use m3rs_core::Corrupt;
use m3rs_core::model::{Metadata, MetricType, STALE_NAN};
use m3rs_core::wire::proto::Fields;

use crate::ingest::intake::{Intake, SampleTime};
use crate::ingest::labels::{LabelPolicy, LabelRefusal};
use crate::ingest::otlp::Otlp;
use crate::ingest::otlp::config::DeltaTemporality;
use crate::ingest::otlp::delta::{DeltaPoint, DeltaRefusal};
use crate::ingest::otlp::exemplar::{PointExemplar, parse_exemplar};
use crate::ingest::otlp::metric::{DATA_POINT, Metric, Temporality};
use crate::ingest::otlp::names::{Kind, metric_name, unit_name};
use crate::ingest::otlp::points::{Common, NumberPoint};
use crate::ingest::otlp::resource::{ContextError, Resource, add_scope};
use crate::ingest::otlp::series::{Pairs, SERIES_MARK, describe, translate};
use crate::ingest::{Refusals, WalkCounts, WalkError};
use crate::write::{StoreError, WriteRefusal, WriteSession};
use histograms::BoundTexts;

const REQUEST: &str = "ExportMetricsServiceRequest";
const RESOURCE_METRICS: &str = "ResourceMetrics";
const SCOPE_METRICS: &str = "ScopeMetrics";

/// The series that tells what a resource is.
const TARGET_INFO: &str = "target_info";

/// Walks `body`, a decompressed `ExportMetricsServiceRequest`.
///
/// A data point that cannot be taken is added to `refusals` and the walk goes on. Such points are
/// counted once each, however many series they would have been.
///
/// # Errors
/// The first malformed message, or a store that cannot write.
pub fn walk_otlp<W: WriteSession>(
    body: &[u8],
    otlp: &Otlp,
    session: &mut W,
    policy: &LabelPolicy,
    refusals: &mut Refusals,
) -> Result<WalkCounts, WalkError> {
    let mut walk = Walk {
        otlp,
        intake: Intake::new(session, policy, refusals),
        families: HashMap::new(),
        metric: Pairs::default(),
        bounds: BoundTexts::default(),
        base: 0,
        times: Times::default(),
        refused: 0,
        tells_target_info: true,
    };
    let mut fields = Fields::new(REQUEST, body);
    while let Some(field) = fields.next_field()? {
        if field.number == 1 {
            walk.resource(field.bytes(REQUEST)?)?;
        }
    }
    Ok(*walk.intake.counts())
}

/// The metric family of metrics of one name, unit and kind.
struct Family<'a> {
    name: Result<String, String>,
    /// The metadata that were handed on.
    told: Option<(&'a str, MetricType)>,
}

/// The earliest and latest time of a resource's points that were taken.
#[derive(Clone, Copy, Debug)]
struct Times {
    earliest_ns: u64,
    latest_ns: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self { earliest_ns: u64::MAX, latest_ns: 0 }
    }
}

struct Walk<'a, 'b, W> {
    otlp: &'b Otlp,
    intake: Intake<'b, W>,
    families: HashMap<(&'a str, &'a str, Kind), Family<'a>>,
    /// Labels of the metric, in memory that is reused.
    metric: Pairs,
    bounds: BoundTexts,
    /// Where what the resource and scope give ends.
    base: usize,
    times: Times,
    /// Samples that were refused before the point at hand.
    refused: u64,
    tells_target_info: bool,
}

impl<'a, W: WriteSession> Walk<'a, '_, W> {
    fn resource(&mut self, message: &'a [u8]) -> Result<(), WalkError> {
        let mut resource = &[][..];
        let mut fields = Fields::new(RESOURCE_METRICS, message);
        while let Some(field) = fields.next_field()? {
            if field.number == 1 {
                resource = field.bytes(RESOURCE_METRICS)?;
            }
        }
        let resource = match Resource::of(resource, self.otlp) {
            Ok(resource) => resource,
            Err(ContextError::Malformed(corrupt)) => return Err(corrupt.into()),
            Err(ContextError::Refused(refusal)) => {
                return self.each_scope(message, |walk, scope| walk.refuse_scope(scope, &refusal));
            }
        };
        self.times = Times::default();
        self.each_scope(message, |walk, scope| walk.scope(scope, &resource))?;
        self.target_info(&resource)
    }

    fn each_scope(
        &mut self,
        message: &'a [u8],
        mut take: impl FnMut(&mut Self, &'a [u8]) -> Result<(), WalkError>,
    ) -> Result<(), WalkError> {
        let mut fields = Fields::new(RESOURCE_METRICS, message);
        while let Some(field) = fields.next_field()? {
            if field.number == 2 {
                take(self, field.bytes(RESOURCE_METRICS)?)?;
            }
        }
        Ok(())
    }

    fn scope(&mut self, message: &'a [u8], resource: &Resource<'_>) -> Result<(), WalkError> {
        let mut strong = resource.strong.clone();
        if self.otlp.config.promote_scope_metadata {
            let (mut scope, mut schema_url) = (&[][..], &[][..]);
            let mut fields = Fields::new(SCOPE_METRICS, message);
            while let Some(field) = fields.next_field()? {
                match field.number {
                    1 => scope = field.bytes(SCOPE_METRICS)?,
                    3 => schema_url = field.bytes(SCOPE_METRICS)?,
                    _ => {}
                }
            }
            match add_scope(&mut strong, scope, schema_url, self.otlp) {
                Ok(()) => {}
                Err(ContextError::Malformed(corrupt)) => return Err(corrupt.into()),
                Err(ContextError::Refused(refusal)) => {
                    return self.refuse_scope(message, &refusal);
                }
            }
        }
        self.begin(&resource.weak, &strong);
        self.each_metric(message, Self::metric)
    }

    /// Begins series with what a resource and a scope give.
    fn begin(&mut self, weak: &Pairs, strong: &Pairs) {
        self.intake.begin_with(SERIES_MARK, &describe);
        self.intake.text(weak.as_bytes());
        self.intake.text(strong.as_bytes());
        self.base = self.intake.mark();
    }

    fn each_metric(
        &mut self,
        message: &'a [u8],
        mut take: impl FnMut(&mut Self, Metric<'a>) -> Result<(), WalkError>,
    ) -> Result<(), WalkError> {
        let mut fields = Fields::new(SCOPE_METRICS, message);
        while let Some(field) = fields.next_field()? {
            if field.number == 2
                && let Some(metric) = Metric::read(field.bytes(SCOPE_METRICS)?)?
            {
                take(self, metric)?;
            }
        }
        Ok(())
    }

    /// Refuses all points of a scope.
    fn refuse_scope(&mut self, message: &'a [u8], why: &LabelRefusal) -> Result<(), WalkError> {
        self.each_metric(message, |walk, metric| {
            walk.refuse_metric(&metric, &WriteRefusal::Labels(why.clone()))
        })
    }

    /// Refuses all points of a metric.
    #[cold]
    fn refuse_metric(&mut self, metric: &Metric<'_>, why: &WriteRefusal) -> Result<(), WalkError> {
        let points = metric.points()?;
        if points == 0 {
            return Ok(());
        }
        let name: String = metric.name.chars().take(256).collect();
        self.intake.refuse_of(|| format!("metric {name:?}"), points, why);
        let counts = self.intake.counts();
        counts.points += points;
        counts.points_refused += points;
        self.refused = self.intake.refused();
        Ok(())
    }

    fn metric(&mut self, metric: Metric<'a>) -> Result<(), WalkError> {
        let is_delta = metric.temporality == Temporality::Delta;
        if metric.temporality == Temporality::Unspecified {
            // PARITY(prometheus): its words.
            let why =
                format!("invalid temporality and type combination for metric {:?}", metric.name);
            return self.refuse_metric(&metric, &WriteRefusal::Malformed(why));
        }
        if is_delta && self.otlp.config.delta_temporality == DeltaTemporality::Refuse {
            return self.refuse_metric(&metric, &WriteRefusal::Delta(DeltaRefusal::Unwanted));
        }
        let family = match self.family(&metric)? {
            Ok(family) => family,
            Err(why) => {
                let why = WriteRefusal::Labels(LabelRefusal::Attribute(why));
                return self.refuse_metric(&metric, &why);
            }
        };
        match metric.kind {
            Kind::Gauge | Kind::Counter | Kind::UpDownCounter => {
                self.each_point(&metric, &family, Self::number)?;
            }
            Kind::Exponential => self.each_point(&metric, &family, Self::exponential)?,
            Kind::Histogram if self.otlp.config.convert_histograms_to_nhcb => {
                self.each_point(&metric, &family, Self::custom_buckets)?;
            }
            Kind::Histogram => self.each_point(&metric, &family, Self::histogram)?,
            Kind::Summary => self.each_point(&metric, &family, Self::summary)?,
        }
        self.give_back(&metric, family);
        Ok(())
    }

    /// The name of a metric's family, or why there is none. The name is taken out of the table, so
    /// that points can be looked at meanwhile; [`Self::give_back`] puts it back.
    fn family(&mut self, metric: &Metric<'a>) -> Result<Result<String, String>, WalkError> {
        let keeps_deltas = self.otlp.config.delta_temporality == DeltaTemporality::AsIs;
        let told = (metric.description, metric.metric_type(keeps_deltas));
        let strategy = self.otlp.config.translation_strategy;
        let family = match self.families.entry((metric.name, metric.unit, metric.kind)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let name = metric_name(metric.name, metric.unit, metric.kind, strategy);
                entry.insert(Family { name, told: None })
            }
        };
        let name = match &mut family.name {
            Ok(name) => std::mem::take(name),
            Err(why) => return Ok(Err(why.clone())),
        };
        if family.told != Some(told) && !metric.data.is_empty() {
            family.told = Some(told);
            let metadata = Metadata {
                metric_type: told.1,
                help: told.0.to_owned(),
                unit: unit_name(metric.unit),
            };
            self.intake.metadata(&name, metadata)?;
        }
        Ok(Ok(name))
    }

    fn give_back(&mut self, metric: &Metric<'a>, name: String) {
        let key = (metric.name, metric.unit, metric.kind);
        if let Some(family) = self.families.get_mut(&key) {
            family.name = Ok(name);
        }
    }

    fn each_point(
        &mut self,
        metric: &Metric<'a>,
        family: &str,
        take: impl Fn(&mut Self, &Metric<'a>, &str, &'a [u8]) -> Result<(), WalkError>,
    ) -> Result<(), WalkError> {
        self.name(family, "", None);
        let mut fields = Fields::new("data points", metric.data);
        while let Some(field) = fields.next_field()? {
            if field.number != DATA_POINT {
                continue;
            }
            take(self, metric, family, field.bytes("data points")?)?;
            self.intake.counts().points += 1;
        }
        Ok(())
    }

    /// Puts the labels of a metric behind those of the scope: its name with a suffix, and one more.
    fn name(&mut self, family: &str, suffix: &str, further: Option<(&str, &str)>) {
        self.metric.clear();
        self.metric.push_parts("__name__", [family, suffix]);
        if let Some((name, value)) = further {
            self.metric.push(name.as_bytes(), value.as_bytes());
        }
        self.intake.truncate(self.base);
        self.intake.text(self.metric.as_bytes());
    }

    /// Notes whether the point at hand was taken in full, and when it is of.
    #[inline]
    fn end_point(&mut self, common: &Common<'_>, is_taken: bool) {
        if is_taken {
            self.times.earliest_ns = self.times.earliest_ns.min(common.t_ns);
            self.times.latest_ns = self.times.latest_ns.max(common.t_ns);
            return;
        }
        let refused = self.intake.refused();
        // A series that a rule drops is not refused.
        if refused > self.refused {
            self.refused = refused;
            self.intake.counts().points_refused += 1;
        }
    }

    /// The series of the labels so far and a point's attributes.
    #[inline]
    fn series(&mut self, attributes: &[u8]) -> Result<Option<W::Series>, StoreError> {
        let Otlp { config, limits, .. } = self.otlp;
        self.intake.raw(attributes);
        self.intake.counts().series += 1;
        self.intake
            .series_by(1, |raw, policy| policy.parse_canonical(&translate(raw, config, limits)?))
    }

    /// Makes a change the total of its series, if that is wanted; says whether it could be.
    fn add_delta(&mut self, metric: &Metric<'_>, point: &mut impl DeltaPoint<'a>) -> bool {
        let is_delta = metric.temporality == Temporality::Delta
            && self.otlp.config.delta_temporality == DeltaTemporality::Cumulative;
        if !is_delta || point.common().is_stale {
            return true;
        }
        match self.otlp.delta.add(self.intake.gathered(), point) {
            Ok(()) => true,
            Err(refusal) => {
                self.intake.refuse(1, &WriteRefusal::Delta(refusal));
                false
            }
        }
    }

    fn number(
        &mut self,
        metric: &Metric<'a>,
        _family: &str,
        message: &'a [u8],
    ) -> Result<(), WalkError> {
        let mut point = NumberPoint::read(message)?;
        let mark = self.intake.mark();
        let series = self.series(&point.common.attributes)?;
        self.intake.counts().samples += 1;
        let mut is_taken = false;
        if let Some(series) = series
            && self.add_delta(metric, &mut point)
        {
            is_taken = self.float(series, &point.common, point.value)?;
            // PARITY(prometheus): those of gauges are not taken.
            if metric.kind != Kind::Gauge && !point.exemplars.is_empty() {
                let exemplars = self.exemplars(&point.exemplars, &point.common)?;
                self.put_exemplars(series, exemplars)?;
            }
        }
        self.end_point(&point.common, is_taken);
        self.intake.truncate(mark);
        Ok(())
    }

    #[inline]
    fn float(
        &mut self,
        series: W::Series,
        common: &Common<'_>,
        value: f64,
    ) -> Result<bool, StoreError> {
        let value = if common.is_stale { STALE_NAN } else { value };
        let t = SampleTime::of_ms(common.t_ms());
        self.intake.float(series, t, value, common.start_ms())
    }

    fn exemplars(
        &mut self,
        messages: &[&[u8]],
        common: &Common<'_>,
    ) -> Result<Vec<PointExemplar>, Corrupt> {
        self.intake.counts().exemplars += messages.len() as u64;
        let depth_max = self.otlp.limits.attribute_depth_max;
        let mut all = Vec::new();
        for message in messages {
            all.extend(parse_exemplar(message, common.t_ms(), depth_max)?);
        }
        Ok(all)
    }

    fn put_exemplars(
        &mut self,
        series: W::Series,
        exemplars: impl IntoIterator<Item = PointExemplar>,
    ) -> Result<(), StoreError> {
        for PointExemplar { t_ms, value, labels } in exemplars {
            if let Some(labels) = labels {
                self.intake.exemplar(series, SampleTime::of_ms(t_ms), value, labels)?;
            }
        }
        Ok(())
    }

    /// Puts the sample of one of the series that a point consists of; the series, if it was taken.
    fn put_one(
        &mut self,
        family: &str,
        suffix: &str,
        further: Option<(&str, &str)>,
        common: &Common<'_>,
        value: f64,
    ) -> Result<Option<W::Series>, WalkError> {
        self.name(family, suffix, further);
        self.intake.counts().samples += 1;
        let Some(series) = self.series(&common.attributes)? else { return Ok(None) };
        let is_taken = self.float(series, common, value)?;
        Ok(is_taken.then_some(series))
    }

    /// Writes what a resource is, from its earliest sample to its latest, often enough for queries
    /// to find it in between.
    ///
    /// PARITY(prometheus): `addResourceTargetInfo`. Of a request that spans more steps than
    /// `otlp.target_info_samples_max`, the latest ones are written.
    fn target_info(&mut self, resource: &Resource<'_>) -> Result<(), WalkError> {
        let Times { earliest_ns, latest_ns } = self.times;
        if earliest_ns > latest_ns {
            return Ok(());
        }
        let Some(attributes) = resource.target_info(self.otlp) else { return Ok(()) };
        if std::mem::take(&mut self.tells_target_info) {
            let (help, unit) = ("Target metadata".to_owned(), String::new());
            let metadata = Metadata { metric_type: MetricType::Gauge, help, unit };
            self.intake.metadata(TARGET_INFO, metadata)?;
        }
        self.begin(&Pairs::default(), &resource.strong);
        self.name(TARGET_INFO, "", None);
        if let Some(series) = self.series(&attributes)? {
            let step = self.otlp.target_info_step_ns;
            let steps = (latest_ns - earliest_ns).div_ceil(step);
            let first = steps.saturating_sub(self.otlp.limits.target_info_samples_max);
            for i in first..=steps {
                let t_ns = earliest_ns.saturating_add(i.saturating_mul(step)).min(latest_ns);
                let common = Common { t_ns, ..Common::default() };
                self.intake.counts().samples += 1;
                self.float(series, &common, 1.0)?;
            }
        }
        self.refused = self.intake.refused();
        Ok(())
    }
}
