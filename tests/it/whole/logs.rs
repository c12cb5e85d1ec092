//! What the log never says, and that nobody has to listen to it.

use crate::support::daemon::Daemon;
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
