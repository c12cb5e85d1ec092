//! What a verified token allows: its caveats, folded so that a question costs no parsing.
//!
//! A capability without a caveat of some kind is not restricted in that respect; only the expiry
//! is required. Folding keeps the conjunction: it only ever narrows.

use super::caveat::Caveat;
use super::error::CapError;
use super::identifier::Identifier;
use super::macaroon::Macaroon;
use super::names::{Action, Set};
use super::verify::Context;

/// How far ahead an expiry may lie, in milliseconds: 30 days.
pub const LIFETIME_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1000;

/// The authority of one verified token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    kid: String,
    id: String,
    actions: Set,
    planes: Set,
    peers: Set,
    /// Each of them must be a prefix of the account.
    account_prefixes: Vec<String>,
    /// `None`: any asset.
    assets: Option<Vec<String>>,
    amount_max: u128,
    expires_first_ms: u64,
    expires_last_ms: u64,
}

/// The caveat that stands against a request. The message is safe to show to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Denied {
    /// The action is not among those listed.
    #[error("action: the capability does not allow this action")]
    Action,
    /// The account does not start with the prefix, or the request names none.
    #[error("account_prefix: the capability does not cover this account")]
    AccountPrefix,
    /// The asset is not among those listed, or the request names none.
    #[error("asset: the capability does not cover this asset")]
    Asset,
    /// The amount is above the ceiling.
    #[error("amount_ceiling: the amount is above the ceiling of the capability")]
    AmountCeiling,
    /// The request came through another listener.
    #[error("plane: the capability is not for this listener")]
    Plane,
    /// The connection is of another kind.
    #[error("peer: the capability is not for this kind of connection")]
    Peer,
}

impl Denied {
    /// The caveat's name, as the message begins.
    pub const fn caveat(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::AccountPrefix => "account_prefix",
            Self::Asset => "asset",
            Self::AmountCeiling => "amount_ceiling",
            Self::Plane => "plane",
            Self::Peer => "peer",
        }
    }
}

impl Capability {
    /// Reads the caveats of a macaroon whose signature **has been verified**, by the keyring or by
    /// a remote key service. This checks no signature, no time and no context.
    ///
    /// # Errors
    /// [`CapError::MalformedIdentifier`], [`CapError::UnknownCaveat`], or
    /// [`CapError::TooLongLived`] if there is no expiry.
    pub fn from_verified(macaroon: &Macaroon) -> Result<Self, CapError> {
        let (kid, id) = Identifier::parse(macaroon.identifier())?.into_parts();
        let mut capability = Self {
            kid,
            id,
            actions: Set::ALL,
            planes: Set::ALL,
            peers: Set::ALL,
            account_prefixes: Vec::new(),
            assets: None,
            amount_max: u128::MAX,
            expires_first_ms: u64::MAX,
            expires_last_ms: 0,
        };
        for caveat in macaroon.caveats() {
            capability.narrow(Caveat::parse(caveat)?);
        }
        // Without an expiry the two bounds are still where they started.
        if capability.expires_last_ms < capability.expires_first_ms {
            return Err(CapError::TooLongLived);
        }
        Ok(capability)
    }

    /// Whether the token may be used now, over this connection.
    ///
    /// The token is dead from its earliest expiry on. No expiry may be more than
    /// [`LIFETIME_MS_MAX`] ahead, not even one that an earlier expiry precedes: otherwise the
    /// holder of a token for ever could cut a fresh 30 days from it at will.
    ///
    /// # Errors
    /// [`CapError::Expired`], [`CapError::TooLongLived`] or [`CapError::Denied`].
    pub fn admits(&self, now_ms: u64, context: &Context) -> Result<(), CapError> {
        self.admits_time(now_ms)?;
        if !self.planes.holds(context.plane) {
            return Err(Denied::Plane.into());
        }
        if !self.peers.holds(context.peer) {
            return Err(Denied::Peer.into());
        }
        Ok(())
    }

    /// Whether one entry is allowed: its action, account, asset and amount in atoms.
    ///
    /// # Errors
    /// The first caveat that denies, in that order.
    pub fn allows(
        &self,
        action: Action,
        account: &str,
        asset: &str,
        amount: u128,
    ) -> Result<(), Denied> {
        self.allows_action(action)?;
        self.allows_account(account)?;
        if self.assets.as_ref().is_some_and(|assets| !assets.iter().any(|a| a == asset)) {
            return Err(Denied::Asset);
        }
        if amount > self.amount_max {
            return Err(Denied::AmountCeiling);
        }
        Ok(())
    }

    /// Whether one account may be read.
    ///
    /// # Errors
    /// The first caveat that denies.
    pub fn allows_read(&self, account: &str) -> Result<(), Denied> {
        self.allows_action(Action::Read)?;
        self.allows_account(account)
    }

    /// Whether a request that names no account is allowed, such as an operator's command or a read
    /// of the whole ledger. A capability for some accounts or assets does not reach that far.
    ///
    /// # Errors
    /// The first caveat that denies.
    pub fn allows_unscoped(&self, action: Action) -> Result<(), Denied> {
        self.allows_action(action)?;
        if !self.account_prefixes.is_empty() {
            return Err(Denied::AccountPrefix);
        }
        if self.assets.is_some() {
            return Err(Denied::Asset);
        }
        Ok(())
    }

    /// Whether the action is allowed at all, for some account.
    pub fn permits(&self, action: Action) -> bool {
        self.actions.holds(action)
    }

    /// Whether the capability lists its actions and this one is among them; a capability without
    /// such a caveat allows every action and names none.
    pub fn names(&self, action: Action) -> bool {
        self.actions != Set::ALL && self.permits(action)
    }

    /// The id of the root key, for logs and entries.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The capability id, which `capability_ref` of an entry must equal.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The first instant at which the token is dead, in unix milliseconds.
    pub fn expires_ms(&self) -> u64 {
        self.expires_first_ms
    }

    /// The part of [`Capability::admits`] that needs no connection.
    pub(super) fn admits_time(&self, now_ms: u64) -> Result<(), CapError> {
        if now_ms >= self.expires_first_ms {
            return Err(CapError::Expired);
        }
        if self.expires_last_ms > now_ms.saturating_add(LIFETIME_MS_MAX) {
            return Err(CapError::TooLongLived);
        }
        Ok(())
    }

    fn narrow(&mut self, caveat: Caveat) {
        match caveat {
            Caveat::Actions(actions) => self.actions.narrow(&actions),
            Caveat::Planes(planes) => self.planes.narrow(&planes),
            Caveat::Peers(peers) => self.peers.narrow(&peers),
            Caveat::AccountPrefix(prefix) => self.account_prefixes.push(prefix),
            Caveat::Assets(more) => match &mut self.assets {
                None => self.assets = Some(more),
                Some(assets) => assets.retain(|asset| more.contains(asset)),
            },
            Caveat::AmountMax(atoms) => self.amount_max = self.amount_max.min(atoms),
            Caveat::ExpiresMs(ms) => {
                self.expires_first_ms = self.expires_first_ms.min(ms);
                self.expires_last_ms = self.expires_last_ms.max(ms);
            }
        }
    }

    fn allows_action(&self, action: Action) -> Result<(), Denied> {
        if self.actions.holds(action) { Ok(()) } else { Err(Denied::Action) }
    }

    fn allows_account(&self, account: &str) -> Result<(), Denied> {
        if self.account_prefixes.iter().all(|prefix| account.starts_with(prefix.as_str())) {
            Ok(())
        } else {
            Err(Denied::AccountPrefix)
        }
    }
}
