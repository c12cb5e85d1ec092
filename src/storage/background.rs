//! Work that no commit waits for, on threads that give way to those that commit.

use rustix::process::nice;

/// What is added to the nice value of the process. Where all cores are busy, such a thread gets a tenth
/// of what one gets that answers: at the process's own value a flush and a merge would take as much of two
/// cores as the committer. Not the most that there is: a flush that is starved long enough stops commits.
const NICE: i32 = 10;

/// Of merges, on top of that: nothing waits for one for a long time.
const NICER: i32 = 9;

/// For the calling thread and those that it starts: on Linux a nice value is that of a thread.
pub(super) fn give_way() {
    add(NICE);
}

/// The same, once more: also to those that have given way.
pub(super) fn give_way_to_all() {
    add(NICER);
}

fn add(more: i32) {
    // A sandbox may refuse it, which costs speed and nothing else.
    if let Err(error) = nice(more) {
        tracing::info!(%error, "work in the background does not give way to commits");
    }
}
