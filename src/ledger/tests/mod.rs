//! The state machine, rule by rule, and as a whole against a naive model.

mod flow;
mod golden;
mod model;
mod properties;
mod rules;
mod scenario;
mod wide;
