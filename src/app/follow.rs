//! A node that follows another one: from the archive's address to a running pipeline.
//!
//! It needs the verifier key of the ledger, and no key that signs. Its store is its own, and is what a
//! later start, also as the node that writes, goes on from.

use std::sync::Arc;

use super::node::{self, Base, Ends, OpenError};
use crate::accumulator::VerifierKey;
use crate::actors::mode::{Mode, ModeCell};
use crate::actors::pipeline::{FollowFrom, LogKeys, Pipeline, SignedNotes};
use crate::actors::probe::Probe;
use crate::backup::archive::{Archive, ArchiveError};
use crate::backup::target::Target;
use crate::config::{Config, Profile};
use crate::storage::genesis::Genesis;
use crate::storage::store::Store;

/// Whom to follow, as the command line says.
#[derive(Clone, Debug)]
pub struct Follow {
    /// The address of the other node's archive.
    pub url: String,
    /// The ledger's verifier keys, each as text or in a file: the present one, then earlier ones.
    pub vkeys: Vec<String>,
}

/// The archive, as far as it answers at the start.
pub(super) struct Leader {
    from: FollowFrom,
    present: VerifierKey,
    earlier: Vec<VerifierKey>,
    genesis: Result<Genesis, ArchiveError>,
}

impl Leader {
    /// Asks the archive what the ledger was made with. That it does not answer is no error yet: a store
    /// that is there can be served.
    pub(super) async fn find(config: &Config, follow: &Follow) -> Result<Self, OpenError> {
        let verifier_key = |given: &String| {
            let wrong = |why| OpenError::FollowKey { given: given.clone(), why };
            node::verifier_key(given).map_err(wrong)
        };
        let keys: Vec<VerifierKey> =
            follow.vkeys.iter().map(verifier_key).collect::<Result<_, _>>()?;
        let (present, earlier) = keys.split_first().ok_or(OpenError::NoFollowKey)?;
        let target = Target::open(&follow.url, false, config.archive.timeout);
        let target = target.map_err(OpenError::Follow)?;
        let genesis = Archive::open(target.clone(), keys.clone()).await;
        Ok(Leader {
            from: FollowFrom { target, interval: config.archive.interval },
            present: present.clone(),
            earlier: earlier.to_vec(),
            genesis: genesis.map(|archive| archive.genesis().clone()),
        })
    }
}

/// Opens the node's own store and starts its actors. Call it on an actix system.
///
/// # Errors
/// [`OpenError`]; also when neither the archive nor the store says what the ledger was made with.
pub(super) fn open(config: &Config, leader: Leader) -> Result<Pipeline, OpenError> {
    let verifier = node::verifier(config)?;
    let keys = LogKeys::of_another(leader.present, leader.earlier);
    let base = match config.profile {
        Profile::Micronode => Base {
            engine: node::memory_engine(config),
            signed: SignedNotes::in_memory(keys),
            mode: ModeCell::new(Mode::READY),
            revoked_file: None,
        },
        Profile::Macronode => node::durable(config, keys, &verifier)?,
    };
    let genesis = match leader.genesis {
        Ok(genesis) => genesis,
        Err(error) => match Store::made_with(&*base.engine)? {
            Some(genesis) => {
                tracing::warn!(%error, "the archive is not followed yet");
                genesis
            }
            None => return Err(OpenError::NoLeader(error)),
        },
    };
    let ends = Ends { follow: Some(leader.from), ..Ends::default() };
    node::start(config, base, genesis, ends, Arc::new(verifier), Probe::none())
}
