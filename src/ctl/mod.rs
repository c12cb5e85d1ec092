//! The commands of `ron-ledgerctl`.
