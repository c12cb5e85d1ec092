//! What operators ask of a running node over its local socket: what it accepts, and how much.

use super::{Client, ClientError};
use crate::http::caps::{CapsOut, RevokeIn};
use crate::http::denials::{DenialsOut, DenyIn};
use crate::http::limits::{LimitsIn, LimitsOut};
use crate::http::upstreams::BreakersOut;

impl Client {
    /// The root keys, and what is revoked, over the local socket.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn capabilities(&self) -> Result<CapsOut, ClientError> {
        self.get(&["admin", "capabilities"], &[]).await
    }

    /// Revokes, over the local socket.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn revoke(&self, revoke: &RevokeIn) -> Result<CapsOut, ClientError> {
        self.give("revocations", revoke).await
    }

    /// How the upstreams are, over the local socket.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn breakers(&self) -> Result<BreakersOut, ClientError> {
        self.get(&["admin", "breakers"], &[]).await
    }

    /// The rates of requests, over the local socket.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn limits(&self) -> Result<LimitsOut, ClientError> {
        self.get(&["admin", "rates"], &[]).await
    }

    /// Sets rates of requests, over the local socket.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_limits(&self, limits: &LimitsIn) -> Result<LimitsOut, ClientError> {
        self.give("limits", limits).await
    }

    /// What the API turns away, over the local socket.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn denials(&self) -> Result<DenialsOut, ClientError> {
        self.get(&["admin", "denials"], &[]).await
    }

    /// Sets what the API turns away, over the local socket.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn deny(&self, deny: &DenyIn) -> Result<DenialsOut, ClientError> {
        self.give("deny", deny).await
    }
}
