//! Capabilities: macaroons, their caveats, and the keyring that verifies them.
