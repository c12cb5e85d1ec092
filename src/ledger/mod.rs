//! The domain: kinds and fields, the canonical encoding, reasons, and the state machine.
//!
//! Pure: no I/O, no async, no clock, no configuration. The way of a group is [`prefetch::prefetch`]
//! (all the reads) and [`plan::plan`] (all the decisions); what it leaves is written down, and then
//! its [`state::Delta`] is taken into the state. Nothing else ever changes a balance.

pub mod encode;
pub mod entry;
pub mod expire;
pub mod idempotency;
pub mod names;
pub mod plan;
pub mod prefetch;
pub mod reason;
pub mod replay;
pub mod request;
pub mod state;
pub mod table;

mod draft;
mod effect;
mod tracked;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
