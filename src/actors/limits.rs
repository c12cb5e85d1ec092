//! Rates of requests: of all together, of each kind of connection, of each capability. One table that
//! the ingress and the prevalidators share, and that operators change while the node runs.
//!
//! A capability is looked up when its token has verified: nobody can use up the rate of another.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;

use super::rate::RateLimit;
use crate::capability::Peer;
use crate::config::{Config, RatesConfig};
use crate::ledger::reason::{Reason, Reject};
use crate::telemetry::RateScope;

/// The most capabilities that have a bucket of their own. One whose bucket is empty needs none, so that
/// more must come within a burst to share the last one.
pub const CAPABILITY_BUCKETS_MAX: usize = 16_384;

/// The highest rate.
pub const RATE_MAX: u32 = 1_000_000;

/// Requests a second on average; 0 for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// All together.
    pub global: u32,
    /// Each capability, by its id.
    pub capability: u32,
    /// All over the local socket.
    pub uds: u32,
    /// All with a client certificate.
    pub mtls: u32,
    /// All over TLS without one.
    pub tls: u32,
    /// All without TLS.
    pub plain: u32,
}

impl Rates {
    /// As the configuration says.
    pub fn of(config: &Config) -> Self {
        let RatesConfig { capability, uds, mtls, tls, plain } = config.rates;
        Rates { global: config.limits.requests_per_second, capability, uds, mtls, tls, plain }
    }

    /// These, but for what `new` says otherwise than `old` did: that is as `new` says.
    pub fn changed(self, old: Rates, new: Rates) -> Rates {
        let of = |now, old, new| if old == new { now } else { new };
        Rates {
            global: of(self.global, old.global, new.global),
            capability: of(self.capability, old.capability, new.capability),
            uds: of(self.uds, old.uds, new.uds),
            mtls: of(self.mtls, old.mtls, new.mtls),
            tls: of(self.tls, old.tls, new.tls),
            plain: of(self.plain, old.plain, new.plain),
        }
    }
}

/// The rates, and what of them is used up.
#[derive(Debug)]
pub struct Limits {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rates: Rates,
    global: RateLimit,
    /// In the order of [`scope_of`]'s match.
    peers: [RateLimit; 4],
    capabilities: HashMap<String, RateLimit>,
    /// For those that find no room.
    others: RateLimit,
}

impl State {
    fn new(rates: Rates) -> Self {
        let peers = [rates.uds, rates.mtls, rates.tls, rates.plain];
        State {
            rates,
            global: RateLimit::per_second(rates.global),
            peers: peers.map(RateLimit::per_second),
            capabilities: HashMap::new(),
            others: RateLimit::per_second(rates.capability),
        }
    }

    /// The bucket of a capability.
    fn bucket(&mut self, id: &str, now: Instant) -> &mut RateLimit {
        if !self.capabilities.contains_key(id) {
            if self.capabilities.len() >= CAPABILITY_BUCKETS_MAX {
                self.capabilities.retain(|_, bucket| bucket.is_used(now));
            }
            if self.capabilities.len() >= CAPABILITY_BUCKETS_MAX {
                return &mut self.others;
            }
            let bucket = RateLimit::per_second(self.rates.capability);
            self.capabilities.insert(id.to_owned(), bucket);
        }
        self.capabilities.get_mut(id).expect("it was there, or has just been put there")
    }
}

impl Limits {
    /// With all buckets empty.
    pub fn new(rates: Rates) -> Self {
        Limits { state: Mutex::new(State::new(rates)) }
    }

    /// The rates of now.
    pub fn rates(&self) -> Rates {
        self.state.lock().rates
    }

    /// How many capabilities have a bucket now.
    pub fn buckets(&self) -> usize {
        self.state.lock().capabilities.len()
    }

    /// Other rates from now on, with all buckets empty.
    pub fn set(&self, rates: Rates) {
        *self.state.lock() = State::new(rates);
    }

    /// Whether a request over this kind of connection is let through; then it counts.
    ///
    /// # Errors
    /// Whose rate is used up.
    pub(super) fn admit(&self, peer: Peer, now: Instant) -> Result<(), RateScope> {
        let (scope, at) = scope_of(peer);
        let mut state = self.state.lock();
        if !state.peers[at].admits(now) {
            return Err(scope);
        }
        if state.global.admits(now) { Ok(()) } else { Err(RateScope::Global) }
    }

    /// Whether a request with this capability is let through; then it counts.
    ///
    /// # Errors
    /// Its rate is used up.
    pub(super) fn admit_capability(&self, id: &str, now: Instant) -> Result<(), RateScope> {
        let mut state = self.state.lock();
        if state.rates.capability == 0 || state.bucket(id, now).admits(now) {
            Ok(())
        } else {
            Err(RateScope::Capability)
        }
    }
}

fn scope_of(peer: Peer) -> (RateScope, usize) {
    match peer {
        Peer::Uds => (RateScope::Uds, 0),
        Peer::Mtls => (RateScope::Mtls, 1),
        Peer::Tls => (RateScope::Tls, 2),
        Peer::Plain => (RateScope::Plain, 3),
    }
}

/// The answer to a request above a rate, which it names by its setting.
pub(super) fn too_many(scope: RateScope) -> Reject {
    let setting = match scope {
        RateScope::Global => "limits.requests_per_second",
        RateScope::Capability => "rates.capability",
        RateScope::Uds => "rates.uds",
        RateScope::Mtls => "rates.mtls",
        RateScope::Tls => "rates.tls",
        RateScope::Plain => "rates.plain",
    };
    Reject::new(Reason::Busy, format!("more requests a second than {setting}; try again soon"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// How many of a hundred at once are let through.
    fn admitted(mut admit: impl FnMut() -> Result<(), RateScope>) -> usize {
        (0..100).filter(|_| admit().is_ok()).count()
    }

    #[test]
    fn each_scope_is_limited_alone_and_changed_while_it_runs() {
        let (limits, now) = (Limits::new(Rates { tls: 50, ..Rates::default() }), Instant::now());
        assert_eq!(admitted(|| limits.admit(Peer::Tls, now)), 5);
        assert_eq!(limits.admit(Peer::Tls, now), Err(RateScope::Tls));
        for peer in [Peer::Uds, Peer::Mtls, Peer::Plain] {
            assert_eq!(admitted(|| limits.admit(peer, now)), 100);
        }
        assert_eq!(admitted(|| limits.admit_capability("a", now)), 100);
        limits.set(Rates { capability: 30, global: 100, ..Rates::default() });
        assert_eq!(admitted(|| limits.admit_capability("a", now)), 3);
        assert_eq!(
            admitted(|| limits.admit_capability("b", now)),
            3,
            "one does not use up another's"
        );
        assert_eq!(admitted(|| limits.admit(Peer::Tls, now)), 10);
        assert_eq!(limits.admit(Peer::Uds, now), Err(RateScope::Global));
    }

    #[test]
    fn the_buckets_are_bounded_and_an_empty_one_makes_room() {
        let (limits, now) =
            (Limits::new(Rates { capability: 10, ..Rates::default() }), Instant::now());
        for nth in 0..CAPABILITY_BUCKETS_MAX {
            assert_eq!(limits.admit_capability(&nth.to_string(), now), Ok(()));
        }
        // All are used: the next ones share one, and nobody gets a bucket afresh.
        assert_eq!(limits.admit_capability("x", now), Ok(()));
        assert_eq!(limits.admit_capability("y", now), Err(RateScope::Capability));
        assert_eq!(limits.admit_capability("0", now), Err(RateScope::Capability));
        assert_eq!(limits.buckets(), CAPABILITY_BUCKETS_MAX);
        let later = now + Duration::from_secs(1);
        assert_eq!(limits.admit_capability("y", later), Ok(()));
        assert_eq!(limits.buckets(), 1);
    }
}
