//! The command line of operators, auditors and client developers.

fn main() {}
