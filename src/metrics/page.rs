//! Families of samples as text, in the format that was asked for.
//!
//! The two differ in little: OpenMetrics names the family of a counter without `_total` and ends with `# EOF`; the
//! older format of Prometheus, which every tool reads, names it whole. The encoder writes OpenMetrics; for the older one
//! a counter's samples are written as it writes gauges, which adds nothing to the name.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::MetricEncoder;
use prometheus_client::encoding::NoLabelSet;
use prometheus_client::metrics::MetricType;

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Prometheus' text format 0.0.4.
    Classic,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// OpenMetrics for those who name it in `Accept`; the format that everything reads for everybody else.
    pub(super) fn asked_by(accept: &str) -> Self {
        let refused = |range: &str| range.split(';').skip(1).any(|p| matches!(p.trim(), "q=0" | "q=0.0" | "q=0.00"));
        let named = |range: &str| range.split(';').next().is_some_and(|t| t.trim() == "application/openmetrics-text");
        match accept.split(',').any(|range| named(range) && !refused(range)) {
            true => Format::OpenMetrics,
            false => Format::Classic,
        }
    }

    /// Its media type.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Format::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A page in the making.
pub(super) struct Page<'p> {
    encoder: DescriptorEncoder<'p>,
    format: Format,
}

/// A family in the making.
pub(super) struct Samples<'s> {
    metric: MetricEncoder<'s>,
    counter: bool,
}

/// What a sample says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    /// A whole number.
    Whole(u64),
    /// Any number.
    Real(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Value::Whole(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Value::Whole(value as u64)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Value::Whole(value.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Whole(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Real(value)
    }
}

impl<'p> Page<'p> {
    pub(super) fn new(encoder: DescriptorEncoder<'p>, format: Format) -> Self {
        Page { encoder, format }
    }

    /// A family of counters; `name` is without `_total`.
    pub(super) fn counters(
        &mut self,
        name: &str,
        help: &str,
        write: impl FnOnce(&mut Samples<'_>) -> fmt::Result,
    ) -> fmt::Result {
        match self.format {
            Format::OpenMetrics => {
                let metric = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
                write(&mut Samples { metric, counter: true })
            }
            Format::Classic => {
                let name = format!("{name}_total");
                let metric = self.encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
                write(&mut Samples { metric, counter: false })
            }
        }
    }

    /// A family of gauges.
    pub(super) fn gauges(
        &mut self,
        name: &str,
        help: &str,
        write: impl FnOnce(&mut Samples<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let metric = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        write(&mut Samples { metric, counter: false })
    }

    /// A family of histograms.
    pub(super) fn histograms(
        &mut self,
        name: &str,
        help: &str,
        write: impl FnOnce(&mut Samples<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let metric = self.encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        write(&mut Samples { metric, counter: false })
    }

    /// A counter without labels.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl Into<Value>) -> fmt::Result {
        self.counters(name, help, |samples| samples.alone(value))
    }

    /// A gauge without labels.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Into<Value>) -> fmt::Result {
        self.gauges(name, help, |samples| samples.alone(value))
    }
}

impl Samples<'_> {
    /// A sample with labels.
    pub(super) fn add(&mut self, labels: impl EncodeLabelSet, value: impl Into<Value>) -> fmt::Result {
        let counter = self.counter;
        write_value(&mut self.metric.encode_family(&labels)?, counter, value.into())
    }

    /// The one sample of a family without labels.
    fn alone(&mut self, value: impl Into<Value>) -> fmt::Result {
        write_value(&mut self.metric, self.counter, value.into())
    }

    /// A histogram with labels: how many were up to each end, the last of which is infinite.
    pub(super) fn histogram(&mut self, labels: impl EncodeLabelSet, sum: f64, buckets: &[(f64, u64)]) -> fmt::Result {
        let count = buckets.iter().map(|(_, count)| count).sum();
        self.metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, buckets, None)
    }
}

fn write_value(metric: &mut MetricEncoder<'_>, counter: bool, value: Value) -> fmt::Result {
    match (counter, value) {
        (true, Value::Whole(value)) => metric.encode_counter::<NoLabelSet, _, u64>(&value, None),
        (true, Value::Real(value)) => metric.encode_counter::<NoLabelSet, _, f64>(&value, None),
        (false, Value::Whole(value)) => metric.encode_gauge(&value),
        (false, Value::Real(value)) => metric.encode_gauge(&value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Format::asked_by(prometheus), Format::OpenMetrics);
        for other in ["", "*/*", "text/plain", "application/openmetrics-text; q=0", "application/openmetrics-textual"] {
            assert_eq!(Format::asked_by(other), Format::Classic, "{other}");
        }
    }
}
