//! When a request is sent again, and after which pause.
//!
//! Every request of this client may be sent again: reads change nothing, and entries take effect
//! once for their ids, so that a retry is told `replayed`. Not so a refusal that a retry would only
//! repeat: that is given back at once.

use std::time::Duration;

use super::ClientError;

/// How long one pause may be, whatever the server asks for.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How often, and how patiently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, the first one included; 0 counts as 1.
    pub attempts: u32,
    /// The pause after the first attempt. It doubles from attempt to attempt.
    pub pause_min: Duration,
    /// The longest pause that the doubling comes to. A server may ask for a longer one.
    pub pause_max: Duration,
}

impl Default for Retry {
    /// Six attempts over some ten seconds.
    fn default() -> Self {
        Retry {
            attempts: 6,
            pause_min: Duration::from_millis(200),
            pause_max: Duration::from_secs(5),
        }
    }
}

impl Retry {
    /// One attempt.
    pub const NONE: Retry =
        Retry { attempts: 1, pause_min: Duration::ZERO, pause_max: Duration::ZERO };

    /// The pause after the `attempt`-th attempt, counted from 1: what the server asked for and no
    /// less than the doubled pause, without the jitter.
    fn pause(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.pause_min.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        doubled.min(self.pause_max).max(asked.unwrap_or_default()).min(PAUSE_MAX)
    }

    /// The pause before another attempt, after the `made`-th one has ended so; none when it was the
    /// last one, or another one would be refused as well.
    pub fn pause_after(&self, made: u32, error: &ClientError) -> Option<Duration> {
        if made >= self.attempts || !error.is_transient() {
            return None;
        }
        let pause = self.pause(made, error.retry_after());
        // Up to a quarter more, so that many clients do not come back in step.
        Some(pause.mul_f64(rand::random_range(1.0..1.25)))
    }

    /// Makes attempts until one succeeds, fails for good, or was the last. `on_pause` hears of
    /// each pause before it begins.
    ///
    /// # Errors
    /// That of the last attempt.
    pub async fn run<T, F>(
        &self,
        mut attempt: impl FnMut() -> F,
        mut on_pause: impl FnMut(&ClientError, Duration),
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let mut made = 1;
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let Some(pause) = self.pause_after(made, &error) else { return Err(error) };
            on_pause(&error, pause);
            tokio::time::sleep(pause).await;
            made += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_honour_the_server() {
        let retry = Retry::default();
        let ms = |attempt, asked: Option<u64>| {
            retry.pause(attempt, asked.map(Duration::from_millis)).as_millis()
        };
        assert_eq!([1, 2, 3, 4].map(|n| ms(n, None)), [200, 400, 800, 1_600]);
        assert_eq!([6, 40, u32::MAX].map(|n| ms(n, None)), [5_000; 3]);
        assert_eq!(ms(1, Some(7_000)), 7_000);
        assert_eq!(ms(3, Some(1)), 800);
        assert_eq!(ms(1, Some(u64::MAX)), PAUSE_MAX.as_millis());
    }

    async fn attempts(errors: impl Fn() -> ClientError) -> u32 {
        let mut made = 0;
        let result: Result<(), _> = Retry::default()
            .run(
                || {
                    made += 1;
                    let error = errors();
                    async { Err(error) }
                },
                |_, _| (),
            )
            .await;
        assert!(result.is_err());
        made
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_may_pass_is_tried_again() {
        let refused = |status| move || ClientError::refused(status, "busy", "", None);
        for status in [429, 503, 504] {
            assert_eq!(attempts(refused(status)).await, 6, "{status}");
        }
        for status in [400, 401, 403, 404, 413, 422, 500] {
            assert_eq!(attempts(refused(status)).await, 1, "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_ends_the_attempts() {
        let mut made = 0;
        let value = Retry::default()
            .run(
                || {
                    made += 1;
                    let outcome = match made {
                        3 => Ok("done"),
                        _ => Err(ClientError::refused(503, "draining", "", None)),
                    };
                    async { outcome }
                },
                |_, _| (),
            )
            .await;
        assert_eq!((value.unwrap(), made), ("done", 3));
    }
}
