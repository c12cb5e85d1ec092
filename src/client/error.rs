//! What can go wrong between a client and its ledger.

use std::time::Duration;

use crate::http::dto::ErrorOut;

/// Why there is no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The client was given something that it cannot work with.
    #[error("{0}")]
    Setup(String),
    /// No connection, no TLS session, or no answer in time.
    #[error("cannot reach {url}: {cause}")]
    Unreachable {
        /// The address without anything secret.
        url: String,
        /// The innermost cause.
        cause: String,
    },
    /// The ledger refused the whole request.
    #[error("refused: {} ({status}): {}", body.reason, body.details)]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why.
        body: ErrorOut<'static>,
        /// The pause that the server asks for.
        retry_after: Option<Duration>,
    },
    /// Whatever answers is not a ledger of this version.
    #[error("{url} does not answer like a ledger: {problem}")]
    Strange {
        /// The address.
        url: String,
        /// What was wrong.
        problem: String,
    },
}

impl ClientError {
    /// A refusal.
    pub(super) fn refused(
        status: u16,
        reason: &'static str,
        details: &'static str,
        retry_after: Option<Duration>,
    ) -> Self {
        let body =
            ErrorOut { reason: reason.into(), details: details.into(), retry_after_ms: None };
        ClientError::Refused { status, body, retry_after }
    }

    /// The same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            ClientError::Unreachable { .. } => true,
            ClientError::Refused { status, .. } => matches!(status, 429 | 503 | 504),
            ClientError::Setup(_) | ClientError::Strange { .. } => false,
        }
    }

    /// The pause that the server asks for: `retry_after_ms`, or else the header `Retry-After`.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            ClientError::Refused { body, retry_after, .. } => {
                body.retry_after_ms.map(Duration::from_millis).or(*retry_after)
            }
            _ => None,
        }
    }

    /// An error of the transport, told by its innermost cause: the outer ones only repeat the
    /// address.
    pub(super) fn transport(url: &reqwest::Url, error: &reqwest::Error) -> Self {
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let cause = match error.is_timeout() {
            true => "no answer in time".to_owned(),
            false => cause.to_string(),
        };
        ClientError::Unreachable { url: shown(url), cause }
    }
}

/// The address without user, password and query.
pub(super) fn shown(url: &reqwest::Url) -> String {
    let mut url = url.clone();
    // Both fail only for addresses without a host, which have neither.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        let url = "https://user:secret@ledger.example/roots?token=secret".parse().unwrap();
        assert_eq!(shown(&url), "https://ledger.example/roots");
    }
}
