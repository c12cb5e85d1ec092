//! A store of another schema is not opened, and upgraded only by whoever asks for it.

use std::process::Stdio;

use super::truth::Truth;
use crate::support::daemon::{Daemon, PATIENT};
use crate::support::keys::Keys;

fn upgrade(keys: &Keys) -> (Option<i32>, String) {
    let mut command = Daemon::program();
    command.arg("--upgrade");
    for (key, value) in keys.settings("macronode", &[]) {
        command.args(["--set", &format!("{key}={value}")]);
    }
    let out = command.stdin(Stdio::null()).output().unwrap();
    (out.status.code(), String::from_utf8(out.stderr).unwrap())
}

#[test]
fn another_schema_is_refused_with_the_way_out_and_never_upgraded_by_a_start() {
    let keys = Keys::new();
    let data = keys.dir().join("data");
    let (code, said) = upgrade(&keys);
    assert!(code == Some(1) && said.contains("there is no ledger to upgrade"), "{said}");
    assert!(!data.exists(), "looking makes nothing");
    assert_eq!(Daemon::start(&keys, "macronode", &PATIENT).stop().0, Some(0));
    let (code, said) = upgrade(&keys);
    assert!(code == Some(0) && said.contains("nothing to upgrade"), "{said}");

    for (schema, refusal, upgraded) in [
        (0, "run `ron-ledgerd --upgrade`", "no upgrade leads from schema 0"),
        (2, "newer than this program's", "newer than this program's"),
    ] {
        Truth::open(&data).set_schema(1, schema);
        for _ in 0..2 {
            let (code, said) = Daemon::refused(&keys, "macronode", &[]);
            assert!(code == Some(1) && said.contains(refusal), "{said}");
            let (code, said) = upgrade(&keys);
            assert!(code == Some(1) && said.contains(upgraded), "{said}");
        }
        Truth::open(&data).set_schema(schema, 1);
    }
    assert_eq!(Daemon::start(&keys, "macronode", &PATIENT).stop().0, Some(0));
}
