//! Prometheus's text format 0.0.4 and OpenMetrics 1.0, line by line.
//!
//! Labels go into the intake while they are read; a known series costs no allocation.
//!
//! OpenMetrics tells the start of a counter, histogram or summary in a line of its own, which ends
//! in `_created` and stands among the lines of its metric. Those wait until the metric is over, a
//! bounded number of them.
//!
//! PARITY(victoriametrics): names and labels that Prometheus's alphabet does not have are taken
//! without quotes too, and a time of the text format that is too small for milliseconds is one in
//! seconds.

mod labels;
mod metric;

use m3rs_core::model::{METRIC_NAME, Metadata, MetricType};

use crate::ingest::intake::{Intake, SampleTime};
use crate::ingest::lines::{LineContext, LineError, refuse};
use crate::ingest::number;
use crate::ingest::remote_write::exemplar_labels;
use crate::write::{StoreError, WriteSession};
use labels::{LabelReader, blank, quoted, token};
use metric::{Metric, Waiting};

/// How times are written, and what else is known of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpositionFormat {
    /// Prometheus's text format: milliseconds.
    Text,
    /// OpenMetrics: seconds.
    OpenMetrics,
}

/// The text format, or OpenMetrics.
#[derive(Debug)]
pub struct Exposition {
    format: ExpositionFormat,
    /// What was told of the family at hand and is not handed on yet.
    metadata: Option<(String, Metadata)>,
    family: String,
    family_type: MetricType,
    /// Whether `# EOF` came.
    is_over: bool,
    metric: Metric,
    scratch: [Vec<u8>; 2],
}

/// What stands after the labels of a line.
struct Rest {
    value: f64,
    t: Option<SampleTime>,
}

/// An exemplar as it was read.
struct LineExemplar {
    labels: m3rs_core::model::Labels,
    value: f64,
    t: Option<SampleTime>,
}

impl Exposition {
    /// Lines of a request.
    #[must_use]
    pub fn new(format: ExpositionFormat) -> Self {
        Self {
            format,
            metadata: None,
            family: String::new(),
            family_type: MetricType::Unknown,
            is_over: false,
            metric: Metric::default(),
            scratch: [Vec::new(), Vec::new()],
        }
    }

    /// Takes a line.
    pub(super) fn line<W: WriteSession>(
        &mut self,
        line: &[u8],
        context: &LineContext,
        intake: &mut Intake<'_, W>,
    ) -> Result<(), LineError> {
        let line = blank(line);
        match line.first() {
            None => Ok(()),
            Some(_) if self.is_over => Err(refuse("a line after # EOF")),
            Some(b'#') => self.comment(line, intake),
            Some(_) => self.sample(line, context, intake),
        }
    }

    /// Hands on what waits at the end of the body.
    pub(super) fn finish<W: WriteSession>(
        &mut self,
        intake: &mut Intake<'_, W>,
    ) -> Result<(), StoreError> {
        self.tell_metadata(intake)?;
        self.metric.flush(intake)
    }

    fn sample<W: WriteSession>(
        &mut self,
        line: &[u8],
        context: &LineContext,
        intake: &mut Intake<'_, W>,
    ) -> Result<(), LineError> {
        self.tell_metadata(intake)?;
        let waits = self.format == ExpositionFormat::OpenMetrics
            && matches!(
                self.family_type,
                MetricType::Counter | MetricType::Histogram | MetricType::Summary
            );
        intake.begin();
        let mut reader = LabelReader { context, scratch: &mut self.scratch, key: None };
        if waits {
            reader.key = Some(self.metric.begin_key(&self.family));
        }
        let (rest, suffix) = reader.series(line, waits.then_some(&*self.family), intake)?;
        let (rest, exemplar) = match rest.iter().position(|byte| *byte == b'#') {
            Some(at) => (&rest[..at], self.exemplar(&rest[at..])?),
            None => (rest, None),
        };
        let rest = self.value_and_time(rest)?;
        if suffix == Some(CREATED) {
            self.metric.take_created(rest.value, intake)?;
            return Ok(());
        }
        let t = rest.t.unwrap_or_else(|| SampleTime::of_ns(context.now.0));
        let exemplar = exemplar.map(|e| (e.labels, e.value, e.t.unwrap_or(t)));
        let waiting = Waiting { value: rest.value, t, exemplar };
        match suffix {
            Some(_) => self.metric.wait(waiting, intake)?,
            None => {
                self.metric.flush_before(intake)?;
                metric::push(waiting, 0, intake)?;
            }
        }
        Ok(())
    }

    /// `value [time]`
    fn value_and_time(&self, text: &[u8]) -> Result<Rest, LineError> {
        let (value, rest) = token(text);
        if value.is_empty() {
            return Err(refuse("no value"));
        }
        let bad = || refuse(format!("cannot parse value {:?}", String::from_utf8_lossy(value)));
        let value = number::float(value).ok_or_else(bad)?;
        let (time, rest) = token(rest);
        if !rest.is_empty() {
            return Err(refuse("text after the time"));
        }
        let t = if time.is_empty() { None } else { Some(self.time(time)?) };
        Ok(Rest { value, t })
    }

    fn time(&self, text: &[u8]) -> Result<SampleTime, LineError> {
        let bad = || refuse(format!("cannot parse time {:?}", String::from_utf8_lossy(text)));
        if self.format == ExpositionFormat::OpenMetrics {
            return number::seconds_as_ns(text).map(SampleTime::of_ns).ok_or_else(bad);
        }
        /// A time in milliseconds that is less than this far from 1970 is one in seconds.
        const SECONDS_MAX: i64 = 1 << 31;
        let ms = match number::int(text) {
            Some(ms) => Some(ms),
            None => {
                let t = number::float(text).ok_or_else(bad)?;
                if t.abs() < SECONDS_MAX as f64 {
                    return number::seconds_as_ns(text).map(SampleTime::of_ns).ok_or_else(bad);
                }
                (t.abs() < 9.2e18).then_some(t as i64)
            }
        };
        match ms.ok_or_else(bad)? {
            s if (-SECONDS_MAX..SECONDS_MAX).contains(&s) => Ok(SampleTime::of_ms(s * 1000)),
            ms => Ok(SampleTime::of_ms(ms)),
        }
    }

    /// `# {labels} value [time]`; any other comment is none, but in OpenMetrics.
    fn exemplar(&self, text: &[u8]) -> Result<Option<LineExemplar>, LineError> {
        let inner = blank(&text[1..]);
        let is_strict = self.format == ExpositionFormat::OpenMetrics;
        let Some(mut rest) = inner.strip_prefix(b"{") else {
            return if is_strict { Err(refuse("text after the value")) } else { Ok(None) };
        };
        let mut pairs: Vec<labels::Pair> = Vec::new();
        loop {
            rest = blank(rest);
            if let Some(after) = rest.strip_prefix(b"}") {
                rest = after;
                break;
            }
            let (pair, after) = labels::pair(rest)?;
            pairs.push(pair);
            rest = labels::after_label(after)?;
        }
        let rest = self.value_and_time(rest)?;
        let borrowed: Vec<(&[u8], &[u8])> =
            pairs.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        let labels = exemplar_labels(&borrowed).ok_or_else(|| refuse("bad exemplar labels"))?;
        Ok(Some(LineExemplar { labels, value: rest.value, t: rest.t }))
    }

    /// `# TYPE`, `# HELP`, `# UNIT` and `# EOF`; anything else is for people.
    fn comment<W: WriteSession>(
        &mut self,
        line: &[u8],
        intake: &mut Intake<'_, W>,
    ) -> Result<(), LineError> {
        let (word, rest) = token(&line[1..]);
        let is_open = self.format == ExpositionFormat::OpenMetrics;
        match word {
            b"EOF" if is_open && rest.is_empty() => {
                self.is_over = true;
                return Ok(());
            }
            b"TYPE" | b"HELP" => {}
            b"UNIT" if is_open => {}
            _ => return Ok(()),
        }
        let mut scratch = Vec::new();
        let (name, text) = match rest.first() {
            Some(b'"') => quoted(rest, &mut scratch)?,
            _ => token(rest),
        };
        let name = text_of(name)?;
        if name.is_empty() {
            return Err(refuse("no metric name"));
        }
        let text = text_of(blank(text))?;
        if self.family != name {
            self.tell_metadata(intake)?;
            self.family.clear();
            self.family.push_str(name);
            self.family_type = MetricType::Unknown;
        }
        let told = || Metadata {
            metric_type: MetricType::Unknown,
            help: String::new(),
            unit: String::new(),
        };
        let family_type = self.family_type;
        let (_, metadata) = self.metadata.get_or_insert_with(|| (name.to_owned(), told()));
        metadata.metric_type = family_type;
        match word {
            b"TYPE" => {
                let named = type_named(text.trim_ascii_end());
                let bad = || refuse(format!("no such metric type: {text:?}"));
                self.family_type = named.ok_or_else(bad)?;
                metadata.metric_type = self.family_type;
            }
            b"HELP" => metadata.help = unescaped(text, is_open),
            _ => metadata.unit = text.trim_ascii_end().to_owned(),
        }
        Ok(())
    }

    fn tell_metadata<W: WriteSession>(
        &mut self,
        intake: &mut Intake<'_, W>,
    ) -> Result<(), StoreError> {
        match self.metadata.take() {
            Some((family, metadata)) => intake.metadata(&family, metadata),
            None => Ok(()),
        }
    }
}

/// What the line of a start timestamp adds to the name of its family.
const CREATED: &str = "_created";

/// What lines of a metric add to the name of their family.
const SUFFIXES: [&str; 6] = ["_total", "_bucket", "_count", "_sum", CREATED, ""];

fn text_of(bytes: &[u8]) -> Result<&str, LineError> {
    std::str::from_utf8(bytes).map_err(|_| refuse("text that is not valid UTF-8"))
}

fn type_named(word: &str) -> Option<MetricType> {
    let all = [
        MetricType::Counter,
        MetricType::Gauge,
        MetricType::Histogram,
        MetricType::GaugeHistogram,
        MetricType::Summary,
        MetricType::Info,
        MetricType::Stateset,
        MetricType::Unknown,
    ];
    let named = all.into_iter().find(|metric_type| metric_type.as_str() == word);
    named.or((word == "untyped").then_some(MetricType::Unknown))
}

/// A help text without its escapes: backslash, line feed and, in OpenMetrics, the quote.
fn unescaped(text: &str, is_open: bool) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => plain.push('\n'),
            Some('\\') | None => plain.push('\\'),
            Some('"') if is_open => plain.push('"'),
            Some(other) => plain.extend(['\\', other]),
        }
    }
    plain
}

/// The name of a series as a label.
fn name_label<W: WriteSession>(intake: &mut Intake<'_, W>, name: &[u8]) {
    intake.label(METRIC_NAME.as_bytes(), name);
}

#[cfg(test)]
mod tests {
    use m3rs_core::time::TimestampNs;

    use super::*;
    use crate::ingest::LineFormat;
    use crate::ingest::recorded::{Recorded, taken, taken_in_pieces};

    fn text(text: &str) -> Recorded {
        let format = Exposition::new(ExpositionFormat::Text);
        taken(LineFormat::Exposition(format), text.as_bytes())
    }

    fn open(text: &str) -> Recorded {
        let format = Exposition::new(ExpositionFormat::OpenMetrics);
        taken(LineFormat::Exposition(format), text.as_bytes())
    }

    #[test]
    fn the_text_format_is_read() {
        let recorded = text(
            "# HELP http_requests_total The \\\\ total\\nnumber.\n\
             # TYPE http_requests_total counter\n\
             http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000\n\
             \thttp_requests_total {method = \"post\" , code=\"400\",}   3   1395066363\r\n\
             # just a comment\n\
             msdos{path=\"C:\\\\DIR\\\\FILE.TXT\",error=\"Cannot find\\n\\\"FILE\\\"\"} \
             1.458255915e9\n\
             metric_without_labels 12.47 # a comment\n\
             weird{problem=\"division by zero\"} +Inf -3982045\n\
             {\"my.metric\",\"a.b\"=\"1\",c=\"\"} NaN\n\
             # TYPE h histogram\n\
             h_bucket{le=\"+Inf\"} 1 1395066363.5\n",
        );
        assert_eq!(recorded.refused, Vec::<String>::new());
        assert_eq!(
            recorded.samples,
            [
                "http_requests_total{code=\"200\",method=\"post\"} 1027 @1395066363000000000",
                "http_requests_total{code=\"400\",method=\"post\"} 3 @1395066363000000000",
                "msdos{error=\"Cannot find\\n\\\"FILE\\\"\",path=\"C:\\\\DIR\\\\FILE.TXT\"} \
                 1458255915 @7500000000",
                "metric_without_labels 12.47 @7500000000",
                "weird{problem=\"division by zero\"} inf @-3982045000000000",
                "my.metric{a.b=\"1\"} NaN @7500000000",
                "h_bucket{le=\"+Inf\"} 1 @1395066363500000000",
            ]
        );
        assert_eq!(
            recorded.metadata,
            [
                "http_requests_total counter \"The \\\\ total\\nnumber.\" \"\"",
                "h histogram \"\" \"\"",
            ]
        );
    }

    #[test]
    fn bad_lines_are_named_and_the_others_taken() {
        let recorded = text(
            "good 1\nno_value\na{b=\"c\"}\na{b=\"c} 1\na{b=c} 1\na{b} 1\na{\"b\"} 1\n{x=\"y\"} 1\n\
             a 1 2 3\na x\na 1 x\na{b=\"c\" d=\"e\"} 1\n# TYPE a strange\na{b=\"c\",b=\"d\"} 1\n\
             a{b=\"\\\na{,} 1\ngood 2",
        );
        assert_eq!(recorded.samples, ["good 1 @7500000000", "good 2 @7500000000"]);
        let numbered: Vec<&str> =
            recorded.refused.iter().filter_map(|told| told.split_once(": ")).map(|t| t.0).collect();
        let lines: Vec<String> = (2..=16).map(|n| format!("line {n}")).collect();
        let wanted: Vec<&str> = lines
            .iter()
            .map(|line| if line == "line 14" { "{__name__=\"a\", b=\"c\", b=\"d\"}" } else { line })
            .collect();
        assert_eq!(numbered, wanted, "{:?}", recorded.refused);
    }

    const OPEN: &str = "# TYPE foo counter\n# UNIT foo seconds\n# HELP foo A \\\"b\\\"\n\
                        foo_total{a=\"1\"} 17 1520879607.789 # {trace_id=\"x\"} 0.5 1520879607.5\n\
                        foo_created{a=\"1\"} 1520430000.123\n\
                        foo_total{a=\"2\"} 18 1520879608\n\
                        # TYPE h histogram\n\
                        h_bucket{le=\"1\",b=\"c\"} 1 # {t=\"y\"} 0.1\n\
                        h_bucket{le=\"+Inf\",b=\"c\"} 2\nh_count{b=\"c\"} 2\nh_sum{b=\"c\"} 3\n\
                        h_created{b=\"c\"} 5\n\
                        # TYPE g gauge\ng_created 9\n# EOF\n";

    #[test]
    fn open_metrics_has_seconds_exemplars_and_starts() {
        let recorded = open(OPEN);
        assert_eq!(recorded.refused, Vec::<String>::new());
        let since = "since 1520430000123000000";
        let h = "@7500000000 since 5000000000";
        let wanted = [
            format!("foo_total{{a=\"1\"}} 17 @1520879607789000000 {since}"),
            "foo_total{a=\"2\"} 18 @1520879608000000000".to_owned(),
            format!("h_bucket{{b=\"c\",le=\"1\"}} 1 {h}"),
            format!("h_bucket{{b=\"c\",le=\"+Inf\"}} 2 {h}"),
            format!("h_count{{b=\"c\"}} 2 {h}"),
            format!("h_sum{{b=\"c\"}} 3 {h}"),
            "g_created 9 @7500000000".to_owned(),
        ];
        assert_eq!(recorded.samples, wanted);
        assert_eq!(
            recorded.exemplars,
            [
                "foo_total{a=\"1\"} # {trace_id=\"x\"} 0.5 @1520879607500000000",
                "h_bucket{b=\"c\",le=\"1\"} # {t=\"y\"} 0.1 @7500000000",
            ]
        );
        assert_eq!(
            recorded.metadata,
            [
                "foo counter \"A \\\"b\\\"\" \"seconds\"",
                "h histogram \"\" \"\"",
                "g gauge \"\" \"\""
            ]
        );
    }

    #[test]
    fn pieces_give_what_the_whole_gives() {
        let pieces: Vec<&[u8]> = OPEN.as_bytes().split_inclusive(|byte| *byte == b'\n').collect();
        let format = LineFormat::Exposition(Exposition::new(ExpositionFormat::OpenMetrics));
        let context = LineContext { now: TimestampNs(7_500_000_000), labels: Vec::new() };
        let recorded = taken_in_pieces(format, context, &pieces);
        assert_eq!(recorded.samples, open(OPEN).samples);
        assert_eq!(recorded.exemplars, open(OPEN).exemplars);
        assert_eq!(recorded.metadata, open(OPEN).metadata);
    }

    #[test]
    fn open_metrics_is_strict_about_its_end() {
        let recorded = open("a 1\n# EOF\n\nb 2\n");
        assert_eq!(recorded.samples, ["a 1 @7500000000"]);
        assert_eq!(recorded.refused, ["line 4: a line after # EOF"]);
        assert_eq!(open("a 1 # no exemplar\n").refused.len(), 1);
        assert_eq!(open("a 1 # {b=\"c\"}\n").refused.len(), 1);
        assert_eq!(open("a 1 # {b=\"c\" 1\n").refused.len(), 1);
    }

    #[test]
    fn metrics_of_very_many_samples_do_not_wait_for_ever() {
        let mut body = String::from("# TYPE s summary\n");
        for i in 0..5000 {
            body.push_str(&format!("s{{quantile=\"{i}\"}} {i}\n"));
        }
        let recorded = open(&body);
        assert_eq!((recorded.samples.len(), recorded.refused.len()), (5000, 0));
        assert_eq!(recorded.samples[4999], "s{quantile=\"4999\"} 4999 @7500000000");
    }
}
