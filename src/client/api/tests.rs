//! The client against a server that answers by a script.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use super::*;

/// Answers one request with `response` and gives back what was sent.
fn serve(response: impl Into<Vec<u8>>) -> (Client, std::thread::JoinHandle<String>) {
    let response = response.into();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        stream.write_all(&response).unwrap();
        String::from_utf8(request).unwrap()
    });
    let token = Some(BearerToken::new("c2VjcmV0".to_owned()).unwrap());
    (Client::new(&ClientOptions { token, ..ClientOptions::new(url) }).unwrap(), server)
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_name_with_a_slash_is_one_segment_and_the_token_is_sent() {
    let body = r#"{"size":3,"account":"a/b:c","assets":[]}"#;
    let (client, server) = serve(answer("200 OK", body));
    let account = client.account("a/b:c").await.unwrap();
    assert_eq!((account.size, account.assets.len()), (3, 0));
    let request = server.join().unwrap().to_ascii_lowercase();
    assert!(request.starts_with("get /accounts/a%2fb:c http/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: bearer c2vjcmv0\r\n"), "{request}");
}

#[tokio::test]
async fn refusals_keep_their_reason_and_their_pause() {
    let body = r#"{"reason":"busy","details":"the queue is full","retry_after_ms":250}"#;
    let (client, _server) = serve(answer("429 Too Many Requests\r\nretry-after: 1", body));
    let error = client.supply().await.unwrap_err();
    assert_eq!(error.to_string(), "refused: busy (429): the queue is full");
    assert!(error.is_transient());
    assert_eq!(error.retry_after(), Some(Duration::from_millis(250)));

    let (client, _server) = serve(answer("503 Service Unavailable\r\nretry-after: 7", "<html>"));
    let error = client.supply().await.unwrap_err();
    assert!(error.is_transient());
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));

    let (client, _server) = serve(answer("200 OK", "<html>"));
    let error = client.supply().await.unwrap_err();
    assert!(matches!(error, ClientError::Strange { .. }), "{error}");
}

const REJECTED: &str = r#"{"accepted":0,"seq_start":null,"seq_end":null,"new_root":"00","root_size":0,
    "durability":"memory","reasons":[{"idx":0,"reason":"frozen","details":"writes are frozen"}],
    "results":[{"idx":0,"status":"rejected"}]}"#;

#[tokio::test]
async fn a_batch_that_is_rejected_whole_is_an_answer_unless_it_may_pass_later() {
    let request = RequestIn { batch: Vec::new(), idem_id: None, atomic: false };
    let (client, _server) = serve(answer("422 Unprocessable Entity", REJECTED));
    assert_eq!(client.ingest(&request).await.unwrap().reasons[0].reason, "frozen");
    let (client, _server) = serve(answer("503 Service Unavailable", REJECTED));
    let error = client.ingest(&request).await.unwrap_err();
    assert_eq!(error.to_string(), "refused: frozen (503): writes are frozen");
    assert!(error.is_transient());
}

#[tokio::test]
async fn an_answer_is_read_in_the_form_that_it_has() {
    let request = RequestIn { batch: Vec::new(), idem_id: None, atomic: false };
    let told: AnswerOut<'_> =
        serde_json::from_str(&REJECTED.replace("\"00\"", &format!("\"{}\"", "00".repeat(32))))
            .unwrap();
    let bytes = crate::http::binary::answer::write(&told).unwrap();
    let binary = |status: &str, bytes: &[u8]| {
        let (kind, length) = (crate::http::binary::ANSWER, bytes.len());
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
        );
        serve([head.as_bytes(), bytes].concat())
    };
    let (client, server) = binary("422 Unprocessable Entity", &bytes);
    assert_eq!(client.ingest(&request).await.unwrap(), told);
    let sent = server.join().unwrap().to_ascii_lowercase();
    assert!(sent.contains("content-type: application/vnd.ron-ledger.batch\r\n"), "{sent}");
    assert!(
        sent.contains("accept: application/vnd.ron-ledger.answer, application/json\r\n"),
        "{sent}"
    );
    let (client, _server) = binary("503 Service Unavailable", &bytes);
    let error = client.ingest(&request).await.unwrap_err();
    assert_eq!(error.to_string(), "refused: frozen (503): writes are frozen");
    let (client, _server) = binary("200 OK", &bytes[1..]);
    let error = client.ingest(&request).await.unwrap_err();
    assert!(matches!(error, ClientError::Strange { .. }), "{error}");
    let (client, server) = serve(answer("422 Unprocessable Entity", REJECTED));
    let client = client.with_format(Format::Json);
    assert_eq!(client.ingest(&request).await.unwrap().reasons, told.reasons);
    let sent = server.join().unwrap().to_ascii_lowercase();
    assert!(sent.contains("content-type: application/json\r\n"), "{sent}");
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::new(&ClientOptions::new(format!("http://{free}"))).unwrap();
    let error = client.supply().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn what_cannot_be_used_is_refused_before_anything_is_sent() {
    for url in ["", "ledger:5082", "ftp://ledger", "unix:/run/x", "http://"] {
        let error = Client::new(&ClientOptions::new(url)).unwrap_err();
        assert!(matches!(error, ClientError::Setup(_)), "{url}: {error}");
    }
    let ca_file = Some(PathBuf::from("/nowhere/ca.pem"));
    let options = ClientOptions { ca_file, ..ClientOptions::new("https://localhost") };
    assert!(matches!(Client::new(&options), Err(ClientError::Setup(_))));
}

#[test]
fn debug_shows_no_token() {
    let token = Some(BearerToken::new("c2VjcmV0".to_owned()).unwrap());
    let options = ClientOptions { token, ..ClientOptions::new("http://localhost") };
    let client = Client::new(&options).unwrap();
    for shown in [format!("{options:?}"), format!("{client:?}")] {
        assert!(!shown.contains("c2VjcmV0"), "{shown}");
    }
}
