//! The Merkle log of RFC 6962, its tiles and its signed checkpoints. Pure: no I/O, no clock.
