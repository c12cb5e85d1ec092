//! A micronode leaves no file anywhere: seen by its system calls, where `strace` is there and may
//! trace, and always by what it holds open and by what is on disk afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::daemon::Daemon;
use crate::support::keys::Keys;
use crate::support::picture::Picture;
use crate::support::sending::{requests, send_all, spec};

/// A tracer that takes longer to write its end has hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// A life as any other: it ingests, is read, and stops. Returns its pid and what it held open for
/// writing.
async fn live(keys: &Keys, profile: &str, command: Command) -> (u32, BTreeSet<PathBuf>) {
    let mut node = Daemon::spawn_by(command, keys, profile, &[("derived.flush_entries", "100")]);
    node.await_line("ready=1");
    let client = node.client(&keys.master());
    send_all(&client, requests(spec(1_000, 3), 50)).await;
    let picture = Picture::take(&client).await;
    picture.check_published(&client).await;
    let (pid, open) = (node.pid(), open_for_writing(node.pid()));
    let (code, _, log) = node.stop();
    assert_eq!(code, Some(0), "{log:#?}");
    (pid, open)
}

/// With a home and a place for temporary files inside of the watched directory.
fn at_home(mut command: Command, dir: &Path) -> Command {
    for (variable, name) in [("HOME", "home"), ("TMPDIR", "tmp")] {
        let path = dir.join(name);
        fs::create_dir_all(&path).unwrap();
        command.env(variable, path);
    }
    command
}

/// Regular files that a process holds open for writing.
fn open_for_writing(pid: u32) -> BTreeSet<PathBuf> {
    let writable = |fd: &Path| {
        let number = fd.file_name().unwrap().to_str().unwrap();
        // Gone since the directory was read.
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        let access = u32::from_str_radix(flags, 8).unwrap() & 0o3;
        let target = fs::read_link(fd).ok()?;
        (fs::metadata(fd).ok()?.is_file() && access != 0).then_some(target)
    };
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    fds.filter_map(|fd| writable(&fd.unwrap().path())).collect()
}

/// Every path below `dir` with its size and time of change.
fn tree(dir: &Path) -> BTreeSet<(PathBuf, u64, i64, i64)> {
    let mut found = BTreeSet::new();
    for item in fs::read_dir(dir).unwrap() {
        let path = item.unwrap().path();
        let of = fs::symlink_metadata(&path).unwrap();
        found.insert((path.clone(), of.size(), of.ctime(), of.ctime_nsec()));
        if of.is_dir() {
            found.extend(tree(&path));
        }
    }
    found
}

/// Lines of a trace that change, or may change, what is on disk.
fn writes(trace: &str) -> Vec<&str> {
    const HARMLESS: [&str; 2] = ["\"/dev/null\"", "\"/dev/tty\""];
    let changes = |line: &&str| {
        // "pid  call(arguments) = result"; a call may be cut in two, and begins with the first.
        let call = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        let Some((name, arguments)) = call.split_once('(') else { return false };
        match name {
            "open" | "openat" | "openat2" => {
                let flags = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND", "O_TMPFILE"];
                flags.iter().any(|flag| arguments.contains(flag))
                    && !HARMLESS.iter().any(|path| arguments.contains(path))
            }
            _ => {
                let changing = [
                    "creat",
                    "rename",
                    "mkdir",
                    "rmdir",
                    "unlink",
                    "link",
                    "symlink",
                    "truncate",
                    "ftruncate",
                    "mknod",
                    "chmod",
                    "fchmodat",
                    "chown",
                    "lchown",
                    "fchownat",
                    "utime",
                    "setxattr",
                    "lsetxattr",
                    "removexattr",
                    "fallocate",
                ];
                changing.iter().any(|word| name.starts_with(word))
            }
        }
    };
    trace.lines().filter(changes).collect()
}

/// The program under a tracer that is not its parent: pid and exit code are the program's own.
fn traced(trace: &Path) -> Command {
    let mut command = Command::new("strace");
    command.env_clear().args(["-D", "-f", "-q", "-o"]).arg(trace);
    command.args(["-e", "trace=%file,ftruncate,fallocate", "-e", "signal=none"]);
    command.arg(env!("CARGO_BIN_EXE_ron-ledgerd"));
    command
}

/// Whether a trace can be had here; says why not.
fn can_trace() -> bool {
    let mut tracer = Command::new("strace");
    let tracer = tracer.args(["-qq", "-e", "trace=none", "true"]).stderr(Stdio::null());
    let able = tracer.status().is_ok_and(|status| status.success());
    if !able {
        println!("SKIPPED: strace is not installed, or may not trace here");
    }
    able
}

/// The whole trace of a life.
async fn trace_of(profile: &str) -> String {
    let (keys, out) = (Keys::new(), tempfile::tempdir().unwrap());
    let path = out.path().join("trace");
    let (pid, _) = live(&keys, profile, at_home(traced(&path), keys.dir())).await;
    // The tracer ends after the program, whose first thread is the last to end.
    let (started, end) = (Instant::now(), format!("{pid} +++ exited with 0 +++"));
    loop {
        let trace = fs::read_to_string(&path).unwrap();
        if trace.lines().any(|line| line.split_whitespace().eq(end.split(' '))) {
            return trace;
        }
        assert!(started.elapsed() < PATIENCE, "the trace has no end:\n{trace}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[actix_rt::test]
async fn a_micronode_opens_nothing_for_writing() {
    if !can_trace() {
        return;
    }
    let trace = trace_of("micronode").await;
    assert!(trace.contains("keyring"), "it reads its keys:\n{trace}");
    let writes = writes(&trace);
    assert!(writes.is_empty(), "{writes:#?}");
}

#[actix_rt::test]
async fn the_trace_sees_what_a_macronode_writes() {
    if !can_trace() {
        return;
    }
    let trace = trace_of("macronode").await;
    let writes = writes(&trace);
    for call in ["openat(", "mkdir", "rename", "unlink"] {
        assert!(writes.iter().any(|line| line.contains(call)), "{call} in {writes:#?}");
    }
}

#[actix_rt::test]
async fn a_micronode_leaves_nothing_on_disk() {
    let keys = Keys::new();
    let program = at_home(Daemon::program(), keys.dir());
    let before = tree(keys.dir());
    let (_, open) = live(&keys, "micronode", program).await;
    assert_eq!(open, BTreeSet::new());
    assert_eq!(tree(keys.dir()), before);
}

#[actix_rt::test]
async fn the_watch_sees_what_a_macronode_leaves() {
    let keys = Keys::new();
    let program = at_home(Daemon::program(), keys.dir());
    let before = tree(keys.dir());
    let (_, open) = live(&keys, "macronode", program).await;
    assert!(open.iter().any(|path| path.starts_with(keys.dir().join("data"))), "{open:?}");
    assert!(tree(keys.dir()).len() > before.len());
}
