//! The store: truth that is fsynced before it is acknowledged, and derived data that follows from it.
//!
//! [`engine`] knows bytes and promises; everything above it knows records. [`store::Store::open`]
//! verifies and recovers, and is the one way to a [`writer::Writer`], which cannot be cloned, and to
//! a [`reader::Reader`], which can, and has no way to write.

pub mod ballast;
pub mod branch;
pub mod drive;
pub mod engine;
pub mod error;
pub mod files;
pub mod follow;
pub mod genesis;
pub mod groups;
mod pace;
pub mod reader;
pub mod scrub;
pub mod staging;
pub mod store;
pub mod upgrade;
pub mod walk;
pub mod writer;

mod background;
mod block;
mod chain;
mod codec;
mod filter;
mod flusher;
mod overlay;
mod proof;
mod recovery;
mod seen;
mod view;

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;

pub use codec::{Damaged, Head, RootRow};
