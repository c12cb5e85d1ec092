//! What auditors start from, open to everyone: published roots and the signed checkpoint.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::dto::{RootOut, RootsOut};
use super::error::Failure;
use super::{Shared, query, reads};
use crate::actors::pipeline::Published;

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

/// `GET /checkpoint?size=|witnessed=1`: the newest signed note, that of an earlier size, or the newest
/// that enough witnesses have cosigned. A cache that held the
/// newest back would hide growth.
///
/// # Errors
/// 400; 404 until the first one is signed, and for a size that has none.
pub async fn checkpoint(
    request: HttpRequest,
    shared: Data<Shared>,
) -> Result<HttpResponse, Failure> {
    let (note, caching) = match query::numbers(&request, ["size", "witnessed"])? {
        [None, None] => (published(&shared)?.note.clone(), "no-cache"),
        [Some(size), None] => (note_at(&shared, size).await?, "public, max-age=3600"),
        [None, Some(1)] => (witnessed(&shared)?.note.clone(), "no-cache"),
        _ => return Err(Failure::malformed("give a size, or witnessed=1, or neither")),
    };
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; charset=utf-8"))
        .insert_header((header::CACHE_CONTROL, caching))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .body(note.to_string()))
}

/// What is published: nothing beyond it is shown.
///
/// # Errors
/// 404 until the first checkpoint is signed.
pub(super) fn published(shared: &Shared) -> Result<Arc<Published>, Failure> {
    let newest = shared.pipeline.published();
    newest.ok_or_else(|| reads::not_found("no checkpoint is signed yet"))
}

fn witnessed(shared: &Shared) -> Result<Arc<Published>, Failure> {
    let newest = shared.pipeline.witnessed();
    newest.ok_or_else(|| reads::not_found("no checkpoint was cosigned by enough witnesses yet"))
}

/// The signed note of exactly this size.
///
/// # Errors
/// 404 for a size that has none.
pub(super) async fn note_at(shared: &Shared, size: u64) -> Result<Arc<str>, Failure> {
    published(shared)?;
    let pipeline = shared.pipeline.clone();
    let note = reads::in_background(move || pipeline.note_at(size)).await?;
    note.ok_or_else(|| {
        let details = "no checkpoint of this size: /roots lists the sizes that have one";
        reads::not_found(details)
    })
}
