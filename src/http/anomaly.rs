//! What shows a synthetic flood: paths and bodies that look random, and very many refusals in a second.
//!
//! Only what is refused is looked at, so that a request that is served costs nothing more. Neither path
//! nor body is kept; what is counted has closed labels.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use actix_web::http::StatusCode;

use crate::telemetry::{Anomaly, Metrics};

/// Refusals in one second that are nothing special.
pub const REFUSALS_PER_SECOND: u32 = 100;

/// Of a path or body, no more than this is looked at, in bytes.
const SAMPLE_BYTES_MAX: usize = 1024;

/// Shorter ones, of a path its segments, are too short to tell, in bytes.
const SEGMENT_BYTES_MIN: usize = 28;
const BODY_BYTES_MIN: usize = 256;

/// Of words with hyphens, and of hex digits, it is less, however many they are; of random letters and
/// digits, more.
const SEGMENT_BITS: f64 = 4.25;

/// A ledger's JSON, with its ids and nonces, has about 5; random base64 has 5.8 and more.
const BODY_BITS: f64 = 5.6;

/// Counts refusals, a second at a time.
pub(super) struct Refusals {
    began: Instant,
    /// The second, and above it in the word the count in it.
    state: AtomicU64,
}

impl Default for Refusals {
    fn default() -> Self {
        Refusals { began: Instant::now(), state: AtomicU64::new(0) }
    }
}

impl Refusals {
    /// One more; whether this second has had too many.
    fn is_flood(&self, now: Instant) -> bool {
        let second = now.saturating_duration_since(self.began).as_secs() & u64::from(u32::MAX);
        let next = |state: u64| match state & u64::from(u32::MAX) == second {
            true => second | ((state >> 32) + 1).min(u64::from(u32::MAX)) << 32,
            false => second | 1 << 32,
        };
        // Relaxed: the count stands for itself. What the closure gives is always stored.
        let before = self
            .state
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| Some(next(state)));
        let (Ok(before) | Err(before)) = before;
        next(before) >> 32 > u64::from(REFUSALS_PER_SECOND)
    }
}

/// Looks at an answer. `unmatched` is the path where no route matched. Who is told to come later (429),
/// or what the ledger's rules refuse (422), is no sign of anything.
pub(super) fn look(
    metrics: &Metrics,
    refusals: &Refusals,
    status: StatusCode,
    unmatched: Option<&str>,
) {
    let usual = [StatusCode::TOO_MANY_REQUESTS, StatusCode::UNPROCESSABLE_ENTITY];
    if !status.is_client_error() || usual.contains(&status) {
        return;
    }
    if refusals.is_flood(Instant::now()) {
        metrics.anomalies.of(Anomaly::ClientErrorFlood).inc();
    }
    if unmatched.is_some_and(is_random_path) {
        metrics.anomalies.of(Anomaly::HighEntropyPath).inc();
    }
}

/// Looks at a body that is no request.
pub(super) fn look_at_body(metrics: &Metrics, body: &[u8]) {
    let sample = &body[..body.len().min(SAMPLE_BYTES_MAX)];
    if sample.len() >= BODY_BYTES_MIN && entropy(sample.iter().copied()) >= BODY_BITS {
        metrics.anomalies.of(Anomaly::HighEntropyPayload).inc();
    }
}

fn is_random_path(path: &str) -> bool {
    let sample = &path.as_bytes()[..path.len().min(SAMPLE_BYTES_MAX)];
    let long = sample.split(|&byte| byte == b'/').filter(|part| part.len() >= SEGMENT_BYTES_MIN);
    long.map(|part| entropy(decoded(part))).any(|bits| bits >= SEGMENT_BITS)
}

/// The bytes that percent signs stand for; a sign that stands for none is itself.
fn decoded(path: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = path;
    std::iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        let hex = |byte: u8| char::from(byte).to_digit(16);
        let byte = match (first, after) {
            (b'%', [high, low, tail @ ..]) => hex(*high).zip(hex(*low)).map(|(h, l)| (h, l, tail)),
            _ => None,
        };
        match byte {
            Some((high, low, tail)) => {
                rest = tail;
                Some((high * 16 + low) as u8)
            }
            None => {
                rest = after;
                Some(first)
            }
        }
    })
}

/// Shannon's, of the bytes by themselves, in bits a byte.
fn entropy(bytes: impl Iterator<Item = u8>) -> f64 {
    let (mut counts, mut total) = ([0u32; 256], 0u32);
    for byte in bytes {
        counts[usize::from(byte)] += 1;
        total += 1;
    }
    let total = f64::from(total.max(1));
    let each = counts.iter().filter(|&&count| count > 0).map(|&count| {
        let share = f64::from(count) / total;
        -share * share.log2()
    });
    each.sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    fn random(dice: &mut rand::rngs::StdRng, length: usize) -> String {
        let letter = |_| char::from(LETTERS[dice.random_range(0..LETTERS.len())]);
        (0..length).map(letter).collect()
    }

    #[test]
    fn random_paths_are_told_from_written_ones() {
        let mut dice = rand::rngs::StdRng::seed_from_u64(9);
        let is_random = |path: &str| is_random_path(path);
        let found = (0..1000).filter(|_| is_random(&format!("/{}", random(&mut dice, 40)))).count();
        assert!(found > 980, "{found}");
        let bytes = |dice: &mut rand::rngs::StdRng| -> String {
            (0..40).map(|_| format!("%{:02x}", dice.random_range(0..256u32))).collect()
        };
        let found = (0..1000).filter(|_| is_random(&format!("/{}", bytes(&mut dice)))).count();
        assert!(found > 980, "{found}");
        for written in [
            "/",
            "/wp-content/plugins/revslider/temp/update_extract/revslider/info.php",
            "/accounts/acct:merchant-settlement/holds/by-date/2024-11-05/open",
            "/entries/by-id/0191f7c4-7b1e-7c34-9c5e-6d0f0a8f2b11/extra/parts/of/it",
            "/how-to-configure-the-ledger-in-production-with-certificates-and-more",
            "/objects/da39a3ee5e6b4b0d3255bfef95601890afd80709d41d8cd98f00b204e9800998",
            "/api/v1/namespaces/kube-system/services/https:kubernetes-dashboard:/proxy/",
            "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
            "/tile/entries/x001/x234/067.p/112/and/some/more/words/of/it/all",
        ] {
            assert!(!is_random(written), "{written} {}", entropy(written.bytes()));
        }
    }

    #[test]
    fn random_bodies_are_told_from_requests() {
        let metrics = Metrics::new();
        let counted = |body: &[u8]| {
            let before = metrics.anomalies.of(Anomaly::HighEntropyPayload).get();
            look_at_body(&metrics, body);
            metrics.anomalies.of(Anomaly::HighEntropyPayload).get() > before
        };
        let mut dice = rand::rngs::StdRng::seed_from_u64(10);
        let noise: Vec<u8> = (0..5000).map(|_| dice.random()).collect();
        assert!(counted(&noise) && counted(&noise[..256]) && !counted(&noise[..255]));
        assert!(counted(random(&mut dice, 600).as_bytes()));
        let entry = |dice: &mut rand::rngs::StdRng| {
            format!(
                r#"{{"id":"0191f7c4-7b1e-7c34-9c5e-{}","ts":1700000000123,"kind":"Transfer",
                "account":"acct:alice","counterparty":"acct:bob","amount":"1250","nonce":"{}==",
                "capability_ref":"cap-write-1","v":1}}"#,
                random(dice, 12).to_lowercase(),
                random(dice, 22)
            )
        };
        let batch = (0..9).map(|_| entry(&mut dice)).collect::<Vec<_>>().join(",");
        assert!(!counted(format!(r#"{{"batch":[{batch}],"#).as_bytes()));
    }

    #[test]
    fn a_flood_is_more_than_a_second_should_have() {
        let refusals = Refusals::default();
        let at = |ms| refusals.began + Duration::from_millis(ms);
        let floods = |count, ms| (0..count).filter(|_| refusals.is_flood(at(ms))).count();
        assert_eq!(floods(REFUSALS_PER_SECOND, 0), 0);
        assert_eq!(floods(3, 999), 3);
        assert_eq!(floods(REFUSALS_PER_SECOND + 5, 1000), 5);
        assert_eq!(floods(1, 5000), 0);
    }

    #[test]
    fn only_refusals_of_the_client_are_looked_at() {
        let (metrics, refusals) = (Metrics::new(), Refusals::default());
        let path = "/aQ3xZ9kLm2Vb7Nc8Rt5Yw1Ep4Ui6Os0DfGhJkXzCvBnM";
        let count = || metrics.anomalies.of(Anomaly::HighEntropyPath).get();
        for status in [200, 207, 429, 422, 500, 503] {
            let status = StatusCode::from_u16(status).unwrap();
            look(&metrics, &refusals, status, Some(path));
        }
        assert_eq!(count(), 0);
        look(&metrics, &refusals, StatusCode::NOT_FOUND, Some(path));
        look(&metrics, &refusals, StatusCode::NOT_FOUND, None);
        assert_eq!(count(), 1);
    }
}
