//! What a write may be asked for outside of the ledger: KMS, policy guard, wallet.
