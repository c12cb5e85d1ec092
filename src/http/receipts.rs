//! Receipts in the answer to `POST /ingest`: each entry with the proof that it is in what is published.
//!
//! The commit stands whatever becomes of them: an answer without receipts says so, and is no error.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dto::{AnswerOut, Receipts};
use super::error::Failure;
use super::{Shared, reads};
use crate::accumulator::{SignedNote, TlogProof};
use crate::actors::pipeline::Published;
use crate::ledger::entry::Seq;
use crate::storage::error::ReadError;
use crate::storage::reader::Reader;

/// The most entries of a request that asks for receipts. Each takes some two KiB of the answer.
pub const RECEIPTS_MAX: usize = 100;

/// What is published is looked at so often, while somebody waits for it.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// Adds a receipt to each result that has a seq, all of them or none.
pub(super) async fn add(shared: &Shared, answer: &mut AnswerOut<'_>, deadline: Instant) {
    let seqs: Vec<Seq> = answer.results.iter().filter_map(|result| result.seq).collect();
    answer.receipts = Some(match made(shared, seqs, deadline).await {
        Some(made) => {
            let results = answer.results.iter_mut().filter(|result| result.seq.is_some());
            for (result, receipt) in results.zip(made) {
                result.receipt = Some(receipt);
            }
            Receipts::Given
        }
        None => Receipts::NotYet,
    });
}

async fn made(shared: &Shared, seqs: Vec<Seq>, deadline: Instant) -> Option<Vec<String>> {
    let Some(&last) = seqs.iter().max() else { return Some(Vec::new()) };
    let published = covering(shared, last, deadline).await?;
    let made = reads::paged(shared, move |reader| {
        seqs.iter().map(|seq| receipt(reader, *seq, &published)).collect::<Result<Option<_>, _>>()
    });
    let failed = |error: &Failure| tracing::warn!(%error, "no receipts could be given");
    made.await.inspect_err(failed).ok().flatten()
}

/// A published tree that has entry `seq`.
async fn covering(shared: &Shared, seq: Seq, deadline: Instant) -> Option<Arc<Published>> {
    loop {
        let newest = shared.pipeline.published();
        if let Some(newest) = newest.filter(|newest| newest.checkpoint.size() >= seq) {
            return Some(newest);
        }
        if Instant::now() + LOOK_PAUSE >= deadline {
            return None;
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

/// `None` where the store proves another tree than the published one.
fn receipt(reader: &Reader, seq: Seq, published: &Published) -> Result<Option<String>, ReadError> {
    let proven = reader.inclusion(seq, published.checkpoint.size())?;
    if proven.root != published.checkpoint.root() {
        return Ok(None);
    }
    let entry = reader.entry(seq)?.ok_or(ReadError::Missing(seq))?;
    let Ok(note) = SignedNote::parse(published.note.as_bytes()) else { return Ok(None) };
    let proof = TlogProof::new(seq - 1, proven.proof, note).with_extra(entry.bytes);
    Ok(proof.ok().map(|proof| proof.encode()))
}
