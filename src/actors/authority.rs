//! By what right somebody comes: the keyring here, or the key service behind its breaker.
//!
//! Where the keyring is here nobody waits. Where it is not, what the service has vouched for is
//! remembered as long as a verification here would be; then it is asked again, and a write waits for
//! its answer or is refused. A read goes on without it, for a while, for a token that it knew.

use std::sync::Arc;
use std::time::Instant;

use zeroize::Zeroizing;

use super::breaker::{Phase, Target};
use super::prevalidator::unix_ms;
use super::ticket::Bearer;
use super::upstreams::{Remote, Upstreams};
use crate::capability::{CachedVerifier, CapError, Capability, Context, Lookup, Unproven};
use crate::ledger::reason::{Reason, Reject};
use crate::upstream::kms::{self, Verdict};

/// Who says what a token is worth. Clones share what is remembered.
#[derive(Clone)]
pub struct Authority {
    capabilities: Arc<CachedVerifier>,
    kms: Option<Arc<Remote>>,
}

/// What the right is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To see: a token that was verified not long ago is good enough while the key service is away.
    Read,
    /// To change something: it is verified, or refused.
    Act,
}

impl Authority {
    pub(super) fn new(capabilities: Arc<CachedVerifier>, upstreams: &Upstreams) -> Self {
        Authority { capabilities, kms: upstreams.remote(Target::Kms) }
    }

    /// What can be said of a token at once.
    ///
    /// # Errors
    /// `unauth` or `cap_invalid`.
    pub fn lookup(&self, token: Option<&str>, context: &Context) -> Result<Lookup, Reject> {
        let found = match token {
            Some(token) => self.capabilities.lookup(token, unix_ms(), context),
            None => Err(CapError::Missing),
        };
        found.map_err(|error| refusal(&error))
    }

    /// Asks the key service about a token that nobody here can judge.
    ///
    /// # Errors
    /// `unauth` or `cap_invalid`; `upstream_unavailable`.
    pub async fn prove(
        &self,
        unproven: Unproven,
        token: &Bearer,
        context: &Context,
        purpose: Purpose,
        deadline: Instant,
    ) -> Result<Arc<Capability>, Reject> {
        let Some(kms) = &self.kms else { return Err(refusal(&CapError::Unproven)) };
        let token = token.expose();
        let fallback = match purpose {
            Purpose::Read => unproven.remembered(),
            Purpose::Act => None,
        };
        // Nor does a read wait for a trial: the prober makes it.
        if let Some(known) = fallback.as_ref().filter(|_| kms.phase() != Phase::Closed) {
            return Ok(Arc::clone(known));
        }
        let error = match ask(kms, token, deadline).await {
            Ok(Verdict::Valid) => {
                let proven = self.capabilities.proven(unproven, unix_ms(), context);
                return proven.map_err(|error| refusal(&error));
            }
            Ok(Verdict::Invalid) => CapError::Unproven,
            Ok(Verdict::Revoked) => CapError::Revoked,
            Err(unavailable) => return fallback.ok_or(unavailable),
        };
        self.capabilities.disproven(&unproven);
        Err(refusal(&error))
    }
}

/// What the key service says of a token.
pub(super) async fn ask(kms: &Remote, token: &str, deadline: Instant) -> Result<Verdict, Reject> {
    let read = |answer: &[u8]| kms::answer(token, answer);
    let question = Zeroizing::new(kms::question(token));
    kms.ask(&question, kms::ANSWER_BYTES_MAX, deadline, read).await
}

/// As a client is told of it.
pub fn refusal(error: &CapError) -> Reject {
    let reason = match error.is_unauthenticated() {
        true => Reason::Unauth,
        false => Reason::CapInvalid,
    };
    Reject::new(reason, error.to_string())
}
