//! Admin: carries out what operators ask of the mode, and their revocations, one thing after the other.
//!
//! Owns: the file of revocations; the mode knows its legal moves. Receives: [`Command`], and
//! [`Revoke`](super::revoking::Revoke). Sends: [`Clear`] to the committer. On a crash: the command in
//! hand is not answered, and whoever asked looks at the mode, or revokes again.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::committer::{Clear, Committer};
use super::door::{Door, Seated};
use super::mode::{Event, IllegalMove, Mode, ModeCell};
use super::probe::{Point, Probe};
use super::revoking::RevokedFile;
use crate::capability::CachedVerifier;

/// What an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Refuse writes until cleared.
    SafeModeEnter,
    /// Leave safe-mode. Where a verification is asked for, the committer recovers once more; when that
    /// does not pass, the mode stays.
    SafeModeClear {
        /// The operator has verified the ledger: needed where its integrity is in doubt.
        has_verified: bool,
    },
    /// Refuse new writes, for an operator's own reasons.
    Freeze,
    /// Take that back.
    Unfreeze,
    /// Refuse new writes for maintenance.
    MaintenanceBegin,
    /// Take that back.
    MaintenanceEnd,
    /// Take new writes over the local socket alone.
    IngressLock,
    /// Take that back.
    IngressUnlock,
    /// Take no new work, and end the process in order.
    Drain,
}

pub(super) struct Admin {
    pub(super) mode: ModeCell,
    /// None on a node that follows another one.
    pub(super) committer: Option<Door<Committer>>,
    pub(super) capabilities: Arc<CachedVerifier>,
    /// None: revocations end with the process.
    pub(super) revoked_file: Option<RevokedFile>,
    pub(super) probe: Probe,
}

pub(super) struct Command {
    pub(super) order: Order,
    pub(super) done: oneshot::Sender<Result<Mode, IllegalMove>>,
}

impl Actor for Admin {
    type Context = Context<Self>;
}

impl Supervised for Admin {}

impl Handler<Seated<Command>> for Admin {
    type Result = ();

    fn handle(&mut self, command: Seated<Command>, ctx: &mut Self::Context) {
        self.probe.hit(Point::AdminHandle);
        let (Command { order, done }, seat) = (command.msg, command.seat);
        let event = match order {
            Order::SafeModeEnter => Event::OperatorEnter,
            Order::Drain => Event::Drain,
            Order::Freeze => Event::Freeze,
            Order::Unfreeze => Event::Unfreeze,
            Order::MaintenanceBegin => Event::MaintenanceOn,
            Order::MaintenanceEnd => Event::MaintenanceOff,
            Order::IngressLock => Event::IngressLock,
            Order::IngressUnlock => Event::IngressUnlock,
            Order::SafeModeClear { has_verified } => {
                let Some(committer) = self.committer.clone() else {
                    // Nobody verifies here but a restart.
                    let outcome = self.mode.apply(Event::OperatorClear { verified: false });
                    let _ = done.send(outcome);
                    return;
                };
                let hand_over = async move {
                    let _in_hand = seat;
                    if let Some(place) = committer.reserve().await {
                        // Refused when the committer is gone for good: then nobody answers.
                        drop(place.offer(Clear { has_verified, done }));
                    }
                };
                ctx.spawn(hand_over.into_actor(self));
                return;
            }
        };
        let outcome = self.mode.apply(event);
        tracing::info!(?order, legal = outcome.is_ok(), "admin command");
        let _ = done.send(outcome);
    }
}
