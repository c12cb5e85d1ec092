//! Services that this one asks over the network: the key service, the policy guard and the wallet,
//! each where the configuration says so, and the witnesses of its checkpoints.
//!
//! [`service`] carries one question, within a time and a size; [`kms`] and [`entries`] are what is
//! asked and answered. Retries, breakers and deadlines are the actors'. `docs/INTEROP.md` has the
//! contract.

pub mod entries;
pub mod kms;
pub mod service;
pub mod witness;
