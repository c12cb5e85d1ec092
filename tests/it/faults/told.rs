//! One client of a daemon whose disk fails, and all that it was told.

use std::collections::HashMap;

use ron_ledger::client::workload::Spec;
use ron_ledger::client::{Client, ClientError};
use ron_ledger::http::dto::RequestIn;

use crate::support::daemon::Daemon;
use crate::support::picture::Picture;
use crate::support::sending::{Fate, requests, send, spec};

/// What was acknowledged: the seq of each id.
#[derive(Default)]
pub struct Told(pub HashMap<String, u64>);

impl Told {
    /// Sends what is new; the refusal as status and reason.
    pub async fn send(
        &mut self,
        client: &Client,
        request: &RequestIn<'static>,
    ) -> Result<(), String> {
        match send(client, request).await {
            Ok((fates, _)) => {
                for (entry, fate) in request.batch.iter().zip(fates) {
                    let Fate::Committed(seq) = fate else { panic!("{fate}") };
                    assert_eq!(self.0.insert(entry.id.to_string(), seq), None);
                }
                Ok(())
            }
            Err(ClientError::Refused { status, body, .. }) => {
                Err(format!("{status} {}", body.reason))
            }
            Err(other) => panic!("{other}"),
        }
    }

    pub fn check(&self, picture: &Picture) {
        for (id, seq) in &self.0 {
            assert_eq!(picture.seqs.get(id), Some(seq), "acknowledged: {id}");
        }
    }
}

/// Requests of about five entries, each of them new and none to be refused.
pub fn workload(seed: u64) -> impl Iterator<Item = RequestIn<'static>> {
    let mix = "mint=10,transfer=50,posting=10,hold=10,atomic=6".parse().unwrap();
    requests(Spec { invalid_share: 0.0, mix, ..spec(1_000_000, seed) }, 5)
}

/// A metric of the daemon.
pub async fn metric(node: &Daemon, name: &str) -> u64 {
    let text = get(&format!("{}/metrics", node.metrics)).await;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

pub async fn get(url: &str) -> String {
    reqwest::get(url).await.unwrap().text().await.unwrap()
}
