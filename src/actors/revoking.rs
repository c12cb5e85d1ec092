//! Revocations: `caps/revoked` in the data directory, and the order that adds to it.
//!
//! An order is in force before it is written, and written before it is answered. When it cannot be
//! written it stays in force until the process ends, and whoever gave it is told so.

use std::path::{Path, PathBuf};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::admin::Admin;
use super::door::Seated;
use super::pipeline::Pipeline;
use super::prevalidator::unix_ms;
use super::probe::Point;
use crate::capability::{REVOKED_BYTES_MAX, Revoked, RevokedFull, Subject};
use crate::storage::files::{
    FileError, check_private, create_dir_private, read_bounded, write_durably,
};

/// The name of the file, in its directory.
const REVOKED_FILE: &str = "revoked";

/// Where revocations outlive the process. One owner: the admin actor.
#[derive(Debug)]
pub struct RevokedFile {
    path: PathBuf,
}

/// Why a revocation is not in force, or not for long.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// There is no room for it.
    #[error(transparent)]
    Full(#[from] RevokedFull),
    /// It is in force, and a restart forgets it.
    #[error("it is in force until a restart, and could not be written: {0}")]
    NotWritten(#[from] FileError),
}

/// Why a node does not start with its revocations.
#[derive(Debug, thiserror::Error)]
pub enum RevokedFileError {
    /// It cannot be read, or is open to others.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not as it was written. Going on without it would let revoked tokens in.
    #[error(
        "{} is damaged: take it from a backup, or remove it and revoke again what must not pass",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl RevokedFile {
    /// The file in `dir`, which is made when it is not there, and what is revoked by it.
    ///
    /// # Errors
    /// [`RevokedFileError`].
    pub fn open(dir: &Path) -> Result<(Self, Revoked), RevokedFileError> {
        create_dir_private(dir)?;
        let path = dir.join(REVOKED_FILE);
        let Some(text) = read_bounded(&path, REVOKED_BYTES_MAX)? else {
            return Ok((RevokedFile { path }, Revoked::default()));
        };
        check_private(&path)?;
        match Revoked::parse(&text) {
            Some(revoked) => Ok((RevokedFile { path }, revoked)),
            None => Err(RevokedFileError::Damaged { path }),
        }
    }

    fn keep(&self, text: &str) -> Result<(), FileError> {
        write_durably(&self.path, text.as_bytes())
    }
}

/// An order to the admin actor.
pub(super) struct Revoke {
    subject: Subject,
    done: oneshot::Sender<Result<(), RevokeError>>,
}

impl Handler<Seated<Revoke>> for Admin {
    type Result = ();

    fn handle(&mut self, revoke: Seated<Revoke>, _: &mut Self::Context) {
        self.probe.hit(Point::AdminHandle);
        let Revoke { subject, done } = revoke.msg;
        let outcome = self.revoke(subject.clone());
        tracing::info!(?subject, outcome = ?outcome.as_ref().err(), "revocation");
        // Whoever asked may have gone; it is in force all the same.
        let _ = done.send(outcome);
    }
}

impl Admin {
    fn revoke(&self, subject: Subject) -> Result<(), RevokeError> {
        self.capabilities.revoke(subject, unix_ms())?;
        if let Some(file) = &self.revoked_file {
            file.keep(&self.capabilities.with_revoked(Revoked::to_text))?;
        }
        Ok(())
    }
}

impl Pipeline {
    /// Revokes a capability id or a root key; `None` when nobody answers.
    ///
    /// # Errors
    /// [`RevokeError`].
    pub async fn revoke(&self, subject: Subject) -> Option<Result<(), RevokeError>> {
        let (done, outcome) = oneshot::channel();
        self.inner.admin.offer(Revoke { subject, done }).ok()?;
        outcome.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn revoked(ids: &[&str]) -> Revoked {
        let mut revoked = Revoked::default();
        ids.iter().for_each(|id| revoked.add(Subject::id(id).unwrap(), 1).unwrap());
        revoked
    }

    #[test]
    fn what_is_kept_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("caps");
        let (file, none) = RevokedFile::open(&dir).unwrap();
        assert!(none.is_empty());
        for ids in [&["a"][..], &["a", "b"]] {
            file.keep(&revoked(ids).to_text()).unwrap();
            assert_eq!(RevokedFile::open(&dir).unwrap().1, revoked(ids));
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&file.path)), (0o700, 0o600));
    }

    #[test]
    fn a_damaged_or_open_file_does_not_pass_for_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("caps");
        let (file, _) = RevokedFile::open(&dir).unwrap();
        let text = revoked(&["a"]).to_text();
        for damaged in ["", &text[1..], &text[..text.len() - 1]] {
            file.keep(damaged).unwrap();
            let error = RevokedFile::open(&dir).unwrap_err();
            assert!(matches!(error, RevokedFileError::Damaged { .. }), "{error}");
        }
        file.keep(&text).unwrap();
        fs::set_permissions(&file.path, Permissions::from_mode(0o644)).unwrap();
        let error = RevokedFile::open(&dir).unwrap_err();
        assert!(matches!(error, RevokedFileError::File(_)), "{error}");
    }
}
