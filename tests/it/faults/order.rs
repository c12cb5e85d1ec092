//! An answer leaves the process only after an fsync that began after its request had come: seen by the
//! system calls of a running daemon.

use super::told::{Told, workload};
use super::tracer::{Tracer, can_attach};
use crate::support::daemon::{Daemon, PATIENT};
use crate::support::keys::Keys;

const REQUESTS: usize = 50;

/// What a line of a trace means here. A call that another one interrupts has two lines.
#[derive(Debug, PartialEq)]
enum Event {
    Came,
    SyncBegins,
    SyncEnds,
    Answered,
}

fn events(trace: &str) -> Vec<Event> {
    let mut found = Vec::new();
    for line in trace.lines() {
        let is_sync = line.contains("fdatasync");
        let is_resumed = line.contains(" resumed>");
        if line.contains("POST /ingest ") {
            // The bytes are there when the call has returned.
            found.push(Event::Came);
        } else if line.contains("\"HTTP/1.1 2") {
            found.push(Event::Answered);
        } else if is_sync && !is_resumed && line.contains("/truth/") {
            found.push(Event::SyncBegins);
        }
        if is_sync && line.ends_with("= 0") {
            found.push(Event::SyncEnds);
        }
    }
    found
}

/// Answers, and how many of them came too early.
fn answers(trace: &str) -> (usize, usize) {
    let (mut all, mut early) = (0, 0);
    let (mut begun, mut ended) = (false, false);
    for event in events(trace) {
        match event {
            Event::Came => (begun, ended) = (false, false),
            Event::SyncBegins => begun = true,
            Event::SyncEnds => ended = begun,
            Event::Answered => {
                all += 1;
                early += usize::from(!ended);
            }
        }
    }
    (all, early)
}

#[actix_rt::test]
async fn no_answer_leaves_before_its_fsync() {
    if !can_attach() {
        return;
    }
    let keys = Keys::new();
    let node = Daemon::start(&keys, "macronode", &PATIENT);
    let client = node.client(&keys.master());
    let (mut requests, mut told) = (workload(31), Told::default());
    // The connection is there, and the capability is known.
    told.send(&client, &requests.next().unwrap()).await.unwrap();
    let calls = "-etrace=fdatasync,read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg";
    let tracer = Tracer::attach(node.pid(), &[calls.to_owned(), "-s64".to_owned()]);
    for request in requests.take(REQUESTS) {
        told.send(&client, &request).await.unwrap();
    }
    let trace = tracer.detach();
    assert_eq!(answers(&trace), (REQUESTS, 0), "{trace}");
    // The same eyes see a ledger that does not sync, and one that syncs too late.
    let without: Vec<&str> = trace.lines().filter(|line| !line.contains("fdatasync")).collect();
    assert_eq!(answers(&without.join("\n")), (REQUESTS, REQUESTS));
    assert_eq!(node.stop().0, Some(0));
}

#[test]
fn an_fsync_that_began_before_the_request_does_not_count() {
    let came = "1 recvfrom(9<socket:[1]>, \"POST /ingest HTTP/1.1\"..., 4096, 0, NULL, NULL) = 700";
    let answered = "1 sendto(9<socket:[1]>, \"HTTP/1.1 200 OK\"..., 300, 0, NULL, 0) = 300";
    let sync = "2 fdatasync(11</data/truth/000008.log>) = 0";
    let begins = "2 fdatasync(11</data/truth/000008.log> <unfinished ...>";
    let ends = "2 <... fdatasync resumed>) = 0";
    for (lines, early) in [
        (vec![came, sync, answered], 0),
        (vec![came, begins, ends, answered], 0),
        (vec![came, begins, answered, ends], 1),
        (vec![begins, came, ends, answered], 1),
        (vec![sync, came, answered], 1),
    ] {
        assert_eq!(answers(&lines.join("\n")), (1, early), "{lines:?}");
    }
}
