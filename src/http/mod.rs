//! The wire: translates HTTP to messages and back, and decides nothing.
