//! Prevalidator: says by what right an entry comes, entry by entry.
//!
//! Owns: nothing that lasts. Receives: [`Admitted`]. Sends: [`Checked`] to the sequencer. On a crash:
//! the requests in hand are told that their outcome is unknown. Several work side by side; order is
//! made after them.
//!
//! Where everything is local a request is done with in its turn. Where a service has to be asked, the
//! request goes on in a future of the context with its seat, so that the door bounds those too, and
//! others overtake it.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use actix::prelude::*;

use super::authority::{Authority, Purpose};
use super::door::{Door, Refused, Seat, Seated};
use super::guard::{Guard, Reservations};
use super::judges::Judges;
use super::limits::Limits;
use super::probe::{Point, Probe};
use super::refusal::{is_late, refuse_busy, refuse_rate, timeout};
use super::sequencer::Sequencer;
use super::ticket::{Admitted, Answer, Bearer, Checked, Reply, Submission};
use crate::capability::{Action, Capability, Context as Door_, Lookup, Peer, Plane, Unproven};
use crate::config::ReversibleBridges;
use crate::ledger::entry::{Entry, Kind};
use crate::ledger::names::KeyName;
use crate::ledger::plan::Outcome;
use crate::ledger::reason::{Reason, Reject};
use crate::ledger::request::{Grants, Item, Request};
use crate::storage::reader::Reader;
use crate::telemetry::{Metrics, Peer as PeerLabel, Queue, Stage};

/// One of the pool.
pub(super) struct Prevalidator {
    pub(super) deps: Deps,
}

#[derive(Clone)]
pub(super) struct Deps {
    pub(super) sequencer: Door<Sequencer>,
    pub(super) authority: Authority,
    pub(super) judges: Judges,
    pub(super) limits: Arc<Limits>,
    pub(super) bridges: ReversibleBridges,
    pub(super) guard: Arc<Guard>,
    pub(super) reader: Reader,
    pub(super) metrics: Arc<Metrics>,
    pub(super) probe: Probe,
}

/// A request in hand. Its seat counts at the door until it is done with.
struct Ticket {
    submission: Submission,
    deadline: Instant,
    reply: Reply,
    started: Instant,
    /// From here until it is handed over, whoever else is asked meanwhile.
    stage: Stage,
    _seat: Seat,
}

impl Actor for Prevalidator {
    type Context = Context<Self>;
}

impl Supervised for Prevalidator {}

impl Handler<Seated<Admitted>> for Prevalidator {
    type Result = ();

    fn handle(&mut self, admitted: Seated<Admitted>, ctx: &mut Self::Context) {
        let Seated { msg: Admitted { submission, deadline, reply }, seat } = admitted;
        self.deps.probe.hit(Point::PrevalidatorHandle);
        let (started, stage) = (Instant::now(), reply.trace().stage("prevalidator.check"));
        let ticket = Ticket { submission, deadline, reply, started, stage, _seat: seat };
        if is_late(deadline) {
            return ticket.reply.refuse(timeout());
        }
        let context = Door_ { plane: Plane::Api, peer: ticket.submission.peer };
        let token = ticket.submission.token.as_ref().map(Bearer::expose);
        match self.deps.authority.lookup(token, &context) {
            Ok(Lookup::Verified(capability)) => self.validate(ticket, Ok(capability), ctx),
            Ok(Lookup::Unproven(unproven)) => self.prove(ticket, unproven, context, ctx),
            Err(reject) => self.validate(ticket, Err(reject), ctx),
        }
    }
}

impl Prevalidator {
    /// Asks the key service first.
    fn prove(
        &self,
        mut ticket: Ticket,
        unproven: Unproven,
        context: Door_,
        ctx: &mut Context<Self>,
    ) {
        let authority = self.deps.authority.clone();
        // There is one: without a token there was nothing to look up.
        let Some(token) = ticket.submission.token.take() else { return };
        let asked = async move {
            let (by, purpose) = (ticket.deadline, Purpose::Act);
            let proven = authority.prove(unproven, &token, &context, purpose, by).await;
            (ticket, proven)
        };
        ctx.spawn(asked.into_actor(self).map(|(ticket, proven), validator, ctx| {
            validator.deps.probe.hit(Point::PrevalidatorAnswered);
            validator.validate(ticket, proven, ctx);
        }));
    }

    /// All that is decided here; then whoever else is asked, if anybody is.
    fn validate(
        &self,
        mut ticket: Ticket,
        capability: Result<Arc<Capability>, Reject>,
        ctx: &mut Context<Self>,
    ) {
        let peer = ticket.submission.peer;
        let capability = match capability {
            Ok(capability) => capability,
            Err(reject) => {
                if matches!(reject.reason, Reason::Unauth | Reason::CapInvalid) {
                    self.deps.metrics.auth_failures.of(label_of(peer)).inc();
                }
                return ticket.reply.refuse(reject);
            }
        };
        ticket.stage.set_text("ledger.kid", capability.kid());
        ticket.stage.set_text("ledger.capability_id", capability.id());
        if let Err(scope) = self.deps.limits.admit_capability(capability.id(), Instant::now()) {
            return refuse_rate(&self.deps.metrics, scope, ticket.reply);
        }
        let entries = std::mem::take(&mut ticket.submission.entries);
        let (request, reserved) = self.check(&capability, entries, ticket.submission.atomic);
        ticket.reply.keep(reserved);
        let open = self.deps.judges.open(&request);
        if open.is_empty() {
            return self.hand_over(ticket, request);
        }
        let (judges, by) = (self.deps.judges.clone(), ticket.deadline);
        let judged = async move { judges.judge(request, open, capability.kid(), by).await };
        ctx.spawn(judged.into_actor(self).map(|judged, validator, _| {
            validator.deps.probe.hit(Point::PrevalidatorAnswered);
            match judged {
                Ok(_) if is_late(ticket.deadline) => ticket.reply.refuse(timeout()),
                Ok(request) => validator.hand_over(ticket, request),
                Err(reject) => ticket.reply.refuse(reject),
            }
        }));
    }

    /// To the sequencer, unless nothing of it may pass.
    fn hand_over(&self, ticket: Ticket, request: Request) {
        let Ticket { submission, deadline, reply, started, stage, _seat } = ticket;
        let seconds = started.elapsed().as_secs_f64();
        self.deps.metrics.prevalidator_duration.observe_in(seconds, reply.trace());
        drop(stage);
        if request.items.iter().all(|item| item.refused.is_some()) {
            return reply.send(self.all_refused(request));
        }
        let (bytes, received) = (submission.body_bytes, submission.received);
        let checked = Checked { request, bytes, received, deadline, reply };
        if let Err(Refused::Full(back) | Refused::Closed(back)) = self.deps.sequencer.offer(checked)
        {
            refuse_busy(&self.deps.metrics, Queue::Commit, back.reply);
        }
    }

    fn check(
        &self,
        capability: &Capability,
        entries: Vec<Entry>,
        atomic: bool,
    ) -> (Request, Reservations) {
        let kid = KeyName::new(capability.kid()).ok();
        let items = entries.into_iter().map(|mut entry| {
            let verdict = self.allowed(capability, &entry);
            if let Some(kid) = &kid {
                entry.kid = kid.clone();
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
