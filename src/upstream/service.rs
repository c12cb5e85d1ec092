//! One service over HTTPS: where it is, how it is known, how long it has. Asks one question at a time
//! for each caller, over a pool of connections.

use std::time::Duration;

use arc_swap::ArcSwap;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Certificate, Identity};
use zeroize::Zeroizing;

use crate::config::TargetConfig;

/// A connection that nobody uses is closed after this time.
const IDLE: Duration = Duration::from_secs(30);

/// How the ledger and its services know each other: PEM texts.
#[derive(Default)]
pub struct Trust {
    /// The authority of the services; without it only plain HTTP is possible.
    pub authority: Option<Vec<u8>>,
    /// The ledger's certificate chain, followed by its key.
    pub identity: Option<Zeroizing<Vec<u8>>>,
}

/// Why a service cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The URL is not set, or is none.
    #[error("its url is not one that can be asked")]
    Url,
    /// The certificates are of no use.
    #[error("its certificates cannot be used: {0}")]
    Tls(String),
}

/// Why there is no answer to go by. No message holds the address, the question or the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// No connection, a handshake that failed, or an answer that breaks off.
    #[error("is not reached: {0}")]
    Unreachable(String),
    /// No whole answer in time.
    #[error("does not answer in time")]
    Late,
    /// It has failed (5xx), or leads elsewhere (3xx).
    #[error("fails with status {0}")]
    Failed(u16),
    /// It refuses the question as such (4xx): asking again does not help.
    #[error("refuses the question with status {0}")]
    Refused(u16),
    /// Not an answer to this question.
    #[error("gives an answer that is none: {0}")]
    Strange(&'static str),
}

/// One service, as it is reached now.
pub struct Service {
    live: ArcSwap<Live>,
}

struct Live {
    http: reqwest::Client,
    url: String,
    timeout: Duration,
    retries: u32,
}

impl Service {
    /// Prepares; nothing is sent.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(config: &TargetConfig, trust: &Trust) -> Result<Self, SetupError> {
        Ok(Service { live: ArcSwap::from_pointee(Live::new(config, trust)?) })
    }

    /// Goes on with other settings. Questions that are asked already end by the old ones.
    ///
    /// # Errors
    /// [`SetupError`]; then nothing has changed.
    pub fn reload(&self, config: &TargetConfig, trust: &Trust) -> Result<(), SetupError> {
        self.live.store(Live::new(config, trust)?.into());
        Ok(())
    }

    /// Of one attempt.
    pub fn timeout(&self) -> Duration {
        self.live.load().timeout
    }

    /// Attempts after the first one.
    pub fn retries(&self) -> u32 {
        self.live.load().retries
    }

    /// Asks once, and reads an answer of at most so many bytes, both within `timeout`.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask(
        &self,
        question: &[u8],
        answer_bytes_max: usize,
        timeout: Duration,
    ) -> Result<Vec<u8>, AskError> {
        let live = self.live.load_full();
        let request = live
            .http
            .post(&live.url)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .timeout(timeout)
            .body(question.to_vec());
        let mut response = request.send().await.map_err(unreachable)?;
        match response.status().as_u16() {
            200 => {}
            status @ 400..=499 => return Err(AskError::Refused(status)),
            status => return Err(AskError::Failed(status)),
        }
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if answer.len() + chunk.len() > answer_bytes_max {
                return Err(AskError::Strange("too long"));
            }
            answer.extend_from_slice(&chunk);
        }
        Ok(answer)
    }
}

impl Live {
    fn new(config: &TargetConfig, trust: &Trust) -> Result<Self, SetupError> {
        let tls = |error: reqwest::Error| SetupError::Tls(chain_of(&error));
        let url = config.url.as_deref().ok_or(SetupError::Url)?;
        let url = reqwest::Url::parse(url).map_err(|_| SetupError::Url)?;
        // Whoever installed a provider before keeps it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let authority = match (&trust.authority, url.scheme()) {
            (_, "http") => Vec::new(),
            (Some(pem), "https") => Certificate::from_pem_bundle(pem).map_err(tls)?,
            (None, "https") => return Err(SetupError::Tls("no authority is given".into())),
            _ => return Err(SetupError::Url),
        };
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("ron-ledgerd/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_idle_timeout(IDLE)
            .tls_version_min(reqwest::tls::Version::TLS_1_3)
            .tls_certs_only(authority);
        if let Some(identity) = &trust.identity {
            builder = builder.identity(Identity::from_pem(identity).map_err(tls)?);
        }
        let http = builder.build().map_err(tls)?;
        Ok(Live { http, url: url.into(), timeout: config.timeout, retries: config.retries })
    }
}

/// Without the address, which may hold what is not for a log.
fn unreachable(error: reqwest::Error) -> AskError {
    if error.is_timeout() {
        return AskError::Late;
    }
    AskError::Unreachable(chain_of(&error.without_url()))
}

fn chain_of(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
