//! How full the store's file system is, and what follows from it. The committer looks, once a second;
//! readiness and metrics are told. Between two looks the engine's own reserve guards the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::storage::engine::Usage;

/// From which share in use on, in percent.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    /// Degraded.
    pub degraded: u8,
    /// New entries are refused.
    pub refuse: u8,
}

/// What the marks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pressure {
    None,
    Degraded,
    Refusing,
}

/// The last look. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    marks: Marks,
    percent: Arc<AtomicU8>,
}

impl Disk {
    pub(super) fn new(marks: Marks) -> Self {
        Disk { marks, percent: Arc::default() }
    }

    /// Takes note; a change of the pressure is worth a line.
    pub(super) fn look(&self, usage: &Usage) {
        let before = self.pressure();
        // Rounded down: a mark is reached when all of it is in use.
        let percent = (usage.fraction() * 100.0) as u8;
        self.percent.store(percent.min(100), Ordering::Relaxed);
        let now = self.pressure();
        if now != before {
            tracing::warn!(percent, pressure = ?now, "disk pressure changed");
        }
    }

    pub(super) fn percent(&self) -> u8 {
        self.percent.load(Ordering::Relaxed)
    }

    pub(super) fn pressure(&self) -> Pressure {
        match self.percent() {
            percent if percent >= self.marks.refuse => Pressure::Refusing,
            percent if percent >= self.marks.degraded => Pressure::Degraded,
            _ => Pressure::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_comes_and_goes_at_its_marks() {
        let disk = Disk::new(Marks { degraded: 85, refuse: 93 });
        for (used, expected) in [
            (0, Pressure::None),
            (84, Pressure::None),
            (85, Pressure::Degraded),
            (92, Pressure::Degraded),
            (93, Pressure::Refusing),
            (100, Pressure::Refusing),
            (92, Pressure::Degraded),
            (50, Pressure::None),
        ] {
            disk.look(&Usage { bytes_used: used, bytes_total: 100, bytes_own: 0 });
            assert_eq!(disk.pressure(), expected, "{used}");
        }
    }
}
