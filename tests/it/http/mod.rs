//! The edge: which routes there are, what each refusal looks like, who may read what, and what the
//! limits do to a connection.

mod access;
mod routing;
mod support;
mod wire;
