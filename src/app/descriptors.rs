//! File descriptors: each connection takes one, and so does each file of the store. Were connections let
//! in to the limit of the process, the store could open no file, and strangers would decide that.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::listen::{ADMIN_CONNECTIONS_MAX, LOCAL_CONNECTIONS_MAX, METRICS_CONNECTIONS_MAX};
use crate::config::{Config, Profile};

/// Logs, sockets, pipes, certificates while they are read, and what libraries keep open.
const RESERVE: u64 = 256;

/// Fewer are no service.
const CONNECTIONS_MIN: u64 = 64;

/// The process may open too few files to serve and to keep a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process may open {limit} files and needs {need} or more: raise LimitNOFILE or `ulimit -n`"
)]
pub struct TooFewDescriptors {
    /// The hard limit.
    pub limit: u64,
    /// Without which there is no start.
    pub need: u64,
}

/// How many connections the API plane may hold: `limits.connections_max`, or what descriptors there are
/// for beside everything else. Raises the soft limit as far as that takes.
pub(super) fn connections_max(config: &Config) -> Result<usize, TooFewDescriptors> {
    let store = match config.profile {
        // The log's and those of derived data.
        Profile::Macronode => 2 * u64::from(config.rocksdb.open_files_max),
        Profile::Micronode => 0,
    };
    let planes = METRICS_CONNECTIONS_MAX + ADMIN_CONNECTIONS_MAX + LOCAL_CONNECTIONS_MAX;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = config.limits.connections_max;
    let plan = plan(current, maximum, wanted as u64, store + planes as u64 + RESERVE)?;
    if let Some(raised) = plan.raise_to {
        let raised = Rlimit { current: Some(raised), maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "cannot raise the limit of open files");
        }
    }
    let connections = usize::try_from(plan.connections).unwrap_or(wanted).min(wanted);
    if connections < wanted {
        tracing::warn!(
            connections,
            wanted,
            "fewer connections than limits.connections_max: raise LimitNOFILE or `ulimit -n`"
        );
    }
    Ok(connections)
}

#[derive(Debug, PartialEq, Eq)]
struct Plan {
    raise_to: Option<u64>,
    connections: u64,
}

/// Of a soft and a hard limit (`None` is no limit), when all but connections takes `others`.
fn plan(
    soft: Option<u64>,
    hard: Option<u64>,
    wanted: u64,
    others: u64,
) -> Result<Plan, TooFewDescriptors> {
    let (soft, hard) = (soft.unwrap_or(u64::MAX), hard.unwrap_or(u64::MAX));
    let all = wanted.saturating_add(others).min(hard.max(soft));
    let need = others.saturating_add(wanted.min(CONNECTIONS_MIN));
    if all < need {
        return Err(TooFewDescriptors { limit: hard, need });
    }
    Ok(Plan { raise_to: (all > soft).then_some(all), connections: all - others })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_has_its_descriptors_before_any_connection() {
        let check = |soft, hard, wanted, expected: (Option<u64>, u64)| {
            let (raise_to, connections) = expected;
            assert_eq!(plan(soft, hard, wanted, 1_000), Ok(Plan { raise_to, connections }));
        };
        check(Some(65_536), Some(65_536), 4_096, (None, 4_096));
        check(None, None, 4_096, (None, 4_096));
        check(Some(1_024), None, 4_096, (Some(5_096), 4_096));
        check(Some(1_024), Some(5_096), 4_096, (Some(5_096), 4_096));
        check(Some(1_024), Some(4_096), 4_096, (Some(4_096), 3_096));
        check(Some(4_096), Some(4_096), 4_096, (None, 3_096));
        check(Some(1_064), Some(1_064), 4_096, (None, 64));
        check(Some(256), Some(1_010), 10, (Some(1_010), 10));
    }

    #[test]
    fn a_process_that_may_open_too_few_files_does_not_start() {
        let refused = |hard| plan(Some(256), Some(hard), 4_096, 1_000);
        assert_eq!(refused(1_063), Err(TooFewDescriptors { limit: 1_063, need: 1_064 }));
        assert!(refused(1_064).is_ok());
    }
}
