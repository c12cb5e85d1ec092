//! Asking a witness to cosign a checkpoint: the client side of C2SP tlog-witness.

use std::time::Duration;

use crate::accumulator::{CosignerKey, NoteSignature, SignedNote, Submission, Witness};

/// The longest answer that is read, in bytes: some signature lines, or a size.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// What a witness says to a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has cosigned, and remembers.
    Cosigned(NoteSignature),
    /// It stands at another size than the submission begins from; or, at that very size, it has seen
    /// another root.
    At(u64),
    /// The proof does not lead from what it remembers to this checkpoint.
    Contradicts,
}

/// Why there is no answer to go by.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The address or TLS cannot be used.
    #[error("cannot be asked: {0}")]
    Setup(String),
    /// No connection, no answer in time, or one that breaks off.
    #[error("does not answer: {0}")]
    Unreachable(String),
    /// It refused for another reason than what it has seen: it may not know this log, or not its key.
    #[error("refused with status {0}")]
    Refused(u16),
    /// Not an answer of a witness, or a cosignature that does not verify.
    #[error("gave an answer that is none")]
    Strange,
}

/// One witness, as it is reached.
#[derive(Debug)]
pub struct WitnessClient {
    http: reqwest::Client,
    url: String,
    key: CosignerKey,
}

impl WitnessClient {
    /// Prepares; nothing is sent. `timeout` is for one question, from the first byte to the last.
    ///
    /// # Errors
    /// [`WitnessError::Setup`], also for a witness without an address.
    pub fn new(witness: &Witness, timeout: Duration) -> Result<Self, WitnessError> {
        let setup = |why: &str| WitnessError::Setup(why.to_owned());
        let base = witness.url.as_deref().ok_or_else(|| setup("the policy gives no URL for it"))?;
        let url = reqwest::Url::parse(&format!("{base}/add-checkpoint"))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| setup("its URL is not http:// or https://"))?;
        // Whoever installed a provider before keeps it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let builder = reqwest::Client::builder()
            .user_agent(concat!("ron-ledgerd/", env!("CARGO_PKG_VERSION")))
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tls_version_min(reqwest::tls::Version::TLS_1_2);
        let builder = match url.scheme() {
            // Where there is nothing to check the system's certificates are not asked for.
            "http" => builder.tls_certs_only([]),
            _ => builder,
        };
        let http = builder.build().map_err(|error| WitnessError::Setup(error.to_string()))?;
        Ok(WitnessClient { http, url: url.into(), key: witness.key.clone() })
    }

    /// Submits a checkpoint.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub async fn add_checkpoint(&self, submission: &Submission) -> Result<Answer, WitnessError> {
        let request = self.http.post(&self.url).body(submission.encode());
        let mut response = request.send().await.map_err(unreachable)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(WitnessError::Strange);
            }
            body.extend_from_slice(&chunk);
        }
        let body = String::from_utf8(body).map_err(|_| WitnessError::Strange)?;
        match response.status().as_u16() {
            200 => self.cosignature(submission, &body).ok_or(WitnessError::Strange),
            409 => size_of(&body).map(Answer::At).ok_or(WitnessError::Strange),
            422 => Ok(Answer::Contradicts),
            other => Err(WitnessError::Refused(other)),
        }
    }

    /// The line by the key that was asked; others are ignored, as the specification says.
    fn cosignature(&self, submission: &Submission, body: &str) -> Option<Answer> {
        let note = SignedNote::parse(submission.note.as_bytes()).ok()?;
        let lines = NoteSignature::parse_lines(body).ok()?;
        let mut ours =
            lines.into_iter().filter(|by| self.key.cosigned_at(note.text(), by).is_some());
        ours.next().map(Answer::Cosigned)
    }
}

fn size_of(body: &str) -> Option<u64> {
    let text = body.strip_suffix('\n').unwrap_or(body);
    text.parse().ok().filter(|size: &u64| size.to_string() == text)
}

/// Without the address, which may hold what is not for a log.
fn unreachable(error: reqwest::Error) -> WitnessError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    WitnessError::Unreachable(text)
}
