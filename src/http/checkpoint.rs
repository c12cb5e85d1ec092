//! What auditors start from, open to everyone: published roots and the signed checkpoint.

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::dto::{RootOut, RootsOut};
use super::error::Failure;
use super::{Shared, query, reads};
use crate::ledger::reason::Reason;

/// `GET /roots?since=&limit=`: no root beyond the published one.
///
/// # Errors
/// 400.
pub async fn roots(request: HttpRequest, shared: Data<Shared>) -> Result<HttpResponse, Failure> {
    let [since, limit] = query::numbers(&request, ["since", "limit"])?;
    let limit = shared.page(limit)?;
    let since = since.unwrap_or(0);
    let published = shared.pipeline.published().map_or(0, |newest| newest.checkpoint.size());
    let rows = reads::paged(&shared, move |reader| reader.roots(since, published, limit));
    let rows = rows.await?;
    let next =
        rows.last().map(|last| last.seq).filter(|&seq| rows.len() == limit && seq < published);
    let roots = rows.iter().map(|row| RootOut {
        seq: row.seq,
        root: row.root.to_string().into(),
        ts: row.time,
    });
    Ok(HttpResponse::Ok().json(RootsOut { roots: roots.collect(), next }))
}

/// `GET /checkpoint`: the newest signed note. A cache that held it back would hide growth.
///
/// # Errors
/// 404 until the first one is signed.
pub async fn checkpoint(
    request: HttpRequest,
    shared: Data<Shared>,
) -> Result<HttpResponse, Failure> {
    query::none(&request)?;
    let newest = shared.pipeline.published();
    let newest =
        newest.ok_or_else(|| Failure::new(Reason::NotFound, "no checkpoint is signed yet"))?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; charset=utf-8"))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(newest.note.to_string()))
}
