//! The edge: which routes there are, what each refusal looks like, who may read and write what, what
//! the limits do to a connection, and that nothing secret leaves.

mod access;
mod bad_input;
mod binary;
mod drain;
mod hostile;
mod ingest;
mod load;
mod lost;
mod proofs;
mod reads;
mod receipts;
mod rights;
mod routing;
mod secrets;
mod support;
mod wire;
