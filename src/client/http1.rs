//! One HTTP/1.1 connection that posts bodies which are ready, and reads each answer into the same
//! buffer: what a load generator needs of HTTP, for a fraction of what a client for everything takes
//! of the processors that it shares with the ledger. By TCP or by a local socket, one request at a
//! time; an answer has to say its length, as this ledger's do.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use reqwest::Url;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use zeroize::Zeroizing;

use super::ClientOptions;
use super::reply::ANSWER_BYTES_MAX;
use crate::http::Body;
use crate::http::binary::ANSWER;

/// The longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// What a connection reads into at first: an answer for some two hundred entries.
const BUFFER_BYTES: usize = 16 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// No connection, or it broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The time is over.
    #[error("no answer in time")]
    Late,
    /// What came is not an answer of a ledger.
    #[error("{0}")]
    Strange(&'static str),
}

/// What the head of an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// In seconds; the form with a date is not used by this ledger.
    pub(super) retry_after: Option<Duration>,
    /// In the binary form.
    pub(super) binary: bool,
    body_bytes: usize,
    /// The connection takes another request.
    stays: bool,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

enum Place {
    Tcp(String, u16),
    Socket(PathBuf),
}

/// Connects when it has to. Not `Debug`: the head of its requests has the token.
pub(super) struct Connection {
    place: Place,
    /// Of each request, up to what depends on its body.
    head: Zeroizing<Vec<u8>>,
    timeout: Duration,
    stream: Option<Box<dyn Stream>>,
    buffer: Vec<u8>,
}

impl Connection {
    /// Prepares to post bodies to `url`; nothing is sent.
    pub(super) fn new(url: &Url, options: &ClientOptions) -> Self {
        let host = url.host_str().unwrap_or_default();
        let place = match &options.socket {
            Some(path) => Place::Socket(path.clone()),
            None => Place::Tcp(
                host.trim_matches(['[', ']']).to_owned(),
                url.port_or_known_default().unwrap_or(80),
            ),
        };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let token = options.token.as_ref();
        // Reserved in full, so that growing leaves no copy of the token behind.
        let reserved = 512 + url.as_str().len() + token.map_or(0, |token| token.expose().len());
        let mut head = Zeroizing::new(Vec::with_capacity(reserved));
        let mut add = |parts: &[&str]| parts.iter().for_each(|part| head.extend(part.bytes()));
        add(&["POST ", url.path(), " HTTP/1.1\r\nhost: ", host, &port, "\r\n"]);
        add(&["user-agent: ron-ledgerctl/", env!("CARGO_PKG_VERSION"), "\r\n"]);
        if let Some(token) = token {
            add(&["authorization: Bearer ", token.expose(), "\r\n"]);
        }
        let buffer = Vec::with_capacity(BUFFER_BYTES);
        Connection { place, head, timeout: options.timeout, stream: None, buffer }
    }

    /// Connects ahead of the first request, or leaves that to it.
    pub(super) async fn connect(&mut self) {
        let connected = tokio::time::timeout(self.timeout, self.place.connect()).await;
        self.stream = connected.ok().and_then(Result::ok);
    }

    /// Posts a body, and gives the answer with its body. After a fault the connection is given up,
    /// and the next request makes another one.
    pub(super) async fn post(&mut self, body: &Body) -> Result<(Head, &[u8]), Fault> {
        let answer = tokio::time::timeout(self.timeout, self.exchange(body)).await;
        let (head, place) = answer.map_err(|_| Fault::Late)??;
        Ok((head, &self.buffer[place]))
    }

    async fn exchange(&mut self, body: &Body) -> Result<(Head, Range<usize>), Fault> {
        let mut stream = match self.stream.take().and_then(still_open) {
            Some(stream) => stream,
            None => self.place.connect().await?,
        };
        let Body { format, bytes } = body;
        let (kind, accept, length) = (format.media_type(), format.accept(), bytes.len());
        let rest =
            format!("content-type: {kind}\r\naccept: {accept}\r\ncontent-length: {length}\r\n\r\n");
        let parts = [&self.head[..], rest.as_bytes(), bytes];
        let written = write_all(&mut stream, parts).await;
        match (self.read(&mut stream).await, written) {
            (Ok(answer), Ok(())) => {
                if answer.0.stays {
                    self.stream = Some(stream);
                }
                Ok(answer)
            }
            // A ledger may refuse a body of which it has not read all: its answer says why.
            (Ok(answer), Err(_)) => Ok(answer),
            (Err(_), Err(error)) => Err(error.into()),
            (Err(fault), Ok(())) => Err(fault),
        }
    }

    async fn read(&mut self, stream: &mut Box<dyn Stream>) -> Result<(Head, Range<usize>), Fault> {
        let buffer = &mut self.buffer;
        buffer.clear();
        let (head, start) = loop {
            more(stream, buffer).await?;
            if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break (parse(&buffer[..at]).map_err(Fault::Strange)?, at + 4);
            }
            if buffer.len() > HEAD_BYTES_MAX {
                return Err(Fault::Strange("the head of the answer is longer than 16 KiB"));
            }
        };
        let end = start + head.body_bytes;
        // One byte more than is to come: a read that fills its room is asked for another one.
        buffer.reserve((end + 1).saturating_sub(buffer.len()));
        while buffer.len() < end {
            more(stream, buffer).await?;
        }
        match buffer.len() > end {
            true => Err(Fault::Strange("more than one answer came for a request")),
            false => Ok((head, start..end)),
        }
    }
}

impl Place {
    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Place::Socket(path) => Box::new(UnixStream::connect(path).await?),
            Place::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        })
    }
}

/// The connection, unless the ledger has ended it while it was idle.
fn still_open(mut stream: Box<dyn Stream>) -> Option<Box<dyn Stream>> {
    let mut byte = [0];
    let mut room = ReadBuf::new(&mut byte);
    let mut nobody = Context::from_waker(Waker::noop());
    // A byte that comes without a request is no better than an end.
    Pin::new(&mut stream).poll_read(&mut nobody, &mut room).is_pending().then_some(stream)
}

async fn write_all<const N: usize>(
    stream: &mut Box<dyn Stream>,
    parts: [&[u8]; N],
) -> io::Result<()> {
    let mut slices = parts.map(IoSlice::new);
    let mut left = &mut slices[..];
    while !left.is_empty() {
        match stream.write_vectored(left).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => IoSlice::advance_slices(&mut left, written),
        }
    }
    Ok(())
}

async fn more(stream: &mut Box<dyn Stream>, buffer: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(buffer).await? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was ended")),
        _ => Ok(()),
    }
}

/// Reads what is in front of the empty line (RFC 9112, sections 4 and 6).
fn parse(head: &[u8]) -> Result<Head, &'static str> {
    let text = std::str::from_utf8(head).map_err(|_| "the head of the answer is not a text")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    let status = status.and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.filter(|status| *status >= 200).ok_or("the answer is not of HTTP/1.1")?;
    let (mut length, mut retry_after, mut stays, mut binary) = (None, None, true, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let (is, value) = (|known: &str| name.eq_ignore_ascii_case(known), value.trim());
        if is("content-length") {
            length = value.parse().ok();
        } else if is("retry-after") {
            retry_after = value.parse().ok().map(Duration::from_secs);
        } else if is("content-type") {
            binary = value.eq_ignore_ascii_case(ANSWER);
        } else if is("connection") {
            stays = !value.eq_ignore_ascii_case("close");
        }
    }
    let body_bytes = length.ok_or("the answer does not say its length")?;
    match body_bytes > ANSWER_BYTES_MAX {
        true => Err("the answer is longer than 64 MiB"),
        false => Ok(Head { status, retry_after, binary, body_bytes, stays }),
    }
}

#[cfg(test)]
mod tests;
