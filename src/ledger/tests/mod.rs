//! The state machine, rule by rule, and as a whole against a naive model.

mod rules;
