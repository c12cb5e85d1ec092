//! Tells systemd how the process is, by the protocol of `sd_notify(3)`: one datagram for each change, to
//! the socket that `NOTIFY_SOCKET` names. Without it, nothing is told to anyone.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The way to whoever supervises the process.
#[derive(Debug, Default)]
pub(super) struct Notify {
    to: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// As the environment says.
    pub(super) fn from_process() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET");
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        // Meant for another process of the unit, when it names one.
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|_| is_ours).map(Duration::from_micros);
        socket.map(|path| Self::to(path.as_bytes(), watchdog)).unwrap_or_default()
    }

    /// A path, or after `@` a name without a file.
    fn to(path: &[u8], watchdog: Option<Duration>) -> Self {
        let addr = match path.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path)),
        };
        let socket = UnixDatagram::unbound().and_then(|socket| {
            socket.set_nonblocking(true)?;
            Ok((socket, addr?))
        });
        match socket {
            Ok(to) => Notify { to: Some(to), watchdog },
            Err(error) => {
                tracing::warn!(%error, "NOTIFY_SOCKET cannot be used: systemd is told nothing");
                Notify::default()
            }
        }
    }

    /// How often to say that all is well: twice as often as it is waited for.
    pub(super) fn watchdog_interval(&self) -> Option<Duration> {
        self.to.as_ref()?;
        self.watchdog.map(|limit| limit / 2).filter(|interval| !interval.is_zero())
    }

    /// Everything that was to start is started.
    pub(super) fn ready(&self) {
        self.send("READY=1");
    }

    /// It ends.
    pub(super) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// It gets on with its work.
    pub(super) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// For people: one line.
    pub(super) fn status(&self, line: &str) {
        self.send(&format!("STATUS={line}"));
    }

    /// Nobody waits for it and a full socket loses it: what matters is said again.
    fn send(&self, state: &str) {
        let Some((socket, addr)) = &self.to else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), addr) {
            tracing::warn!(%error, state, "systemd could not be told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_a_datagram_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let abstract_name = format!("ron-ledger-test-{}", std::process::id());
        let named = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        for (listener, at) in [
            (UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap().to_owned()),
            (UnixDatagram::bind_addr(&named).unwrap(), format!("@{abstract_name}")),
        ] {
            let notify = Notify::to(at.as_bytes(), Some(Duration::from_secs(30)));
            assert_eq!(notify.watchdog_interval(), Some(Duration::from_secs(15)));
            notify.ready();
            notify.status("ready");
            notify.alive();
            notify.stopping();
            let mut buffer = [0; 64];
            for expected in ["READY=1", "STATUS=ready", "WATCHDOG=1", "STOPPING=1"] {
                let bytes = listener.recv(&mut buffer).unwrap();
                assert_eq!(&buffer[..bytes], expected.as_bytes());
            }
        }
    }

    #[test]
    fn nobody_listening_is_no_reason_to_fail() {
        Notify::default().ready();
        let gone = Notify::to(b"/nowhere/at/all", Some(Duration::from_secs(1)));
        gone.ready();
        let unfit = Notify::to(&[b'x'; 200], Some(Duration::from_secs(1)));
        assert_eq!(unfit.watchdog_interval(), None);
    }
}
