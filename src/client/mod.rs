//! The Rust client of the ledger's API, and the workloads that tests, benches and operators send
//! with it.

mod api;
mod error;
mod http1;
mod operate;
mod reply;
mod retry;
mod token;

pub mod audit;
pub mod load;
pub mod open;
pub mod sender;
pub mod stream;
pub mod unit;
pub mod workload;

pub use api::{Client, ClientOptions};
pub use error::ClientError;
pub use operate::{SNAPSHOT_DEADLINE, SnapshotTar};
pub use reply::ANSWER_BYTES_MAX;
pub use retry::Retry;
pub use token::BearerToken;

pub use crate::http::Format;
