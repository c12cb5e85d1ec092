//! The local policy guard at work: one for the whole pool of prevalidators, with the only counters that
//! there are.
//!
//! What it counts for an entry is settled by whoever answers the request: given back for what was not
//! committed now, kept for what was, and for what nobody knows the outcome of.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;

use super::ticket::Answer;
use crate::ledger::plan::Outcome;
use crate::ledger::reason::{Reason, Reject};
use crate::ledger::request::{Item, Request};
use crate::policy::{Policy, Reserved};
use crate::telemetry::Metrics;

/// The policy in force.
pub struct Guard {
    policy: ArcSwap<Policy>,
    began: Instant,
    metrics: Arc<Metrics>,
}

impl Guard {
    /// With windows that have counted nothing.
    pub(super) fn new(policy: Policy, metrics: Arc<Metrics>) -> Self {
        metrics.policy_rules(policy.deciders());
        Guard { policy: ArcSwap::from_pointee(policy), began: Instant::now(), metrics }
    }

    /// Another policy from now on. Its windows go on from where those of the same name and length are.
    /// One caller at a time.
    pub fn replace(&self, mut policy: Policy) {
        policy.succeed(&self.policy.load());
        self.metrics.policy_rules(policy.deciders());
        self.policy.store(Arc::new(policy));
    }

    /// How many rules there are.
    pub fn rules_count(&self) -> usize {
        self.policy.load().rules_count()
    }

    /// Refuses what the policy denies of a request, and counts the rest. What is durable is no new act,
    /// and is not asked about again: `durable` says of each item whether it is.
    pub(super) fn check(
        &self,
        request: &mut Request,
        durable: impl FnOnce(&[Item]) -> Vec<bool>,
    ) -> Reservations {
        let policy = self.policy.load();
        let mut kept = Reservations::default();
        if policy.is_empty() {
            return kept;
        }
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (flows, durable) = (policy.flows(request), durable(&request.items));
        for (idx, (item, flow)) in request.items.iter_mut().zip(flows).enumerate() {
            if item.refused.is_some() || durable.get(idx) == Some(&true) {
                continue;
            }
            let verdict = policy.judge(&item.entry, flow, now_ms);
            match verdict.outcome {
                Ok(reserved) => kept.0.extend(reserved.into_iter().map(|one| (idx, one))),
                Err(why) => {
                    self.metrics.count_policy_denied(verdict.by);
                    let details = format!("policy rule `{}`: {why}", verdict.by);
                    item.refused = Some(Box::new(Reject::new(Reason::PolicyDenied, details)));
                }
            }
        }
        kept
    }
}

/// What is counted for a request, by the index of the entry. Dropped, it stays counted.
#[derive(Debug, Default)]
pub(super) struct Reservations(Vec<(usize, Reserved)>);

impl Reservations {
    /// Gives back what the answer says was not committed by this request.
    pub(super) fn settle(self, answer: &Answer) {
        for (idx, reserved) in self.0 {
            let refused = match answer {
                Answer::Refused(reject) => Some(reject.reason),
                Answer::Done { outcomes, .. } => match outcomes.get(idx) {
                    Some(Outcome::Rejected(reject)) => Some(reject.reason),
                    // It was counted when it was committed.
                    Some(Outcome::Replayed(_)) => Some(Reason::Conflict),
                    Some(Outcome::Committed(_)) | None => None,
                },
            };
            if refused.is_some_and(|reason| reason != Reason::OutcomeUnknown) {
                reserved.refund();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accumulator::Hash;
    use crate::ledger::entry::Kind;
    use crate::ledger::testing::{entry, request};

    const TEN: &str = "default = \"allow\"\n[[rule]]\nname = \"ten\"\neffect = \"limit\"\n\
                       window = \"1h\"\nwindow_max = 10";

    fn guard() -> Guard {
        Guard::new(Policy::parse(TEN).unwrap(), Metrics::new())
    }

    fn of(amounts: &[u128]) -> Request {
        request(amounts.iter().map(|&amount| entry(Kind::Mint, "a", amount)))
    }

    fn nothing(items: &[Item]) -> Vec<bool> {
        vec![false; items.len()]
    }

    fn done(outcomes: Vec<Outcome>) -> Answer {
        Answer::Done { outcomes, root: Hash([0; 32]), root_size: 0 }
    }

    /// How much is left after a request of 6 and 4 was answered so.
    fn check(answer: Option<Answer>, left: u128) {
        let (guard, shown) = (guard(), format!("{answer:?}"));
        let mut all = of(&[6, 4]);
        let kept = guard.check(&mut all, nothing);
        assert!(all.items.iter().all(|item| item.refused.is_none()));
        match answer {
            Some(answer) => kept.settle(&answer),
            None => drop(kept),
        }
        for (amount, fits) in [(left + 1, false), (left, true)] {
            let mut next = of(&[amount.max(1)]);
            drop(guard.check(&mut next, nothing));
            let fits = fits && left > 0;
            assert_eq!(next.items[0].refused.is_none(), fits, "{amount} after {shown}");
        }
    }

    #[test]
    fn what_is_not_committed_is_given_back_and_what_is_unknown_stays_counted() {
        let rejected = |reason| Outcome::Rejected(Reject::new(reason, "why"));
        let (new, old) = (Outcome::Committed(1), Outcome::Replayed(1));
        check(Some(done(vec![new.clone(), Outcome::Committed(2)])), 0);
        check(Some(done(vec![new.clone(), rejected(Reason::InsufficientFunds)])), 4);
        check(Some(done(vec![old.clone(), new])), 6);
        check(Some(done(vec![old, rejected(Reason::OutcomeUnknown)])), 6);
        check(Some(Answer::Refused(Reject::new(Reason::Busy, "full"))), 10);
        check(Some(Answer::Refused(Reject::new(Reason::Timeout, "late"))), 10);
        check(Some(Answer::Refused(Reject::new(Reason::OutcomeUnknown, "crash"))), 0);
        check(None, 0);
    }

    #[test]
    fn what_is_durable_or_refused_already_is_neither_asked_about_nor_counted() {
        let guard = guard();
        let mut all = of(&[100, 8, 10]);
        all.items[1].refused = Some(Box::new(Reject::new(Reason::CapInvalid, "no")));
        drop(guard.check(&mut all, |_| vec![true, false, false]));
        let reasons: Vec<Option<Reason>> =
            all.items.iter().map(|item| item.refused.as_ref().map(|no| no.reason)).collect();
        assert_eq!(reasons, [None, Some(Reason::CapInvalid), None]);
        let mut more = of(&[1]);
        drop(guard.check(&mut more, nothing));
        let refused = more.items[0].refused.as_ref().unwrap();
        assert_eq!(refused.reason, Reason::PolicyDenied);
        assert!(refused.details.starts_with("policy rule `ten`: "), "{}", refused.details);
        assert_eq!(guard.metrics.policy_denied.with_label_values(&["ten"]).get(), 1);
    }

    #[test]
    fn only_the_rules_in_force_have_a_series() {
        let guard = guard();
        let other = TEN.replace("\"ten\"", "\"other\"");
        guard.replace(Policy::parse(&other).unwrap());
        let text = guard.metrics.render();
        let series = |rule: &str| text.contains(&format!("{{rule=\"{rule}\"}}"));
        assert_eq!(["ten", "other", "default", "residency"].map(series), [false, true, true, true]);
        guard.replace(Policy::default());
        assert_eq!(guard.rules_count(), 0);
    }
}
