//! `state/mode`: what a restart must find again of the mode. Preallocated and written in place, so that
//! it can be written on a full disk; two slots take turns, so that a torn write leaves the other one.
//!
//! A slot is 512 bytes of text, `ron-ledger mode v1`, `serial N`, `names a,b`, and `digest` with the
//! BLAKE3 of the three lines before it, then spaces.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::Mode;
use crate::storage::files::{FileError, check_private, create_dir_private, sync_dir};

const SLOT_BYTES: usize = 512;
const HEADER: &str = "ron-ledger mode v1";

/// The open file. One owner: the mode's cell.
#[derive(Debug)]
pub struct ModeFile {
    file: File,
    serial: u64,
}

/// Why the mode cannot be remembered.
#[derive(Debug, thiserror::Error)]
pub enum ModeFileError {
    /// The directory or the file is open to others, or cannot be made.
    #[error(transparent)]
    File(#[from] FileError),
    /// It cannot be read or written.
    #[error("the mode file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ModeFile {
    /// Opens `dir/mode`, or makes it with nothing to remember, and gives the mode to start in. One that
    /// cannot be made sense of starts in safe-mode `operator`: somebody has to look.
    ///
    /// # Errors
    /// [`ModeFileError`].
    pub fn open(dir: &Path) -> Result<(Self, Mode), ModeFileError> {
        create_dir_private(dir)?;
        let path = dir.join("mode");
        let failed = |source| ModeFileError::Io { path: path.clone(), source };
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = file.open(&path).map_err(failed)?;
        check_private(&path)?;
        let mut mode_file = ModeFile { file, serial: 0 };
        if mode_file.file.metadata().map_err(failed)?.len() == 0 {
            // Both slots now, so that no later write needs room.
            mode_file.keep(Mode::READY).map_err(failed)?;
            mode_file.keep(Mode::READY).map_err(failed)?;
            sync_dir(dir)?;
        }
        let names = mode_file.newest().map_err(failed)?;
        let mode = names.and_then(|names| Mode::at_start(names.split(',').filter(is_name)).ok());
        let mode = mode.unwrap_or_else(|| {
            tracing::error!(path = %path.display(), "the mode file cannot be read: safe-mode");
            Mode::in_doubt()
        });
        Ok((mode_file, mode))
    }

    /// Remembers the mode, durably.
    ///
    /// # Errors
    /// What the system says; the slot before still stands then.
    pub fn keep(&mut self, mode: Mode) -> io::Result<()> {
        let serial = self.serial + 1;
        let names: Vec<&str> = mode.memory().collect();
        let text = format!("{HEADER}\nserial {serial}\nnames {}\n", names.join(","));
        let mut slot = format!("{text}digest {}\n", blake3::hash(text.as_bytes())).into_bytes();
        debug_assert!(slot.len() <= SLOT_BYTES, "all names together are shorter");
        slot.resize(SLOT_BYTES, b' ');
        self.file.write_all_at(&slot, serial % 2 * SLOT_BYTES as u64)?;
        self.file.sync_data()?;
        self.serial = serial;
        Ok(())
    }

    /// The names in the newest slot that is whole.
    fn newest(&mut self) -> io::Result<Option<String>> {
        let mut bytes = [0; 2 * SLOT_BYTES];
        let read = read_up_to(&self.file, &mut bytes)?;
        let slots = bytes[..read].chunks(SLOT_BYTES).filter_map(parse);
        let newest = slots.max_by_key(|(serial, _)| *serial);
        self.serial = newest.as_ref().map_or(0, |(serial, _)| *serial);
        Ok(newest.map(|(_, names)| names))
    }
}

fn is_name(name: &&str) -> bool {
    !name.is_empty()
}

fn read_up_to(file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}

fn parse(slot: &[u8]) -> Option<(u64, String)> {
    let text = std::str::from_utf8(slot).ok()?;
    let (said, digest) = text.split_once("digest ")?;
    let hash = blake3::hash(said.as_bytes()).to_hex();
    if digest.trim_end() != hash.as_str() {
        return None;
    }
    let mut lines = said.lines();
    let known = lines.next()? == HEADER;
    let serial = lines.next()?.strip_prefix("serial ")?.parse().ok()?;
    let names = lines.next()?.strip_prefix("names ")?.to_owned();
    known.then_some((serial, names))
}

#[cfg(test)]
mod tests {
    use super::super::{Event, Fault};
    use super::*;

    fn names(mode: Mode) -> Vec<&'static str> {
        mode.memory().collect()
    }

    fn frozen() -> Mode {
        Mode::READY.after(Event::Freeze).unwrap()
    }

    #[test]
    fn what_is_kept_is_found_again_and_the_file_never_grows() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("state");
        let (mut file, mode) = ModeFile::open(&dir).unwrap();
        assert!(names(mode).is_empty());
        let gap = frozen().after(Event::FaultFound(Fault::Gap)).unwrap();
        for (mode, expected) in
            [(frozen(), &["frozen"][..]), (gap, &["gap", "frozen"]), (Mode::READY, &[])]
        {
            file.keep(mode).unwrap();
            let (reopened, found) = ModeFile::open(&dir).unwrap();
            assert_eq!(names(found), expected);
            assert_eq!(reopened.serial, file.serial);
            assert_eq!(std::fs::metadata(dir.join("mode")).unwrap().len(), 1024);
        }
    }

    #[test]
    fn a_torn_slot_leaves_the_one_before_and_nonsense_is_safe_mode() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("state");
        let (mut file, _) = ModeFile::open(&dir).unwrap();
        file.keep(frozen()).unwrap();
        let newest = file.serial % 2 * SLOT_BYTES as u64;
        file.file.write_all_at(b"torn", newest + 30).unwrap();
        assert!(names(ModeFile::open(&dir).unwrap().1).is_empty(), "as it was before");
        file.file.write_all_at(b"torn", SLOT_BYTES as u64 - newest + 30).unwrap();
        assert_eq!(names(ModeFile::open(&dir).unwrap().1), ["operator"]);
    }
}
