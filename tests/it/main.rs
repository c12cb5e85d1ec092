//! The one integration binary: each module tells what it holds in its first lines.
//! One binary links once, and RocksDB is not linked a dozen times.

mod actix_facts;
#[cfg(feature = "rocks")]
mod faults;
mod house;
mod http;
mod model;
mod pipeline;
mod runbook;
mod seeds;
mod supervised;
mod supply;
mod support;
mod whole;
