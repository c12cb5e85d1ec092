//! An exporter for tests, which keeps what it is given, or fails.

use std::sync::Arc;

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use parking_lot::Mutex;

/// Clones keep together.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// What came, in the order in which it ended.
    pub kept: Arc<Mutex<Vec<SpanData>>>,
    /// Refuses each batch.
    pub is_down: bool,
}

impl Kept {
    /// In the order in which they ended.
    pub fn spans(&self) -> Vec<SpanData> {
        self.kept.lock().clone()
    }
}

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        if self.is_down {
            return Err(OTelSdkError::InternalFailure("down".into()));
        }
        self.kept.lock().extend(batch);
        Ok(())
    }
}
