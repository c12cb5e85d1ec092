//! Admin: carries out what operators ask of the mode, one thing after the other.
//!
//! Owns: nothing; the mode knows the legal moves. Receives: [`Command`]. On a crash: the command in
//! hand is not answered, and whoever asked looks at the mode.

use actix::prelude::*;
use tokio::sync::oneshot;

use super::door::Seated;
use super::mode::{Event, IllegalMove, Mode, ModeCell};
use super::probe::{Point, Probe};

/// What an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Refuse writes until cleared.
    SafeModeEnter,
    /// Leave safe-mode. A recovery has verified the store by then, or the mode refuses.
    SafeModeClear,
    /// Take no new work; the first step of a shutdown.
    Drain,
}

pub(super) struct Admin {
    pub(super) mode: ModeCell,
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

    fn handle(&mut self, command: Seated<Command>, _: &mut Self::Context) {
        self.probe.hit(Point::AdminHandle);
        let Command { order, done } = command.msg;
        let event = match order {
            Order::SafeModeEnter => Event::OperatorEnter,
            // The committer's recovery is the verification: while it has not passed, `recovering`
            // or the fault that it found stands, and the mode refuses.
            Order::SafeModeClear => Event::OperatorClear { verified: true },
            Order::Drain => Event::Drain,
        };
        let outcome = self.mode.apply(event);
        tracing::info!(?order, legal = outcome.is_ok(), "admin command");
        let _ = done.send(outcome);
    }
}
