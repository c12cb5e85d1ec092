//! The plane of a witness: `POST /add-checkpoint` and `GET /<origin's hash>/checkpoint` of C2SP
//! tlog-witness. Bodies and answers are text.

use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, ContentType};
use actix_web::middleware::DefaultHeaders;
use actix_web::web::{self, Data, Path, Payload};
use actix_web::{App, Error, HttpRequest, HttpResponse};

use super::body;
use super::error::Failure;
use crate::accumulator::SUBMISSION_BYTES_MAX;
use crate::witness::{Refusal, Witness};

/// What the size in a 409 is announced as.
const SIZE_TYPE: &str = "text/x.tlog.size";

/// The routes of a witness, for one worker.
pub fn witness_plane(
    witness: Data<Witness>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let headers = DefaultHeaders::new()
        .add((header::CACHE_CONTROL, "no-store"))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    App::new()
        .app_data(witness)
        .route("/add-checkpoint", web::post().to(add_checkpoint))
        .route("/{origin_hash}/checkpoint", web::get().to(checkpoint))
        .wrap(headers)
}

/// `POST /add-checkpoint`.
async fn add_checkpoint(
    request: HttpRequest,
    payload: Payload,
    witness: Data<Witness>,
) -> Result<HttpResponse, Failure> {
    let announced = body::announced_bytes(&request);
    let bytes = body::read(payload, announced, SUBMISSION_BYTES_MAX).await?;
    // A clock before 1970 is refused further down.
    let unix_seconds =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // It waits for an fsync, and for its turn.
    let outcome = web::block(move || witness.add_checkpoint(&bytes, unix_seconds)).await;
    let Ok(outcome) = outcome else {
        return Ok(HttpResponse::ServiceUnavailable().finish());
    };
    Ok(match outcome {
        Ok(cosignature) => text(StatusCode::OK).body(cosignature.encode()),
        Err(refusal) => refused(&refusal),
    })
}

/// `GET /<hex SHA-256 of the origin>/checkpoint`: the last one of that log, with the cosignature.
async fn checkpoint(origin_hash: Path<String>, witness: Data<Witness>) -> HttpResponse {
    match witness.checkpoint(&origin_hash) {
        Some(note) => text(StatusCode::OK).body(note),
        None => text(StatusCode::NOT_FOUND).body("nothing of that log was cosigned\n"),
    }
}

fn refused(refusal: &Refusal) -> HttpResponse {
    let status = match refusal {
        Refusal::Stale(size) | Refusal::Fork(size) => {
            let body = format!("{size}\n");
            return HttpResponse::Conflict().content_type(SIZE_TYPE).body(body);
        }
        Refusal::Malformed(_) | Refusal::Shrinks { .. } => StatusCode::BAD_REQUEST,
        Refusal::UnknownOrigin => StatusCode::NOT_FOUND,
        Refusal::Untrusted => StatusCode::FORBIDDEN,
        Refusal::BadProof => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::NotDurable(_) | Refusal::Clock => {
            tracing::error!(%refusal, "nothing is cosigned");
            // Where files lie is nobody's business.
            return text(StatusCode::INTERNAL_SERVER_ERROR).body("the witness is not well\n");
        }
    };
    text(status).body(format!("{refusal}\n"))
}

fn text(status: StatusCode) -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header(ContentType::plaintext());
    response
}
