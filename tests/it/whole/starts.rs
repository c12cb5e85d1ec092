//! What cannot be served is not started: one clear message, and an exit code for scripts.

use std::fs::{Permissions, set_permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use ron_ledger::capability::SigningKey;

use crate::support::daemon::{Daemon, PATIENT};
use crate::support::keys::Keys;

/// Refused with this exit code, and with all of these texts in what it says.
fn check(keys: &Keys, more: &[(&str, &str)], code: i32, texts: &[&str]) -> String {
    let (exit, said) = Daemon::refused(keys, "macronode", more);
    assert_eq!(exit, Some(code), "{said}");
    for text in texts {
        assert!(said.contains(text), "`{text}` in:\n{said}");
    }
    said
}

fn made(keys: &Keys) {
    assert_eq!(Daemon::start(keys, "macronode", &PATIENT).stop().0, Some(0));
}

#[test]
fn a_second_process_on_the_same_directory() {
    let keys = Keys::new();
    let first = Daemon::start(&keys, "macronode", &[]);
    check(&keys, &[], 1, &["is in use by another process"]);
    assert_eq!(first.stop().0, Some(0));
    made(&keys);
}

#[test]
fn a_key_of_another_origin() {
    let keys = Keys::new();
    let other = [("node.origin", "localhost/other")];
    check(&keys, &other, 1, &["signs for `localhost/test`", "node.origin", "signing_dir"]);
    assert!(!keys.dir().join("data").exists(), "looked at before anything is made");
}

#[test]
fn a_ledger_of_another_origin() {
    let keys = Keys::new();
    made(&keys);
    let dir = keys.dir().join("other");
    SigningKey::create(&dir, "localhost/other", None).unwrap();
    let other =
        [("node.origin", "localhost/other"), ("capabilities.signing_dir", dir.to_str().unwrap())];
    check(&keys, &other, 1, &["localhost/test", "localhost/other"]);
    made(&keys);
}

#[test]
fn a_ledger_of_another_hash() {
    let keys = Keys::new();
    made(&keys);
    check(&keys, &[("ledger.hash", "blake3")], 1, &["the hash", "sha256", "blake3"]);
}

#[test]
fn keys_that_are_not_there() {
    for (dir, key) in
        [("keyring", "capabilities.keyring_dir"), ("signing", "capabilities.signing_dir")]
    {
        let keys = Keys::new();
        std::fs::remove_dir_all(keys.dir().join(dir)).unwrap();
        check(&keys, &[], 1, &[key, "`ron-ledgerctl init` makes what is missing"]);
    }
}

#[test]
fn a_key_that_others_can_read() {
    for (file, key) in [
        ("keyring/root-1.key", "capabilities.keyring_dir"),
        ("signing/signing.key", "capabilities.signing_dir"),
    ] {
        let keys = Keys::new();
        let path = keys.dir().join(file);
        set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let chmod = format!("chmod 600 {}", path.display());
        let said = check(&keys, &[], 1, &[key, "644", &chmod]);
        assert!(!said.contains("init"), "nothing is missing: {said}");
    }
}

#[test]
fn a_port_that_is_taken() {
    for key in ["http.api_addr", "http.metrics_addr"] {
        let keys = Keys::new();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap().to_string();
        let said = check(&keys, &[(key, &addr)], 1, &["cannot listen on", &addr, key]);
        // What still ran would be cut off by the end of the process.
        assert!(!said.contains("the store is still in use"), "{said}");
        made(&keys);
    }
}

#[test]
fn a_configuration_that_does_not_hold_together_is_told_in_full() {
    let keys = Keys::new();
    let bad = [
        ("limits.page_max", "0"),
        ("drain.deadline", "1s"),
        ("telemetry.sample_ratio", "2"),
        ("tls.ca_file", "ca.pem"),
    ];
    let named = ["limits.page_max", "request_deadline", "telemetry.sample_ratio", "tls.ca_file"];
    check(&keys, &bad, 2, &named);
    check(&keys, &[("limits.page_maxx", "1")], 2, &["limits.page_maxx", "`limits.page_max`"]);
    check(&keys, &[("limits.page_max", "many")], 2, &["limits.page_max", "many"]);
}
