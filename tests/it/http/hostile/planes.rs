//! Requests on a plane that does not have them, and names that claim to be elsewhere.

use super::Plane::{Api, Local, Metrics};
use super::{PLANTED, Row, post, row};

pub(super) fn rows(good: &str) -> Vec<Row> {
    let order = "{\"order\":\"freeze\"}";
    let give = |target: &str, lines: &str, body: &str| {
        let length = body.len();
        format!(
            "POST {target} HTTP/1.1\r\nhost: x\r\n{lines}content-length: {length}\r\n\r\n{body}"
        )
    };
    let get =
        |target: &str, lines: &str| format!("GET {target} HTTP/1.1\r\nhost: x\r\n{lines}\r\n");
    let revoke = format!("{{\"id\":\"{PLANTED}\",\"kid\":\"root-1\"}}");
    let bearer = format!("authorization: Bearer {good}\r\n");
    let elsewhere = post(good).replacen("/ingest", "/admin/../ingest", 1);
    vec![
        row("a write to the metrics", Metrics, post(good), &[404]),
        row("an order over the API", Api, give("/admin/orders", &bearer, order), &[404]),
        row("an order to the metrics", Metrics, give("/admin/orders", &bearer, order), &[404]),
        row("a revocation over the API", Api, give("/admin/revocations", &bearer, "{}"), &[404]),
        row("a drill over the API", Api, give("/admin/drills", &bearer, "{}"), &[404]),
        row("limits over the API", Api, give("/admin/limits", &bearer, "{\"plain\":1}"), &[404]),
        row("a negative limit", Local, give("/admin/limits", "", "{\"plain\":-1}"), &[400]),
        row("a limit above all", Local, give("/admin/limits", "", "{\"tls\":1000001}"), &[400]),
        row("the breakers over the API", Api, get("/admin/breakers", &bearer), &[404]),
        row("the metrics over the API", Api, get("/metrics", ""), &[404]),
        row("reads over the metrics", Metrics, get("/entries/1", &bearer), &[404]),
        row("two hosts", Api, get("/admin/mode", "host: localhost\r\n"), &[400]),
        row("an absolute target", Api, get("http://localhost/admin/mode", ""), &[404]),
        row(
            "a claim to be local",
            Api,
            get("/admin/mode", "x-forwarded-for: 127.0.0.1\r\n"),
            &[404],
        ),
        row("a rewritten path", Api, get("/nowhere", "x-original-url: /admin/mode\r\n"), &[404]),
        row("a path with dots to a write", Api, elsewhere, &[404]),
        row(
            "another method by a header",
            Api,
            get("/ingest", "x-http-method-override: POST\r\n"),
            &[405],
        ),
        row("a tunnel", Api, format!("CONNECT {PLANTED}:1 HTTP/1.1\r\nhost: x\r\n\r\n"), &[404]),
        row(
            "TRACE",
            Api,
            format!("TRACE /version HTTP/1.1\r\nhost: x\r\nx: {PLANTED}\r\n\r\n"),
            &[405],
        ),
        row("a method that nobody knows", Api, "BREW /ingest HTTP/1.1\r\nhost: x\r\n\r\n", &[405]),
        row(
            "an order that is none",
            Local,
            give("/admin/orders", "", "{\"order\":\"pay\"}"),
            &[400],
        ),
        row(
            "an order with more to it",
            Local,
            give("/admin/orders", "", "{\"order\":\"freeze\",\"x\":1}"),
            &[400],
        ),
        row(
            "an order of a megabyte",
            Local,
            give("/admin/orders", "", &" ".repeat(1 << 20)),
            &[413],
        ),
        row("a revocation of two things", Local, give("/admin/revocations", "", &revoke), &[400]),
        row("a revocation of nothing", Local, give("/admin/revocations", "", "{}"), &[400]),
        row(
            "a revocation of what no token has",
            Local,
            give("/admin/revocations", "", "{\"id\":\"a b\"}"),
            &[400],
        ),
        row("a read over the socket without a token", Local, get("/accounts/first", ""), &[401]),
    ]
}
