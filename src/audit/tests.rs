//! Exports against everything that is no export.
