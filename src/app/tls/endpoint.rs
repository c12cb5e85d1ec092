//! The TLS of one listener: made from its files, and made anew when they change. A pair that is unfit
//! leaves the one in place that serves.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};

use super::TlsError;
use super::pair::{self, Pair, unix_seconds};
use crate::config::{Config, PostQuantum};
use crate::telemetry::{Label as _, Metrics, TlsPlane, TlsReload};

/// Between two looks at the files.
const POLL: Duration = Duration::from_secs(2);

/// Sessions that can be resumed. Each is used once.
const SESSIONS_MAX: usize = 4096;

/// Of each file, if it is there: its number, its time of change, its length.
type Stamp = Vec<Option<(u64, i64, i64, u64)>>;

/// Where the TLS of a listener lies.
#[derive(Clone, Debug)]
pub(in crate::app) struct Files {
    cert: PathBuf,
    key: PathBuf,
    /// The authority of client certificates, under the configuration's name for it.
    authority: Option<(&'static str, PathBuf)>,
    post_quantum: PostQuantum,
}

impl Files {
    /// Those of the API plane; `None` where it speaks without TLS.
    pub(in crate::app) fn of_api(config: &Config) -> Option<Self> {
        let tls = &config.tls;
        let (Some(cert), Some(key)) = (tls.cert_file.clone(), tls.key_file.clone()) else {
            return None;
        };
        let authority = tls.ca_file.clone().map(|path| ("tls.ca_file", path));
        Some(Files { cert, key, authority, post_quantum: tls.pq })
    }

    /// Those of the admin plane, which is never without an authority; `None` where there is none.
    pub(in crate::app) fn of_admin(config: &Config) -> Option<Self> {
        let own = config.admin.ca_file.clone().map(|path| ("admin.ca_file", path));
        let shared = || config.tls.ca_file.clone().map(|path| ("tls.ca_file", path));
        let authority = Some(own.or_else(shared)?);
        Some(Files { authority, ..Self::of_api(config)? })
    }

    /// Whether clients need a certificate.
    pub(in crate::app) fn has_authority(&self) -> bool {
        self.authority.is_some()
    }

    pub(super) fn load(&self, now: SystemTime) -> Result<(ServerConfig, i64), TlsError> {
        let Pair { chain, key, expires } = pair::load(&self.cert, &self.key, now)?;
        let provider = Arc::new(provider(self.post_quantum));
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Pair)?;
        let builder = match &self.authority {
            None => builder.with_no_client_auth(),
            Some((name, path)) => {
                let wrong = |message: String| TlsError::Authority { key: name, message };
                let mut roots = RootCertStore::empty();
                for certificate in pair::certificates(name, path)? {
                    roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .map_err(|error| wrong(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::Mismatch { key: self.key.clone(), cert: self.cert.clone() }
            }
            other => TlsError::Pair(other),
        });
        let mut config = config?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
        Ok((config, expires))
    }

    /// What tells one state of the files from another. The time of change moves with content, name
    /// and rights alike.
    fn stamp(&self) -> Stamp {
        let authority = self.authority.iter().map(|(_, path)| path);
        let paths = [&self.cert, &self.key].into_iter().chain(authority);
        let stamp = |path: &PathBuf| {
            let file = fs::metadata(path).ok()?;
            Some((file.ino(), file.ctime(), file.ctime_nsec(), file.len()))
        };
        paths.map(stamp).collect()
    }
}

/// The groups of the key exchange, the preferred one first.
fn provider(post_quantum: PostQuantum) -> CryptoProvider {
    use aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};
    let kx_groups = match post_quantum {
        PostQuantum::Off => vec![X25519, SECP256R1, SECP384R1],
        PostQuantum::Hybrid => vec![X25519MLKEM768, X25519, SECP256R1, SECP384R1],
    };
    CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() }
}

/// A listener's TLS as it stands.
pub(in crate::app) struct Endpoint {
    plane: TlsPlane,
    files: Files,
    current: ArcSwap<Current>,
    /// The files as they were last read, for good or ill.
    seen: Mutex<Stamp>,
    metrics: Arc<Metrics>,
}

struct Current {
    config: Arc<ServerConfig>,
    expires: i64,
}

impl Endpoint {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// [`TlsError`], which names the setting.
    pub(in crate::app) fn open(
        plane: TlsPlane,
        files: Files,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, TlsError> {
        // Before the files are read: a change in between is found by the next look.
        let seen = Mutex::new(files.stamp());
        let (config, expires) = files.load(SystemTime::now())?;
        let current = ArcSwap::from_pointee(Current { config: Arc::new(config), expires });
        let endpoint = Endpoint { plane, files, current, seen, metrics };
        endpoint.show_expiry();
        Ok(Arc::new(endpoint))
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().config)
    }

    /// Of the plane.
    pub(super) fn name(&self) -> &'static str {
        self.plane.as_str()
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Reads the files again. Connections that stand go on as they began.
    pub(in crate::app) fn reload(&self) {
        // Held until the end: one reload at a time.
        let mut seen = self.seen.lock();
        *seen = self.files.stamp();
        let plane = self.plane.as_str();
        let loaded = self.files.load(SystemTime::now());
        let outcome = if loaded.is_ok() { TlsReload::Done } else { TlsReload::Refused };
        // Before the line in the log: who has read that finds it counted.
        self.metrics.tls_reloads.of(outcome).inc();
        match loaded {
            Ok((config, expires)) => {
                self.current.store(Arc::new(Current { config: Arc::new(config), expires }));
                self.show_expiry();
                tracing::info!(plane, expires, "certificates reloaded");
            }
            Err(error) => {
                tracing::error!(plane, %error, "certificates not reloaded, the old ones stay");
            }
        }
    }

    /// [`Endpoint::reload`] where the files have changed since they were last read.
    pub(super) fn look(&self) {
        let has_changed = *self.seen.lock() != self.files.stamp();
        if has_changed {
            self.reload();
        }
        self.show_expiry();
    }

    fn show_expiry(&self) {
        let left = self.current.load().expires.saturating_sub(unix_seconds(SystemTime::now()));
        self.metrics.tls_cert_expiry.with_label_values(&[self.plane.as_str()]).set(left);
    }
}

/// Looks at the files from time to time, for ever.
pub(in crate::app) async fn watch(endpoints: Vec<Arc<Endpoint>>) {
    loop {
        tokio::time::sleep(POLL).await;
        endpoints.iter().for_each(|endpoint| endpoint.look());
    }
}
