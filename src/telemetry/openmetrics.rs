//! The OpenMetrics text format, version 1.0.0, with exemplars. The `prometheus` crate writes the older
//! format only, which has none.
//!
//! Format: the OpenMetrics specification, prometheus/OpenMetrics, section "Text format".

use std::fmt::Write as _;

use prometheus::proto::{Histogram, Metric, MetricFamily, MetricType};

use super::exemplars::{Exemplar, Exemplars};

/// What to announce it as.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The most of an `Accept` header that is looked at, in bytes.
const ACCEPT_BYTES_MAX: usize = 1024;

/// Whether a scraper that sends this header reads OpenMetrics and does not like it less than the older
/// format.
pub fn is_accepted(accept: &str) -> bool {
    if accept.len() > ACCEPT_BYTES_MAX {
        return false;
    }
    let weight = |wanted: &str| {
        let weights = accept.split(',').filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_it = parts.next()?.eq_ignore_ascii_case(wanted);
            let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
            is_it.then(|| weight.unwrap_or(1.0))
        });
        weights.fold(0.0, f32::max)
    };
    let openmetrics = weight("application/openmetrics-text");
    openmetrics > 0.0 && openmetrics >= weight("text/plain")
}

/// The families in this format. `exemplars_of` gives those of the metric with a name.
pub(super) fn encode<'a>(
    families: &[MetricFamily],
    exemplars_of: impl Fn(&str) -> Option<&'a Exemplars>,
) -> String {
    let mut text = String::new();
    for family in families {
        let is_taken = |base: &str| families.iter().any(|other| other.name() == base);
        write_family(&mut text, family, is_taken, exemplars_of(family.name()))
            .expect("a string takes every write");
    }
    text.push_str("# EOF\n");
    text
}

fn write_family(
    text: &mut String,
    family: &MetricFamily,
    is_taken: impl Fn(&str) -> bool,
    exemplars: Option<&Exemplars>,
) -> std::fmt::Result {
    let name = family.name();
    let (base, kind) = match family.get_field_type() {
        // The suffix belongs to the sample. Where a gauge has the name without it, as
        // `breaker_open_seconds`, two families would have one name: the counter keeps its own, untyped.
        MetricType::COUNTER => match name.strip_suffix("_total") {
            Some(base) if !is_taken(base) => (base, "counter"),
            _ => (name, "unknown"),
        },
        MetricType::HISTOGRAM => (name, "histogram"),
        MetricType::GAUGE => (name, "gauge"),
        // None are declared: the macro of the metrics makes the three above.
        MetricType::SUMMARY | MetricType::UNTYPED => return Ok(()),
    };
    writeln!(text, "# HELP {base} {}", escaped(family.help()))?;
    writeln!(text, "# TYPE {base} {kind}")?;
    for metric in family.get_metric() {
        let labels = labels(metric, None);
        match family.get_field_type() {
            MetricType::COUNTER => {
                writeln!(text, "{name}{labels} {}", number(metric.get_counter().get_value()))?;
            }
            MetricType::GAUGE => {
                writeln!(text, "{base}{labels} {}", number(metric.get_gauge().get_value()))?;
            }
            _ => write_histogram(text, base, metric, exemplars)?,
        }
    }
    Ok(())
}

fn write_histogram(
    text: &mut String,
    name: &str,
    metric: &Metric,
    exemplars: Option<&Exemplars>,
) -> std::fmt::Result {
    let histogram = metric.get_histogram();
    let values: Vec<String> = metric.get_label().iter().map(|pair| pair.value().into()).collect();
    let slots = exemplars.map(|exemplars| exemplars.of(&values)).unwrap_or_default();
    for (at, (bound, count)) in buckets(histogram).into_iter().enumerate() {
        let labels = labels(metric, Some(&number(bound)));
        write!(text, "{name}_bucket{labels} {count}")?;
        if let Some(Exemplar { trace, seconds, at_seconds }) = slots.get(at).copied().flatten() {
            write!(text, " # {{trace_id=\"{trace}\"}} {} {at_seconds:.3}", number(seconds))?;
        }
        text.push('\n');
    }
    let labels = labels(metric, None);
    writeln!(text, "{name}_sum{labels} {}", number(histogram.get_sample_sum()))?;
    writeln!(text, "{name}_count{labels} {}", histogram.get_sample_count())
}

/// The bounds and the counts below them, the last one without a bound.
fn buckets(histogram: &Histogram) -> Vec<(f64, u64)> {
    let bounded = histogram.get_bucket().iter().map(|b| (b.upper_bound(), b.cumulative_count()));
    let bounded = bounded.filter(|(bound, _)| bound.is_finite());
    bounded.chain([(f64::INFINITY, histogram.get_sample_count())]).collect()
}

/// In braces; nothing when there are none.
fn labels(metric: &Metric, le: Option<&str>) -> String {
    let pairs = metric.get_label().iter();
    let own = pairs.map(|pair| format!("{}=\"{}\"", pair.name(), escaped(pair.value())));
    let all: Vec<String> = own.chain(le.map(|le| format!("le=\"{le}\""))).collect();
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
}

/// Canonical: with a point, so that `1` as a bound is `1.0`.
fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        value if value.is_nan() => "NaN".into(),
        value => format!("{value:?}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn the_format_is_chosen_by_what_the_scraper_reads() {
        for (accept, is_openmetrics) in [
            ("", false),
            ("*/*", false),
            ("text/plain", false),
            ("application/openmetrics-text", true),
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4",
                true,
            ),
            ("application/openmetrics-text; q=0.1, text/plain; q=0.9", false),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=x, text/plain;q=0.2", true),
            (
                "application/openmetrics-text;version=1.0.0,\
                 application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                true,
            ),
        ] {
            assert_eq!(is_accepted(accept), is_openmetrics, "{accept}");
        }
        let long = format!("application/openmetrics-text{}", ",a".repeat(ACCEPT_BYTES_MAX));
        assert!(!is_accepted(&long));
    }

    #[test]
    fn counters_gauges_and_histograms_have_their_forms() {
        let metrics = Metrics::new();
        metrics.commits.inc_by(3);
        metrics.count_rejected("a \"quoted\"\nreason\\");
        metrics.sequencer_batch_size.observe(3.0);
        let text = metrics.render_openmetrics();
        let has = |line: &str| assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        has("# TYPE ledger_commits counter");
        has("ledger_commits_total 3.0");
        has(r#"rejected_total{reason="a \"quoted\"\nreason\\"} 1.0"#);
        has("# TYPE ledger_safe_mode gauge");
        has("# TYPE breaker_open_seconds gauge");
        has("# TYPE breaker_open_seconds_total unknown");
        has(r#"breaker_open_seconds_total{target="kms"} 0.0"#);
        has(r#"sequencer_batch_size_bucket{le="2.0"} 0"#);
        has(r#"sequencer_batch_size_bucket{le="4.0"} 1"#);
        has(r#"sequencer_batch_size_bucket{le="+Inf"} 1"#);
        has("sequencer_batch_size_sum 3.0");
        assert!(text.ends_with("\n# EOF\n"));
    }

    #[test]
    fn numbers_are_canonical() {
        for (value, text) in [
            (0.0, "0.0"),
            (0.0005, "0.0005"),
            (8192.0, "8192.0"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
