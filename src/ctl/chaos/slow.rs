//! Connections that send a byte now and then, to hold as much of the ledger for as long as they can.
//!
//! Half of them never finish the head of their request, the others never its body. One that is cut
//! comes again.

use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

/// Between two bytes.
const PAUSE: Duration = Duration::from_secs(1);

/// Before a connection that was refused, or cut, comes again.
const AGAIN: Duration = Duration::from_millis(100);

const HEAD: &str = "POST /ingest HTTP/1.1\r\nHost: slow\r\nX-Slow: ";
const BODY: &str = "POST /ingest HTTP/1.1\r\nHost: slow\r\nContent-Type: application/json\r\n\
                    Content-Length: 4096\r\n\r\n";

/// What became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Slow {
    /// Connections that were open at a time, as asked for.
    pub(super) wanted: u32,
    /// Connections that were made in all.
    pub(super) opened: u64,
    /// Ended by the ledger.
    pub(super) cut: u64,
    /// Could not be made.
    pub(super) refused: u64,
    /// The longest that one was borne.
    pub(super) longest_seconds: f64,
}

impl Slow {
    fn add(&mut self, one: Slow) {
        self.opened += one.opened;
        self.cut += one.cut;
        self.refused += one.refused;
        self.longest_seconds = self.longest_seconds.max(one.longest_seconds);
    }
}

/// Holds `conns` of them to `host:port`, for so long.
pub(super) async fn hold(host: &str, conns: u32, lasting: Duration) -> Slow {
    let end = Instant::now() + lasting;
    let mut all = JoinSet::new();
    for at in 0..conns {
        let text = if at % 2 == 0 { HEAD } else { BODY };
        all.spawn(hold_one(host.to_owned(), text, end));
    }
    let mut sum = Slow { wanted: conns, ..Slow::default() };
    while let Some(ended) = all.join_next().await {
        sum.add(ended.expect("a connection neither panics nor is cancelled"));
    }
    sum
}

async fn hold_one(host: String, text: &'static str, end: Instant) -> Slow {
    let mut sum = Slow::default();
    while Instant::now() < end {
        let Ok(Ok(stream)) = timeout_at(end, TcpStream::connect(&host)).await else {
            sum.refused += 1;
            sleep(AGAIN).await;
            continue;
        };
        let began = Instant::now();
        sum.opened += 1;
        let is_cut = timeout_at(end, until_cut(stream, text)).await.is_ok();
        sum.cut += u64::from(is_cut);
        sum.longest_seconds = sum.longest_seconds.max(began.elapsed().as_secs_f64());
        if is_cut {
            sleep(AGAIN).await;
        }
    }
    sum
}

/// Ends when the other side does, in whichever way.
async fn until_cut(mut stream: TcpStream, text: &str) {
    let (mut from, mut to) = stream.split();
    let drip = async {
        if to.write_all(text.as_bytes()).await.is_err() {
            return;
        }
        while to.write_all(b"x").await.is_ok() {
            sleep(PAUSE).await;
        }
    };
    let listen = async {
        let mut answer = [0; 1024];
        while from.read(&mut answer).await.is_ok_and(|bytes| bytes > 0) {}
    };
    tokio::select! {
        () = drip => {}
        () = listen => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_that_is_cut_comes_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let cutter = tokio::spawn(async move {
            let mut served = 0;
            while served < 6 {
                drop(listener.accept().await.unwrap());
                served += 1;
            }
            listener.accept().await.unwrap()
        });
        let slow = hold(&host, 1, Duration::from_secs(2)).await;
        let _held = cutter.await.unwrap();
        assert_eq!((slow.opened, slow.cut, slow.refused), (7, 6, 0), "{slow:?}");
        assert!(slow.longest_seconds > 0.0);
    }

    #[tokio::test]
    async fn nobody_there_is_told() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let slow = hold(&free.to_string(), 2, Duration::from_millis(10)).await;
        assert_eq!((slow.wanted, slow.opened, slow.refused), (2, 0, 2));
    }
}
