//! Sends a workload over one connection, in order, and keeps what became of each entry.

use std::fmt;

use ron_ledger::client::unit::{Packed, UnitIn, pack};
use ron_ledger::client::workload::{Spec, Workload};
use ron_ledger::client::{Client, ClientError};
use ron_ledger::http::dto::{AnswerOut, RequestIn, ResultOut, Status};
use ron_ledger::ledger::names::KeyName;

use super::keys::CAPABILITY;

/// What the ledger said of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Committed(u64),
    Replayed(u64),
    /// With its reason.
    Rejected(String),
}

impl Fate {
    /// Where the entry is, if it is in the ledger.
    pub fn seq(&self) -> Option<u64> {
        match self {
            Fate::Committed(seq) | Fate::Replayed(seq) => Some(*seq),
            Fate::Rejected(_) => None,
        }
    }
}

/// One word: its place, or the reason why it has none.
impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Committed(seq) => write!(f, "+{seq}"),
            Fate::Replayed(seq) => write!(f, "={seq}"),
            Fate::Rejected(reason) => f.write_str(reason),
        }
    }
}

/// A spec whose entries name the tests' capability.
pub fn spec(entries: usize, seed: u64) -> Spec {
    let capability = KeyName::new(CAPABILITY).unwrap();
    Spec { entries, seed, capability, accounts: 500, ..Spec::default() }
}

/// The requests of a workload, of about `batch` entries each.
pub fn requests(spec: Spec, batch: usize) -> impl Iterator<Item = RequestIn<'static>> {
    let units = Workload::new(spec).unwrap().map(|unit| UnitIn::from(&unit));
    pack(units, batch).map(|Packed { request, .. }| request)
}

/// The fates of a request's entries, in order.
pub fn fates(answer: &AnswerOut<'_>) -> Vec<Fate> {
    let mut reasons = answer.reasons.iter();
    let fate = |(at, result): (usize, &ResultOut)| {
        assert_eq!(result.idx, at);
        match (result.status, result.seq) {
            (Status::Committed, Some(seq)) => Fate::Committed(seq),
            (Status::Replayed, Some(seq)) => Fate::Replayed(seq),
            (Status::Rejected, None) => {
                let reason = reasons.next().unwrap();
                assert_eq!(reason.idx, at);
                Fate::Rejected(reason.reason.to_string())
            }
            other => panic!("a seq is for those that have one: {other:?}"),
        }
    };
    answer.results.iter().enumerate().map(fate).collect()
}

/// Sends one request and gives its fates with the answer.
pub async fn send(
    client: &Client,
    request: &RequestIn<'_>,
) -> Result<(Vec<Fate>, AnswerOut<'static>), ClientError> {
    let answer = client.ingest(request).await?;
    let fates = fates(&answer);
    assert_eq!(fates.len(), request.batch.len());
    let accepted = fates.iter().filter(|fate| fate.seq().is_some()).count();
    assert_eq!(answer.accepted, accepted);
    Ok((fates, answer))
}

/// Sends all, each after the answer to the one before; each has to get one.
pub async fn send_all(
    client: &Client,
    requests: impl IntoIterator<Item = RequestIn<'static>>,
) -> Vec<Fate> {
    let mut all = Vec::new();
    for request in requests {
        all.extend(send(client, &request).await.unwrap().0);
    }
    all
}
