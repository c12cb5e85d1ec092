//! Latencies as bars of text, and as numbers for whoever draws them: each bar reaches to twice the
//! latency of the one above.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Where the first bar ends, in microseconds.
const FIRST_US: u64 = 50;

/// The longest bar, in characters.
const WIDTH: usize = 40;

/// Bars without those at both ends that have nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Bars(Vec<Bar>);

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Bar {
    up_to_ms: f64,
    count: u64,
}

impl Bars {
    /// Of latencies in microseconds.
    pub(super) fn of(latency_us: &Histogram<u64>) -> Self {
        let steps = latency_us.iter_log(FIRST_US, 2.0);
        let bars = steps.scan(FIRST_US, |up_to, step| {
            let bar =
                Bar { up_to_ms: *up_to as f64 / 1000.0, count: step.count_since_last_iteration() };
            *up_to = up_to.saturating_mul(2);
            Some(bar)
        });
        Bars(bars.skip_while(|bar| bar.count == 0).collect())
    }
}

impl fmt::Display for Bars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: u64 = self.0.iter().map(|bar| bar.count).sum();
        let most = self.0.iter().map(|bar| bar.count).max().unwrap_or(0).max(1);
        for (at, Bar { up_to_ms, count }) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            // A bar that is not empty is seen.
            let length = (*count as u128 * WIDTH as u128).div_ceil(u128::from(most)) as usize;
            let share = *count as f64 * 100.0 / all.max(1) as f64;
            write!(f, "{up_to_ms:>10.2} ms {:<WIDTH$} {share:>6.2} %", "#".repeat(length))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(latencies_us: &[(u64, u64)]) -> Bars {
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
        latencies_us.iter().for_each(|&(us, count)| histogram.record_n(us, count).unwrap());
        Bars::of(&histogram)
    }

    #[test]
    fn every_latency_is_in_one_bar() {
        let found = bars(&[(120, 3), (390, 1), (800, 4_000)]);
        let expected = [(0.2, 3), (0.4, 1), (0.8, 0), (1.6, 4_000)];
        let pairs: Vec<_> = found.0.iter().map(|bar| (bar.up_to_ms, bar.count)).collect();
        assert_eq!(pairs, expected, "a bar ends below its bound");
        let text = found.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("      0.20 ms #  "), "{text}");
        assert!(lines[3].contains(&"#".repeat(WIDTH)) && lines[3].ends_with("99.90 %"), "{text}");
        assert_eq!(bars(&[]).to_string(), "");
    }
}
