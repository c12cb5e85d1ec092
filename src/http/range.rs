//! The proof that a range of entries is in the published tree, made from tiles alone.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::dto::RangeProofOut;
use super::error::Failure;
use super::{Shared, query, reads};
use crate::accumulator::{Hash, HashAlgo, ProofError, TileId, prove_range, root_at};
use crate::ledger::entry::Seq;
use crate::ledger::reason::Reason;
use crate::storage::error::ReadError;
use crate::storage::reader::Reader;

/// `GET /proofs/range?from=&to=&size=`: seqs, `to` inclusive, and one less than `from` for an empty
/// range. No size beyond the published one.
///
/// # Errors
/// 400, and 404 until so much is published.
pub async fn range(request: HttpRequest, shared: Data<Shared>) -> Result<HttpResponse, Failure> {
    let [from, to, size] = query::numbers(&request, ["from", "to", "size"])?;
    let published = shared.pipeline.published().map_or(0, |newest| newest.checkpoint.size());
    let needed = |name| move || Failure::malformed(format!("{name}: this route needs it"));
    let (from, to) = (from.ok_or_else(needed("from"))?, to.ok_or_else(needed("to"))?);
    let size = size.unwrap_or(published);
    let first = from.checked_sub(1).filter(|first| *first <= to && to <= size);
    let first = first.ok_or_else(|| {
        Failure::malformed("from, to, size: must be from >= 1, to >= from - 1, size >= to")
    })?;
    if size > published {
        return Err(Failure::new(Reason::NotFound, "size: nothing of this size is published yet"));
    }
    let made = reads::paged(&shared, move |reader| prove(reader, first, to, size)).await?;
    let (root, hashes) = made.map_err(|error| {
        tracing::error!(%error, size, "the tiles of the store make no proof");
        Failure::new(Reason::Internal, "the proof could not be made")
    })?;
    let hashes = hashes.iter().map(|hash| hash.to_string().into()).collect();
    let root = root.to_string().into();
    Ok(HttpResponse::Ok().json(RangeProofOut { from, to, size, root, hashes }))
}

type Made = Result<(Hash, Vec<Hash>), ProofError>;

/// The root at `size` and the proof; the outer error is the store's.
fn prove(reader: &Reader, first: Seq, to: Seq, size: Seq) -> Result<Made, ReadError> {
    let algo = reader.genesis().hash;
    let mut failed = None;
    let made = prove_from(algo, (first, to, size), |tile| {
        reader.tile(tile).unwrap_or_else(|error| {
            failed.get_or_insert(error);
            None
        })
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(made),
    }
}

fn prove_from(
    algo: HashAlgo,
    (first, to, size): (Seq, Seq, Seq),
    mut load: impl FnMut(TileId) -> Option<Vec<u8>>,
) -> Made {
    let hashes = prove_range(algo, first, to, size, &mut load)?;
    Ok((root_at(algo, size, &mut load)?, hashes))
}
