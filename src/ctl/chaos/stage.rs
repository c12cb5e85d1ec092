//! What every drill does: measure, strike under load, measure again, read all back, judge.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::Duration;

use indicatif::ProgressBar;

use super::super::CtlError;
use super::super::context::{Context, ask, capability_id};
use super::load::{LoadArgs, Part, Sender};
use super::verdict::{Expected, Findings, Report};
use super::watch::{History, watch};
use super::{ChaosCommand, alerts, roots};
use crate::client::audit::Receipts;
use crate::client::{BearerToken, Client};
use crate::http::drills::{ChaosOut, DrillIn};
use crate::ledger::names::KeyName;

/// The parts of a drill.
pub(super) struct Stage<'a> {
    pub(super) context: &'a Context,
    pub(super) args: &'a LoadArgs,
    /// Of the local socket.
    pub(super) local: Client,
    /// What the node says of itself.
    pub(super) chaos: ChaosOut,
    pub(super) history: RefCell<History>,
    api: Client,
    sender: Sender,
    bar: ProgressBar,
}

impl<'a> Stage<'a> {
    /// Finds the node, and clears what an earlier drill left.
    pub(super) async fn set(args: &'a LoadArgs, context: &'a Context) -> Result<Self, CtlError> {
        let token = context.token()?.ok_or_else(|| {
            CtlError::usage("a token is needed").hint("--token-file ./dev/token, for instance")
        })?;
        let capability = capability(&token)?;
        let (local, api) = (context.local_client()?, context.client_with(Some(token))?);
        let chaos = ask(|| local.chaos()).await?;
        let sender = Sender::new(api.clone(), capability, args);
        let (history, bar) = (RefCell::default(), context.ui.clock(0));
        let stage = Stage { context, args, local, chaos, history, api, sender, bar };
        stage.clear().await;
        Ok(stage)
    }

    /// Takes the progress away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    pub(super) fn socket(&self) -> &Path {
        &self.context.global.socket
    }

    /// Looks at the ledger, for ever.
    pub(super) async fn watch(&self) -> std::convert::Infallible {
        let tell = |passed: Duration| self.bar.set_position(passed.as_secs());
        watch(&self.local, &self.history, tell).await
    }

    /// Leaves nothing behind. What does not answer has its own way to: its next start, or a deadline.
    pub(super) async fn clear(&self) {
        if self.chaos.enabled {
            let _ = self.local.drill(&DrillIn::DiskFree).await;
        }
    }

    pub(super) async fn drill(&self, command: &ChaosCommand) -> Result<Report, CtlError> {
        let expected = self.args.settle * 2 + command.lasts();
        self.bar.set_length(expected.as_secs());
        // Also finds out whether all of it can be read.
        let since = ask(|| self.api.entries(1, 1)).await?.size;
        self.bar.set_message("before");
        let before = self.sender.offer(self.args.settle).await?;
        self.bar.set_message(command.name());
        let done = Cell::new(false);
        let strike = async {
            let outcome = self.strike(command).await;
            done.set(true);
            outcome
        };
        let (during, struck) = tokio::join!(self.sender.offer_until(&done), strike);
        let (during, struck) = (during?, struck?);
        let is_back = struck.recovered_seconds.is_some();
        self.bar.set_message("after");
        let after = match is_back {
            true => Some(self.sender.offer(self.args.settle).await?),
            false => None,
        };
        let mut findings = Findings {
            before: Part::of(&before),
            during: Part::of(&during),
            after: after.as_ref().map(Part::of),
            audit: None,
            roots: None,
            times: self.history.borrow().times,
            recovered_seconds: struck.recovered_seconds,
            slow: struck.slow,
            alerts: alerts::evaluate(&self.history.borrow().samples),
        };
        let checks = struck.checks.iter().map(|check| check(&findings)).collect();
        let expected = Expected {
            alerts: struck.alerts,
            checks,
            undisturbed: struck.undisturbed,
            p95_max_ms: self.args.p95_max_ms,
        };
        if is_back {
            self.bar.set_message("reading all entries back");
            let mut receipts = before.receipts;
            receipts.add(during.receipts);
            receipts.add(after.map(|after| after.receipts).unwrap_or_default());
            self.read_back(receipts, since, &mut findings).await;
        }
        Ok(Report::of(command.name(), findings, expected))
    }

    /// What cannot be read is told by the verdict.
    async fn read_back(&self, receipts: Receipts, since: u64, findings: &mut Findings) {
        match receipts.audit(&self.api, since).await {
            Ok(audit) => findings.audit = Some(audit),
            Err(error) => self.context.ui.note(format_args!("entries: {error}")),
        }
        let seen = self.history.borrow().checkpoints.clone();
        match roots::check(&self.api, &seen).await {
            Ok(roots) => findings.roots = Some(roots),
            Err(error) => self.context.ui.note(format_args!("roots: {error}")),
        }
    }
}

fn capability(token: &BearerToken) -> Result<KeyName, CtlError> {
    KeyName::new(capability_id(token)?).map_err(CtlError::usage)
}
