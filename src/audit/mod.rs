//! The audit of a ledger by people who trust nobody: exports and their check without any server, the
//! check of a store that lies still, and the comparison of two ledgers. `docs/INTEROP.md` has the
//! format of exports.

mod compare;
mod export;
mod format;
mod groups;
mod lines;
mod report;
mod rules;
mod sources;
mod store;
mod verify;

#[cfg(test)]
mod tests;

pub use compare::{Comparison, compare};
pub use export::{ExportError, Exported, Range, export};
pub use format::{EntryLine, FORMAT, Header, LINE_BYTES_MAX, Trailer, VERSION};
pub use groups::export_groups;
pub use report::{AuditError, Check, Finding, NotChecked, Report};
pub use sources::{FilePrefixes, LedgerPrefixes, Prefixes};
pub use store::verify_engine;
#[cfg(feature = "rocks")]
pub use store::verify_store;
pub use verify::{UNIT_ENTRIES_MAX, verify_export};
