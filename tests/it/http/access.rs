//! Who may read what.

use actix_web::http::header;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use ron_ledger::capability::{Action, Caveat, Peer};
use serde_json::Value;

use crate::support::node::Node;
use ron_ledger::http;

const HOLD: &str = "/holds/0190b6c0-0000-7000-8000-00000000dead";

/// Status and reason of a GET with a token of these caveats, or with none.
async fn get(node: &Node, caveats: Option<Vec<Caveat>>, path: &str) -> (u16, String) {
    let app = init_service(http::api(node.shared.clone())).await;
    let mut request = TestRequest::get().uri(path);
    if let Some(caveats) = caveats {
        let token = node.keys.token(&caveats);
        request = request.insert_header((header::AUTHORIZATION, format!("Bearer {token}")));
    }
    let response = call_service(&app, request.to_request()).await;
    let status = response.status().as_u16();
    let body: Value = serde_json::from_slice(&read_body(response).await).unwrap_or_default();
    (status, body["reason"].as_str().unwrap_or("").to_owned())
}

fn reads() -> Vec<Caveat> {
    vec![Caveat::Actions(vec![Action::Read])]
}

fn reads_of(prefix: &str) -> Vec<Caveat> {
    vec![Caveat::Actions(vec![Action::Read]), Caveat::AccountPrefix(prefix.to_owned())]
}

#[actix_rt::test]
async fn state_is_read_with_a_capability_and_roots_without() {
    let node = Node::new().await;
    let refused = (401, "unauth".to_owned());
    for path in ["/accounts/a", "/entries", "/entries/1", HOLD] {
        assert_eq!(get(&node, None, path).await, refused, "{path}");
    }
    for path in ["/roots", "/supply", "/healthz", "/readyz", "/version"] {
        assert_eq!(get(&node, None, path).await.0, 200, "{path}");
    }
    assert_eq!(get(&node, Some(reads()), "/accounts/a").await.0, 200);
    assert_eq!(get(&node, Some(reads()), "/entries").await.0, 200);
    assert_eq!(get(&node, Some(reads()), HOLD).await, (404, "not_found".to_owned()));
    assert_eq!(get(&node, Some(reads()), "/entries/99").await.0, 404);
}

#[actix_rt::test]
async fn a_capability_reads_no_more_than_it_covers() {
    let node = Node::new().await;
    let refused = (403, "cap_invalid".to_owned());
    let own = || Some(reads_of("team/"));
    assert_eq!(get(&node, own(), "/accounts/team/a").await.0, 200);
    assert_eq!(get(&node, own(), "/accounts/team%2Fa").await.0, 200);
    assert_eq!(get(&node, own(), "/accounts/other").await, refused);
    assert_eq!(get(&node, own(), "/accounts/other/team/").await, refused);
    assert_eq!(get(&node, own(), "/entries").await, refused);
    let writes = vec![Caveat::Actions(vec![Action::Mint])];
    assert_eq!(get(&node, Some(writes), "/accounts/a").await, refused);
    let local = vec![Caveat::Actions(vec![Action::Read]), Caveat::Peers(vec![Peer::Uds])];
    assert_eq!(get(&node, Some(local), "/accounts/a").await, refused);
}

#[actix_rt::test]
async fn open_reads_ask_for_nothing() {
    let node = Node::with("micronode", &[("capabilities.open_reads", "true")]).await;
    for path in ["/accounts/a", "/entries"] {
        assert_eq!(get(&node, None, path).await.0, 200, "{path}");
    }
}

#[actix_rt::test]
async fn a_name_in_a_path_is_checked_like_any_other() {
    let node = Node::with("micronode", &[("capabilities.open_reads", "true")]).await;
    let malformed = (400, "unknown_kind".to_owned());
    let long = format!("/accounts/{}", "a".repeat(129));
    for path in ["/accounts/", "/accounts/a%20b", "/accounts/%ff", "/holds/x", "/entries/x", &*long]
    {
        assert_eq!(get(&node, None, path).await, malformed, "{path}");
    }
}
