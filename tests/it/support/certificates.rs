//! Certificates of an authority of their own, as PEM files, and connections with them.

use std::fs::{Permissions, set_permissions};
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion, version};

use super::daemon::Daemon;

/// The authority, and what it has signed, beside the keys of a node.
pub struct Certificates<'a> {
    dir: &'a Path,
    issuer: Issuer<'static, KeyPair>,
}

impl<'a> Certificates<'a> {
    /// With a `server` and a `client`.
    pub fn make(dir: &'a Path) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let made = Certificates { dir, issuer: Issuer::new(params, key) };
        std::fs::write(made.path("ca.pem"), certificate.pem()).unwrap();
        made.issue("server", |_| ());
        made.issue("client", |_| ());
        made
    }

    /// Signs a new certificate for a new key, and puts both in the place of the old ones.
    pub fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let key = KeyPair::generate().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        let path = self.path(&format!("{name}.key"));
        std::fs::write(&path, key.serialize_pem()).unwrap();
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }

    /// For somebody who is told by this name.
    pub fn issue_to(&self, name: &str, san: SanType) {
        self.issue(name, |params| params.subject_alt_names = vec![san]);
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// What a node needs to serve with them.
    pub fn settings(&self) -> [(&'static str, String); 2] {
        [("tls.cert_file", self.path("server.pem")), ("tls.key_file", self.path("server.key"))]
    }

    /// Those, and clients need a certificate.
    pub fn settings_with_authority(&self) -> [(&'static str, String); 3] {
        let [cert, key] = self.settings();
        [cert, key, ("tls.ca_file", self.path("ca.pem"))]
    }

    /// A client that trusts the authority, with the certificate of this name.
    pub fn client(&self, of: Option<&str>) -> ClientConfig {
        self.client_of(&[&version::TLS13], of)
    }

    pub fn client_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        of: Option<&str>,
    ) -> ClientConfig {
        self.client_by(aws_lc_rs::default_provider(), versions, of)
    }

    /// One that offers the hybrid key exchange first, and the classical one beside it.
    pub fn hybrid_client(&self) -> ClientConfig {
        let kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768, aws_lc_rs::kx_group::X25519];
        let provider = CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() };
        self.client_by(provider, &[&version::TLS13], None)
    }

    fn client_by(
        &self,
        provider: CryptoProvider,
        versions: &[&'static SupportedProtocolVersion],
        of: Option<&str>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider.into())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let Some(name) = of else { return builder.with_no_client_auth() };
        let chain = vec![CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
        builder.with_client_auth_cert(chain, key).unwrap()
    }
}

/// A connection over TLS, and what it was agreed on.
pub struct Tls {
    pub session: ClientConnection,
    socket: TcpStream,
}

impl Tls {
    /// To the address of a URL. The handshake is made by the first request.
    pub fn connect(url: &str, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let name = "localhost".try_into().unwrap();
        let session = ClientConnection::new(Arc::clone(config), name).unwrap();
        let socket = TcpStream::connect(url.rsplit('/').next().unwrap())?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Tls { session, socket })
    }

    /// Sends a request; the beginning of its answer.
    pub fn ask(&mut self, request: &str) -> io::Result<String> {
        let mut stream = rustls::Stream::new(&mut self.session, &mut self.socket);
        stream.write_all(request.as_bytes())?;
        let mut answer = vec![0; 16_384];
        let mut length = stream.read(&mut answer)?;
        // Head and body may come apart.
        while !is_whole(&answer[..length]) {
            match stream.read(&mut answer[length..])? {
                0 => break,
                more => length += more,
            }
        }
        answer.truncate(length);
        Ok(String::from_utf8(answer).unwrap())
    }

    pub fn get(&mut self, path: &str) -> io::Result<String> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"))
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| body.len() >= length.parse::<usize>().unwrap())
}

/// The answer to a probe over a new connection, or why there is none.
pub fn probe(node: &Daemon, config: ClientConfig) -> io::Result<String> {
    Tls::connect(&node.api, &Arc::new(config))?.get("/healthz")
}

/// The head and the body of what the metrics plane answers to the head of a request, all in one piece.
pub fn answer(node: &Daemon, request: &str) -> (String, String) {
    let mut socket = TcpStream::connect(node.metrics.rsplit('/').next().unwrap()).unwrap();
    write!(socket, "{request}connection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// One series of a node's metrics; `None` when it is not there.
pub fn series(node: &Daemon, name: &str) -> Option<i64> {
    let (_, text) = answer(node, "GET /metrics HTTP/1.1\r\nhost: localhost\r\n");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map(|value| value.trim().parse().unwrap())
}

/// Started as a micronode with these settings.
pub fn start(keys: &super::keys::Keys, settings: &[(&'static str, String)]) -> Daemon {
    let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    Daemon::start(keys, "micronode", &settings)
}

/// What it says that does not start so.
pub fn refused(keys: &super::keys::Keys, settings: &[(&'static str, String)]) -> String {
    let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let (code, said) = Daemon::refused(keys, "micronode", &settings);
    assert!(matches!(code, Some(1 | 2)), "{said}");
    said
}
