//! TLS 1.3 and nothing older; with an authority, nobody without a certificate of it.

use std::fs::{Permissions, set_permissions};
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use ron_ledger::client::unit::to_wire;
use ron_ledger::client::{BearerToken, Client, ClientOptions};
use ron_ledger::http::dto::RequestIn;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion, version};

use crate::support::daemon::Daemon;
use crate::support::entries::mint;
use crate::support::keys::Keys;

/// Certificates of one authority, as PEM files beside the keys.
struct Certificates<'a> {
    dir: &'a Path,
}

impl<'a> Certificates<'a> {
    fn make(dir: &'a Path) -> Self {
        let made = Certificates { dir };
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        std::fs::write(made.path("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(params, key);
        for name in ["server", "client"] {
            let key = KeyPair::generate().unwrap();
            let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
            let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer);
            std::fs::write(made.path(&format!("{name}.pem")), certificate.unwrap().pem()).unwrap();
            let path = made.path(&format!("{name}.key"));
            std::fs::write(&path, key.serialize_pem()).unwrap();
            set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }
        made
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn settings(&self) -> [(&'static str, String); 2] {
        [("tls.cert_file", self.path("server.pem")), ("tls.key_file", self.path("server.key"))]
    }

    fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        with_certificate: bool,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        if !with_certificate {
            return builder.with_no_client_auth();
        }
        let chain = vec![CertificateDer::from_pem_file(self.path("client.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.path("client.key")).unwrap();
        builder.with_client_auth_cert(chain, key).unwrap()
    }
}

/// The beginning of an answer to a probe, or why there is none.
fn probe(node: &Daemon, config: ClientConfig) -> io::Result<String> {
    let name = "localhost".try_into().unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(node.api.strip_prefix("https://").unwrap())?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer)?;
    answer.truncate(length);
    Ok(String::from_utf8(answer).unwrap())
}

fn start(keys: &Keys, settings: &[(&'static str, String)]) -> Daemon {
    let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    Daemon::start(keys, "micronode", &settings)
}

#[actix_rt::test]
async fn tls_1_3_serves_and_tls_1_2_is_refused() {
    let keys = Keys::new();
    let certificates = Certificates::make(keys.dir());
    let node = start(&keys, &certificates.settings());
    let answer = probe(&node, certificates.client(&[&version::TLS13], false)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let error = probe(&node, certificates.client(&[&version::TLS12], false)).unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");

    let options = ClientOptions {
        token: Some(BearerToken::new(keys.master()).unwrap()),
        ca_file: Some(certificates.path("ca.pem").into()),
        ..ClientOptions::new(&node.api)
    };
    let client = Client::new(&options).unwrap();
    let batch = vec![to_wire(&mint("alice", 1))];
    let answer = client.ingest(&RequestIn { batch, idem_id: None, atomic: false }).await.unwrap();
    assert_eq!(answer.accepted, 1);
    assert_eq!(node.stop().0, Some(0));
}

#[test]
fn a_plain_request_gets_no_answer_from_a_tls_listener() {
    let keys = Keys::new();
    let certificates = Certificates::make(keys.dir());
    let node = start(&keys, &certificates.settings());
    let mut socket = TcpStream::connect(node.api.strip_prefix("https://").unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // The alert of TLS may come before the end of the connection.
    let _ = socket.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

#[test]
fn with_an_authority_only_its_certificates_get_an_answer() {
    let keys = Keys::new();
    let certificates = Certificates::make(keys.dir());
    let authority = [("tls.ca_file", certificates.path("ca.pem"))];
    let settings: Vec<_> = certificates.settings().into_iter().chain(authority).collect();
    let node = start(&keys, &settings);
    let error = probe(&node, certificates.client(&[&version::TLS13], false)).unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    let answer = probe(&node, certificates.client(&[&version::TLS13], true)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let elsewhere = tempfile::tempdir().unwrap();
    let others = Certificates::make(elsewhere.path());
    std::fs::copy(certificates.path("ca.pem"), others.path("ca.pem")).unwrap();
    let error = probe(&node, others.client(&[&version::TLS13], true)).unwrap_err();
    assert!(error.to_string().contains("alert"), "{error}");
}

#[test]
fn a_private_key_that_others_can_read_is_refused() {
    let keys = Keys::new();
    let certificates = Certificates::make(keys.dir());
    let key = certificates.path("server.key");
    set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    let settings = certificates.settings();
    let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let (code, said) = Daemon::refused(&keys, "micronode", &settings);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("tls.key_file") && said.contains(&key), "{said}");
    assert!(said.contains("open to others") && !said.contains("PRIVATE KEY"), "{said}");
}
