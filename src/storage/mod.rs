//! The store: truth that is fsynced before it is acknowledged, and derived data that follows from it.

pub mod engine;
pub mod files;
