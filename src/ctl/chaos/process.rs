//! The daemon's process as seen from here: when it has ended, and what starts it again.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::sleep;

use super::super::CtlError;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// A process that can be waited for, though it is not a child.
#[derive(Debug)]
pub(super) struct Process {
    /// `/proc/PID/stat`.
    stat: PathBuf,
    /// What tells it from a later one of the same number.
    born: String,
}

impl Process {
    /// The one that listens on the socket, as the kernel says.
    pub(super) async fn behind(socket: &Path) -> Result<Self, CtlError> {
        let failed = |what: &str| {
            CtlError::internal(format_args!("cannot find the process behind the socket: {what}"))
        };
        let stream =
            UnixStream::connect(socket).await.map_err(|error| failed(&error.to_string()))?;
        let credentials = stream.peer_cred().map_err(|error| failed(&error.to_string()))?;
        let pid = credentials.pid().filter(|pid| *pid > 0);
        let pid = pid.ok_or_else(|| failed("it is in another namespace"))?;
        Self::numbered(pid).ok_or_else(|| failed("/proc does not show it"))
    }

    fn numbered(pid: i32) -> Option<Self> {
        let stat = PathBuf::from(format!("/proc/{pid}/stat"));
        let born = born(&std::fs::read_to_string(&stat).ok()?)?;
        Some(Process { stat, born })
    }

    /// Returns when it has.
    pub(super) async fn ended(&self) {
        let lives = || born(&std::fs::read_to_string(&self.stat).ok()?);
        while lives().as_ref() == Some(&self.born) {
            sleep(PAUSE).await;
        }
    }
}

/// The start time in a line of `/proc/PID/stat` (proc(5), field 22), unless the process is dead and
/// only waits for its parent to hear of it (field 3).
fn born(stat: &str) -> Option<String> {
    // The name is in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    (!matches!(state, "Z" | "X")).then(|| fields.nth(18).map(str::to_owned))?
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
        let mut command = Command::new("/bin/sh");
        let mut child = command.args(["-c", "read x"]).stdin(Stdio::piped()).spawn().unwrap();
        let process = Process::numbered(child.id().try_into().unwrap()).unwrap();
        child.kill().unwrap();
        process.ended().await;
        child.wait().unwrap();
        process.ended().await;
    }

    #[test]
    fn a_start_time_is_read_whatever_the_name_is() {
        let rest: Vec<String> = (4..=52).map(|field| field.to_string()).collect();
        let line = |state: &str| format!("17 (a ) Z (b) {state} {}", rest.join(" "));
        assert_eq!(born(&line("S")).as_deref(), Some("22"));
        assert_eq!(born(&line("Z")), None);
        assert_eq!(born("17 (a"), None);
    }
}
