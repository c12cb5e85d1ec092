//! Proofs for auditors, from tiles: that an entry is in a tree, and that one tree is the beginning of
//! another. Open to everyone, as the tiles are; only to look an entry up by its id takes the right to
//! read it.
//!
//! Trees are those of the published size and smaller ones.

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{FromRequest as _, HttpRequest, HttpResponse, HttpResponseBuilder};

use super::auth::Access;
use super::checkpoint::{note_at, published};
use super::dto::{ConsistencyOut, InclusionOut, TLOG_PROOF};
use super::error::Failure;
use super::format::accepts;
use super::{Shared, query, reads};
use crate::accumulator::{SignedNote, TlogProof};
use crate::ledger::entry::Seq;
use crate::ledger::reason::Reason;
use crate::storage::reader::{Consistency, Inclusion};

/// `GET /proofs/inclusion?seq=|id=&size=`.
///
/// # Errors
/// 400, 404; by id also 401 and 403.
pub async fn inclusion(
    request: HttpRequest,
    shared: Data<Shared>,
) -> Result<HttpResponse, Failure> {
    let [seq, id, size] = query::texts(&request, ["seq", "id", "size"])?;
    let size = size.map(|text| query::number("size", text)).transpose()?;
    let seq = match (seq, id) {
        (Some(seq), None) => query::number("seq", seq)?,
        (None, Some(id)) => seq_of(&request, &shared, id).await?,
        _ => return Err(Failure::malformed("query: give one of seq and id")),
    };
    let size = published_size(&shared, "size", size)?;
    if seq == 0 {
        return Err(Failure::malformed("seq: must be at least 1"));
    }
    if seq > size {
        return Err(reads::not_found(format!("entry {seq} is not among the first {size}")));
    }
    let Inclusion { leaf, proof, root } =
        reads::paged(&shared, move |reader| reader.inclusion(seq, size)).await?;
    let (hash, index) = (shared.pipeline.reader().genesis().hash, seq - 1);
    if !accepts(&request, TLOG_PROOF) {
        let told = InclusionOut { seq, index, size, hash, leaf, proof, root };
        return Ok(public(&mut HttpResponse::Ok()).json(told));
    }
    let note = note_at(&shared, size).await?;
    let note = SignedNote::parse(note.as_bytes())
        .map_err(|_| Failure::new(Reason::Internal, "the checkpoint cannot be read"))?;
    let text = TlogProof::new(index, proof, note).encode();
    Ok(public(&mut HttpResponse::Ok()).insert_header((header::CONTENT_TYPE, TLOG_PROOF)).body(text))
}

/// `GET /proofs/consistency?from=&to=`.
///
/// # Errors
/// 400, 404.
pub async fn consistency(
    request: HttpRequest,
    shared: Data<Shared>,
) -> Result<HttpResponse, Failure> {
    let [from, to] = query::numbers(&request, ["from", "to"])?;
    let from = from.ok_or_else(|| Failure::malformed("from: is missing"))?;
    let to = published_size(&shared, "to", to)?;
    published_size(&shared, "from", Some(from))?;
    if from > to {
        return Err(Failure::malformed("from: must not be larger than to"));
    }
    let Consistency { from_root, to_root, proof } =
        reads::paged(&shared, move |reader| reader.consistency(from, to)).await?;
    let hash = shared.pipeline.reader().genesis().hash;
    let told = ConsistencyOut { from, to, hash, from_root, to_root, proof };
    Ok(public(&mut HttpResponse::Ok()).json(told))
}

/// Where the entry of this id is, for whoever may read it.
async fn seq_of(request: &HttpRequest, shared: &Shared, id: &str) -> Result<Seq, Failure> {
    let id = reads::entry_id(id)?;
    let access = Access::extract(request).await?;
    let reader = shared.pipeline.reader();
    let found = reader.find(id).map_err(Failure::store)?;
    let record = found.ok_or_else(|| reads::not_found("no entry has this id"))?;
    let stored = reader.entry(record.seq).map_err(Failure::store)?;
    let stored = stored.ok_or_else(|| reads::not_found("no entry has this id"))?;
    access.to_entry(&stored.sequenced.entry)?;
    Ok(record.seq)
}

/// The size that was asked for, or the published one, beyond which nothing is shown.
fn published_size(shared: &Shared, name: &str, asked: Option<u64>) -> Result<u64, Failure> {
    let published = published(shared)?.checkpoint.size();
    match asked {
        Some(size) if size > published => {
            Err(reads::not_found(format!("{name}: {published} entries are published")))
        }
        _ => Ok(asked.unwrap_or(published)),
    }
}

fn public(response: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    response
        .insert_header((header::VARY, "Accept"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
}
