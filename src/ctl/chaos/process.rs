//! The daemon's process as seen from here: when it has ended, and what starts it again.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

use super::super::CtlError;

/// A process that can be waited for, though it is not a child.
pub(super) struct Process {
    handle: AsyncFd<OwnedFd>,
}

impl Process {
    /// The one that listens on the socket, as the kernel says.
    pub(super) async fn behind(socket: &Path) -> Result<Self, CtlError> {
        let failed = |what: &dyn std::fmt::Display| {
            CtlError::internal(format_args!("cannot find the process behind the socket: {what}"))
        };
        let stream = UnixStream::connect(socket).await.map_err(|error| failed(&error))?;
        let credentials = stream.peer_cred().map_err(|error| failed(&error))?;
        let pid = credentials.pid().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| failed(&"it is in another namespace"))?;
        let handle = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| failed(&error))?;
        let handle = AsyncFd::register_with_interest(handle, Interest::READABLE);
        Ok(Process { handle: handle.map_err(|error| failed(&error))? })
    }

    /// Returns when it has.
    pub(super) async fn ended(&self) {
        // A handle of a process becomes readable with its end; an error says that it cannot be watched
        // any longer, and whoever waits finds out by asking the ledger.
        let _ = self.handle.readable().await;
    }
}

/// Starts a shell's command line that outlives this program and says nothing to its terminal.
pub(super) fn start(line: &str) -> Result<(), CtlError> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = command.spawn();
    // Not waited for: it may be the daemon itself.
    started.map(drop).map_err(|error| CtlError::internal(format_args!("--exec: {error}")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_process_that_listens_is_found_and_still_runs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        assert!(Process::behind(&path).await.is_err());
        let _listener = tokio::net::UnixListener::bind(&path).unwrap();
        let own = Process::behind(&path).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_millis(20), own.ended()).await;
        assert!(ended.is_err(), "this process has not ended");
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_seen_before_anyone_has_waited_for_it() {
        let mut child = Command::new("/bin/sh").args(["-c", "exit 0"]).spawn().unwrap();
        let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        let process = Process {
            handle: AsyncFd::register_with_interest(handle, Interest::READABLE).unwrap(),
        };
        process.ended().await;
        child.wait().unwrap();
    }
}
