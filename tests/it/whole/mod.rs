//! The whole daemon as a process: what its clients, its operators and its disk see.

mod admin;
mod amnesia;
mod audits;
mod backup;
mod caps;
mod certificates;
mod command_line;
mod crash_loop;
mod determinism;
mod drills;
#[cfg(feature = "rocks")]
mod earlier;
#[cfg(feature = "rocks")]
mod follow;
mod import;
mod kills;
mod lives;
mod logs;
mod orders;
mod overload;
mod policy;
mod recover;
mod s3;
mod scrapes;
mod starts;
mod stops;
mod tls;
mod traces;
mod upstreams;
mod verifier;
mod witness;
