//! RocksDB's threads, and how they give way to those that commit.

use rocksdb::{Env, Error};
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id, thread_schedule_policy,
};

use super::options::{RocksOptions, background_jobs};
use crate::storage::background;

/// Linux's SCHED_IDLE: such a thread runs where a core has nothing else to do, and leaves it at once when
/// there is. A low priority is not enough for what goes on for seconds: it has its turn all the same, and
/// whoever wakes up meanwhile waits for the end of it, at each of the hops that a request takes.
const IDLE: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);

/// Starts the threads that flush and compact, which are those of the process, so that they give way to
/// commits; RocksDB would start them as needed, with the priority of whoever opens a store. There are enough
/// for both instances: truth's files of the first level may not queue behind those of derived data, which take
/// ten times as long, since commits are stopped once too many of them wait.
///
/// # Errors
/// What RocksDB says when it has no memory.
pub(super) fn start(options: &RocksOptions) -> Result<(), Error> {
    let jobs = background_jobs(options);
    // As RocksDB divides them.
    let flushing = (jobs / 4).max(1);
    let start = || {
        let mut env = Env::new()?;
        background::give_way();
        // Derived data has no memtables.
        env.set_high_priority_background_threads(flushing);
        be_idle();
        env.set_low_priority_background_threads(2 * (jobs - flushing));
        Ok(())
    };
    // They run as the thread does that starts them.
    std::thread::scope(|scope| scope.spawn(start).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// For the calling thread and those that it starts: merges, for which nothing waits for a long time.
fn be_idle() {
    // It also sets a nice value, which says nothing of such a thread, and which it may not be able to set.
    let tried = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, IDLE);
    if !matches!(thread_schedule_policy(), Ok(IDLE)) {
        tracing::info!(?tried, "merges are not idle beside commits");
        // Once more than flushes have: to the least that there is.
        background::give_way();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_idle_starts_threads_that_are() {
        let policies = std::thread::spawn(|| {
            be_idle();
            let child = std::thread::spawn(thread_schedule_policy);
            [thread_schedule_policy(), child.join().unwrap()].map(Result::unwrap)
        });
        assert_eq!(policies.join().unwrap(), [IDLE; 2]);
        assert_ne!(thread_schedule_policy().unwrap(), IDLE);
    }
}
