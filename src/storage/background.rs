//! Work that no commit waits for, on threads that give way to those that commit.

use rustix::process::nice;

/// What is added to the nice value of the process. Where all cores are busy, such a thread gets a tenth
/// of what one gets that answers: at the process's own value a flush would take as much of two cores as the
/// committer. Not less than that: a flush that is starved long enough stops commits, and a neighbour on
/// the machine may be who starves it.
const NICE: i32 = 10;

/// For the calling thread and those that it starts: on Linux a nice value is that of a thread.
pub(super) fn give_way() {
    // A sandbox may refuse it, which costs speed and nothing else.
    if let Err(error) = nice(NICE) {
        tracing::info!(%error, "work in the background does not give way to commits");
    }
}
