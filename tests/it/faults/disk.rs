//! A disk as the system calls of a run have left it: what was made durable, and what a loss of power
//! may still take.
//!
//! Nothing is granted that POSIX does not promise. A file keeps what was written before an fsync of
//! it began that has returned; a name is kept once its folder was fsynced. Of the rest any part may be
//! there: names in their order, writes as a prefix, torn, or with holes. Folders are taken to be there.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rand::RngExt as _;
use rand::rngs::StdRng;
use ron_ledger::storage::files::create_dir_private;

use super::calls::Call;

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Resize(usize),
}

/// Changes in their order, of which the first so many are durable.
#[derive(Clone)]
struct Changes<T> {
    all: Vec<T>,
    durable: usize,
}

impl<T> Default for Changes<T> {
    fn default() -> Self {
        Changes { all: Vec::new(), durable: 0 }
    }
}

#[derive(Clone)]
enum Naming {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

/// What a descriptor stands for.
#[derive(Clone)]
enum Open {
    File { file: usize, at: usize },
    Folder(PathBuf),
}

#[derive(Default)]
pub struct Disk {
    root: PathBuf,
    files: Vec<Changes<Change>>,
    /// By folder.
    names: BTreeMap<PathBuf, Changes<Naming>>,
    /// What a process sees that runs.
    live: BTreeMap<PathBuf, usize>,
    open: HashMap<i64, Open>,
    /// An fsync that has begun, by thread: of what, and how much of it there was.
    syncing: HashMap<u32, (Open, usize)>,
    lies: bool,
}

impl Disk {
    /// Without anything below `root`.
    pub fn new(root: &Path) -> Self {
        Disk { root: root.into(), ..Disk::default() }
    }

    /// One that forgets what an fdatasync was to keep.
    pub fn that_lies(root: &Path) -> Self {
        Disk { lies: true, ..Disk::new(root) }
    }

    /// Another process has no descriptors of the last one.
    pub fn next_process(&mut self) {
        self.open.clear();
        self.syncing.clear();
    }

    fn name(&mut self, path: &Path, naming: Naming) {
        self.names.entry(path.parent().unwrap().into()).or_default().all.push(naming);
    }

    fn is_ours(&self, path: &Path) -> bool {
        path.starts_with(&self.root)
    }

    /// A call begins. An fsync covers what is there now, and a descriptor may be given out again
    /// before its close has returned.
    pub fn begin(&mut self, call: &Call) {
        if call.name == "close" {
            self.open.remove(&call.number(0));
        }
        if call.name != "fsync" && (call.name != "fdatasync" || self.lies) {
            return;
        }
        let Some(open) = self.open.get(&call.number(0)).cloned() else { return };
        let changes = match &open {
            Open::File { file, .. } => self.files[*file].all.len(),
            Open::Folder(path) => self.names.entry(path.clone()).or_default().all.len(),
        };
        self.syncing.insert(call.thread, (open, changes));
    }

    /// A call has returned.
    pub fn end(&mut self, call: &Call) {
        if call.result < 0 {
            return;
        }
        match &*call.name {
            "openat" => self.opened(call),
            "write" => self.written(call, None),
            "pwrite64" => self.written(call, Some(call.number(3) as usize)),
            "lseek" => {
                if let Some(Open::File { at, .. }) = self.open.get_mut(&call.number(0)) {
                    *at = call.result as usize;
                }
            }
            "ftruncate" => {
                if let Some(Open::File { file, .. }) = self.open.get(&call.number(0)) {
                    self.files[*file].all.push(Change::Resize(call.number(1) as usize));
                }
            }
            "fsync" | "fdatasync" => self.synced(call.thread),
            "link" if self.is_ours(&call.path(1)) => self.linked(&call.path(0), call.path(1)),
            "linkat" if self.is_ours(&call.path(3)) => self.linked(&call.path(1), call.path(3)),
            "unlink" if self.is_ours(&call.path(0)) => {
                self.live.remove(&call.path(0));
                self.name(&call.path(0), Naming::Unlink(call.path(0)));
            }
            "rename" if self.is_ours(&call.path(0)) => {
                let (from, to) = (call.path(0), call.path(1));
                let file = self.live.remove(&from).expect("a file of this run");
                self.live.insert(to.clone(), file);
                self.name(&to, Naming::Rename(from.clone(), to.clone()));
            }
            _ => (),
        }
    }

    fn linked(&mut self, from: &Path, to: PathBuf) {
        let file = self.live[from];
        self.live.insert(to.clone(), file);
        self.name(&to, Naming::Link(to.clone(), file));
    }

    fn opened(&mut self, call: &Call) {
        let path = call.path(1);
        if !self.is_ours(&path) {
            return;
        }
        let flags = &call.arguments[2];
        if path.is_dir() || flags.contains("O_DIRECTORY") {
            self.open.insert(call.result, Open::Folder(path));
            return;
        }
        let known = self.live.get(&path).copied();
        if known.is_none() && !flags.contains("O_CREAT") {
            return;
        }
        let file = known.unwrap_or_else(|| {
            self.files.push(Changes::default());
            let file = self.files.len() - 1;
            self.live.insert(path.clone(), file);
            self.name(&path, Naming::Link(path.clone(), file));
            file
        });
        if flags.contains("O_TRUNC") {
            self.files[file].all.push(Change::Resize(0));
        }
        let at = if flags.contains("O_APPEND") { self.content(file).len() } else { 0 };
        self.open.insert(call.result, Open::File { file, at });
    }

    fn written(&mut self, call: &Call, at: Option<usize>) {
        let Some(Open::File { file, at: next }) = self.open.get_mut(&call.number(0)) else {
            return;
        };
        let bytes = call.bytes(1)[..call.result as usize].to_vec();
        let place = at.unwrap_or(*next);
        if at.is_none() {
            *next += bytes.len();
        }
        self.files[*file].all.push(Change::Write(place, bytes));
    }

    fn synced(&mut self, thread: u32) {
        let Some((open, changes)) = self.syncing.remove(&thread) else { return };
        let durable = match open {
            Open::File { file, .. } => &mut self.files[file].durable,
            Open::Folder(path) => &mut self.names.get_mut(&path).expect("it was counted").durable,
        };
        *durable = changes.max(*durable);
    }

    fn content(&self, file: usize) -> Vec<u8> {
        applied(self.files[file].all.iter())
    }

    /// Panics where the files below the root are not what the calls say.
    pub fn assert_is_real(&self) {
        for (path, file) in &self.live {
            assert!(fs::read(path).unwrap() == self.content(*file), "{}", path.display());
        }
    }

    /// Writes into `to` what a loss of power now leaves, one of many ways.
    pub fn crash_into(&self, to: &Path, random: &mut StdRng) {
        let mut live = BTreeMap::<&Path, usize>::new();
        for changes in self.names.values() {
            let kept = random.random_range(changes.durable..=changes.all.len());
            for naming in &changes.all[..kept] {
                match naming {
                    Naming::Link(path, file) => drop(live.insert(path, *file)),
                    Naming::Unlink(path) => drop(live.remove(&**path)),
                    Naming::Rename(from, to) => {
                        let file = live.remove(&**from).expect("names change in their order");
                        live.insert(to, file);
                    }
                }
            }
        }
        create_dir_private(to).unwrap();
        for (path, file) in live {
            let place = to.join(path.strip_prefix(&self.root).unwrap());
            create_dir_private(place.parent().unwrap()).unwrap();
            fs::write(place, self.left_of(&self.files[file], random)).unwrap();
        }
    }

    fn left_of(&self, changes: &Changes<Change>, random: &mut StdRng) -> Vec<u8> {
        let (durable, rest) = changes.all.split_at(changes.durable);
        let kept = random.random_range(0..=rest.len());
        let has_holes = random.random_bool(0.3);
        let mut left: Vec<Change> = durable.to_vec();
        left.extend(rest[..kept].iter().filter(|_| !has_holes || random.random_bool(0.5)).cloned());
        if let Some(Change::Write(at, bytes)) = rest.get(kept) {
            // Torn.
            let bytes = bytes[..random.random_range(0..=bytes.len())].to_vec();
            left.push(Change::Write(*at, bytes));
        }
        applied(left.iter())
    }
}

fn applied<'a>(changes: impl Iterator<Item = &'a Change>) -> Vec<u8> {
    let mut content = Vec::new();
    for change in changes {
        match change {
            Change::Resize(len) => content.resize(*len, 0),
            Change::Write(at, bytes) if !bytes.is_empty() => {
                content.resize(content.len().max(at + bytes.len()), 0);
                content[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Change::Write(..) => (),
        }
    }
    content
}

/// A path as its bytes are.
pub fn path_of(bytes: &[u8]) -> PathBuf {
    std::ffi::OsStr::from_bytes(bytes).into()
}
