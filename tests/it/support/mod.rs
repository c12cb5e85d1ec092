//! What tests of a whole node stand on: its keys and configuration, a node in this process, the
//! daemon as a process of its own, entries to send, and what a ledger shows when it is read back.

pub mod certificates;
pub mod collector;
pub mod daemon;
pub mod drill;
pub mod entries;
pub mod keys;
pub mod node;
pub mod picture;
pub mod python;
pub mod sending;
pub mod upstream;
pub mod witness;
