//! Prevalidator: says by what right an entry comes, entry by entry.
//!
//! Owns: nothing that lasts. Receives: [`Admitted`]. Sends: [`Checked`] to the sequencer. On a crash:
//! the request in hand is told that its outcome is unknown. Several work side by side; order is made
//! after them.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use actix::prelude::*;

use super::breaker::BreakerHandle;
use super::door::{Door, Refused, Seated};
use super::guard::{Guard, Reservations};
use super::limits::Limits;
use super::probe::{Point, Probe};
use super::refusal::{is_late, refuse_busy, refuse_rate, timeout};
use super::sequencer::Sequencer;
use super::ticket::{Admitted, Answer, Bearer, Checked};
use crate::capability::{
    Action, CachedVerifier, CapError, Capability, Context as Door_, Peer, Plane,
};
use crate::config::ReversibleBridges;
use crate::ledger::entry::{Entry, Kind};
use crate::ledger::names::KeyName;
use crate::ledger::plan::Outcome;
use crate::ledger::reason::{Reason, Reject};
use crate::ledger::request::{Grants, Item, Request};
use crate::storage::reader::Reader;
use crate::telemetry::{Metrics, Peer as PeerLabel, Queue};

/// One of the pool.
pub(super) struct Prevalidator {
    pub(super) deps: Deps,
}

#[derive(Clone)]
pub(super) struct Deps {
    pub(super) sequencer: Door<Sequencer>,
    pub(super) capabilities: Arc<CachedVerifier>,
    pub(super) limits: Arc<Limits>,
    pub(super) bridges: ReversibleBridges,
    pub(super) guard: Arc<Guard>,
    pub(super) upstreams: Arc<[BreakerHandle]>,
    pub(super) reader: Reader,
    pub(super) metrics: Arc<Metrics>,
    pub(super) probe: Probe,
}

impl Actor for Prevalidator {
    type Context = Context<Self>;
}

impl Supervised for Prevalidator {}

impl Handler<Seated<Admitted>> for Prevalidator {
    type Result = ();

    fn handle(&mut self, admitted: Seated<Admitted>, _: &mut Self::Context) {
        let Admitted { submission, deadline, mut reply } = admitted.msg;
        self.deps.probe.hit(Point::PrevalidatorHandle);
        let started = Instant::now();
        if is_late(deadline) {
            return reply.refuse(timeout());
        }
        let capability = match self.authorize(submission.token.as_ref(), submission.peer) {
            Ok(capability) => capability,
            Err(reject) => return reply.refuse(reject),
        };
        if let Err(scope) = self.deps.limits.admit_capability(capability.id(), started) {
            return refuse_rate(&self.deps.metrics, scope, reply);
        }
        let (request, reserved) = self.check(&capability, submission.entries, submission.atomic);
        reply.keep(reserved);
        self.deps.metrics.prevalidator_duration.observe(started.elapsed().as_secs_f64());
        if request.items.iter().all(|item| item.refused.is_some()) {
            return reply.send(self.all_refused(request));
        }
        let checked = Checked {
            request,
            bytes: submission.body_bytes,
            received: submission.received,
            deadline,
            reply,
        };
        if let Err(Refused::Full(back) | Refused::Closed(back)) = self.deps.sequencer.offer(checked)
        {
            refuse_busy(&self.deps.metrics, Queue::Commit, back.reply);
        }
    }
}

impl Prevalidator {
    fn authorize(&self, token: Option<&Bearer>, peer: Peer) -> Result<Arc<Capability>, Reject> {
        if let Some(open) =
            self.deps.upstreams.iter().find(|upstream| upstream.may_call().is_none())
        {
            let target = open.target().as_str();
            let details = format!("{target} does not answer; writes that need it are refused");
            return Err(Reject::new(Reason::UpstreamUnavailable, details));
        }
        let now_ms = unix_ms();
        let context = Door_ { plane: Plane::Api, peer };
        let verified = match token {
            Some(token) => self.deps.capabilities.verify(token.expose(), now_ms, &context),
            None => Err(CapError::Missing),
        };
        verified.map_err(|error| {
            self.deps.metrics.auth_failures.of(label_of(peer)).inc();
            let reason = match error.is_unauthenticated() {
                true => Reason::Unauth,
                false => Reason::CapInvalid,
            };
            Reject::new(reason, error.to_string())
        })
    }

    fn check(
        &self,
        capability: &Capability,
        entries: Vec<Entry>,
        atomic: bool,
    ) -> (Request, Reservations) {
        let items = entries.into_iter().map(|mut entry| {
            let verdict = self.allowed(capability, &entry);
            if let Ok(kid) = KeyName::new(capability.kid()) {
                entry.kid = kid;
            }
            let mut item = Item::new(entry, grants_of(capability));
            item.refused =
                verdict.err().filter(|reject| self.is_binding(&item, reject)).map(Box::new);
            item
        });
        let mut request = Request { items: items.collect(), atomic };
        let reserved = self.deps.guard.check(&mut request, |items| self.durable(items));
        (request, reserved)
    }

    fn allowed(&self, capability: &Capability, entry: &Entry) -> Result<(), Reject> {
        if entry.capability.as_str() != capability.id() {
            let details = "capability_ref: is not the id of the token's capability";
            return Err(Reject::new(Reason::CapInvalid, details));
        }
        let action = action_of(entry.kind);
        let (account, asset) = (entry.account.as_str(), entry.asset.as_str());
        capability
            .allows(action, account, asset, entry.amount.get())
            .map_err(|denied| Reject::new(Reason::CapInvalid, denied.to_string()))?;
        self.bridge(capability, entry)
    }

    /// Governance of reversals.
    fn bridge(&self, capability: &Capability, entry: &Entry) -> Result<(), Reject> {
        if entry.kind != Kind::Reverse {
            return Ok(());
        }
        let details = match self.deps.bridges {
            ReversibleBridges::Allow => return Ok(()),
            ReversibleBridges::RequireCap if capability.names(Action::Reverse) => return Ok(()),
            ReversibleBridges::RequireCap => "a reversal needs a capability that names the action",
            ReversibleBridges::Disabled => "reversals are disabled here",
        };
        Err(Reject::new(Reason::PolicyDenied, details))
    }

    /// A retry of what is durable is no new act: policy is not asked again.
    fn is_binding(&self, item: &Item, reject: &Reject) -> bool {
        reject.reason != Reason::PolicyDenied
            || !matches!(self.deps.reader.known(&[item.entry.id], &[item.digest]), Ok(known) if known == [true])
    }

    /// Of each item, whether its id or its tuple is in the log: then nothing new comes of it. What
    /// cannot be read counts as new.
    fn durable(&self, items: &[Item]) -> Vec<bool> {
        let (ids, tuples): (Vec<_>, Vec<_>) =
            items.iter().map(|item| (item.entry.id, item.digest)).unzip();
        self.deps.reader.known(&ids, &tuples).unwrap_or_default()
    }

    fn all_refused(&self, request: Request) -> Answer {
        let head = self.deps.reader.head();
        let rejects = request.items.into_iter().filter_map(|item| item.refused);
        let outcomes = rejects.map(|reject| Outcome::Rejected(*reject));
        Answer::Done { outcomes: outcomes.collect(), root: head.root, root_size: head.seq }
    }
}

fn grants_of(capability: &Capability) -> Grants {
    Grants {
        reverse_mint: capability.permits(Action::Mint),
        reverse_burn: capability.permits(Action::Burn),
    }
}

fn action_of(kind: Kind) -> Action {
    match kind {
        Kind::Mint => Action::Mint,
        Kind::Burn => Action::Burn,
        Kind::Transfer => Action::Transfer,
        Kind::Credit => Action::Credit,
        Kind::Debit => Action::Debit,
        Kind::Hold => Action::Hold,
        Kind::Capture => Action::Capture,
        Kind::Release => Action::Release,
        // No client names Expire: the wire's parser refuses it.
        Kind::Reverse | Kind::Expire => Action::Reverse,
    }
}

fn label_of(peer: Peer) -> PeerLabel {
    match peer {
        Peer::Uds => PeerLabel::Uds,
        Peer::Mtls => PeerLabel::Mtls,
        Peer::Tls | Peer::Plain => PeerLabel::Tcp,
    }
}

/// The wall clock, in ms since 1970.
pub(super) fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}
