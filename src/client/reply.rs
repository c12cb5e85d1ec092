//! What comes back from a ledger, whole and within bounds.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Response, Url};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::ClientError;
use super::error::shown;
use crate::http::binary::{self, ANSWER};
use crate::http::dto::{AnswerOut, ErrorOut};

/// The longest answer that is read, in bytes.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A complete answer.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    /// In the binary form, by what its head says.
    pub(super) binary: bool,
    pub(super) body: Vec<u8>,
}

pub(super) async fn send(
    url: &Url,
    request: reqwest::RequestBuilder,
) -> Result<Reply, ClientError> {
    let response = request.send().await.map_err(|error| ClientError::transport(url, &error))?;
    read(url, response).await
}

pub(super) async fn read(url: &Url, mut response: Response) -> Result<Reply, ClientError> {
    let transport = |error: reqwest::Error| ClientError::transport(url, &error);
    let (status, retry_after) = (response.status().as_u16(), retry_after(&response));
    let said = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let binary = said.is_some_and(|value| value.eq_ignore_ascii_case(ANSWER));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            let problem = "the answer is longer than 64 MiB".to_owned();
            return Err(ClientError::Strange { url: shown(url), problem });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { status, retry_after, binary, body })
}

/// In seconds; the form with a date is not used by this ledger.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

impl Reply {
    /// Whether it tells what became of each entry of a batch, and is no error.
    pub(super) fn is_answer(&self) -> bool {
        #[derive(Deserialize)]
        struct Form {
            results: Option<IgnoredAny>,
        }
        let has_results = |form: Form| form.results.is_some();
        self.binary || serde_json::from_slice(&self.body).is_ok_and(has_results)
    }

    /// What became of each entry.
    pub(super) fn answer(&self, url: &Url) -> Result<AnswerOut<'static>, ClientError> {
        if !self.binary {
            return self.json(url);
        }
        binary::answer::read(&self.body).ok_or_else(|| {
            let problem = format!("status {}, not the binary form of an answer", self.status);
            ClientError::Strange { url: shown(url), problem }
        })
    }

    pub(super) fn json<T: DeserializeOwned>(&self, url: &Url) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let problem = format!("status {}, {error}", self.status);
            ClientError::Strange { url: shown(url), problem }
        })
    }

    /// The error that this answer is. What does not look like a ledger's own may come from
    /// something in between: then the status has to do.
    pub(super) fn refusal(&self, url: &Url) -> ClientError {
        let (status, retry_after) = (self.status, self.retry_after);
        if let Ok(body) = serde_json::from_slice::<ErrorOut<'static>>(&self.body) {
            return ClientError::Refused { status, body, retry_after };
        }
        if let Ok(answer) = self.answer(url)
            && let Some(first) = answer.reasons.into_iter().next()
        {
            let (reason, details) = (first.reason, first.details);
            let body = ErrorOut { reason, details, retry_after_ms: None };
            return ClientError::Refused { status, body, retry_after };
        }
        match status {
            429 | 503 | 504 => ClientError::refused(status, "busy", "no more is said", retry_after),
            _ => {
                let problem = format!("status {status}");
                ClientError::Strange { url: shown(url), problem }
            }
        }
    }
}
