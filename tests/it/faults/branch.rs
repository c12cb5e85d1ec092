//! A copy that is too old goes on as a new ledger, by the steps of the operators' manual.

use std::process::Stdio;

use ron_ledger::capability::SigningKey;
use ron_ledger::client::workload::Spec;

use super::sample::copy_dir;
use crate::support::daemon::{Daemon, PATIENT};
use crate::support::keys::Keys;
use crate::support::sending::{requests, send, spec};

fn end_of(keys: &Keys, flag: &str, more: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Daemon::program();
    command.arg(flag);
    for (key, value) in keys.settings("macronode", more) {
        command.args(["--set", &format!("{key}={value}")]);
    }
    let out = command.stdin(Stdio::null()).output().unwrap();
    (out.status.code(), String::from_utf8(out.stderr).unwrap())
}

/// The size after some entries more.
async fn fill(daemon: &Daemon, keys: &Keys, seed: u64) -> u64 {
    let client = daemon.client(&keys.master());
    let spec = Spec { invalid_share: 0.0, ..spec(40, seed) };
    let mut size = 0;
    for request in requests(spec, 8) {
        size = send(&client, &request).await.unwrap().1.root_size;
    }
    size
}

#[actix_rt::test]
async fn a_copy_that_is_too_old_goes_on_as_a_new_ledger_that_names_its_parent() {
    let keys = Keys::new();
    let (data, copy) = (keys.dir().join("data"), keys.dir().join("copy"));
    let daemon = Daemon::start(&keys, "macronode", &PATIENT);
    let shared = fill(&daemon, &keys, 1).await;
    assert_eq!(daemon.stop().0, Some(0));
    copy_dir(&data, &copy);
    let daemon = Daemon::start(&keys, "macronode", &PATIENT);
    assert!(fill(&daemon, &keys, 2).await > shared);
    assert_eq!(daemon.stop().0, Some(0));
    // The copy, and the newest note: nothing reaches it.
    let note = std::fs::read(data.join("signed/checkpoint")).unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&copy, &data).unwrap();
    std::fs::write(data.join("signed/checkpoint"), note).unwrap();
    let mut daemon = Daemon::spawn(&keys, "macronode", &PATIENT);
    daemon.await_line("roll_back");
    assert_eq!(daemon.stop().0, Some(0));

    let (code, said) = end_of(&keys, "--new-origin", &[]);
    assert!(code == Some(1) && said.contains("already"), "{said}");
    let signing = keys.dir().join("signing-new");
    SigningKey::create(&signing, "localhost/new", None).unwrap();
    let signing = signing.display().to_string();
    let new = [("node.origin", "localhost/new"), ("capabilities.signing_dir", &*signing)];
    for _ in 0..2 {
        let (code, said) = end_of(&keys, "--new-origin", &new);
        assert_eq!(code, Some(0), "{said}");
        let parent = format!(r#""parent":"localhost/test","size":{shared}"#);
        assert!(said.contains(&parent), "{said}");
    }
    let daemon = Daemon::start(&keys, "macronode", &new);
    let version = daemon.client(&keys.master()).probe("version").await.unwrap();
    assert_eq!(
        (&version["origin"], &version["parent"]["size"]),
        (&"localhost/new".into(), &shared.into())
    );
    assert!(fill(&daemon, &keys, 3).await > shared);
    assert_eq!(daemon.stop().0, Some(0));
    let (code, said) = Daemon::refused(&keys, "macronode", &[]);
    assert!(code == Some(1) && said.contains("localhost/new"), "the old name: {said}");
}
