//! What tests of a whole node stand on: its keys and configuration, a node in this process, the
//! daemon as a process of its own, and entries to send.

pub mod daemon;
pub mod entries;
pub mod keys;
pub mod node;
