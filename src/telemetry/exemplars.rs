//! Histograms of latencies that remember, for each bucket, the last sampled request that fell into it, so
//! that a panel leads to a trace. The `prometheus` crate has no exemplars: they lie beside its histogram.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::trace::TraceId;
use parking_lot::Mutex;
use prometheus::{Histogram, HistogramVec};

use super::metrics::LATENCY_SECONDS;
use super::stage::Trace;

/// Series of one metric that keep exemplars. Those above it keep none.
const SERIES_MAX: usize = 512;

/// The buckets of a latency, the one without a bound included.
const BUCKETS: usize = LATENCY_SECONDS.len() + 1;

/// One observation of a sampled request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    pub(super) trace: TraceId,
    pub(super) seconds: f64,
    /// Unix time of the observation.
    pub(super) at_seconds: f64,
}

type Slots = [Option<Exemplar>; BUCKETS];

/// The exemplars of one metric, by the values of its labels in the order of their names.
#[derive(Clone, Default)]
pub(super) struct Exemplars(Arc<Mutex<HashMap<Vec<String>, Slots>>>);

impl Exemplars {
    /// For sampled requests only, so that the lock is free nearly always.
    fn note(&self, labels: &[&str], seconds: f64, trace: TraceId) {
        let bucket = LATENCY_SECONDS.partition_point(|bound| *bound < seconds);
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let at_seconds = since.map_or(0.0, |since| since.as_secs_f64());
        let key: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
        let mut series = self.0.lock();
        if series.len() >= SERIES_MAX && !series.contains_key(&key) {
            return;
        }
        series.entry(key).or_default()[bucket] = Some(Exemplar { trace, seconds, at_seconds });
    }

    /// Of the series with these values of labels, by bucket.
    pub(super) fn of(&self, labels: &[String]) -> Slots {
        self.0.lock().get(labels).copied().unwrap_or_default()
    }
}

/// A latency without labels.
pub struct Latency {
    histogram: Histogram,
    exemplars: Exemplars,
}

impl Latency {
    pub(super) fn new(histogram: Histogram, exemplars: Exemplars) -> Self {
        Latency { histogram, exemplars }
    }

    /// Takes one in.
    pub fn observe(&self, seconds: f64) {
        self.histogram.observe(seconds);
    }

    /// Takes in one of a request that may be sampled.
    pub fn observe_in(&self, seconds: f64, trace: &Trace) {
        self.histogram.observe(seconds);
        if let Some(trace) = trace.id() {
            self.exemplars.note(&[], seconds, trace);
        }
    }
}

/// A latency with labels.
pub struct LatencyVec {
    histograms: HistogramVec,
    exemplars: Exemplars,
}

impl LatencyVec {
    /// `labels` of the vector must be in the order of their names, as exposition sorts them.
    pub(super) fn new(histograms: HistogramVec, exemplars: Exemplars) -> Self {
        LatencyVec { histograms, exemplars }
    }

    /// Takes in one of a request that may be sampled.
    pub fn observe_in(&self, labels: &[&str], seconds: f64, trace: &Trace) {
        self.histograms.with_label_values(labels).observe(seconds);
        if let Some(trace) = trace.id() {
            self.exemplars.note(labels, seconds, trace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_each_bucket_stays() {
        let exemplars = Exemplars::default();
        for (at, seconds) in
            [0.0001, 0.0005, 0.00051, 0.08, 0.0801, 9.0, 7.0].into_iter().enumerate()
        {
            exemplars.note(&["GET"], seconds, TraceId::from(at as u128 + 1));
        }
        let slots = exemplars.of(&["GET".to_owned()]);
        let kept: Vec<(usize, f64)> = slots
            .iter()
            .enumerate()
            .filter_map(|(at, slot)| Some((at, slot.as_ref()?.seconds)))
            .collect();
        let bucket = |bound| LATENCY_SECONDS.iter().position(|b| *b == bound).unwrap();
        let expected = [
            (bucket(0.0005), 0.0005),
            (bucket(0.001), 0.00051),
            (bucket(0.08), 0.08),
            (bucket(0.1), 0.0801),
            (BUCKETS - 1, 7.0),
        ];
        assert_eq!(kept, expected);
        assert_eq!(exemplars.of(&["PUT".to_owned()]), Slots::default());
    }

    #[test]
    fn series_are_bounded() {
        let exemplars = Exemplars::default();
        for at in 0..SERIES_MAX + 10 {
            exemplars.note(&[&at.to_string()], 0.1, TraceId::from(1));
        }
        assert_eq!(exemplars.0.lock().len(), SERIES_MAX);
        exemplars.note(&["0"], 0.0001, TraceId::from(2));
        assert!(exemplars.of(&["0".to_owned()])[0].is_some(), "those that are kept go on");
    }
}
