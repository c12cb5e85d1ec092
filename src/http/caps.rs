//! What operators ask of capabilities: which root keys
//! there are, what is revoked, and to revoke.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};

use super::error::Failure;
use super::{Shared, body, caller};
use crate::actors::pipeline::RevokeError;
use crate::capability::{KEY_AGE_MS_MAX, Subject, forgotten_ms};
use crate::config::Role;
use crate::ledger::reason::Reason;

/// A name or two.
const BODY_BYTES_MAX: usize = 1024;

/// `POST /admin/revocations`: one of both.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeIn {
    /// A capability id: all tokens that bear it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The id of a root key: all tokens under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
}

/// Root keys, and what is revoked.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CapsOut {
    /// The root keys, by kid.
    pub keys: Vec<RootKeyOut>,
    /// Capability ids, then root keys.
    pub revoked: Vec<RevokedOut>,
}

/// A root key. Times are in unix milliseconds.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct RootKeyOut {
    /// Its id.
    pub kid: String,
    /// New tokens are minted under it.
    pub mints: bool,
    /// No token under it is accepted.
    pub revoked: bool,
    /// When its file was written.
    pub made_at: u64,
    /// When it should have been rotated.
    pub due_at: u64,
}

/// A revocation: of an id or a kid. Times are in unix milliseconds.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct RevokedOut {
    /// The capability id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The root key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// Since when.
    pub revoked_at: u64,
    /// When it may be forgotten; a root key's never is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgotten_at: Option<u64>,
}

/// `GET /admin/capabilities`.
pub async fn capabilities(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(caps_out(&shared))
}

/// `POST /admin/revocations`.
///
/// # Errors
/// 400; 401 and 403 from elsewhere without the right; 503 `capacity` when there is no room; 500 when it is in force and could not be written.
pub async fn revoke(
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared>,
) -> Result<HttpResponse, Failure> {
    let bytes = body::read(payload, body::announced_bytes(&request), BODY_BYTES_MAX).await?;
    let asked: RevokeIn = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::malformed(format!("body: not a revocation: {error}")))?;
    let subject = match (asked.id, asked.kid) {
        (Some(id), None) => Subject::id(&id),
        (None, Some(kid)) => Subject::kid(&kid),
        _ => return Err(Failure::malformed("body: name an id or a kid")),
    };
    let subject = subject.map_err(|error| Failure::malformed(format!("body: {error}")))?;
    caller::asked(&request, &subject);
    caller::require(&request, &shared, Role::Operator).await?;
    match shared.pipeline.revoke(subject).await {
        Some(Ok(())) => Ok(HttpResponse::Ok().json(caps_out(&shared))),
        Some(Err(full @ RevokeError::Full(_))) => {
            Err(Failure::new(Reason::Capacity, full.to_string()))
        }
        Some(Err(error @ RevokeError::NotWritten(_))) => {
            tracing::error!(%error, "a revocation");
            Err(Failure::new(Reason::Internal, error.to_string()))
        }
        None => Err(Failure::new(Reason::OutcomeUnknown, "no answer: revoke it again")),
    }
}

fn caps_out(shared: &Shared) -> CapsOut {
    let capabilities = shared.pipeline.capabilities();
    let mut keys: Vec<RootKeyOut> = capabilities.with_keyring(|keyring| {
        let Some(keyring) = keyring else { return Vec::new() };
        let key = |(kid, made_at): (&str, u64)| RootKeyOut {
            kid: kid.to_owned(),
            mints: kid == keyring.current().0,
            revoked: false,
            made_at,
            due_at: made_at.saturating_add(KEY_AGE_MS_MAX),
        };
        keyring.made_ms().map(key).collect()
    });
    let revoked = capabilities.with_revoked(|revoked| {
        keys.iter_mut().for_each(|key| key.revoked = revoked.has_kid(&key.kid));
        let ids = revoked.ids().map(|(id, revoked_at)| RevokedOut {
            id: Some(id.to_owned()),
            kid: None,
            revoked_at,
            forgotten_at: Some(forgotten_ms(revoked_at)),
        });
        let kids = revoked.kids().map(|(kid, revoked_at)| RevokedOut {
            id: None,
            kid: Some(kid.to_owned()),
            revoked_at,
            forgotten_at: None,
        });
        ids.chain(kids).collect()
    });
    CapsOut { keys, revoked }
}
