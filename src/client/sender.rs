//! Sends bodies that are ready to `POST /ingest`, and counts what the answer says of their entries:
//! no more of it is read than that.

use std::borrow::Cow;
use std::fmt;

use reqwest::Url;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::error::shown;
use super::http1::{Connection, Fault};
use super::reply::Reply;
use super::{Client, ClientError, Retry};
use crate::http::Body;
use crate::http::binary::answer;
use crate::http::dto::Status;
use crate::ledger::entry::Seq;

/// What became of the entries of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// New.
    pub committed: u32,
    /// In the ledger since an earlier request.
    pub replayed: u32,
    /// Not in the ledger by this request.
    pub rejected: u32,
}

impl Tally {
    fn add(&mut self, status: Status) {
        let count = match status {
            Status::Committed => &mut self.committed,
            Status::Replayed => &mut self.replayed,
            Status::Rejected => &mut self.rejected,
        };
        *count = count.saturating_add(1);
    }

    /// All of them.
    pub fn entries(&self) -> u64 {
        u64::from(self.committed) + u64::from(self.replayed) + u64::from(self.rejected)
    }
}

/// An answer that speaks of each entry.
#[derive(Debug)]
pub struct Told<'a> {
    /// What it says, counted.
    pub tally: Tally,
    binary: bool,
    body: Cow<'a, [u8]>,
}

impl Told<'_> {
    /// The place of each entry in the ledger, in the order of the request; none for what was rejected.
    pub fn places(&self) -> Vec<Option<Seq>> {
        #[derive(Deserialize)]
        struct Place {
            seq: Option<Seq>,
        }
        #[derive(Deserialize)]
        struct Answer {
            results: Vec<Place>,
        }
        if self.binary {
            let mut places = Vec::new();
            // It was read before, and so it can be.
            answer::visit(&self.body, |_, seq| places.push(seq));
            return places;
        }
        let answer: Result<Answer, _> = serde_json::from_slice(&self.body);
        answer.map_or_else(
            |_| Vec::new(),
            |answer| answer.results.iter().map(|result| result.seq).collect(),
        )
    }
}

/// One connection, for one request at a time; it connects when it has to.
pub struct Sender {
    url: Url,
    way: Way,
}

/// TLS goes through the client for everything: what it costs is little beside the sessions.
enum Way {
    Plain(Box<Connection>),
    Tls(Client),
}

impl Sender {
    /// To the ledger of `client`, with its token; nothing is sent.
    pub fn new(client: &Client) -> Self {
        let url = client.url(&["ingest"], &[]);
        let way = match url.scheme() {
            "http" => Way::Plain(Box::new(Connection::new(&url, client.options()))),
            _ => Way::Tls(client.clone()),
        };
        Sender { url, way }
    }

    /// Connects ahead of the first request, which tries again where that fails. Over TLS there is
    /// nothing to do: the client connects with the request.
    pub async fn connect(&mut self) {
        if let Way::Plain(connection) = &mut self.way {
            connection.connect().await;
        }
    }

    /// Sends one body.
    ///
    /// # Errors
    /// As [`Client::ingest`].
    pub async fn send(&mut self, body: &Body) -> Result<Told<'_>, ClientError> {
        let url = &self.url;
        let (status, retry_after, binary, answer) = match &mut self.way {
            Way::Plain(connection) => {
                let answered = connection.post(body).await;
                let (head, answer) = answered.map_err(|fault| error_of(url, &fault))?;
                (head.status, head.retry_after, head.binary, Cow::Borrowed(answer))
            }
            Way::Tls(client) => {
                let reply = client.post(url, body.clone()).await?;
                (reply.status, reply.retry_after, reply.binary, Cow::Owned(reply.body))
            }
        };
        match count(&answer, binary) {
            Some(tally) if !matches!(status, 429 | 503 | 504) => {
                Ok(Told { tally, binary, body: answer })
            }
            _ => Err(Reply { status, retry_after, binary, body: answer.into_owned() }.refusal(url)),
        }
    }

    /// Sends one body until it is answered or refused for good, and says how often it was sent again.
    ///
    /// # Errors
    /// That of the last attempt.
    pub async fn deliver(&mut self, body: &Body) -> Result<(Tally, u64), ClientError> {
        let (retry, mut made) = (Retry::default(), 1);
        loop {
            let error = match self.send(body).await {
                Ok(told) => return Ok((told.tally, u64::from(made - 1))),
                Err(error) => error,
            };
            match retry.pause_after(made, &error) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            }
            made += 1;
        }
    }
}

fn error_of(url: &Url, fault: &Fault) -> ClientError {
    let (url, what) = (shown(url), fault.to_string());
    match fault {
        Fault::Io(_) | Fault::Late => ClientError::Unreachable { url, cause: what },
        Fault::Strange(_) => ClientError::Strange { url, problem: what },
    }
}

/// `None` for what is no answer about entries.
fn count(body: &[u8], binary: bool) -> Option<Tally> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(deserialize_with = "statuses")]
        results: Tally,
    }
    if !binary {
        return serde_json::from_slice::<Answer>(body).ok().map(|answer| answer.results);
    }
    let mut tally = Tally::default();
    answer::visit(body, |status, _| tally.add(status)).map(|()| tally)
}

fn statuses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tally, D::Error> {
    #[derive(Deserialize)]
    struct One {
        status: Status,
    }
    struct Counting;
    impl<'de> Visitor<'de> for Counting {
        type Value = Tally;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the results of entries")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tally, A::Error> {
            let mut tally = Tally::default();
            while let Some(One { status }) = seq.next_element()? {
                tally.add(status);
            }
            Ok(tally)
        }
    }
    deserializer.deserialize_seq(Counting)
}

#[cfg(test)]
mod tests {
    use super::super::ClientOptions;
    use super::super::unit::{UnitIn, pack};
    use super::super::workload::{Spec, Workload};
    use super::*;
    use crate::http::dto::{AnswerOut, ReasonOut, ResultOut};
    use crate::http::{Format, binary};

    fn told(statuses: &[Status]) -> AnswerOut<'static> {
        let result = |(idx, &status): (usize, &Status)| {
            let seq = (status != Status::Rejected).then_some(7 + idx as Seq);
            ResultOut { idx, status, seq, receipt: None }
        };
        let reason = |idx| ReasonOut { idx, reason: "conflict".into(), details: "".into() };
        let rejected = |idx: &usize| statuses[*idx] == Status::Rejected;
        AnswerOut {
            accepted: 0,
            seq_start: None,
            seq_end: None,
            new_root: "ab".repeat(32).into(),
            root_size: 9,
            durability: "fsync".into(),
            reasons: (0..statuses.len()).filter(rejected).map(reason).collect(),
            results: statuses.iter().enumerate().map(result).collect(),
            receipts: None,
        }
    }

    fn answer(statuses: &[Status]) -> Vec<u8> {
        serde_json::to_vec(&told(statuses)).unwrap()
    }

    #[test]
    fn an_answer_is_counted_and_its_places_are_read() {
        use Status::{Committed, Rejected, Replayed};
        let told = told(&[Committed, Rejected, Replayed, Committed]);
        let (json, bytes) =
            (serde_json::to_vec(&told).unwrap(), binary::answer::write(&told).unwrap());
        for (body, binary) in [(json, false), (bytes, true)] {
            let tally = count(&body, binary).unwrap();
            assert_eq!(tally, Tally { committed: 2, replayed: 1, rejected: 1 });
            assert_eq!(tally.entries(), 4);
            assert_eq!(count(&body, !binary), None);
            let told = Told { tally, binary, body: Cow::Owned(body) };
            assert_eq!(told.places(), [Some(7), None, Some(9), Some(10)]);
        }
        for other in [r#"{"reason":"busy","details":"full"}"#, "<html>", r#"{"results":3}"#, ""] {
            assert_eq!(count(other.as_bytes(), false), None, "{other}");
            assert_eq!(count(other.as_bytes(), true), None, "{other}");
        }
    }

    /// A body is what the client for everything sends.
    #[tokio::test]
    async fn a_prepared_body_is_what_the_client_sends() {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let reply = answer(&[Status::Committed]);
        let server = std::thread::spawn(move || {
            let once = || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"}]}") {
                    let mut room = [0; 4096];
                    let read = stream.read(&mut room).unwrap();
                    request.extend_from_slice(&room[..read]);
                }
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", reply.len());
                stream.write_all(&[head.as_bytes(), &reply].concat()).unwrap();
                let text = String::from_utf8(request).unwrap();
                let (head, body) = text.split_once("\r\n\r\n").unwrap();
                let typed = head.to_ascii_lowercase().contains("content-type: application/json");
                (typed, body.to_owned())
            };
            [once(), once()]
        });
        let client = Client::new(&ClientOptions::new(url)).unwrap().with_format(Format::Json);
        let units = Workload::new(Spec { entries: 3, ..Spec::default() }).unwrap();
        let request = pack(units.map(|unit| UnitIn::from(&unit)), 3).next().unwrap().request;
        client.ingest(&request).await.unwrap();
        let told = Sender::new(&client).send(&Format::Json.body_of(&request)).await.unwrap().tally;
        assert_eq!(told.committed, 1);
        let [one, other] = server.join().unwrap();
        assert!(one.0);
        assert_eq!(one, other);
    }
}
