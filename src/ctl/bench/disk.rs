//! What a data directory takes on its disk: tables, and apart from them the log, whose files are used
//! again and again and do not grow with the ledger.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::Serialize;

use crate::storage::engine::DELETING;

/// The deepest directory that is looked into.
const DEPTH_MAX: u32 = 8;

/// The kernel's unit of `st_blocks`, whatever the file system (stat(2)).
const BLOCK_BYTES: u64 = 512;

/// Bytes of blocks on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Disk {
    /// Table files.
    pub(super) table_bytes: u64,
    /// Files of write-ahead logs.
    pub(super) log_bytes: u64,
    /// All others.
    pub(super) other_bytes: u64,
}

impl Disk {
    /// All files below `dir`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn of(dir: &Path) -> io::Result<Self> {
        let mut disk = Disk::default();
        disk.add(dir, DEPTH_MAX)?;
        Ok(disk)
    }

    fn add(&mut self, dir: &Path, depth: u32) -> io::Result<()> {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            // Compactions take files away meanwhile.
            let Ok(about) = entry.metadata() else { continue };
            if about.is_dir() && depth > 0 && entry.file_name() != DELETING {
                self.add(&entry.path(), depth - 1)?;
            }
            if about.is_file() {
                let name = entry.file_name();
                let sum = match Path::new(&name).extension().and_then(|end| end.to_str()) {
                    Some("sst") => &mut self.table_bytes,
                    Some("log") => &mut self.log_bytes,
                    _ => &mut self.other_bytes,
                };
                *sum += about.blocks() * BLOCK_BYTES;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_logs_and_the_rest_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("truth")).unwrap();
        for (name, bytes) in [("truth/1.sst", 9_000), ("truth/2.log", 5_000), ("truth/LOG", 1)] {
            std::fs::write(dir.path().join(name), vec![7; bytes]).unwrap();
        }
        let disk = Disk::of(dir.path()).unwrap();
        assert!(disk.table_bytes >= 9_000 && disk.log_bytes >= 5_000, "{disk:?}");
        assert!(disk.table_bytes > disk.log_bytes && disk.log_bytes > disk.other_bytes, "{disk:?}");
        std::fs::create_dir(dir.path().join("truth").join(DELETING)).unwrap();
        let (table, second) = ("truth/1.sst", "truth/deleting/1.sst");
        std::fs::hard_link(dir.path().join(table), dir.path().join(second)).unwrap();
        assert_eq!(Disk::of(dir.path()).unwrap(), disk);
        assert!(Disk::of(&dir.path().join("missing")).is_err());
    }
}
