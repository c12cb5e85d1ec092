//! Snapshots, over the local socket and the admin plane: a tar that is made while it is sent.

use std::io::{self, Write};

use actix_web::http::header;
use actix_web::web::{self, Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use tokio::sync::mpsc;

use super::error::Failure;
use super::{Shared, caller};
use crate::actors::pipeline::{Pipeline, SnapshotsError};
use crate::backup::snapshot::Snapshot;
use crate::config::Role;
use crate::ledger::reason::Reason;

/// Pieces that are ahead of the connection, of [`PIECE_BYTES`] each.
const AHEAD: usize = 8;

const PIECE_BYTES: usize = 256 << 10;

type Piece = Result<Bytes, io::Error>;

/// `POST /admin/snapshots`.
///
/// # Errors
/// 401 and 403 from elsewhere without the right; 409 when the node has none, or makes another one; 503
/// when the store has no room; 500.
pub async fn snapshot(request: HttpRequest, shared: Data<Shared>) -> Result<HttpResponse, Failure> {
    caller::asked(&request, "snapshot");
    caller::require(&request, &shared, Role::Operator).await?;
    let pipeline = shared.pipeline.clone();
    let made = web::block(move || pipeline.snapshot()).await;
    let made = made.map_err(|_| Failure::new(Reason::Internal, "no snapshot was made"))?;
    let snapshot = made.map_err(refusal)?;
    let manifest = snapshot.manifest();
    tracing::info!(entries = manifest.entries, root = %manifest.root, "a snapshot is handed over");
    let length = snapshot.tar_bytes();
    let (pieces, queue) = mpsc::channel(AHEAD);
    let pipeline = shared.pipeline.clone();
    // Its own thread: a slow reader must not hold one of the pool that reads share.
    let started = std::thread::Builder::new()
        .name("snapshot".into())
        .spawn(move || hand_over(&snapshot, &pipeline, pieces));
    started.map_err(|_| Failure::new(Reason::Internal, "the system gives no thread"))?;
    let body = stream::unfold(queue, |mut queue| async move {
        let piece: Option<Piece> = queue.recv().await;
        piece.map(|piece| (piece, queue))
    });
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/x-tar"))
        .no_chunking(length)
        .streaming(body))
}

fn hand_over(snapshot: &Snapshot, pipeline: &Pipeline, pieces: mpsc::Sender<Piece>) {
    let mut out = io::BufWriter::with_capacity(PIECE_BYTES, Pieces(pieces.clone()));
    let written = snapshot.write(&mut out).and_then(|()| out.flush());
    pipeline.snapshot_ended(written.is_ok());
    if let Err(error) = written {
        tracing::warn!(%error, "a snapshot was not handed over to its end");
        // Whoever reads must not take the rest for an end.
        drop(pieces.blocking_send(Err(error)));
    }
}

/// Waits for the connection, and fails when there is none any more.
struct Pieces(mpsc::Sender<Piece>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        let sent = self.0.blocking_send(Ok(piece));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "nobody reads any more"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn refusal(error: SnapshotsError) -> Failure {
    tracing::warn!(%error, "no snapshot was made");
    match &error {
        error if error.is_of_the_moment() => Failure::illegal(error.to_string()),
        error if error.is_for_want_of_room() => {
            Failure::new(Reason::DiskPressure, error.to_string())
        }
        error => Failure::new(Reason::Internal, error.to_string()),
    }
}
