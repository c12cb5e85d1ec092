//! The one table from a reason to its status, and the one shape of every error of every route.

use std::borrow::Cow;
use std::fmt;

use actix_web::body::BoxBody;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, Responder, ResponseError};

use super::dto::ErrorOut;
use crate::ledger::reason::{Reason, Reject};
use crate::storage::error::ReadError;

/// What the wire says of a reason besides its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Of an answer that has this reason for the whole request, or for all of its entries.
    pub status: StatusCode,
    /// After which pause it makes sense to try again; none: not without a change.
    pub retry_after_ms: Option<u64>,
}

/// The table. `docs/API.md` shows the same with what to do about each; a test compares.
pub const fn row(reason: Reason) -> Row {
    const fn no(status: StatusCode) -> Row {
        Row { status, retry_after_ms: None }
    }
    const fn after(status: StatusCode, retry_after_ms: u64) -> Row {
        Row { status, retry_after_ms: Some(retry_after_ms) }
    }
    match reason {
        Reason::TooLarge => no(StatusCode::PAYLOAD_TOO_LARGE),
        Reason::UnknownKind => no(StatusCode::BAD_REQUEST),
        Reason::Draining => after(StatusCode::SERVICE_UNAVAILABLE, 5_000),
        Reason::Maintenance => after(StatusCode::SERVICE_UNAVAILABLE, 30_000),
        Reason::Follower => no(StatusCode::SERVICE_UNAVAILABLE),
        Reason::SafeMode => after(StatusCode::SERVICE_UNAVAILABLE, 30_000),
        Reason::Frozen => after(StatusCode::SERVICE_UNAVAILABLE, 30_000),
        Reason::IngressLocked => after(StatusCode::SERVICE_UNAVAILABLE, 30_000),
        Reason::DiskPressure => after(StatusCode::SERVICE_UNAVAILABLE, 30_000),
        Reason::Busy => after(StatusCode::TOO_MANY_REQUESTS, 250),
        Reason::Unauth => no(StatusCode::UNAUTHORIZED),
        Reason::CapInvalid => no(StatusCode::FORBIDDEN),
        Reason::PolicyDenied => no(StatusCode::FORBIDDEN),
        Reason::UpstreamUnavailable => after(StatusCode::SERVICE_UNAVAILABLE, 5_000),
        Reason::Timeout => after(StatusCode::GATEWAY_TIMEOUT, 1_000),
        Reason::NotFound => no(StatusCode::NOT_FOUND),
        Reason::Unbalanced
        | Reason::Conflict
        | Reason::AlreadyResolved
        | Reason::HoldExpired
        | Reason::NotReversible
        | Reason::Overflow
        | Reason::InsufficientFunds
        | Reason::AtomicAborted => no(StatusCode::UNPROCESSABLE_ENTITY),
        Reason::Capacity => after(StatusCode::SERVICE_UNAVAILABLE, 30_000),
        Reason::OutcomeUnknown => after(StatusCode::SERVICE_UNAVAILABLE, 1_000),
        Reason::Internal => no(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// The one reason that all of a batch's rejects have in common. Entries that only fell with another
/// one say nothing of their own.
pub fn common_reason(reasons: impl IntoIterator<Item = Reason>) -> Option<Reason> {
    let mut causes = reasons.into_iter().filter(|&reason| reason != Reason::AtomicAborted);
    let first = causes.next()?;
    causes.all(|other| other == first).then_some(first)
}

/// The status of a batch of which nothing was accepted, by [`common_reason`]: 422 without one. Of
/// an entry, a reference that is not there is a rule of the ledger like the others.
pub const fn status_of_rejects(common: Option<Reason>) -> StatusCode {
    match common {
        Some(Reason::NotFound) | None => StatusCode::UNPROCESSABLE_ENTITY,
        Some(reason) => row(reason).status,
    }
}

/// `Retry-After`, when the reason has one: in whole seconds, at least one.
pub fn retry_after(response: &mut HttpResponseBuilder, reason: Reason) {
    if let Some(ms) = row(reason).retry_after_ms {
        response.insert_header((header::RETRY_AFTER, ms.div_ceil(1000)));
    }
}

/// An error on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    reject: Reject,
    /// Where it differs from the table.
    status: Option<StatusCode>,
    allow: Option<&'static str>,
    close: bool,
}

impl Failure {
    /// With the status of its reason.
    pub fn new(reason: Reason, details: impl Into<Cow<'static, str>>) -> Self {
        Reject::new(reason, details).into()
    }

    /// A request that does not read as it must: 400.
    pub fn malformed(details: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Reason::UnknownKind, details)
    }

    /// The route has other methods: 405.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let details = format!("this route takes {allow}");
        Self {
            status: Some(StatusCode::METHOD_NOT_ALLOWED),
            allow: Some(allow),
            ..Self::malformed(details)
        }
    }

    /// An order that does not fit the mode: 409.
    pub fn illegal(details: impl Into<Cow<'static, str>>) -> Self {
        Self { status: Some(StatusCode::CONFLICT), ..Self::new(Reason::Conflict, details) }
    }

    /// The client did not send its body in time: 408, and the connection ends with it.
    pub fn slow_body() -> Self {
        Self {
            status: Some(StatusCode::REQUEST_TIMEOUT),
            ..Self::new(Reason::Timeout, "the body did not arrive in time; nothing was committed")
        }
        .closing()
    }

    /// The store could not be read: 503 while it is not verified, else 500. What it said is for the
    /// log alone.
    pub fn store(error: ReadError) -> Self {
        if let ReadError::NotOpen = error {
            return Self::new(Reason::SafeMode, "the ledger is being verified: no reads yet");
        }
        tracing::error!(%error, "a read of the store failed");
        match error {
            ReadError::Missing(_) => Self::new(Reason::Internal, error.to_string()),
            _ => Self::new(Reason::Internal, "the store could not be read"),
        }
    }

    /// Ends the connection after the answer, since what follows on it cannot be read.
    pub fn closing(self) -> Self {
        Self { close: true, ..self }
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        self.reject.reason
    }

    /// In words.
    pub fn details(&self) -> &str {
        &self.reject.details
    }
}

impl From<Reject> for Failure {
    fn from(reject: Reject) -> Self {
        Self { reject, status: None, allow: None, close: false }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reject.reason, self.reject.details)
    }
}

impl Responder for Failure {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        self.error_response()
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        self.status.unwrap_or(row(self.reject.reason).status)
    }

    fn error_response(&self) -> HttpResponse {
        let reason = self.reject.reason;
        let mut response = HttpResponse::build(self.status_code());
        retry_after(&mut response, reason);
        if reason == Reason::Unauth {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if let Some(allow) = self.allow {
            response.insert_header((header::ALLOW, allow));
        }
        if self.close {
            response.force_close();
        }
        response.json(ErrorOut {
            reason: reason.as_str().into(),
            details: self.reject.details.as_ref().into(),
            retry_after_ms: row(reason).retry_after_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_all_entries_share_gives_the_status() {
        let check = |reasons: &[Reason], status: u16| {
            let common = common_reason(reasons.iter().copied());
            assert_eq!(status_of_rejects(common).as_u16(), status, "{reasons:?}");
        };
        check(&[Reason::CapInvalid, Reason::CapInvalid], 403);
        check(&[Reason::CapInvalid, Reason::PolicyDenied], 422);
        check(&[Reason::InsufficientFunds], 422);
        check(&[Reason::InsufficientFunds, Reason::AtomicAborted], 422);
        check(&[Reason::AtomicAborted, Reason::CapInvalid, Reason::AtomicAborted], 403);
        check(&[Reason::NotFound], 422);
        check(&[Reason::Capacity], 503);
        check(&[], 422);
    }

    #[test]
    fn retry_after_rounds_up_to_a_second() {
        let response = Failure::new(Reason::Busy, "full").error_response();
        assert_eq!(response.headers().get("retry-after").unwrap(), "1");
        let response = Failure::new(Reason::Conflict, "taken").error_response();
        assert!(response.headers().get("retry-after").is_none());
        assert_eq!(response.status(), 422);
    }

    /// The rows of the manual: `` | `busy` | 429 | 250 ms | ``, a dash for no retry.
    #[test]
    fn the_manual_has_the_same_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/API.md");
        let manual = std::fs::read_to_string(path).unwrap();
        let (_, section) = manual.split_once("\n## Reasons\n").unwrap();
        let section = section.split("\n## ").next().unwrap();
        let cells = |line: &str| -> Option<[String; 3]> {
            let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
            let name = cells.next()?.trim_end_matches('`').to_owned();
            Some([name, cells.next()?.to_owned(), cells.next()?.to_owned()])
        };
        let documented: Vec<_> = section.lines().filter_map(cells).collect();
        let ours: Vec<_> = Reason::ALL
            .iter()
            .map(|&reason| {
                let Row { status, retry_after_ms } = row(reason);
                let retry = retry_after_ms.map_or("-".to_owned(), |ms| format!("{ms} ms"));
                [reason.as_str().to_owned(), status.as_u16().to_string(), retry]
            })
            .collect();
        assert_eq!(documented, ours);
    }
}
