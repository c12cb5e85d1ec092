//! The local socket: made anew at each start, for this user's own and those whom the configuration
//! names, and taken away at the end.

use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::http::Caller;

/// Owner and group may connect; who of them gets an answer is decided by `uds.allow_uids`.
const MODE: u32 = 0o660;

/// A socket file, removed when dropped.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
}

impl Socket {
    /// Binds; a socket that nobody listens on any more is taken over.
    pub(super) fn bind(path: &Path) -> io::Result<(Self, UnixListener)> {
        match UnixStream::connect(path) {
            Ok(_) => return Err(io::Error::new(ErrorKind::AddrInUse, "another process serves it")),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)?
            }
            Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        let socket = Socket { path: path.to_owned() };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
        Ok((socket, listener))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A new process may have taken it over; then there is nothing of ours to remove.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Who is connected; `None` when the kernel does not say, which lets nobody in.
pub(super) fn caller(stream: &tokio::net::UnixStream, allowed: &[u32]) -> Option<Caller> {
    let credentials = stream.peer_cred().ok()?;
    let uid = credentials.uid();
    let own = rustix::process::geteuid().as_raw();
    let is_allowed = uid == 0 || uid == own || allowed.contains(&uid);
    Some(Caller::local(uid, credentials.pid(), is_allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_taken_over_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (first, listener) = Socket::bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(Socket::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        // As after kill -9: the file stays, nobody listens.
        drop(listener);
        std::mem::forget(first);
        let (again, _listener) = Socket::bind(&path).unwrap();
        drop(again);
        assert!(!path.exists());
        assert!(Socket::bind(&dir.path().join("missing/s")).is_err());
    }
}
