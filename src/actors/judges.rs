//! The policy guard and the wallet, where they are services: asked for the entries of one request.
//!
//! A retry of what is durable is no new act: they are not asked about it. Where all stands or falls
//! together and something has fallen, there is nothing left to ask.

use std::sync::Arc;
use std::time::Instant;

use super::breaker::Target;
use super::upstreams::{Remote, Upstreams};
use crate::ledger::entry::{Entry, EntryId};
use crate::ledger::reason::Reject;
use crate::ledger::request::{Item, Request};
use crate::storage::reader::Reader;
use crate::upstream::entries::{self, Bearing, answer_bytes_max, spends};
use crate::upstream::service::AskError;

/// Whoever is asked; nobody where both are local.
#[derive(Clone)]
pub(super) struct Judges {
    policy: Option<Arc<Remote>>,
    wallet: Option<Arc<Remote>>,
    reader: Reader,
}

/// How the answer of a judge is read: for each entry that was asked about, the reject or none.
type Read = fn(&[EntryId], &[u8]) -> Result<Vec<Option<Reject>>, AskError>;

impl Judges {
    pub(super) fn new(upstreams: &Upstreams, reader: Reader) -> Self {
        let (policy, wallet) = (upstreams.remote(Target::Policy), upstreams.remote(Target::Wallet));
        Judges { policy, wallet, reader }
    }

    /// The entries to ask about, by index; none where there is nobody to ask.
    pub(super) fn open(&self, request: &Request) -> Vec<usize> {
        if self.policy.is_none() && self.wallet.is_none() || has_fallen(request) {
            return Vec::new();
        }
        let items = request.items.iter().enumerate();
        let is_asked = |item: &Item| {
            item.refused.is_none() && (self.policy.is_some() || spends(item.entry.kind))
        };
        let asked: Vec<usize> =
            items.filter(|(_, item)| is_asked(item)).map(|(at, _)| at).collect();
        let ids: Vec<_> = asked.iter().map(|&at| request.items[at].entry.id).collect();
        let tuples: Vec<_> = asked.iter().map(|&at| request.items[at].digest).collect();
        // A read that fails knows nothing: all of them are asked about.
        let known = self.reader.known(&ids, &tuples).unwrap_or_default();
        let is_new = |at: usize| !known.get(at).copied().unwrap_or(false);
        asked.into_iter().enumerate().filter(|&(at, _)| is_new(at)).map(|(_, it)| it).collect()
    }

    /// Asks about the entries at these indices, and marks those that may not pass.
    ///
    /// # Errors
    /// `upstream_unavailable`, of the request as a whole.
    pub(super) async fn judge(
        &self,
        mut request: Request,
        mut open: Vec<usize>,
        kid: &str,
        deadline: Instant,
    ) -> Result<Request, Reject> {
        if let Some(policy) = &self.policy {
            put(policy, entries::guards_answer, &mut request, &open, kid, deadline).await?;
        }
        if let Some(wallet) = self.wallet.as_ref().filter(|_| !has_fallen(&request)) {
            open.retain(|&at| {
                let item = &request.items[at];
                item.refused.is_none() && spends(item.entry.kind)
            });
            put(wallet, entries::wallets_answer, &mut request, &open, kid, deadline).await?;
        }
        Ok(request)
    }
}

/// One judge, about these entries.
async fn put(
    judge: &Remote,
    read: Read,
    request: &mut Request,
    open: &[usize],
    kid: &str,
    deadline: Instant,
) -> Result<(), Reject> {
    let asked: Vec<&Entry> = open.iter().map(|&at| &request.items[at].entry).collect();
    let Some(first) = asked.first() else { return Ok(()) };
    // Whoever names another capability was refused before.
    let capability = first.capability.as_str();
    let bearing = Bearing { kid, capability, atomic: request.atomic };
    let question = entries::question(&bearing, &asked);
    let ids: Vec<EntryId> = asked.iter().map(|entry| entry.id).collect();
    let read = |answer: &[u8]| read(&ids, answer);
    let verdicts = judge.ask(&question, answer_bytes_max(ids.len()), deadline, read).await?;
    for (&at, verdict) in open.iter().zip(verdicts) {
        request.items[at].refused = verdict.map(Box::new);
    }
    Ok(())
}

/// Whether an atomic request is lost already.
fn has_fallen(request: &Request) -> bool {
    request.atomic && request.items.iter().any(|item| item.refused.is_some())
}
