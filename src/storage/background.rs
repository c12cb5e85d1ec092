//! Work that no commit waits for, on threads that give way to those that commit.

use rustix::process::nice;
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id, thread_schedule_policy,
};

/// What is added to the nice value of the process. Where all cores are busy, such a thread gets a tenth
/// of what one gets that answers: at the process's own value a flush would take as much of two cores as the
/// committer. Not less than that: a flush that is starved long enough stops commits, and a neighbour on
/// the machine may be who starves it.
const NICE: i32 = 10;

/// The same on top of that, for merges where a thread may not be idle.
const NICER: i32 = 9;

/// Linux's SCHED_IDLE: such a thread runs where a core has nothing else to do, and leaves it at once when
/// there is. A low priority is not enough for what goes on for seconds: it has its turn all the same, and
/// whoever wakes up meanwhile waits for the end of it, at each of the hops that a request takes.
const IDLE: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);

/// For the calling thread and those that it starts: flushes. On Linux a nice value is that of a thread.
pub(super) fn give_way() {
    add(NICE);
}

/// The same for merges, for which nothing waits for a long time.
pub(super) fn give_way_to_all() {
    // It also sets a nice value, which says nothing of such a thread, and which it may not be able to set.
    let tried = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, IDLE);
    if !matches!(thread_schedule_policy(), Ok(IDLE)) {
        tracing::info!(?tried, "merges are not idle beside commits");
        add(NICER);
    }
}

fn add(more: i32) {
    // A sandbox may refuse it, which costs speed and nothing else.
    if let Err(error) = nice(more) {
        tracing::info!(%error, "work in the background does not give way to commits");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gives_way_to_all_is_idle_and_so_are_those_that_it_starts() {
        let policies = std::thread::spawn(|| {
            give_way_to_all();
            let child = std::thread::spawn(thread_schedule_policy);
            [thread_schedule_policy(), child.join().unwrap()].map(Result::unwrap)
        });
        assert_eq!(policies.join().unwrap(), [IDLE; 2]);
        assert_ne!(thread_schedule_policy().unwrap(), IDLE);
    }
}
