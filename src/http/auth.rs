//! Who asks: the token of a request, and what it may read.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};

use super::Shared;
use super::error::Failure;
use crate::capability::{Action, CapError, Capability, Context, Denied, Peer, Plane};
use crate::ledger::entry::Entry;
use crate::ledger::names::AccountId;
use crate::ledger::reason::Reason;
use crate::telemetry;

/// How the client is connected. Listeners put a [`Peer`] into the data of each connection; one
/// without counts as plain TCP, which no caveat trusts more than another kind.
pub fn peer(request: &HttpRequest) -> Peer {
    request.conn_data::<Peer>().copied().unwrap_or(Peer::Plain)
}

/// The text after `Authorization: Bearer`; `None` without that header, and for another scheme, more
/// than one header, or a text that is no token: whoever says so much says nothing.
pub fn bearer(request: &HttpRequest) -> Option<&str> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION);
    let (only, more) = (headers.next()?, headers.next());
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    (more.is_none() && scheme.eq_ignore_ascii_case("bearer") && is_token).then_some(token)
}

/// What the client may read: an argument of the handlers that need the action `read`.
#[derive(Debug)]
pub enum Access {
    /// The configuration opens reads to everyone.
    Open,
    /// The accounts that this capability covers.
    By(Arc<Capability>),
}

impl Access {
    /// Whether the account, and its holds, may be read.
    ///
    /// # Errors
    /// `cap_invalid`.
    pub fn to_account(&self, account: &AccountId) -> Result<(), Failure> {
        self.check(|capability| capability.allows_read(account.as_str()))
    }

    /// Whether the entry may be read: by whoever may read one of its two accounts.
    ///
    /// # Errors
    /// `cap_invalid`.
    pub fn to_entry(&self, entry: &Entry) -> Result<(), Failure> {
        self.check(|capability| {
            let own = capability.allows_read(entry.account.as_str());
            match &entry.counterparty {
                Some(other) => own.or_else(|_| capability.allows_read(other.as_str())),
                None => own,
            }
        })
    }

    /// Whether all entries may be read.
    ///
    /// # Errors
    /// `cap_invalid`.
    pub fn to_whole_ledger(&self) -> Result<(), Failure> {
        self.check(|capability| capability.allows_unscoped(Action::Read))
    }

    fn check(&self, allows: impl Fn(&Capability) -> Result<(), Denied>) -> Result<(), Failure> {
        match self {
            Access::Open => Ok(()),
            Access::By(capability) => allows(capability)
                .map_err(|denied| Failure::new(Reason::CapInvalid, denied.to_string())),
        }
    }

    fn of(request: &HttpRequest, shared: &Shared) -> Result<Self, Failure> {
        if shared.settings.open_reads {
            return Ok(Access::Open);
        }
        let context = Context { plane: Plane::Api, peer: peer(request) };
        let token = bearer(request).unwrap_or_default();
        let verified = shared.pipeline.capabilities().verify(token, now_ms(), &context);
        verified.map(Access::By).map_err(|error| failure(&error))
    }
}

/// A token that was refused, on its way out.
pub fn failure(error: &CapError) -> Failure {
    let unknown = error.is_unauthenticated();
    let reason = if unknown { Reason::Unauth } else { Reason::CapInvalid };
    Failure::new(reason, error.to_string())
}

impl FromRequest for Access {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let shared = request.app_data::<Data<Shared>>();
        let shared = shared.expect("every app of this module is built with its shared state");
        let access = Access::of(request, shared);
        if access.is_err() {
            let class = match peer(request) {
                Peer::Uds => telemetry::Peer::Uds,
                Peer::Mtls => telemetry::Peer::Mtls,
                Peer::Tls | Peer::Plain => telemetry::Peer::Tcp,
            };
            shared.pipeline.metrics().auth_failures.of(class).inc();
        }
        ready(access)
    }
}

/// Unix milliseconds.
pub fn now_ms() -> u64 {
    // A clock before 1970 reads as 0, at which every token is too long-lived: closed.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_token_is_what_follows_one_bearer() {
        let check = |values: &[&str], expected: Option<&str>| {
            let mut request = TestRequest::get();
            for value in values {
                request = request.append_header((header::AUTHORIZATION, *value));
            }
            assert_eq!(bearer(&request.to_http_request()), expected, "{values:?}");
        };
        check(&[], None);
        check(&["Bearer abc"], Some("abc"));
        check(&["bearer abc="], Some("abc="));
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Basic abc",
            "abc",
            "Bearer a b",
            "Bearer  a",
            "Bearer \u{e9}",
        ] {
            check(&[bad], None);
        }
        check(&["Bearer a", "Bearer a"], None);
    }

    #[test]
    fn a_connection_that_nobody_marked_is_plain() {
        assert_eq!(peer(&TestRequest::get().to_http_request()), Peer::Plain);
    }
}
