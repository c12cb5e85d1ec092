//! The Rust client of the ledger's API, and the workloads that tests, benches and operators send
//! with it.

pub mod workload;
