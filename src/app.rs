//! Puts the whole together: opens, wires bottom-up, serves, drains.
