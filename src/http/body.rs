//! Reading the body of a request: in a bounded time, up to a bounded size, without a copy where it
//! came in one piece.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};

use super::error::Failure;
use crate::ledger::reason::Reason;

/// From the head of a request to the end of its body. A client that takes longer holds up nobody
/// but would keep a connection for as long as it likes.
pub const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// A body that nobody asked for is read up to this many bytes, so that the connection can go on.
const DISCARD_BYTES_MAX: usize = 64 * 1024;

/// The length that the head announces; `None` for a chunked body, and for none at all.
pub fn announced_bytes(request: &HttpRequest) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a whole body of at most `bytes_max`.
///
/// # Errors
/// 413 at once when the announced length is too large, or as soon as more has arrived; 408 at the
/// deadline; 400 when the body ends early. After each of them the connection ends.
pub async fn read<S>(payload: S, announced: Option<u64>, bytes_max: usize) -> Result<Bytes, Failure>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    let too_large = || {
        let details = format!("body: is larger than {bytes_max} bytes; send smaller batches");
        Failure::new(Reason::TooLarge, details).closing()
    };
    let announced = match announced {
        Some(length) if length > bytes_max as u64 => return Err(too_large()),
        Some(length) => usize::try_from(length).unwrap_or(bytes_max),
        None => 0,
    };
    let whole = collect(payload, announced, bytes_max);
    match tokio::time::timeout(BODY_DEADLINE, whole).await {
        Err(_) => Err(Failure::slow_body()),
        Ok(Err(_)) => Err(Failure::malformed("body: did not arrive whole").closing()),
        Ok(Ok(None)) => Err(too_large()),
        Ok(Ok(Some(body))) => Ok(body),
    }
}

/// Reads a body away. `false` when it is too long or too slow for that: then the connection has to
/// end with the answer.
pub async fn discard<S>(mut payload: S, announced: Option<u64>) -> bool
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    if announced.is_some_and(|length| length > DISCARD_BYTES_MAX as u64) {
        return false;
    }
    let all = async {
        let mut seen = 0;
        while let Some(Ok(chunk)) = payload.next().await {
            seen += chunk.len();
            if seen > DISCARD_BYTES_MAX {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(BODY_DEADLINE, all).await.unwrap_or(false)
}

/// `None` when there is more than `bytes_max`.
async fn collect<S>(
    mut payload: S,
    announced: usize,
    bytes_max: usize,
) -> Result<Option<Bytes>, PayloadError>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    let Some(first) = payload.next().await.transpose()? else {
        return Ok(Some(Bytes::new()));
    };
    let Some(mut next) = payload.next().await.transpose()? else {
        return Ok((first.len() <= bytes_max).then_some(first));
    };
    let mut whole = BytesMut::with_capacity(announced.max(first.len() + next.len()));
    whole.extend_from_slice(&first);
    loop {
        if whole.len() + next.len() > bytes_max {
            return Ok(None);
        }
        whole.extend_from_slice(&next);
        match payload.next().await.transpose()? {
            Some(chunk) => next = chunk,
            None => return Ok(Some(whole.freeze())),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError as _;
    use futures_util::stream;

    use super::*;

    type Piece = Result<Bytes, PayloadError>;

    fn pieces(sizes: &[usize]) -> impl Stream<Item = Piece> + Unpin + use<> {
        let pieces: Vec<Piece> = sizes.iter().map(|&n| Ok(Bytes::from(vec![b'x'; n]))).collect();
        stream::iter(pieces)
    }

    async fn check(sizes: &[usize], announced: Option<u64>, expected: Result<usize, u16>) {
        let got = read(pieces(sizes), announced, 10).await;
        let got = got.map(|body| body.len()).map_err(|failure| failure.status_code().as_u16());
        assert_eq!(got, expected, "{sizes:?} {announced:?}");
    }

    #[actix_rt::test]
    async fn a_body_is_taken_up_to_the_limit() {
        check(&[], None, Ok(0)).await;
        check(&[10], Some(10), Ok(10)).await;
        check(&[4, 6], Some(10), Ok(10)).await;
        check(&[4, 3, 3], None, Ok(10)).await;
        check(&[11], None, Err(413)).await;
        check(&[4, 3, 4], None, Err(413)).await;
        // Nothing is read of what is announced to be too large.
        check(&[], Some(11), Err(413)).await;
        check(&[], Some(u64::MAX), Err(413)).await;
    }

    #[actix_rt::test]
    async fn one_piece_is_not_copied() {
        let piece = Bytes::from(vec![b'x'; 10]);
        let body = read(stream::iter([Ok(piece.clone())]), Some(10), 10).await.unwrap();
        assert_eq!(body.as_ptr(), piece.as_ptr());
    }

    #[actix_rt::test]
    async fn a_body_that_ends_early_is_malformed() {
        let broken = stream::iter([Ok(Bytes::from_static(b"x")), Err(PayloadError::Overflow)]);
        assert_eq!(read(broken, None, 10).await.unwrap_err().reason(), Reason::UnknownKind);
    }

    #[actix_rt::test]
    async fn a_body_that_stops_coming_is_given_up() {
        tokio::time::pause();
        let stuck = stream::iter([Ok(Bytes::from_static(b"{"))]).chain(stream::pending::<Piece>());
        let failure = read(stuck, None, 10).await.unwrap_err();
        assert_eq!((failure.reason(), failure.status_code().as_u16()), (Reason::Timeout, 408));
        assert!(!discard(stream::pending::<Piece>(), None).await);
    }

    #[actix_rt::test]
    async fn only_a_small_body_is_read_away() {
        let most = DISCARD_BYTES_MAX;
        assert!(discard(pieces(&[most]), None).await);
        assert!(!discard(pieces(&[most, 1]), None).await);
        assert!(!discard(pieces(&[]), Some(most as u64 + 1)).await);
    }
}
