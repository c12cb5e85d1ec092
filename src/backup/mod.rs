//! Snapshots, the archive of committed groups, and the way back from both.
//!
//! A [`snapshot`] is one file with a copy of the store; the [`archive`] is what was committed, in
//! immutable segments in an object store, and grows by itself. Both carry statements that the ledger's
//! checkpoint key has signed ([`statement`]), so that neither the file nor the object store is trusted.
//! [`restore`] makes a data directory of either or both; whoever follows a ledger reads the archive by
//! [`archive::Archive`] and hands its groups to [`Follower`](crate::storage::follow::Follower).

pub mod archive;
pub mod check;
pub mod pack;
pub mod restore;
pub mod segment;
pub mod snapshot;

pub mod statement;
pub mod target;
