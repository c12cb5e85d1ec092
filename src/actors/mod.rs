//! The actors that carry a batch from the door to the durable root.
//!
//! The ground they stand on, which knows no ledger: a bounded way in ([`door`], [`budget`]), lives
//! that follow one another ([`supervise`]), what an observer sees of them ([`report`]), and the
//! named points where tests and drills strike ([`probe`]). Then what they share: the [`mode`] that
//! says whether writes may pass, and the [`breaker`]s in front of the upstreams. [`drills`] strike a
//! running node where the configuration allows it.
//! `docs/CONCURRENCY.md` has the rules that every actor keeps.

pub mod budget;
pub mod door;
pub mod supervise;

pub mod probe;
pub mod report;

pub mod authority;
pub mod breaker;
pub mod mode;

pub mod admin;
pub mod drills;
pub mod pipeline;

mod ages;
mod archiver;
mod clock;
mod commit;
mod committer;
mod disk;
mod followed;
mod follower;
mod gauges;
mod guard;
mod history;
mod ingress;
mod judges;
mod limits;
mod prevalidator;
mod prober;
mod publisher;
mod rate;
mod refusal;
mod revoking;
mod sequencer;
mod settings;
mod signed;
mod snapshots;
mod ticket;
mod unpublished;
mod upstreams;
mod verifier;
mod wiring;
mod witnesses;
