//! In which form a request comes, and in which one its answer goes.

use std::fmt;
use std::str::FromStr;

use actix_web::HttpRequest;
use actix_web::http::header;
use serde::Serialize;

use super::binary::{self, BATCH};
use super::dto::RequestIn;
use super::error::Failure;

/// The forms of the body of `POST /ingest`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `application/json`, and what says nothing.
    #[default]
    Json,
    /// [`BATCH`].
    Binary,
}

/// A body that is ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The form that it has.
    pub format: Format,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// Another word than `json` or `binary`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be json or binary")]
pub struct UnknownFormat;

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Json => "json",
            Format::Binary => "binary",
        })
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let all = [Format::Json, Format::Binary];
        all.into_iter().find(|format| format.to_string() == text).ok_or(UnknownFormat)
    }
}

impl Format {
    /// What a request in this form says of its body.
    pub const fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Binary => BATCH,
        }
    }

    /// What a client asks for that wants its answer in this form. Errors are JSON in any case.
    pub const fn accept(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Binary => "application/vnd.ron-ledger.answer, application/json",
        }
    }

    /// The body of a request in this form; in JSON, where it has no other.
    pub fn body_of(self, request: &RequestIn<'_>) -> Body {
        let written = match self {
            Format::Binary => binary::write(request),
            Format::Json => None,
        };
        let json = || serde_json::to_vec(request).expect("texts and numbers have a JSON form");
        match written {
            Some(bytes) => Body { format: Format::Binary, bytes },
            None => Body { format: Format::Json, bytes: json() },
        }
    }
}

/// What `Content-Type` says; and that the body is not compressed.
pub(super) fn of_body(request: &HttpRequest) -> Result<Format, Failure> {
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    let format = match text(header::CONTENT_TYPE).map(essence).as_deref() {
        Some(BATCH) => Format::Binary,
        None | Some("application/json" | "text/json") => Format::Json,
        Some(other) if other.ends_with("+json") => Format::Json,
        Some(_) => {
            let details = format!("content-type: must be application/json or {BATCH}");
            return Err(Failure::malformed(details));
        }
    };
    if text(header::CONTENT_ENCODING).is_some_and(|value| essence(value) != "identity") {
        return Err(Failure::malformed("content-encoding: the body must not be compressed"));
    }
    Ok(format)
}

/// Whether the type is among what the client takes. Its weights are not looked at: who names one of
/// the ledger's own types wants it.
pub(super) fn accepts(request: &HttpRequest, media_type: &str) -> bool {
    let values = request.headers().get_all(header::ACCEPT);
    let types = values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    let mut names = types.filter_map(|part| part.split(';').next());
    names.any(|name| name.trim().eq_ignore_ascii_case(media_type))
}

/// A media type without its parameters.
fn essence(value: &str) -> String {
    value.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::http::binary::ANSWER;

    fn with(name: &str, value: &str) -> HttpRequest {
        TestRequest::post().insert_header((name, value)).to_http_request()
    }

    #[test]
    fn content_is_json_or_the_binary_form_and_never_compressed() {
        let check = |name: &str, value: &str, expected: Option<Format>| {
            assert_eq!(of_body(&with(name, value)).ok(), expected, "{name}: {value}");
        };
        assert_eq!(of_body(&TestRequest::post().to_http_request()), Ok(Format::Json));
        check("content-type", "application/json", Some(Format::Json));
        check("content-type", "Application/JSON; charset=utf-8", Some(Format::Json));
        check("content-type", "application/vnd.x+json", Some(Format::Json));
        check("content-type", BATCH, Some(Format::Binary));
        check("content-type", "Application/vnd.RON-ledger.batch; v=1", Some(Format::Binary));
        check("content-type", ANSWER, None);
        check("content-type", "application/octet-stream", None);
        check("content-type", "text/plain", None);
        check("content-type", "application/x-www-form-urlencoded", None);
        check("content-encoding", "identity", Some(Format::Json));
        check("content-encoding", "gzip", None);
        let packed = TestRequest::post().insert_header(("content-type", BATCH));
        let packed = packed.insert_header(("content-encoding", "gzip")).to_http_request();
        assert!(of_body(&packed).is_err());
    }

    #[test]
    fn a_format_is_read_as_it_is_shown() {
        for format in [Format::Json, Format::Binary] {
            assert_eq!(format.to_string().parse(), Ok(format));
            assert_eq!(serde_json::to_value(format).unwrap(), format.to_string());
        }
        assert_eq!("JSON".parse::<Format>(), Err(UnknownFormat));
    }

    #[test]
    fn a_type_is_accepted_when_it_is_named() {
        let check = |value: &str, expected: bool| {
            assert_eq!(accepts(&with("accept", value), ANSWER), expected, "{value}");
        };
        assert!(!accepts(&TestRequest::post().to_http_request(), ANSWER));
        check(ANSWER, true);
        check("application/json, Application/vnd.ron-ledger.answer;q=0.5", true);
        check("*/*", false);
        check("application/*", false);
        check(BATCH, false);
        check(Format::Json.accept(), false);
        check(Format::Binary.accept(), true);
    }
}
