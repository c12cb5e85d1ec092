//! What operators ask of a running node over its local socket: what it accepts, and how much.

use std::time::Duration;

use super::{Client, ClientError};
use crate::http::caps::{CapsOut, RevokeIn};
use crate::http::denials::{DenialsOut, DenyIn};
use crate::http::limits::{LimitsIn, LimitsOut};
use crate::http::telemetry::{LevelsIn, LevelsOut};
use crate::http::upstreams::BreakersOut;

/// The longest that making a snapshot's copy and reading it through may take, before its first byte.
pub const SNAPSHOT_DEADLINE: Duration = Duration::from_secs(6 * 3600);

/// A snapshot on its way: a tar.
pub struct SnapshotTar {
    url: reqwest::Url,
    response: reqwest::Response,
    /// Its size, in bytes.
    pub bytes: u64,
}

impl SnapshotTar {
    /// The next piece; `None` at the end, which comes when all bytes have.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn piece(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let piece = self.response.chunk().await;
        let piece = piece.map_err(|error| ClientError::transport(&self.url, &error))?;
        Ok(piece.map(|bytes| bytes.to_vec()))
    }
}

impl Client {
    /// Has a snapshot made, over the local socket, and begins to take it over.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn snapshot(&self) -> Result<SnapshotTar, ClientError> {
        let (url, response) = self.begin("snapshots", SNAPSHOT_DEADLINE).await?;
        let bytes = response.content_length().unwrap_or(0);
        Ok(SnapshotTar { url, response, bytes })
    }

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

    /// What is logged and traced, over the local socket.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn levels(&self) -> Result<LevelsOut, ClientError> {
        self.get(&["admin", "telemetry"], &[]).await
    }

    /// Sets what is logged and traced, over the local socket.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_levels(&self, levels: &LevelsIn) -> Result<LevelsOut, ClientError> {
        self.give("levels", levels).await
    }
}
