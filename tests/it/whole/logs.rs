//! What the log never says, and that nobody has to listen to it.

use std::process::Command;

use crate::support::daemon::{Daemon, Signal};
use crate::support::keys::Keys;
use crate::support::picture::Picture;
use crate::support::sending::{requests, send_all, spec};

const EVERYTHING: [(&str, &str); 1] = [("telemetry.log", "trace")];

#[actix_rt::test]
async fn no_token_is_logged_even_when_everything_is() {
    let keys = Keys::new();
    let token = keys.master();
    let node = Daemon::start(&keys, "macronode", &EVERYTHING);
    let client = node.client(&token);
    send_all(&client, requests(spec(300, 1), 10)).await;
    // A bad one is no better to know: it may be a good one of another ledger.
    let (rest, end) = token.split_at(token.len() - 20);
    let forged = format!("{rest}{}", end.chars().rev().collect::<String>());
    node.client(&forged).supply().await.unwrap();
    assert!(node.client(&forged).account("alice").await.is_err());
    Picture::take(&client).await;
    let (code, _, log) = node.stop();
    assert_eq!(code, Some(0));
    assert!(log.len() > 100 && log.iter().any(|line| line.contains("TRACE")), "all is logged");
    for secret in [&token[token.len() - 40..], &forged[forged.len() - 40..], &token[..40]] {
        let told: Vec<_> = log.iter().filter(|line| line.contains(secret)).collect();
        assert!(told.is_empty(), "{told:#?}");
    }
}

#[actix_rt::test]
async fn a_log_that_nobody_reads_any_more_stops_nothing() {
    let keys = Keys::new();
    let mut node = Daemon::start(&keys, "macronode", &EVERYTHING);
    node.stop_listening();
    let client = node.client(&keys.master());
    send_all(&client, requests(spec(300, 1), 10)).await;
    Picture::take(&client).await.check_published(&client).await;
    let ready = client.probe("readyz").await.unwrap();
    assert_eq!(ready["ready"], true, "{ready}");
    assert_eq!(node.stop().0, Some(0));
}

#[actix_rt::test]
async fn the_level_changes_by_an_order_and_back_by_sighup() {
    let keys = Keys::new();
    let socket = keys.dir().join("s");
    let path = socket.display().to_string();
    let mut node = Daemon::start(&keys, "micronode", &[("uds.path", path.as_str())]);
    let client = node.client(&keys.master());
    let ctl = |line: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ron-ledgerctl"));
        command.env_clear().args(["--json", "--socket"]).arg(&socket).args(line.split(' '));
        command.output().unwrap()
    };
    send_all(&client, requests(spec(20, 1), 10)).await;
    let said = ctl("log level info,ron_ledger=trace,actix_http=trace,mio=trace");
    assert!(said.status.success(), "{said:?}");
    send_all(&client, requests(spec(20, 2), 10)).await;
    assert_eq!(ctl("log level info,=").status.code(), Some(1), "directives that do not parse");
    assert!(String::from_utf8(ctl("log show").stdout).unwrap().contains("actix_http=trace"));
    node.signal(Signal::HUP);
    node.await_line("reloaded the settings of telemetry");
    assert!(!String::from_utf8(ctl("log show").stdout).unwrap().contains("trace"));
    let (code, _, log) = node.stop();
    assert_eq!(code, Some(0));
    let order = log.iter().position(|line| line.contains("/admin/levels")).unwrap();
    let hup = log.iter().position(|line| line.contains("reloaded the settings of tel")).unwrap();
    let is_fine = |line: &&String| line.contains("TRACE") || line.contains("DEBUG");
    assert!(log[..order].iter().filter(is_fine).count() <= 1, "before the order");
    assert!(log[order..hup].iter().any(|line| is_fine(&line)), "after it");
    assert!(!log[hup + 1..].iter().any(|line| is_fine(&line)), "after SIGHUP");
    assert!(
        !log.iter().any(|line| line.contains(&keys.master()[..40])),
        "and no token in all that"
    );
}
