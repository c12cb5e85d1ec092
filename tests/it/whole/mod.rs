//! The whole daemon as a process: what its clients, its operators and its disk see.

mod admin;
mod amnesia;
mod audits;
mod caps;
mod certificates;
mod command_line;
mod crash_loop;
mod determinism;
mod drills;
mod kills;
mod lives;
mod logs;
mod orders;
mod overload;
mod policy;
mod recover;
mod starts;
mod stops;
mod tls;
mod upstreams;
mod verifier;
mod witness;
