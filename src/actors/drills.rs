//! What an operators' drill does to a running node: kills it at a point, makes an fsync fail, fills
//! the disk. Made where `chaos.enabled` is set, and nowhere else.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Signal as Unix, getpid, kill_process};

use super::probe::{Point, Trigger};
use crate::storage::ballast::{self, Ballast, BallastError};
use crate::storage::engine::FsyncFault;

/// What is armed and not hit by then is forgotten: a drill strikes now, or not at all.
const ARMED: Duration = Duration::from_secs(60);

/// Before a kill may strike: the answer to the order, and its line in the log, have to leave.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Whom a kill strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the actors of the pipeline, and the whole of it")]
pub enum Target {
    Committer,
    Sequencer,
    Prevalidator,
    Publisher,
    Process,
}

/// How.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// The whole process, at once, as by SIGKILL from outside.
    Kill,
    /// The actor alone.
    Panic,
}

impl Target {
    /// Where a crash is the hardest to recover from; the process has no point of its own.
    pub fn worst_point(self) -> Option<Point> {
        Some(match self {
            // Durable, and nobody knows: neither the memory of this process nor any client.
            Target::Committer => Point::CommitAfterWrite,
            // An order that was decided and that nobody else has heard of.
            Target::Sequencer => Point::SequencerClose,
            Target::Prevalidator => Point::PrevalidatorHandle,
            // Signed for ever, and shown to nobody.
            Target::Publisher => Point::PublisherAfterDurable,
            Target::Process => return None,
        })
    }

    /// Whether the point is one of this target's own.
    pub fn has(self, point: Point) -> bool {
        let start = match self {
            Target::Committer => "commit",
            Target::Sequencer => "sequencer_",
            Target::Prevalidator => "prevalidator_",
            Target::Publisher => "publisher_",
            Target::Process => return false,
        };
        point.as_str().starts_with(start)
    }
}

/// Why a drill is not done. Nothing has happened then.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// There is no such combination.
    #[error("{0}")]
    Meaningless(&'static str),
    /// This node has no disk.
    #[error("a micronode has no disk to fill")]
    NoDisk,
    /// The disk.
    #[error(transparent)]
    Ballast(#[from] BallastError),
}

/// The means of drills. One for a process.
pub struct Drills {
    trigger: Arc<Trigger>,
    fsync: FsyncFault,
    /// Of the durable ledger.
    data_dir: Option<PathBuf>,
    ballast: Mutex<Option<Ballast>>,
}

impl Drills {
    /// `trigger` reaches the probe in the actors, `fsync` the engine under them. `data_dir` is that of
    /// a durable node.
    pub fn new(trigger: Arc<Trigger>, fsync: FsyncFault, data_dir: Option<PathBuf>) -> Self {
        Drills { trigger, fsync, data_dir, ballast: Mutex::default() }
    }

    /// Strikes the target when it next comes to the point, its worst one by default.
    ///
    /// # Errors
    /// [`DrillError::Meaningless`].
    pub fn kill(
        &self,
        target: Target,
        blow: Blow,
        point: Option<Point>,
    ) -> Result<Option<Point>, DrillError> {
        if point.is_some_and(|point| !target.has(point)) {
            return Err(DrillError::Meaningless("that point is not the target's"));
        }
        let point = point.or(target.worst_point());
        match (blow, point) {
            (Blow::Kill, point) => {
                let trigger = Arc::clone(&self.trigger);
                std::thread::spawn(move || {
                    std::thread::sleep(LAST_WORDS);
                    match point {
                        Some(point) => arm(&trigger, point, die),
                        None => die(),
                    }
                });
            }
            (Blow::Panic, Some(point)) => {
                arm(&self.trigger, point, move || panic!("a drill at {point}"));
            }
            (Blow::Panic, None) => {
                return Err(DrillError::Meaningless("a process does not panic: its actors do"));
            }
        }
        Ok(point)
    }

    /// The next commit's fsync fails, and with it every later write of this process.
    pub fn fail_fsync(&self) {
        self.fsync.arm();
    }

    /// Fills the disk up to `percent`, for no longer than `lasting`. Returns the bytes that it took.
    ///
    /// # Errors
    /// [`DrillError::NoDisk`], [`DrillError::Ballast`].
    pub fn fill_disk(&self, percent: u8, lasting: Duration) -> Result<u64, DrillError> {
        let dir = self.data_dir.as_deref().ok_or(DrillError::NoDisk)?;
        let mut ballast = self.ballast.lock();
        // The old one goes first, or its room would be missing.
        drop(ballast.take());
        let laid = Ballast::lay(dir, percent, lasting)?;
        Ok(ballast.insert(laid).bytes())
    }

    /// Gives the room back, also what an earlier process or a failed removal left in use.
    pub fn free_disk(&self) {
        let mut ballast = self.ballast.lock();
        drop(ballast.take());
        self.data_dir.iter().for_each(|dir| clean(dir));
    }

    /// How much is taken now.
    pub fn ballast_bytes(&self) -> u64 {
        self.ballast.lock().as_ref().map_or(0, Ballast::bytes)
    }
}

/// Removes what lies in the data directory, whoever left it there. A start goes on when it cannot.
pub fn clean(data_dir: &Path) {
    if let Err(error) = ballast::remove(data_dir) {
        tracing::error!(%error, "the ballast of a drill is left behind: remove it by hand");
    }
}

/// For the next hit, if it comes soon.
fn arm(trigger: &Trigger, point: Point, strike: impl FnOnce() + Send + 'static) {
    let until = Instant::now() + ARMED;
    trigger.arm(point, 1, move || {
        if Instant::now() <= until {
            strike();
        }
    });
}

/// As by SIGKILL from outside: nothing of this process runs after it.
fn die() {
    // A process may always kill itself.
    let _ = kill_process(getpid(), Unix::KILL);
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::super::probe::Probe;
    use super::*;

    const TARGETS: [Target; 5] = [
        Target::Committer,
        Target::Sequencer,
        Target::Prevalidator,
        Target::Publisher,
        Target::Process,
    ];

    #[test]
    fn a_target_has_its_worst_point_and_no_point_has_two() {
        for target in TARGETS {
            assert!(target.worst_point().is_none_or(|point| target.has(point)), "{target:?}");
        }
        for point in Point::ALL {
            let owners = TARGETS.iter().filter(|target| target.has(*point)).count();
            assert!(owners <= 1, "{point}");
        }
    }

    #[test]
    fn a_panic_strikes_its_point_once() {
        let (probe, trigger) = Probe::armable();
        let drills = Drills::new(trigger, FsyncFault::default(), None);
        let armed = drills.kill(Target::Sequencer, Blow::Panic, None).unwrap();
        assert_eq!(armed, Some(Point::SequencerClose));
        let hit = |point| catch_unwind(AssertUnwindSafe(|| probe.hit(point))).is_err();
        let order = [Point::CommitAfterWrite, Point::SequencerClose, Point::SequencerClose];
        assert_eq!(order.map(hit), [false, true, false]);
        drills.kill(Target::Committer, Blow::Panic, Some(Point::CommitBeforePlan)).unwrap();
        assert!(hit(Point::CommitBeforePlan));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let (_probe, trigger) = Probe::armable();
        let drills = Drills::new(trigger, FsyncFault::default(), None);
        for (target, blow, point) in [
            (Target::Process, Blow::Panic, None),
            (Target::Process, Blow::Kill, Some(Point::CommitAfterWrite)),
            (Target::Sequencer, Blow::Kill, Some(Point::CommitAfterWrite)),
        ] {
            let refused = drills.kill(target, blow, point);
            assert!(matches!(refused, Err(DrillError::Meaningless(_))), "{target:?}");
        }
        let refused = drills.fill_disk(95, Duration::from_secs(1));
        assert!(matches!(refused, Err(DrillError::NoDisk)));
        drills.free_disk();
        assert_eq!(drills.ballast_bytes(), 0);
    }
}
