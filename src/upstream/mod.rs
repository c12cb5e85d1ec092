//! Services that this one asks over the network: witnesses of its checkpoints.

pub mod witness;
