//! What operators deny while a flood lasts: addresses, beginnings of paths, headers. For the API plane
//! alone, so that nobody shuts himself out; until the process ends.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::HeaderName;
use actix_web::middleware::Next;
use actix_web::web::{Data, Payload};
use actix_web::{Error, HttpRequest, HttpResponse};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::error::Failure;
use super::{Shared, body, caller};
use crate::config::Role;
use crate::ledger::reason::Reason;
use crate::telemetry::Denial;

/// The most patterns at a time: each request is held against all of them.
pub const PATTERNS_MAX: usize = 64;

/// The longest text of one, in bytes.
pub const PATTERN_BYTES_MAX: usize = 256;

/// An order has one pattern.
const BODY_BYTES_MAX: usize = 1024;

/// Headers that hold secrets: a pattern is shown and logged.
const SECRET_HEADERS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// What a pattern is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PatternKind {
    /// The client's address: `203.0.113.7`, `2001:db8::/32`.
    Peer,
    /// How the path begins: `/entries/by-id/`.
    Path,
    /// A header, whole: `user-agent: flood/1.0`.
    Header,
}

/// A pattern on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PatternOut {
    /// What it is about.
    pub kind: PatternKind,
    /// Its text, in the one form that it has here.
    pub value: String,
}

/// What to do with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "as they are called")]
pub enum DenyAction {
    Add,
    Remove,
}

/// `POST /admin/deny`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DenyIn {
    /// What to do.
    pub action: DenyAction,
    /// What the pattern is about.
    pub kind: PatternKind,
    /// Its text.
    pub value: String,
}

/// All patterns, in the order in which they came.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct DenialsOut {
    /// Each of them.
    pub patterns: Vec<PatternOut>,
    /// The most there can be.
    pub patterns_max: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Peer { net: IpAddr, bits: u8 },
    Path(String),
    Header { name: HeaderName, value: String },
}

impl Pattern {
    fn parse(kind: PatternKind, text: &str) -> Result<Self, String> {
        if text.len() > PATTERN_BYTES_MAX || !text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        {
            return Err(format!("at most {PATTERN_BYTES_MAX} printable ASCII characters"));
        }
        match kind {
            PatternKind::Peer => peer(text).ok_or_else(|| {
                let form = "an address, or a network as in 203.0.113.0/24";
                format!("{form}; one of /0 is everybody: lock the ingress instead")
            }),
            PatternKind::Path if text.starts_with('/') && text.len() > 1 => {
                Ok(Pattern::Path(text.to_owned()))
            }
            PatternKind::Path => {
                Err("begins with / and goes on: / alone is everything, lock the ingress instead"
                    .to_owned())
            }
            PatternKind::Header => header(text),
        }
    }

    fn is_met_by(&self, request: &ServiceRequest) -> bool {
        match self {
            Pattern::Peer { net, bits } => request
                .peer_addr()
                .is_some_and(|addr| network(addr.ip().to_canonical(), *bits) == Some(*net)),
            Pattern::Path(prefix) => request.path().starts_with(prefix),
            Pattern::Header { name, value } => {
                request.headers().get_all(name).any(|given| given.as_bytes() == value.as_bytes())
            }
        }
    }

    fn label(&self) -> Denial {
        match self {
            Pattern::Peer { .. } => Denial::Peer,
            Pattern::Path(_) => Denial::Path,
            Pattern::Header { .. } => Denial::Header,
        }
    }

    fn out(&self) -> PatternOut {
        let kind = match self {
            Pattern::Peer { .. } => PatternKind::Peer,
            Pattern::Path(_) => PatternKind::Path,
            Pattern::Header { .. } => PatternKind::Header,
        };
        PatternOut { kind, value: self.to_string() }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Peer { net, bits } => write!(f, "{net}/{bits}"),
            Pattern::Path(prefix) => f.write_str(prefix),
            Pattern::Header { name, value } => write!(f, "{name}: {value}"),
        }
    }
}

fn peer(text: &str) -> Option<Pattern> {
    let (addr, bits) = match text.split_once('/') {
        Some((addr, bits)) => (addr, Some(bits.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let addr: IpAddr = addr.parse().ok()?;
    let bits = bits.unwrap_or(if addr.is_ipv4() { 32 } else { 128 });
    let net = network(addr, bits).filter(|_| bits > 0)?;
    Some(Pattern::Peer { net, bits })
}

/// The address with all but its first bits cleared; `None` when it has not so many.
fn network(addr: IpAddr, bits: u8) -> Option<IpAddr> {
    let bits = u32::from(bits);
    match addr {
        IpAddr::V4(addr) => {
            let mask = u32::MAX.checked_shl(32u32.checked_sub(bits)?).unwrap_or(0);
            Some(IpAddr::V4((addr.to_bits() & mask).into()))
        }
        IpAddr::V6(addr) => {
            let mask = u128::MAX.checked_shl(128u32.checked_sub(bits)?).unwrap_or(0);
            Some(IpAddr::V6((addr.to_bits() & mask).into()))
        }
    }
}

fn header(text: &str) -> Result<Pattern, String> {
    let form = || "NAME: VALUE, as in user-agent: flood/1.0".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(form)?;
    let (name, value) = (name.trim().parse::<HeaderName>().map_err(|_| form())?, value.trim());
    if SECRET_HEADERS.contains(&name.as_str()) {
        return Err(format!("{name} holds secrets: revoke the capability instead"));
    }
    if value.is_empty() {
        return Err(form());
    }
    Ok(Pattern::Header { name, value: value.to_owned() })
}

/// The patterns in force. Read by each request without a lock, and changed by one operator at a time.
#[derive(Debug, Default)]
pub(super) struct Denials {
    patterns: ArcSwap<Vec<Pattern>>,
    changing: Mutex<()>,
}

impl Denials {
    fn met_by(&self, request: &ServiceRequest) -> Option<Denial> {
        let patterns = self.patterns.load();
        patterns.iter().find(|pattern| pattern.is_met_by(request)).map(Pattern::label)
    }

    fn change(&self, action: DenyAction, pattern: Pattern) -> Result<(), String> {
        let _one = self.changing.lock();
        let mut patterns = Vec::clone(&self.patterns.load());
        let at = patterns.iter().position(|known| *known == pattern);
        match (action, at) {
            (DenyAction::Add, None) if patterns.len() >= PATTERNS_MAX => {
                return Err(format!("there are {PATTERNS_MAX} patterns: remove one first"));
            }
            (DenyAction::Add, None) => patterns.push(pattern),
            (DenyAction::Add, Some(_)) => return Err("it is denied already".to_owned()),
            (DenyAction::Remove, Some(at)) => drop(patterns.remove(at)),
            (DenyAction::Remove, None) => return Err("there is no such pattern".to_owned()),
        }
        self.patterns.store(Arc::new(patterns));
        Ok(())
    }

    fn out(&self) -> DenialsOut {
        let patterns = self.patterns.load().iter().map(Pattern::out).collect();
        DenialsOut { patterns, patterns_max: PATTERNS_MAX }
    }
}

/// Middleware: a request that meets a pattern is read no further, and its connection ends.
///
/// # Errors
/// 403 `policy_denied`, or what the service returns.
pub(super) async fn refuse_denied(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if let Some(shared) = request.app_data::<Data<Shared>>()
        && let Some(kind) = shared.denials.met_by(&request)
    {
        shared.pipeline.metrics().denied.of(kind).inc();
        let details = "an operator denies such requests for now";
        return Err(Failure::new(Reason::PolicyDenied, details).closing().into());
    }
    next.call(request).await
}

/// `GET /admin/denials`.
pub async fn denials(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(shared.denials.out())
}

/// `POST /admin/deny`.
///
/// # Errors
/// 400; 401 and 403 from elsewhere without the right; 409 when there is nothing to add or to remove.
pub async fn deny(
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared>,
) -> Result<HttpResponse, Failure> {
    let bytes = body::read(payload, body::announced_bytes(&request), BODY_BYTES_MAX).await?;
    let DenyIn { action, kind, value } = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::malformed(format!("body: not a pattern: {error}")))?;
    let pattern = Pattern::parse(kind, &value)
        .map_err(|problem| Failure::malformed(format!("value: {problem}")))?;
    caller::asked(&request, (action, pattern.out()));
    caller::require(&request, &shared, Role::Operator).await?;
    shared.denials.change(action, pattern).map_err(Failure::illegal)?;
    Ok(HttpResponse::Ok().json(shared.denials.out()))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn pattern(kind: PatternKind, text: &str) -> Result<String, String> {
        Pattern::parse(kind, text).map(|pattern| pattern.to_string())
    }

    #[test]
    fn a_pattern_has_one_form_and_none_is_everything() {
        let check = |kind, text: &str, expected: Option<&str>| {
            assert_eq!(pattern(kind, text).ok().as_deref(), expected, "{text}");
        };
        use PatternKind::{Header, Path, Peer};
        check(Peer, "203.0.113.7", Some("203.0.113.7/32"));
        check(Peer, "203.0.113.7/24", Some("203.0.113.0/24"));
        check(Peer, "2001:db8::1/32", Some("2001:db8::/32"));
        check(Peer, "::1", Some("::1/128"));
        for bad in ["", "0.0.0.0/0", "::/0", "1.2.3.4/33", "::/129", "example.org", "1.2.3.4/"] {
            check(Peer, bad, None);
        }
        check(Path, "/entries/", Some("/entries/"));
        for bad in ["", "/", "entries", "/a\n", &format!("/{}", "x".repeat(PATTERN_BYTES_MAX))] {
            check(Path, bad, None);
        }
        check(Header, "User-Agent:  flood/1.0 ", Some("user-agent: flood/1.0"));
        for bad in ["", "user-agent", "user-agent:", ": x", "Authorization: Bearer x", "Cookie: a"]
        {
            check(Header, bad, None);
        }
    }

    #[test]
    fn a_request_meets_what_it_looks_like_and_nothing_else() {
        let denials = Denials::default();
        let request = || {
            TestRequest::get()
                .uri("/entries/by-id/7")
                .insert_header(("user-agent", "flood/1.0"))
                .peer_addr("[::ffff:203.0.113.7]:4711".parse().unwrap())
                .to_srv_request()
        };
        let check = |kind, text: &str, expected: Option<Denial>| {
            let pattern = Pattern::parse(kind, text).unwrap();
            denials.change(DenyAction::Add, pattern.clone()).unwrap();
            assert_eq!(denials.met_by(&request()), expected, "{text}");
            denials.change(DenyAction::Remove, pattern).unwrap();
            assert_eq!(denials.met_by(&request()), None);
        };
        check(PatternKind::Peer, "203.0.112.0/23", Some(Denial::Peer));
        check(PatternKind::Peer, "203.0.114.0/24", None);
        check(PatternKind::Peer, "2001:db8::/32", None);
        check(PatternKind::Path, "/entries/", Some(Denial::Path));
        check(PatternKind::Path, "/entries/by-id/71", None);
        check(PatternKind::Header, "user-agent: flood/1.0", Some(Denial::Header));
        check(PatternKind::Header, "user-agent: flood", None);
        check(PatternKind::Header, "x-flood: 1", None);
    }

    #[test]
    fn the_patterns_are_bounded_and_each_stands_once() {
        let denials = Denials::default();
        let add = |at: usize| denials.change(DenyAction::Add, Pattern::Path(format!("/{at}/")));
        (0..PATTERNS_MAX).for_each(|at| add(at).unwrap());
        assert!(add(PATTERNS_MAX).unwrap_err().contains("remove one first"));
        assert!(add(3).unwrap_err().contains("already"));
        let remove =
            |at: usize| denials.change(DenyAction::Remove, Pattern::Path(format!("/{at}/")));
        remove(3).unwrap();
        assert!(remove(3).unwrap_err().contains("no such"));
        add(3).unwrap();
        assert_eq!(denials.out().patterns.len(), PATTERNS_MAX);
    }
}
