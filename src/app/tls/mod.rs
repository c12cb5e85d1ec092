//! TLS 1.3 for the planes on TCP: what is accepted at the start, what is taken over while running, and
//! a listener that counts the handshakes that fail.
//!
//! The whole of a listener's TLS is one value that is swapped: certificate, key, authority and the
//! sessions that may be resumed. So a session that an authority vouched for does not outlive it.

mod endpoint;
mod names;
mod pair;
mod serve;

use std::path::{Path, PathBuf};

pub(super) use self::endpoint::{Endpoint, Files, watch};
pub(super) use self::names::names;
pub(super) use self::serve::{Times, serve};
use crate::storage::files::FileError;

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file.
    #[error("{key}: cannot read {}: {message}", path.display())]
    Pem {
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it. Never its content.
        message: String,
    },
    /// The private key can be read by others.
    #[error("tls.key_file: {0}")]
    Open(#[from] FileError),
    /// Others can put another key in the place of this one.
    #[error(
        "tls.key_file: others can write to its directory {} (mode {mode:03o}) and put another key \
         there: take that away with chmod go-w", path.display()
    )]
    OpenDir {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A certificate of the chain whose time is over.
    #[error("tls.cert_file: {} expired at {at}: renew it", path.display())]
    Expired {
        /// The file.
        path: PathBuf,
        /// When, as RFC 3339.
        at: String,
    },
    /// A certificate of the chain whose time has not come.
    #[error("tls.cert_file: {} is not valid before {at}: is the clock right?", path.display())]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// From when on, as RFC 3339.
        at: String,
    },
    /// Two files that are not a pair.
    #[error(
        "tls.key_file: {} is not the key of the certificate in {}", key.display(), cert.display()
    )]
    Mismatch {
        /// The key.
        key: PathBuf,
        /// The certificate.
        cert: PathBuf,
    },
    /// They are of no use to TLS.
    #[error("tls.cert_file, tls.key_file: {0}")]
    Pair(rustls::Error),
    /// A configuration that was not validated.
    #[error("admin.addr: the admin plane needs tls.cert_file, tls.key_file and an authority")]
    AdminWithoutTls,
    /// The authority of the clients.
    #[error("{key}: {message}")]
    Authority {
        /// The configuration key.
        key: &'static str,
        /// What is wrong with it.
        message: String,
    },
}

fn pem(key: &'static str, path: &Path, message: impl ToString) -> TlsError {
    TlsError::Pem { key, path: path.to_owned(), message: message.to_string() }
}
