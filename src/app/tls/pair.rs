//! Certificate and private key from their files, and all that makes a pair unfit to serve.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::{TlsError, pem};
use crate::storage::files::check_private;

/// A PEM file may be this long: far more than a chain, or a bundle of authorities, needs.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// Certificates in one file.
const CERTIFICATES_MAX: usize = 256;

/// The permission bits with which others can exchange files of a directory.
const DIR_MODE_REFUSED: u32 = 0o022;

/// A chain that is valid now, and a key.
pub(super) struct Pair {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    /// Unix seconds at which the first certificate of the chain expires.
    pub(super) expires: i64,
}

/// Reads and checks both. Whether they belong together is seen where they are used.
pub(super) fn load(cert: &Path, key: &Path, now: SystemTime) -> Result<Pair, TlsError> {
    check_private(key)?;
    check_dir(key)?;
    let chain = certificates("tls.cert_file", cert)?;
    let expires = check_validity(cert, &chain, unix_seconds(now))?;
    let text = read("tls.key_file", key)?;
    let key =
        PrivateKeyDer::from_pem_slice(&text).map_err(|error| pem("tls.key_file", key, error))?;
    Ok(Pair { chain, key, expires })
}

/// All certificates of a file: one at least.
pub(super) fn certificates(
    key: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(key, path)?;
    let found = CertificateDer::pem_slice_iter(&text).take(CERTIFICATES_MAX + 1);
    let found = found.collect::<Result<Vec<_>, _>>().map_err(|error| pem(key, path, error))?;
    match found.len() {
        0 => Err(pem(key, path, "there is no certificate in it")),
        1..=CERTIFICATES_MAX => Ok(found),
        _ => Err(pem(key, path, format!("more than {CERTIFICATES_MAX} certificates"))),
    }
}

/// Seconds since 1970; a clock before that counts as 1970, at which nothing is valid yet.
pub(super) fn unix_seconds(now: SystemTime) -> i64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn read(key: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let refused = |error: std::io::Error| pem(key, path, error);
    let file = File::open(path).map_err(refused)?;
    let length = file.metadata().map_err(refused)?.len();
    // Reserved in full, so that growing leaves no copy of a key behind.
    let room = usize::try_from(length.min(PEM_BYTES_MAX)).unwrap_or(0);
    let mut text = Zeroizing::new(Vec::with_capacity(room + 1));
    file.take(PEM_BYTES_MAX + 1).read_to_end(&mut text).map_err(refused)?;
    if text.len() as u64 > PEM_BYTES_MAX {
        return Err(pem(key, path, "longer than 1 MiB"));
    }
    Ok(text)
}

/// The file may be a link: what counts is the directory in which it is looked for.
fn check_dir(key: &Path) -> Result<(), TlsError> {
    let dir = match key.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let metadata = fs::metadata(dir).map_err(|error| pem("tls.key_file", dir, error))?;
    let mode = metadata.mode() & 0o777;
    if mode & DIR_MODE_REFUSED != 0 {
        return Err(TlsError::OpenDir { path: dir.to_owned(), mode });
    }
    Ok(())
}

/// A client refuses the whole chain when one link of it is out of its time.
fn check_validity(path: &Path, chain: &[CertificateDer<'_>], now: i64) -> Result<i64, TlsError> {
    let mut first_end = i64::MAX;
    for certificate in chain {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
            .map_err(|_| pem("tls.cert_file", path, "not an X.509 certificate"))?;
        let validity = parsed.validity();
        let (begin, end) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        if now > end {
            return Err(TlsError::Expired { path: path.to_owned(), at: rfc3339(end) });
        }
        if now < begin {
            return Err(TlsError::NotYetValid { path: path.to_owned(), at: rfc3339(begin) });
        }
        first_end = first_end.min(end);
    }
    Ok(first_end)
}

fn rfc3339(seconds: i64) -> String {
    // The year 9999, where such texts end.
    let seconds = u64::try_from(seconds).unwrap_or(0).min(253_402_300_799);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}
