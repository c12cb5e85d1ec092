//! Keeps one failing place from filling the log: of the warnings and errors that one line of the program
//! logs, so many pass in each stretch of time. The others are counted, by place, and told as a number.
//!
//! Lines below `WARN` always pass. What operators ask for is among them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines of one place in one stretch.
pub const LINES_MAX: u32 = 20;

/// How long a stretch is.
pub const STRETCH: Duration = Duration::from_secs(10);

/// Places that are told apart; the program has far fewer. Beyond this all pass.
const PLACES_MAX: usize = 1024;

/// How often the places have logged in the present stretch. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Repeats(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    places: Mutex<HashMap<Identifier, Place>>,
    left_out: AtomicU64,
}

#[derive(Debug)]
struct Place {
    metadata: &'static Metadata<'static>,
    since: Instant,
    lines: u32,
    left_out: u64,
}

/// Lines of one place that were left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The module that logs them.
    pub target: &'static str,
    /// File and line.
    pub place: String,
    /// How many.
    pub lines: u64,
}

impl Repeats {
    /// Lines that were left out since the start.
    pub fn left_out(&self) -> u64 {
        self.0.left_out.load(Ordering::Relaxed)
    }

    /// What was left out since this was asked last.
    pub fn take(&self) -> Vec<LeftOut> {
        let mut places = self.0.places.lock();
        let told = places.values_mut().filter(|place| place.left_out > 0).map(|place| LeftOut {
            target: place.metadata.target(),
            place: format!(
                "{}:{}",
                place.metadata.file().unwrap_or("?"),
                place.metadata.line().unwrap_or(0)
            ),
            lines: std::mem::take(&mut place.left_out),
        });
        told.collect()
    }

    fn admits(&self, metadata: &'static Metadata<'static>, now: Instant) -> bool {
        if *metadata.level() > Level::WARN {
            return true;
        }
        let mut places = self.0.places.lock();
        let is_full = places.len() >= PLACES_MAX;
        let id = metadata.callsite();
        if is_full && !places.contains_key(&id) {
            return true;
        }
        let new = || Place { metadata, since: now, lines: 0, left_out: 0 };
        let place = places.entry(id).or_insert_with(new);
        if now.saturating_duration_since(place.since) >= STRETCH {
            (place.since, place.lines) = (now, 0);
        }
        place.lines = place.lines.saturating_add(1);
        if place.lines <= LINES_MAX {
            return true;
        }
        place.left_out += 1;
        self.0.left_out.fetch_add(1, Ordering::Relaxed);
        false
    }
}

/// A layer that writes lines, with the bound of repeats before it. Not a filter: those of one layer that
/// look at events trip over assertions of `tracing-subscriber` 0.3.23 in debug builds.
pub(super) struct Bounded<L> {
    pub(super) lines: L,
    pub(super) repeats: Repeats,
}

impl<S: Subscriber, L: Layer<S>> Layer<S> for Bounded<L> {
    fn on_layer(&mut self, subscriber: &mut S) {
        self.lines.on_layer(subscriber);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if self.repeats.admits(event.metadata(), Instant::now()) {
            self.lines.on_event(event, context);
        }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.lines.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.lines.on_record(id, values, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.lines.on_enter(id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.lines.on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.lines.on_close(id, context);
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Remembers where the last event came from.
    #[derive(Clone, Default)]
    struct Catch(Arc<Mutex<Option<&'static Metadata<'static>>>>);

    impl<S: Subscriber> Layer<S> for Catch {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            *self.0.lock() = Some(event.metadata());
        }
    }

    /// The metadata of one place of each level.
    fn place(level: Level) -> &'static Metadata<'static> {
        let catch = Catch::default();
        let subscriber = tracing_subscriber::registry().with(catch.clone());
        tracing::subscriber::with_default(subscriber, || match level {
            Level::ERROR => tracing::error!("planted"),
            Level::WARN => tracing::warn!("planted"),
            _ => tracing::info!("planted"),
        });
        catch.0.lock().take().unwrap()
    }

    fn passed(repeats: &Repeats, level: Level, lines: u32, now: Instant) -> u32 {
        let place = place(level);
        (0..lines).filter(|_| repeats.admits(place, now)).count() as u32
    }

    #[test]
    fn warnings_and_errors_of_one_place_are_bounded_and_the_rest_is_told() {
        let (repeats, now) = (Repeats::default(), Instant::now());
        assert_eq!(passed(&repeats, Level::ERROR, 100, now), LINES_MAX);
        assert_eq!(passed(&repeats, Level::WARN, LINES_MAX, now), LINES_MAX, "a place of its own");
        assert_eq!(passed(&repeats, Level::INFO, 100, now), 100);
        let told = repeats.take();
        assert_eq!((told.len(), told[0].lines, repeats.left_out()), (1, 80, 80));
        assert!(told[0].place.contains("repeats.rs:"), "{told:?}");
        assert_eq!(repeats.take(), []);
        assert_eq!(passed(&repeats, Level::ERROR, 100, now + STRETCH), LINES_MAX, "a new stretch");
        assert_eq!(repeats.left_out(), 160);
    }
}
