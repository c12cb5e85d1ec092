//! The domain: kinds, amounts, the canonical encoding, rejects, and the state machine. Pure: no I/O, no clock.
