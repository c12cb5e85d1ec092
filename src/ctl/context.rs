//! What every command is given: the options that they share, and what follows from them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;

use super::{CtlError, Ui};
use crate::capability::{Identifier, Macaroon};
use crate::client::{BearerToken, Client, ClientOptions, Retry};
use crate::config::{Config, Loaded, Sources};

/// Variables of this program that have the prefix of settings and are none.
const OWN_VARIABLES: [&str; 4] =
    ["RON_LEDGER_URL", "RON_LEDGER_METRICS_URL", "RON_LEDGER_TOKEN", "RON_LEDGER_SOCKET"];

/// Where `init --dev` leaves its token, beside the data directory.
pub const DEV_TOKEN_NAME: &str = "token";

#[derive(Clone, Debug, Args)]
pub(super) struct Global {
    /// The ledger's API
    #[arg(long, global = true, env = "RON_LEDGER_URL", value_name = "URL")]
    #[arg(default_value = "http://127.0.0.1:5082", help_heading = "Connection")]
    pub(super) url: String,

    /// The ledger's metrics and health listener
    #[arg(long, global = true, env = "RON_LEDGER_METRICS_URL", value_name = "URL")]
    #[arg(default_value = "http://127.0.0.1:9909", help_heading = "Connection")]
    pub(super) metrics_url: String,

    /// The ledger's local socket, for orders (`uds.path`)
    #[arg(long, global = true, env = "RON_LEDGER_SOCKET", value_name = "PATH")]
    #[arg(default_value = "/run/ron-ledger/ron-ledger.sock", help_heading = "Connection")]
    pub(super) socket: PathBuf,

    /// A capability; prefer --token-file, since other users see command lines
    #[arg(long, global = true, env = "RON_LEDGER_TOKEN", hide_env_values = true)]
    #[arg(value_parser = hidden, help_heading = "Connection")]
    pub(super) token: Option<HiddenText>,

    /// A file with a capability; wins over --token
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(super) token_file: Option<PathBuf>,

    /// PEM certificates to trust instead of the system's
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(super) ca_file: Option<PathBuf>,

    /// Results as JSON
    #[arg(long, global = true, help_heading = "Output")]
    pub(super) json: bool,

    /// Results only: no progress, no notes
    #[arg(long, short, global = true, help_heading = "Output")]
    pub(super) quiet: bool,
}

/// A text that `Debug` hides. Reading it from the command line cannot fail, so that no error of the
/// command line repeats it.
#[derive(Clone)]
pub(super) struct HiddenText(String);

fn hidden(text: &str) -> Result<HiddenText, std::convert::Infallible> {
    Ok(HiddenText(text.to_owned()))
}

impl fmt::Debug for HiddenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HiddenText(hidden)")
    }
}

/// The shared options at work.
pub(super) struct Context {
    pub(super) global: Global,
    pub(super) ui: Ui,
}

impl Context {
    pub(super) fn new(global: Global) -> Self {
        let ui = Ui { json: global.json, quiet: global.quiet };
        Context { global, ui }
    }

    /// The token that was given, if any.
    pub(super) fn token(&self) -> Result<Option<BearerToken>, CtlError> {
        if let Some(path) = &self.global.token_file {
            return read_token(path).map(Some);
        }
        let Some(HiddenText(text)) = &self.global.token else { return Ok(None) };
        let token = BearerToken::new(text.clone());
        token.map(Some).map_err(|error| CtlError::usage(format_args!("--token {error}")))
    }

    /// A client of the API with the token that was given.
    pub(super) fn client(&self) -> Result<Client, CtlError> {
        self.client_with(self.token()?)
    }

    /// A client of the API with another token.
    pub(super) fn client_with(&self, token: Option<BearerToken>) -> Result<Client, CtlError> {
        Ok(Client::new(&ClientOptions { token, ..self.options(&self.global.url) })?)
    }

    /// A client of another ledger's API, which is told no token.
    pub(super) fn client_at(&self, url: &str) -> Result<Client, CtlError> {
        Ok(Client::new(&self.options(url))?)
    }

    /// A client of the metrics listener, which is told no token.
    pub(super) fn metrics_client(&self) -> Result<Client, CtlError> {
        Ok(Client::new(&self.options(&self.global.metrics_url))?)
    }

    /// A client of the local socket, which knows its user and needs no token.
    pub(super) fn local_client(&self) -> Result<Client, CtlError> {
        let socket = Some(self.global.socket.clone());
        Ok(Client::new(&ClientOptions { socket, ..ClientOptions::new("http://localhost") })?)
    }

    /// The same with a token, for what is asked over it as a client elsewhere would ask.
    pub(super) fn local_client_with(&self, token: BearerToken) -> Result<Client, CtlError> {
        let socket = Some(self.global.socket.clone());
        let options =
            ClientOptions { socket, token: Some(token), ..self.options("http://localhost") };
        Ok(Client::new(&options)?)
    }

    /// `host:port` of the API.
    pub(super) fn api_host(&self) -> Result<String, CtlError> {
        let url = reqwest::Url::parse(&self.global.url).map_err(CtlError::usage)?;
        let parts = url.host_str().zip(url.port_or_known_default());
        let (host, port) = parts.ok_or_else(|| CtlError::usage("--url names no host"))?;
        Ok(format!("{host}:{port}"))
    }

    fn options(&self, url: &str) -> ClientOptions {
        ClientOptions { ca_file: self.global.ca_file.clone(), ..ClientOptions::new(url) }
    }
}

/// For a person who waits for one answer.
pub(super) const READ_RETRY: Retry = Retry {
    attempts: 3,
    pause_min: Duration::from_millis(100),
    pause_max: Duration::from_millis(500),
};

/// Asks for one answer, with few and short retries.
pub(super) async fn ask<T, F>(question: impl FnMut() -> F) -> Result<T, CtlError>
where
    F: Future<Output = Result<T, crate::client::ClientError>>,
{
    Ok(READ_RETRY.run(question, |_, _| ()).await?)
}

pub(super) fn read_token(path: &Path) -> Result<BearerToken, CtlError> {
    BearerToken::read(path).map_err(|error| {
        CtlError::usage(format_args!("{}: {error}", path.display()))
            .hint("`cap mint --out FILE` writes a token to a file")
    })
}

/// The capability id that a token names: what `capability_ref` has to say.
pub(super) fn capability_id(token: &BearerToken) -> Result<String, CtlError> {
    let macaroon = Macaroon::parse(token.expose()).map_err(CtlError::usage)?;
    let identifier = Identifier::parse(macaroon.identifier()).map_err(CtlError::usage)?;
    Ok(identifier.id().to_owned())
}

/// The settings as `ron-ledgerd --config FILE` would see them. Not validated.
pub(super) fn load_config(file: Option<PathBuf>) -> Result<Loaded, CtlError> {
    let mut sources = Sources::from_process(file, Vec::new());
    drop_own(&mut sources.env);
    Ok(Config::load(sources)?)
}

fn drop_own(env: &mut BTreeMap<String, String>) {
    env.retain(|name, _| !OWN_VARIABLES.contains(&name.as_str()));
}

/// This machine's clock, in ms since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_own_variables_are_no_settings() {
        let pairs = OWN_VARIABLES.map(|name| (name.to_owned(), "x".to_owned()));
        let mut env = BTreeMap::from(pairs);
        env.insert("RON_LEDGER_PROFILE".to_owned(), "micronode".to_owned());
        drop_own(&mut env);
        assert_eq!(env.into_keys().collect::<Vec<_>>(), ["RON_LEDGER_PROFILE"]);
    }
}
