//! The routes of the ledger, as functions.
//!
//! HTTP/1.1 over TCP, or over TLS 1.3 and nothing older. No redirect is followed and no proxy is
//! asked, so that a token goes to the named ledger and nowhere else.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Certificate, Method, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::error::shown;
use super::reply::{Reply, read, send};
use super::{BearerToken, ClientError};
use crate::http::admin::{ModeOut, OrderIn};
use crate::http::drills::{ChaosOut, DrillIn, DrillOut};
use crate::http::dto::{
    AccountOut, AnswerOut, ConsistencyOut, EntriesOut, EntryAtOut, HoldOut, InclusionOut,
    RangeProofOut, RequestIn, RootsOut, SupplyOut, TLOG_PROOF,
};
use crate::http::{Body, Format};

/// A connection without a request is not used again after this time: less than the 5 s after which a node closes one on
/// its metrics plane or its local socket, so that no request meets a connection on its way to be closed.
const IDLE: Duration = Duration::from_secs(4);

/// How to reach a ledger.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// `http://host:port` or `https://host:port`, with or without a path in front of the routes.
    pub url: String,
    /// A local socket to go by, whatever host the address names.
    pub socket: Option<PathBuf>,
    /// Sent with every request.
    pub token: Option<BearerToken>,
    /// PEM certificates: when given, they alone are trusted, and not those of the system.
    pub ca_file: Option<PathBuf>,
    /// From the first byte sent to the last one received.
    pub timeout: Duration,
    /// Of batches and of what becomes of them.
    pub format: Format,
}

impl ClientOptions {
    /// Without a token, with the system's certificates, a timeout of 10 s, and batches in the binary
    /// form.
    pub fn new(url: impl Into<String>) -> Self {
        ClientOptions {
            url: url.into(),
            socket: None,
            token: None,
            ca_file: None,
            timeout: Duration::from_secs(10),
            format: Format::Binary,
        }
    }
}

/// A ledger on the other side. Cheap to clone; connections are shared.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    options: Arc<ClientOptions>,
}

impl Client {
    /// Prepares; nothing is sent.
    ///
    /// # Errors
    /// [`ClientError::Setup`] for an address, a token or certificates that cannot be used.
    pub fn new(options: &ClientOptions) -> Result<Self, ClientError> {
        let base = parse_url(&options.url)?;
        // Whoever installed a provider before keeps it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let builder = reqwest::Client::builder()
            .default_headers(headers(options.token.as_ref())?)
            .user_agent(concat!("ron-ledgerctl/", env!("CARGO_PKG_VERSION")))
            .timeout(options.timeout)
            .connect_timeout(options.timeout.min(Duration::from_secs(5)))
            .pool_idle_timeout(IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tls_version_min(reqwest::tls::Version::TLS_1_3);
        let builder = match &options.socket {
            Some(path) => builder.unix_socket(path.as_path()),
            None => builder,
        };
        let builder = match &options.ca_file {
            Some(path) => builder.tls_certs_only(certificates(path)?),
            // The system's certificates are not asked for where there is nothing to check: a small
            // container may have none.
            None if base.scheme() == "http" => builder.tls_certs_only([]),
            None => builder,
        };
        let http = builder
            .build()
            .map_err(|error| ClientError::Setup(format!("cannot set up TLS: {error}")))?;
        Ok(Client { http, base, options: Arc::new(options.clone()) })
    }

    /// The same client with another form of batches.
    pub fn with_format(self, format: Format) -> Self {
        let options = ClientOptions { format, ..(*self.options).clone() };
        Client { options: Arc::new(options), ..self }
    }

    /// The address, without anything secret.
    pub fn address(&self) -> String {
        shown(&self.base)
    }

    pub(super) fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// Sends a batch. An answer that rejects all entries is an answer, unless it may be tried again
    /// later. What has no binary form goes as JSON.
    ///
    /// # Errors
    /// [`ClientError`]; after one that is transient the same request may be sent again.
    pub async fn ingest(&self, request: &RequestIn<'_>) -> Result<AnswerOut<'static>, ClientError> {
        let url = self.url(&["ingest"], &[]);
        let reply = self.post(&url, self.options.format.body_of(request)).await?;
        if !reply.is_answer() || matches!(reply.status, 429 | 503 | 504) {
            return Err(reply.refusal(&url));
        }
        reply.answer(&url)
    }

    /// Posts a batch.
    pub(super) async fn post(&self, url: &Url, body: Body) -> Result<Reply, ClientError> {
        let Body { format, bytes } = body;
        let request = self.http.request(Method::POST, url.clone()).body(bytes);
        let request = request.header(CONTENT_TYPE, format.media_type());
        send(url, request.header(ACCEPT, format.accept())).await
    }

    /// Published roots after the size `since`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn roots(&self, since: u64, limit: usize) -> Result<RootsOut<'static>, ClientError> {
        let query = [("since", since.to_string()), ("limit", limit.to_string())];
        self.get(&["roots"], &query).await
    }

    /// The entry at `seq`.
    ///
    /// # Errors
    /// [`ClientError`]; 404 beyond the head.
    pub async fn entry(&self, seq: u64) -> Result<EntryAtOut<'static>, ClientError> {
        self.get(&["entries", &seq.to_string()], &[]).await
    }

    /// Entries from the seq `from` on, in order; a ledger gives no more than its own page at once.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn entries(
        &self,
        from: u64,
        limit: usize,
    ) -> Result<EntriesOut<'static>, ClientError> {
        let query = [("from", from.to_string()), ("limit", limit.to_string())];
        self.get(&["entries"], &query).await
    }

    /// The entry with that id.
    ///
    /// # Errors
    /// [`ClientError`]; 404 when there is none.
    pub async fn entry_by_id(&self, id: &str) -> Result<EntryAtOut<'static>, ClientError> {
        self.get(&["entries", "by-id", id], &[]).await
    }

    /// All balances of an account; none for one that never had an entry.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn account(&self, account: &str) -> Result<AccountOut<'static>, ClientError> {
        self.get(&["accounts", account], &[]).await
    }

    /// A hold by the id of its entry.
    ///
    /// # Errors
    /// [`ClientError`]; 404 when there is none.
    pub async fn hold(&self, id: &str) -> Result<HoldOut<'static>, ClientError> {
        self.get(&["holds", id], &[]).await
    }

    /// What exists of each asset.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn supply(&self) -> Result<SupplyOut<'static>, ClientError> {
        self.get(&["supply"], &[]).await
    }

    /// The last signed checkpoint: the text of a note.
    ///
    /// # Errors
    /// [`ClientError`]; 404 before the first one.
    pub async fn checkpoint(&self) -> Result<String, ClientError> {
        self.text("checkpoint").await
    }

    /// The proof that entries `from` to `to` are in the published tree of `size`; for an empty range
    /// `to` is one less than `from`.
    ///
    /// # Errors
    /// [`ClientError`]; 404 beyond what is published.
    pub async fn range_proof(
        &self,
        from: u64,
        to: u64,
        size: u64,
    ) -> Result<RangeProofOut<'static>, ClientError> {
        let query = [("from", from), ("to", to), ("size", size)];
        self.get(&["proofs", "range"], &query.map(|(name, value)| (name, value.to_string()))).await
    }

    /// The signed checkpoint of exactly this size: the text of a note.
    ///
    /// # Errors
    /// [`ClientError`]; 404 for a size that has none.
    pub async fn checkpoint_at(&self, size: u64) -> Result<String, ClientError> {
        self.text_of(&self.url(&["checkpoint"], &[("size", size.to_string())]), "text/plain").await
    }

    /// The newest checkpoint that enough witnesses have cosigned: the text of a note.
    ///
    /// # Errors
    /// [`ClientError`]; 404 before there is one.
    pub async fn checkpoint_witnessed(&self) -> Result<String, ClientError> {
        let url = self.url(&["checkpoint"], &[("witnessed", "1".to_owned())]);
        self.text_of(&url, "text/plain").await
    }

    /// That the entry at `seq` is among the first `size`, or among those that are published.
    ///
    /// # Errors
    /// [`ClientError`]; 404 before the entry is published.
    pub async fn inclusion(
        &self,
        seq: u64,
        size: Option<u64>,
    ) -> Result<InclusionOut, ClientError> {
        let query = [("seq", Some(seq)), ("size", size)];
        self.get(&["proofs", "inclusion"], &given(query)).await
    }

    /// The same with the checkpoint of that size: the text of a C2SP tlog-proof.
    ///
    /// # Errors
    /// [`ClientError`]; 404 before the entry is published.
    pub async fn tlog_proof(&self, seq: u64, size: Option<u64>) -> Result<String, ClientError> {
        let query = [("seq", Some(seq)), ("size", size)];
        let url = self.url(&["proofs", "inclusion"], &given(query));
        self.text_of(&url, TLOG_PROOF).await
    }

    /// That the ledger of `to` entries, or the published one, begins with that of `from`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn consistency(
        &self,
        from: u64,
        to: Option<u64>,
    ) -> Result<ConsistencyOut, ClientError> {
        let query = [("from", Some(from)), ("to", to)];
        self.get(&["proofs", "consistency"], &given(query)).await
    }

    /// The mode of the ledger, over its local socket.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn mode(&self) -> Result<ModeOut, ClientError> {
        self.get(&["admin", "mode"], &[]).await
    }

    /// Gives an order, over the local socket.
    ///
    /// # Errors
    /// [`ClientError`]; 409 when it does not fit the mode.
    pub async fn order(&self, order: &OrderIn) -> Result<ModeOut, ClientError> {
        self.give("orders", order).await
    }

    /// Whether drills are taken, over the local socket.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn chaos(&self) -> Result<ChaosOut, ClientError> {
        self.get(&["admin", "chaos"], &[]).await
    }

    /// Orders a drill, over the local socket.
    ///
    /// # Errors
    /// [`ClientError`]; 403 where `chaos.enabled` is not set, 409 when it does not fit the node.
    pub async fn drill(&self, drill: &DrillIn) -> Result<DrillOut, ClientError> {
        self.give("drills", drill).await
    }

    pub(super) async fn give<T: DeserializeOwned>(
        &self,
        route: &str,
        order: &impl Serialize,
    ) -> Result<T, ClientError> {
        let url = self.url(&["admin", route], &[]);
        let body = serde_json::to_vec(order).expect("words and numbers have a JSON form");
        let request = self.http.request(Method::POST, url.clone()).body(body);
        let reply = send(&url, request.header(CONTENT_TYPE, Format::Json.media_type())).await?;
        match reply.status {
            200 => reply.json(&url),
            _ => Err(reply.refusal(&url)),
        }
    }

    /// Gives an order without words, whose answer is read piece by piece within `deadline`.
    pub(super) async fn begin(
        &self,
        route: &str,
        deadline: Duration,
    ) -> Result<(Url, Response), ClientError> {
        let url = self.url(&["admin", route], &[]);
        let request = self.http.post(url.clone()).timeout(deadline);
        let response = request.send().await;
        let response = response.map_err(|error| ClientError::transport(&url, &error))?;
        match response.status().as_u16() {
            200 => Ok((url, response)),
            _ => Err(read(&url, response).await?.refusal(&url)),
        }
    }

    /// A route that answers text.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn text(&self, route: &str) -> Result<String, ClientError> {
        self.text_of(&self.url(&[route], &[]), "text/plain").await
    }

    async fn text_of(&self, url: &Url, media_type: &'static str) -> Result<String, ClientError> {
        let request = self.http.get(url.clone()).header(ACCEPT, media_type);
        let reply = send(url, request).await?;
        if reply.status != 200 {
            return Err(reply.refusal(url));
        }
        let problem = |_| ClientError::Strange { url: shown(url), problem: "not UTF-8".into() };
        String::from_utf8(reply.body).map_err(problem)
    }

    /// `/readyz` or `/version` as they come. A ledger that is not ready answers 503 with the same
    /// body, which is an answer here.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn probe(&self, route: &str) -> Result<serde_json::Value, ClientError> {
        let url = self.url(&[route], &[]);
        let reply = send(&url, self.http.get(url.clone())).await?;
        match reply.status {
            200 | 503 => reply.json(&url),
            _ => Err(reply.refusal(&url)),
        }
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, ClientError> {
        let url = self.url(path, query);
        let reply = send(&url, self.http.get(url.clone())).await?;
        match reply.status {
            200 => reply.json(&url),
            _ => Err(reply.refusal(&url)),
        }
    }

    /// Each segment is encoded as a whole: a name with a slash stays one segment.
    pub(super) fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("http and https addresses have a path")
            .pop_if_empty()
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

/// The parameters that have a value.
fn given<const N: usize>(query: [(&'static str, Option<u64>); N]) -> Vec<(&'static str, String)> {
    let pairs = query.into_iter().filter_map(|(name, value)| Some((name, value?.to_string())));
    pairs.collect()
}

fn parse_url(text: &str) -> Result<Url, ClientError> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    // The text is not repeated: it may hold a password.
    let problem = "the url is not of the form http://host:port or https://host:port";
    url.ok_or_else(|| ClientError::Setup(problem.to_owned()))
}

fn headers(token: Option<&BearerToken>) -> Result<HeaderMap, ClientError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/plain"));
    if let Some(token) = token {
        let text = Zeroizing::new(format!("Bearer {}", token.expose()));
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| ClientError::Setup("the token has unusual characters".to_owned()))?;
        // Hides it from Debug.
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn certificates(path: &std::path::Path) -> Result<Vec<Certificate>, ClientError> {
    let problem = |what: String| ClientError::Setup(format!("{}: {what}", path.display()));
    let pem = std::fs::read(path).map_err(|error| problem(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| problem(error.to_string()))?;
    if found.is_empty() {
        return Err(problem("has no PEM certificate".to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
