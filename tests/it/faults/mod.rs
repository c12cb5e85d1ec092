//! What a disk can do to the ledger: bits that flip, no room, errors of the system, and power that
//! goes away between two writes. `docs/RECOVERY.md` is what these tests hold.

mod ballast;
mod branch;
mod calls;
mod disk;
mod errors;
mod flips;
mod full;
mod gaps;
mod order;
mod power;
mod sample;
mod sandbox;
mod schema;
mod told;
mod tracer;
mod truth;
