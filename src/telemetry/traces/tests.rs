//! The exporter towards collectors that take spans, are away, or say nothing.

use std::io::{ErrorKind, Read as _};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use opentelemetry::trace::Tracer as _;

use super::testing::Kept;
use super::*;

/// Far beyond the two seconds of a shutdown: only a hang reaches it.
const HANG: Duration = Duration::from_secs(30);

/// Makes so many spans towards `endpoint` and shuts down, on a thread of its own.
fn trace_and_stop(endpoint: String, spans: usize) -> Result<(), mpsc::RecvTimeoutError> {
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        let traces = Traces::start(&endpoint).unwrap();
        (0..spans).for_each(|_| drop(traces.tracer().start("request")));
        drop(traces);
        done.send(()).unwrap();
    });
    ended.recv_timeout(HANG)
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    (listener, endpoint)
}

#[test]
fn shutdown_sends_what_is_left() {
    let (listener, endpoint) = listener();
    let collector = thread::spawn(move || {
        let mut preface = [0; 24];
        listener.accept().unwrap().0.read_exact(&mut preface).unwrap();
        preface
    });
    assert_eq!(trace_and_stop(endpoint, 1), Ok(()));
    assert_eq!(&collector.join().unwrap(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
}

#[test]
fn without_a_span_nothing_is_sent() {
    let (listener, endpoint) = listener();
    assert_eq!(trace_and_stop(endpoint, 0), Ok(()));
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_collector_that_is_down_or_silent_does_not_hold_the_process() {
    let (down, endpoint) = listener();
    drop(down);
    assert_eq!(trace_and_stop(endpoint, 1), Ok(()));
    let (_silent, endpoint) = listener();
    assert_eq!(trace_and_stop(endpoint, 1), Ok(()));
}

#[test]
fn every_span_is_counted_as_exported_or_dropped() {
    for is_down in [false, true] {
        let (kept, counts) = (Kept { is_down, ..Kept::default() }, Arc::default());
        let provider = provider(kept.clone(), &counts);
        let tracer = provider.tracer(SERVICE);
        (0..5).for_each(|_| drop(tracer.start("request")));
        assert_eq!(provider.force_flush().is_err(), is_down);
        let (exported, dropped) = if is_down { (0, 5) } else { (5, 0) };
        assert_eq!(counts.exported(), exported);
        assert_eq!(counts.dropped_by_export(), dropped);
        assert_eq!(counts.failed_exports(), u64::from(is_down));
        assert_eq!((counts.dropped_by_queue(), kept.spans().len() as u64), (0, exported));
    }
}

#[test]
fn spans_beyond_the_queue_are_dropped_and_counted() {
    let counts = SpanCounts::default();
    assert!((0..SPANS_MAX).all(|_| counts.admits()));
    assert!(!counts.admits() && !counts.admits());
    assert_eq!(counts.dropped_by_queue(), 2);
    counts.sent(512, &Ok(()));
    assert!((0..512).all(|_| counts.admits()));
    assert!(!counts.admits());
}

#[test]
fn dropping_inside_a_runtime_does_not_panic() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (_silent, endpoint) = listener();
    runtime.block_on(async { drop(Traces::start(&endpoint).unwrap()) });
}

#[test]
fn an_endpoint_that_is_no_address_is_an_error() {
    assert!(matches!(Traces::start("no address").err(), Some(TelemetryError::Exporter(_))));
}
