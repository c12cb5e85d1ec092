//! Who asks: the token of a request, and what it may read.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::Either;

use super::Shared;
use super::error::Failure;
use crate::actors::authority::Purpose;
use crate::actors::pipeline::Bearer;
use crate::capability::{Action, Capability, Context, Denied, Lookup, Peer, Plane, Unproven};
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

    /// At once, or what has to be asked of the key service first.
    fn of(request: &HttpRequest, shared: &Shared) -> Result<Result<Self, Unproven>, Failure> {
        if shared.settings.open_reads {
            return Ok(Ok(Access::Open));
        }
        match shared.pipeline.authority().lookup(bearer(request), &context_of(request))? {
            Lookup::Verified(capability) => Ok(Ok(Access::By(capability))),
            Lookup::Unproven(unproven) => Ok(Err(unproven)),
        }
    }
}

fn context_of(request: &HttpRequest) -> Context {
    Context { plane: Plane::Api, peer: peer(request) }
}

/// Counts a token that was refused.
fn counted<T>(
    outcome: Result<T, Failure>,
    request: &HttpRequest,
    shared: &Shared,
) -> Result<T, Failure> {
    outcome.inspect_err(|failure| {
        let class = match peer(request) {
            Peer::Uds => telemetry::Peer::Uds,
            Peer::Mtls => telemetry::Peer::Mtls,
            Peer::Tls | Peer::Plain => telemetry::Peer::Tcp,
        };
        if failure.reason() != Reason::UpstreamUnavailable {
            shared.pipeline.metrics().auth_failures.of(class).inc();
        }
    })
}

impl FromRequest for Access {
    type Error = Failure;
    type Future = Either<Ready<Result<Self, Failure>>, Asked>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let shared = request.app_data::<Data<Shared>>();
        let shared = shared.expect("every app of this module is built with its shared state");
        let unproven = match Access::of(request, shared) {
            Ok(Ok(access)) => return Either::Left(ready(Ok(access))),
            Err(failure) => return Either::Left(ready(counted(Err(failure), request, shared))),
            Ok(Err(unproven)) => unproven,
        };
        let (request, shared) = (request.clone(), shared.clone());
        Either::Right(Box::pin(async move {
            let token = Bearer::new(bearer(&request).unwrap_or_default());
            let (deadline, context) =
                (Instant::now() + shared.pipeline.deadline(), context_of(&request));
            let asked = shared.pipeline.authority().prove(
                unproven,
                &token,
                &context,
                Purpose::Read,
                deadline,
            );
            let proven = asked.await.map(Access::By).map_err(Failure::from);
            counted(proven, &request, &shared)
        }))
    }
}

/// The key service has to be asked.
type Asked = Pin<Box<dyn Future<Output = Result<Access, Failure>>>>;

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
