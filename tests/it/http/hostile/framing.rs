//! Where one request ends and the next begins, and what a head may hold.

use ron_ledger::http::binary::BATCH;

use super::Plane::Api;
use super::{PLANTED, Row, batch, body, ingest, post, row};

pub(super) fn rows(good: &str) -> Vec<Row> {
    [lengths(good), chunks(good), heads(good), targets(), bodies(good), batches(good)]
        .into_iter()
        .flatten()
        .collect()
}

/// Requests that two readers could part in two ways. What hides behind them would write.
fn lengths(good: &str) -> Vec<Row> {
    let hidden = post(good);
    let smuggled = |case: &str, head: &str| {
        let sent = ingest(good, &format!("{head}\r\n0\r\n\r\n{hidden}"));
        row(case, Api, sent, &[400])
    };
    let with = |case: &str, head: &str| {
        row(case, Api, ingest(good, &format!("{head}\r\n{hidden}")), &[400])
    };
    vec![
        smuggled("length and chunked", "content-length: 5\r\ntransfer-encoding: chunked\r\n"),
        smuggled("chunked and length", "transfer-encoding: chunked\r\ncontent-length: 5\r\n"),
        smuggled("chunked twice", "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"),
        smuggled("chunked, chunked", "transfer-encoding: chunked, chunked\r\n"),
        smuggled("an unknown coding", "transfer-encoding: xchunked\r\n"),
        smuggled("identity", "transfer-encoding: identity\r\n"),
        smuggled("chunked is not last", "transfer-encoding: chunked, gzip\r\n"),
        smuggled("an empty coding", "transfer-encoding:\r\n"),
        smuggled("a vertical tab before chunked", "transfer-encoding: \x0bchunked\r\n"),
        smuggled("a space before the colon", "transfer-encoding : chunked\r\n"),
        smuggled("a folded line", "transfer-encoding:\r\n chunked\r\n"),
        with("two lengths", "content-length: 0\r\ncontent-length: 5\r\n"),
        with("two lengths in one", "content-length: 0, 5\r\n"),
        with("a negative length", "content-length: -1\r\n"),
        with("a length with a plus", "content-length: +0\r\n"),
        with("a length in hex", "content-length: 0x0\r\n"),
        with("an empty length", "content-length:\r\n"),
        with("a length with a space inside", "content-length: 0 0\r\n"),
        with("a length beyond 64 bits", "content-length: 18446744073709551616\r\n"),
        with("a space before the colon of a length", "content-length : 0\r\n"),
        row(
            "a length of all bytes there are",
            Api,
            ingest(good, "content-length: 18446744073709551615\r\n\r\n"),
            &[413],
        ),
    ]
}

fn chunks(good: &str) -> Vec<Row> {
    let chunked = |case: &str, body: &str| {
        let head = "transfer-encoding: chunked\r\n\r\n";
        row(case, Api, ingest(good, &format!("{head}{body}")), &[400])
    };
    let hidden = post(good);
    vec![
        chunked("a size that is no number", &format!("zz\r\n{{}}\r\n0\r\n\r\n{hidden}")),
        chunked("a negative size", &format!("-2\r\n{{}}\r\n0\r\n\r\n{hidden}")),
        chunked("a size with a prefix", &format!("0x2\r\n{{}}\r\n0\r\n\r\n{hidden}")),
        chunked("a size beyond 64 bits", &format!("10000000000000000\r\n{{}}\r\n{hidden}")),
        chunked("a chunk longer than its size", &format!("1\r\n{{}}\r\n0\r\n\r\n{hidden}")),
        chunked("no line end after a chunk", &format!("2\r\n{{}}0\r\n\r\n{hidden}")),
        chunked("a bare line feed after a size", &format!("2\n{{}}\r\n0\r\n\r\n{hidden}")),
    ]
}

fn heads(good: &str) -> Vec<Row> {
    let head = |case: &str, line: &str, status: u16| {
        let sent = ingest(good, &format!("{line}\r\ncontent-length: 2\r\n\r\n{{}}"));
        row(case, Api, sent, &[status])
    };
    let long = PLANTED.repeat(10_000);
    let many: String = (0..200).map(|nth| format!("x-{nth}: {PLANTED}\r\n")).collect();
    vec![
        head("a header of 140 kB", &format!("x: {long}"), 431),
        head("a header name of 140 kB", &format!("{long}: x"), 431),
        head("two hundred headers", many.trim_end(), 431),
        head("a header without a colon", PLANTED, 400),
        head("a name with a space", &format!("x y: {PLANTED}"), 400),
        head("an empty name", &format!(": {PLANTED}"), 400),
        head("a zero byte in a value", &format!("x: {PLANTED}\0"), 400),
        head("a carriage return in a value", &format!("x: {PLANTED}\rset-cookie: x"), 400),
        head("a compressed body", "content-encoding: gzip", 400),
        head("a body of another type", &format!("content-type: text/{PLANTED}"), 400),
        row("no HTTP", Api, format!("{PLANTED}\r\n\r\n"), &[400]),
        row("the preface of HTTP/2", Api, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[400]),
        row("HTTP/9.9", Api, "GET /version HTTP/9.9\r\nhost: x\r\n\r\n", &[400]),
        row("HTTP/0.9", Api, "GET /version\r\n\r\n", &[400]),
        row("a TLS hello", Api, b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", &[400]),
        row("bytes that are no text", Api, b"\xff\xfe\xfd / HTTP/1.1\r\nhost: x\r\n\r\n", &[400]),
    ]
}

/// Paths that lead elsewhere.
fn targets() -> Vec<Row> {
    let get = |case: &str, target: &str, status: u16| {
        row(case, Api, format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n"), &[status])
    };
    let long = format!("/{}", PLANTED.repeat(10_000));
    vec![
        get("dots", "/tile/../metrics", 400),
        get("dots in a tile", &format!("/tile/0/../../{PLANTED}"), 400),
        get("encoded dots", "/%2e%2e/%2e%2e/etc/passwd", 404),
        get("encoded slashes", "/tile%2f..%2fmetrics", 404),
        get("a zero byte in a path", "/tile/0/000%00", 400),
        get("bad UTF-8 in a path", "/accounts/%ff%fe", 401),
        get("a broken escape", "/accounts/%zz", 401),
        get("double slashes", "//version", 404),
        get("a backslash", "/..\\version", 404),
        get("a planted path", &format!("/{PLANTED}"), 404),
        get("a planted query", &format!("/supply?token={PLANTED}"), 400),
        get("a path of 140 kB", &long, 431),
        get("an unknown tile level", "/tile/64/000", 400),
    ]
}

fn bodies(good: &str) -> Vec<Row> {
    let sent = |case: &str, body: &[u8], status: u16| {
        let head = ingest(good, &format!("content-length: {}\r\n\r\n", body.len()));
        row(case, Api, [head.as_bytes(), body].concat(), &[status])
    };
    let planted = body().replacen("\"id\"", &format!("\"{PLANTED}\":1,\"id\""), 1);
    let doubled = body().replacen("\"batch\"", "\"batch\":[],\"batch\"", 1);
    let mut cut = body().into_bytes();
    cut.truncate(cut.len() - 1);
    let bad_text = body().replace(PLANTED, "\u{1}").into_bytes();
    let bad_text: Vec<u8> = bad_text.into_iter().map(|b| if b == 1 { 0xff } else { b }).collect();
    vec![
        sent("bad UTF-8", &bad_text, 400),
        sent("a planted field", planted.as_bytes(), 400),
        sent("a field twice", doubled.as_bytes(), 400),
        sent("a body that is cut", &cut, 400),
        sent("more after the end", format!("{}{}", body(), body()).as_bytes(), 400),
        sent("ten thousand brackets", "[".repeat(10_000).as_bytes(), 400),
        sent("a number of a thousand digits", "9".repeat(1_000).as_bytes(), 400),
        sent("zero bytes", &[0; 64], 400),
        sent("an empty batch", b"{\"batch\":[]}", 400),
    ]
}

/// Bodies that say that they are in the binary form. Each would write, but for what is wrong with it.
fn batches(good: &str) -> Vec<Row> {
    let whole = batch();
    let sent = |case: &str, body: &[u8], status: u16| {
        let head = format!("content-type: {BATCH}\r\ncontent-length: {}\r\n\r\n", body.len());
        row(case, Api, [ingest(good, &head).as_bytes(), body].concat(), &[status])
    };
    let with = |case: &str, at: usize, bytes: &[u8]| {
        let mut body = whole.clone();
        body.splice(at..at + bytes.len(), bytes.iter().copied());
        sent(case, &body, 400)
    };
    vec![
        sent("binary: nothing", b"", 400),
        sent("binary: JSON", body().as_bytes(), 400),
        sent("binary: a batch that is cut", &whole[..whole.len() - 1], 400),
        sent("binary: more after the end", &[&whole[..], &whole].concat(), 400),
        sent("binary: zero bytes", &[0; 64], 400),
        with("binary: another version", 4, &[0]),
        with("binary: an unknown flag", 5, &[0x80]),
        with("binary: an idem_id that is not there", 5, &[0x04]),
        sent("binary: four billion entries", &[&whole[..6], &[0xff; 4]].concat(), 413),
        with("binary: one entry more than there are", 9, &[2]),
        with("binary: an entry of another version", 10, &[2]),
        with("binary: an unknown flag of an entry", 11, &[0x41]),
        with("binary: a counterparty that is not there", 11, &[0x44]),
        with("binary: an Expire", 20, &[10]),
        with("binary: an account beyond the end", 37, &[0xff]),
        with("binary: bad UTF-8", 38, &[0xff]),
        row(
            "binary: compressed",
            Api,
            ingest(
                good,
                &format!(
                    "content-type: {BATCH}\r\ncontent-encoding: br\r\ncontent-length: 2\r\n\r\n{{}}"
                ),
            ),
            &[400],
        ),
    ]
}
