//! What processes of this machine have used, as the kernel tells it (proc(5)).

use std::fs;

/// The unit of times in `/proc/PID/stat`, which is the same on all architectures but a forgotten few.
const TICKS_A_SECOND: f64 = 100.0;

/// What this process has used of the processors so far, in seconds.
pub(super) fn own_cpu_seconds() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

/// What another process has used so far, in hundredths of a second; `None` where it cannot be told.
pub(super) fn cpu_seconds(pid: u32) -> Option<f64> {
    cpu_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn cpu_of(stat: &str) -> Option<f64> {
    // The name of the program is in brackets, and may have anything in it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let user: f64 = fields.nth(11)?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_A_SECOND)
}

/// The most memory that a process had, in bytes; `None` where it cannot be told.
pub(super) fn peak_bytes(pid: u32) -> Option<u64> {
    peak_of(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_hides_no_field() {
        let stat = "17 (a (b) c) S 1 17 17 0 -1 4194560 900 0 3 0 250 50 7 8 20 0 12 0 55 1 2";
        assert_eq!(cpu_of(stat), Some(3.0));
        assert_eq!(cpu_of("17 (a) S 1"), None);
        assert_eq!(peak_of("Name:\ta\nVmHWM:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!(peak_of("Name:\ta\n"), None);
    }

    #[test]
    fn this_process_can_be_looked_at_and_none_of_no_number() {
        let pid = std::process::id();
        assert!(cpu_seconds(pid).is_some() && peak_bytes(pid) > Some(1 << 20));
        assert_eq!((cpu_seconds(u32::MAX), peak_bytes(u32::MAX)), (None, None));
        assert!(own_cpu_seconds() > 0.0);
    }
}
