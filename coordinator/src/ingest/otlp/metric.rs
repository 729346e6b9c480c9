//! A metric as it stands on the wire, before its data points are looked at.

use m3rs_core::Corrupt;
use m3rs_core::model::MetricType;
use m3rs_core::wire::proto::Fields;

use crate::ingest::otlp::names::Kind;

const WHAT: &str = "Metric";

/// The field of the data points in each kind of data.
pub(super) const DATA_POINT: u32 = 1;

/// Since when values are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Temporality {
    /// It does not matter, or since the start.
    Cumulative,
    /// Since the value before.
    Delta,
    /// The sender does not say.
    Unspecified,
}

/// A `Metric`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metric<'a> {
    pub(super) name: &'a str,
    pub(super) description: &'a str,
    pub(super) unit: &'a str,
    pub(super) kind: Kind,
    pub(super) temporality: Temporality,
    /// The message that holds the data points.
    pub(super) data: &'a [u8],
}

impl<'a> Metric<'a> {
    /// Reads the message; `None` if it holds no data of a kind that is known.
    ///
    /// # Errors
    /// [`Corrupt`] if it is none.
    pub(super) fn read(message: &'a [u8]) -> Result<Option<Self>, Corrupt> {
        let (mut name, mut description, mut unit) = ("", "", "");
        let mut data = None;
        let mut fields = Fields::new(WHAT, message);
        while let Some(field) = fields.next_field()? {
            match field.number {
                1 => name = field.text(WHAT)?,
                2 => description = field.text(WHAT)?,
                3 => unit = field.text(WHAT)?,
                5 | 7 | 9 | 10 | 11 => data = Some((field.number, field.bytes(WHAT)?)),
                _ => {}
            }
        }
        let Some((number, data)) = data else { return Ok(None) };
        let told = Told::read(number, data)?;
        let kind = match number {
            5 => Kind::Gauge,
            7 if told.is_monotonic => Kind::Counter,
            7 => Kind::UpDownCounter,
            9 => Kind::Histogram,
            10 => Kind::Exponential,
            _ => Kind::Summary,
        };
        let temporality = match (kind, told.temporality) {
            (Kind::Gauge | Kind::Summary, _) | (_, 2) => Temporality::Cumulative,
            (_, 1) => Temporality::Delta,
            _ => Temporality::Unspecified,
        };
        Ok(Some(Self { name, description, unit, kind, temporality, data }))
    }

    /// How many data points it has.
    ///
    /// # Errors
    /// [`Corrupt`] if its data are no message.
    pub(super) fn points(&self) -> Result<u64, Corrupt> {
        let mut points = 0;
        let mut fields = Fields::new(WHAT, self.data);
        while let Some(field) = fields.next_field()? {
            points += u64::from(field.number == DATA_POINT);
        }
        Ok(points)
    }

    /// The type of its family.
    ///
    /// PARITY(prometheus): deltas that are stored as they are have none.
    pub(super) fn metric_type(&self, keeps_deltas: bool) -> MetricType {
        if keeps_deltas && self.temporality == Temporality::Delta {
            return MetricType::Unknown;
        }
        match self.kind {
            Kind::Gauge | Kind::UpDownCounter => MetricType::Gauge,
            Kind::Counter => MetricType::Counter,
            Kind::Histogram | Kind::Exponential => MetricType::Histogram,
            Kind::Summary => MetricType::Summary,
        }
    }
}

/// What stands beside the data points.
#[derive(Default)]
struct Told {
    temporality: u64,
    is_monotonic: bool,
}

impl Told {
    fn read(number: u32, data: &[u8]) -> Result<Self, Corrupt> {
        let mut told = Self::default();
        if matches!(number, 5 | 11) {
            return Ok(told);
        }
        let mut fields = Fields::new(WHAT, data);
        while let Some(field) = fields.next_field()? {
            match field.number {
                2 => told.temporality = field.varint(WHAT)?,
                3 if number == 7 => told.is_monotonic = field.varint(WHAT)? != 0,
                _ => {}
            }
        }
        Ok(told)
    }
}
