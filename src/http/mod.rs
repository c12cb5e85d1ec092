//! The wire: translates HTTP to messages and back, and decides nothing.

pub mod dto;
pub mod error;
pub mod parse;
