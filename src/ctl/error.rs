//! How a command ends: the exit codes, and what a person is told.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::client::ClientError;
use crate::client::workload::SpecError;
use crate::config::ConfigError;

/// The exit codes of `ron-ledgerctl`. Scripts depend on them: they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// The ledger answered, and refused; or it is not ready.
    Refused = 1,
    /// The command line, a configuration or an input file is wrong.
    Usage = 2,
    /// No ledger answers at the address.
    Unreachable = 3,
    /// What was checked is not what it claims to be.
    Unverified = 4,
    /// A failure on this machine: a file, a key, a bug.
    Internal = 5,
}

/// The codes as the help shows them.
pub const EXIT_CODES_HELP: &str = "\
Exit codes:
  0  done
  1  refused by the ledger, or not ready
  2  wrong command line, configuration or input file
  3  no ledger answers at the address
  4  a check of signatures or proofs failed
  5  a failure on this machine: a file, a key";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a command failed, and what to do about it.
#[derive(Debug)]
pub struct CtlError {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl CtlError {
    /// A failure with its exit code.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        CtlError { exit, message: message.to_string(), hint: None }
    }

    /// Wrong input.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A failure on this machine.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(Exit::Internal, message)
    }

    /// Says what to do.
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Writes the message to stderr. A reader of stdout who has gone away needs none.
    pub fn report(&self) {
        if self.exit == Exit::Ok {
            return;
        }
        // There is nowhere else to say that stderr is closed.
        let _ = writeln!(io::stderr(), "{self}");
    }
}

impl fmt::Display for CtlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Of stdout. `head` closes it once it has seen enough, which is no failure.
impl From<io::Error> for CtlError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => CtlError::new(Exit::Ok, "the reader has gone away"),
            _ => CtlError::internal(format_args!("cannot write: {error}")),
        }
    }
}

impl From<ClientError> for CtlError {
    fn from(error: ClientError) -> Self {
        let (exit, hint) = match &error {
            ClientError::Setup(_) => (Exit::Usage, None),
            ClientError::Unreachable { .. } => (
                Exit::Unreachable,
                Some(
                    "is ron-ledgerd running there? --url says where, --socket where its local socket is",
                ),
            ),
            ClientError::Strange { .. } => {
                (Exit::Unreachable, Some("--url must name the API of a ron-ledgerd"))
            }
            ClientError::Refused { status, .. } => {
                let hint = match status {
                    401 => Some("give a token with --token-file; `cap mint` makes one"),
                    403 => Some("`cap inspect --token-file FILE` shows what a token allows"),
                    413 => Some("send smaller requests with --batch"),
                    503 => Some("`status` says what the ledger is waiting for"),
                    _ => None,
                };
                (Exit::Refused, hint)
            }
        };
        CtlError { exit, message: error.to_string(), hint: hint.map(str::to_owned) }
    }
}

impl From<ConfigError> for CtlError {
    fn from(error: ConfigError) -> Self {
        CtlError::usage(error).hint("`config print` shows each value and where it came from")
    }
}

impl From<SpecError> for CtlError {
    fn from(error: SpecError) -> Self {
        CtlError::usage(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::dto::ErrorOut;

    fn refused(status: u16) -> ClientError {
        let body = ErrorOut { reason: "r".into(), details: "d".into(), retry_after_ms: None };
        ClientError::Refused { status, body, retry_after: None }
    }

    #[test]
    fn each_failure_has_its_exit_code() {
        let unreachable = ClientError::Unreachable { url: "u".into(), cause: "c".into() };
        let strange = ClientError::Strange { url: "u".into(), problem: "p".into() };
        let config = ConfigError::Value("v".into());
        let check = |error: CtlError, expected: Exit| assert_eq!(error.exit(), expected, "{error}");
        let unreachable = CtlError::from(unreachable);
        // An order goes by the socket, of which an address says nothing.
        assert!(unreachable.to_string().contains("--socket"), "{unreachable}");
        check(unreachable, Exit::Unreachable);
        check(strange.into(), Exit::Unreachable);
        check(ClientError::Setup("s".into()).into(), Exit::Usage);
        check(config.into(), Exit::Usage);
        check(SpecError::Mix.into(), Exit::Usage);
        check(io::Error::from(io::ErrorKind::BrokenPipe).into(), Exit::Ok);
        check(io::Error::from(io::ErrorKind::StorageFull).into(), Exit::Internal);
        for status in [400, 401, 403, 404, 413, 422, 429, 500, 503, 504] {
            check(refused(status).into(), Exit::Refused);
        }
    }

    #[test]
    fn the_help_lists_every_code() {
        use Exit::*;
        for exit in [Ok, Refused, Usage, Unreachable, Unverified, Internal] {
            let code = exit as u8;
            assert!(EXIT_CODES_HELP.contains(&format!("\n  {code}  ")), "{exit:?}");
        }
    }

    #[test]
    fn a_hint_stands_on_its_own_line() {
        let error: CtlError = refused(401).into();
        let text = error.to_string();
        assert!(text.starts_with("error: refused: r (401): d\nhint: "), "{text}");
    }
}
