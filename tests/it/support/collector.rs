//! A collector of traces that keeps every byte it is sent: as much of HTTP/2 and gRPC as it takes for an
//! exporter to go on sending.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const PREFACE_BYTES: usize = 24;
const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// Types of frames, of RFC 9113.
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const WINDOW_UPDATE: u8 = 0x8;

/// `:status: 200`, by its number in the table of RFC 7541.
const STATUS_200: &[u8] = &[0x88];
/// Names and values as they are.
const GRPC: &[u8] = b"\x00\x0ccontent-type\x10application/grpc";
const GRPC_OK: &[u8] = b"\x00\x0bgrpc-status\x010";

/// Listens until the process ends.
pub struct Collector {
    pub endpoint: String,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(stream, &kept));
            }
        });
        Collector { endpoint, seen }
    }

    /// All data frames so far, one after the other.
    pub fn seen(&self) -> Vec<u8> {
        self.seen.lock().unwrap().clone()
    }
}

/// Until the exporter hangs up.
fn serve(mut stream: TcpStream, seen: &Mutex<Vec<u8>>) -> io::Result<()> {
    stream.read_exact(&mut [0; PREFACE_BYTES])?;
    send(&mut stream, SETTINGS, 0, 0, &[])?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let (kind, flags) = (head[3], head[4]);
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload)?;
        match kind {
            SETTINGS if flags & ACK == 0 => send(&mut stream, SETTINGS, ACK, 0, &[])?,
            PING if flags & ACK == 0 => send(&mut stream, PING, ACK, 0, &payload)?,
            DATA => {
                seen.lock().unwrap().extend_from_slice(&payload);
                if length > 0 {
                    send(&mut stream, WINDOW_UPDATE, 0, 0, &length.to_be_bytes())?;
                }
                if flags & END_STREAM != 0 {
                    let answer = [STATUS_200, GRPC].concat();
                    send(&mut stream, HEADERS, END_HEADERS, id, &answer)?;
                    // An empty message: nothing was turned down.
                    send(&mut stream, DATA, 0, id, &[0; 5])?;
                    send(&mut stream, HEADERS, END_HEADERS | END_STREAM, id, GRPC_OK)?;
                } else if length > 0 {
                    send(&mut stream, WINDOW_UPDATE, 0, id, &length.to_be_bytes())?;
                }
            }
            _ => {}
        }
    }
}

fn send(stream: &mut TcpStream, kind: u8, flags: u8, id: u32, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &id.to_be_bytes()].concat();
    stream.write_all(&[&head, payload].concat())
}
