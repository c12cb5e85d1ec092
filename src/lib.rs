//! `ron-ledger`: an append-only, totally ordered, gap-free ledger with one writer.
//!
//! The floors, from the ground up; an arrow points down only (`docs/ARCHITECTURE.md` has the map):
//!
//! | floor | modules |
//! |---|---|
//! | 0, pure | [`ledger`], [`accumulator`] |
//! | 1, resources | [`storage`], [`backup`], [`capability`], [`config`], [`telemetry`], [`policy`], [`upstream`], [`witness`] |
//! | 2, actors | [`actors`] |
//! | 3, edges | [`http`], [`client`], [`audit`], [`ctl`] |
//! | 4, whole | [`app`] and the two binaries |
#![forbid(unsafe_code)]

#[cfg(not(panic = "unwind"))]
compile_error!("supervision catches panics: do not build with panic = \"abort\"");

pub mod accumulator;
pub mod actors;
pub mod app;
pub mod audit;
pub mod backup;
pub mod capability;
pub mod client;
pub mod config;
pub mod ctl;
pub mod http;
pub mod ledger;
pub mod policy;
pub mod storage;
pub mod telemetry;
pub mod upstream;
pub mod witness;
