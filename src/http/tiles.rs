//! The log as C2SP tlog-tiles, for tools that know that form: `/tile/<level>/<index>[.p/<width>]` to
//! everyone, `/tile/entries/<index>[.p/<width>]` to whoever may read the whole ledger, or to everyone
//! where the configuration says so.
//!
//! What a path names never changes, so that it may be cached for ever. Nothing beyond the published
//! size is shown. A partial tile is the beginning of the full one, of any width that was reached.

use std::num::NonZeroU8;

use actix_web::http::header;
use actix_web::web::{Bytes, Data};
use actix_web::{FromRequest as _, HttpRequest, HttpResponse, HttpResponseBuilder};

use super::auth::Access;
use super::checkpoint::published;
use super::error::Failure;
use super::{Shared, query, reads};
use crate::accumulator::{TILE_WIDTH, TileId, TilePath};
use crate::storage::error::ReadError;
use crate::storage::reader::Reader;

/// Of what never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// `GET /tile/{path}`.
///
/// # Errors
/// 400 for what is no tile's path, 404 for a tile that is not full, or not that wide, at the published
/// size; for entries also 401 and 403.
pub async fn tile(request: HttpRequest, shared: Data<Shared>) -> Result<HttpResponse, Failure> {
    query::none(&request)?;
    // As it was sent: another spelling of the same path is none.
    let path = request.path().strip_prefix('/').unwrap_or_default().parse();
    let path = path.map_err(|error| Failure::malformed(format!("path: {error}")))?;
    match path {
        TilePath::Hashes { tile, partial } => {
            let width = width(&shared, tile, partial)?;
            let hashes = reads::paged(&shared, move |reader| hashes(reader, tile, width)).await?;
            Ok(bytes(&mut HttpResponse::Ok(), FOR_EVER).body(hashes))
        }
        TilePath::Entries { index, partial } => {
            let is_public = shared.settings.public_entries;
            if !is_public {
                Access::extract(&request).await?.to_whole_ledger()?;
            }
            let width = width(&shared, TileId { level: 0, index }, partial)?;
            let bundle = reads::paged(&shared, move |reader| entries(reader, index, width)).await?;
            let caching = if is_public { FOR_EVER } else { "no-store" };
            Ok(bytes(&mut HttpResponse::Ok(), caching).body(bundle))
        }
    }
}

/// How many hashes were asked for, when the published tree has them.
fn width(shared: &Shared, tile: TileId, partial: Option<NonZeroU8>) -> Result<u16, Failure> {
    let asked = partial.map_or(TILE_WIDTH, |width| u16::from(width.get()));
    let size = published(shared)?.checkpoint.size();
    match tile.width_at(size) {
        there if there >= asked => Ok(asked),
        there => Err(reads::not_found(format!(
            "at the published size {size} this tile has {there} of {TILE_WIDTH} hashes"
        ))),
    }
}

fn hashes(reader: &Reader, tile: TileId, width: u16) -> Result<Bytes, ReadError> {
    let stored = reader.tile(tile)?;
    let beginning = stored
        .and_then(|bytes| Some(Bytes::copy_from_slice(bytes.get(..32 * usize::from(width))?)));
    // The published tree has it, so that it is the store that lacks it.
    beginning.ok_or(ReadError::Missing(tile.index))
}

/// Each entry's canonical form with its length in two bytes in front.
fn entries(reader: &Reader, index: u64, width: u16) -> Result<Bytes, ReadError> {
    let first = index * u64::from(TILE_WIDTH) + 1;
    let last = first + u64::from(width) - 1;
    let found = reader.entries(first, last, usize::from(width))?;
    if found.len() != usize::from(width) {
        return Err(ReadError::Missing(last));
    }
    let mut bundle = Vec::with_capacity(found.iter().map(|entry| entry.bytes.len() + 2).sum());
    for entry in &found {
        let length = u16::try_from(entry.bytes.len()).map_err(|_| ReadError::Missing(last))?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(&entry.bytes);
    }
    Ok(bundle.into())
}

fn bytes<'a>(
    response: &'a mut HttpResponseBuilder,
    caching: &'static str,
) -> &'a mut HttpResponseBuilder {
    response
        .insert_header((header::CONTENT_TYPE, "application/octet-stream"))
        .insert_header((header::CACHE_CONTROL, caching))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
}
