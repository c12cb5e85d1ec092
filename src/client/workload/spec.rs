//! What to generate: sizes, shares and the mix of scenarios.

use std::fmt;
use std::str::FromStr;

use crate::ledger::names::{Asset, KeyName};

/// The most accounts of a workload; each takes 8 bytes for its weight.
pub const ACCOUNTS_MAX: u32 = 10_000_000;

/// The most assets of a workload.
pub const ASSETS_MAX: usize = 16;

macro_rules! scenarios {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $weight:literal;)+) => {
        /// What one unit is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Scenario { $($(#[$doc])* $name,)+ }

        impl Scenario {
            /// Every scenario, in the order of their weights in a [`Mix`].
            pub const ALL: &[Scenario] = &[$(Scenario::$name,)+];
            const DEFAULT_WEIGHTS: &[u32] = &[$($weight,)+];

            /// The name in the text of a [`Mix`].
            pub const fn as_str(self) -> &'static str {
                match self { $(Scenario::$name => $text,)+ }
            }
        }
    };
}

scenarios! {
    /// Value is made. Whatever the mix, also wherever an account has too little to go on with.
    Mint = "mint", 5;
    /// Value is destroyed.
    Burn = "burn", 3;
    /// Value moves between two accounts.
    Transfer = "transfer", 46;
    /// Two to four legs, over one or two assets.
    Posting = "posting", 10;
    /// Value is set aside; half of the holds end by themselves in a far future.
    Hold = "hold", 12;
    /// A hold is paid out: in full, in part with the rest released, or in part and left open.
    Capture = "capture", 9;
    /// A hold is given back, in full or in part.
    Release = "release", 3;
    /// A transfer, capture, mint, burn or a whole posting is undone.
    Reverse = "reverse", 4;
    /// Two to four transfers that stand or fall together.
    Atomic = "atomic", 6;
    /// An entry is sent once more.
    Replay = "replay", 2;
}

/// How often each scenario is chosen, as weights. As text: `transfer=50,hold=10`; what is not named
/// is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    pub(super) weights: Vec<u32>,
}

impl Default for Mix {
    fn default() -> Self {
        Mix { weights: Scenario::DEFAULT_WEIGHTS.to_vec() }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Scenario::ALL.iter().zip(&self.weights).filter(|(_, weight)| **weight > 0);
        for (at, (scenario, weight)) in named.enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}={weight}", scenario.as_str())?;
        }
        Ok(())
    }
}

impl FromStr for Mix {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut weights = vec![0; Scenario::ALL.len()];
        for part in text.split(',') {
            let (name, weight) = part.split_once('=').ok_or(SpecError::Mix)?;
            let at = Scenario::ALL.iter().position(|scenario| scenario.as_str() == name.trim());
            let weight = weight.trim().parse().map_err(|_| SpecError::Mix)?;
            weights[at.ok_or(SpecError::Mix)?] = weight;
        }
        if weights.iter().all(|&weight| weight == 0) {
            return Err(SpecError::Mix);
        }
        Ok(Mix { weights })
    }
}

/// What ids look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ids {
    /// Random: UUIDs of version 4.
    #[default]
    V4,
    /// By time, random within a millisecond: UUIDs of version 7.
    V7,
    /// Each greater than the one before: UUIDs of version 7 with a counter.
    Ordered,
}

impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ids::V4 => "v4",
            Ids::V7 => "v7",
            Ids::Ordered => "ordered",
        })
    }
}

impl FromStr for Ids {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let all = [Ids::V4, Ids::V7, Ids::Ordered];
        all.into_iter().find(|ids| ids.to_string() == text).ok_or(SpecError::Ids)
    }
}

/// What to generate. The same spec gives the same units.
#[derive(Clone, Debug)]
pub struct Spec {
    /// How many entries, over all units.
    pub entries: usize,
    /// Where chance starts.
    pub seed: u64,
    /// How many accounts: 2 to [`ACCOUNTS_MAX`].
    pub accounts: u32,
    /// The exponent of Zipf's law by which accounts are chosen, 0 to 10; 0 makes all of them equal.
    pub zipf: f64,
    /// The share of units that the ledger will refuse, 0 to 1.
    pub invalid_share: f64,
    /// Which scenarios, how often.
    pub mix: Mix,
    /// Which assets, 1 to [`ASSETS_MAX`]; the first takes seven of ten units.
    pub assets: Vec<Asset>,
    /// The `capability_ref` of all entries.
    pub capability: KeyName,
    /// How ids are made.
    pub ids: Ids,
}

impl Default for Spec {
    fn default() -> Self {
        let asset = |name: &str| Asset::new(name).expect("three capital letters");
        Spec {
            entries: 10_000,
            seed: 1,
            accounts: 1_000,
            zipf: 1.0,
            invalid_share: 0.02,
            mix: Mix::default(),
            assets: vec![asset("RON"), asset("USD"), asset("EUR")],
            capability: KeyName::new("dev").expect("three letters"),
            ids: Ids::default(),
        }
    }
}

/// What cannot be generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The number of accounts.
    #[error("accounts: give 2 to 10000000")]
    Accounts,
    /// The exponent.
    #[error("zipf: give a number from 0 to 10")]
    Zipf,
    /// The share of invalid units.
    #[error("invalid-share: give a number from 0 to 1")]
    InvalidShare,
    /// The assets.
    #[error("assets: give 1 to 16")]
    Assets,
    /// The form of ids.
    #[error("uuid: give v4, v7 or ordered")]
    Ids,
    /// The mix.
    #[error(
        "mix: give weights like transfer=50,hold=10 of mint, burn, transfer, posting, hold, \
         capture, release, reverse, atomic, replay"
    )]
    Mix,
}

impl Spec {
    pub(super) fn check(&self) -> Result<(), SpecError> {
        if !(2..=ACCOUNTS_MAX).contains(&self.accounts) {
            return Err(SpecError::Accounts);
        }
        if !(0.0..=10.0).contains(&self.zipf) {
            return Err(SpecError::Zipf);
        }
        if !(0.0..=1.0).contains(&self.invalid_share) {
            return Err(SpecError::InvalidShare);
        }
        if !(1..=ASSETS_MAX).contains(&self.assets.len()) {
            return Err(SpecError::Assets);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_comes_back_from_its_text() {
        let mix = Mix::default();
        assert_eq!(mix.to_string().parse(), Ok(mix));
        let mix: Mix = "transfer=5, hold=1".parse().unwrap();
        assert_eq!(mix.to_string(), "transfer=5,hold=1");
        for bad in ["", "transfer", "transfer=x", "swap=1", "mint=0", "mint=-1"] {
            assert_eq!(bad.parse::<Mix>(), Err(SpecError::Mix), "{bad:?}");
        }
    }

    #[test]
    fn a_form_of_ids_comes_back_from_its_text() {
        for ids in [Ids::V4, Ids::V7, Ids::Ordered] {
            assert_eq!(ids.to_string().parse(), Ok(ids));
        }
        assert_eq!("v8".parse::<Ids>(), Err(SpecError::Ids));
    }

    #[test]
    fn a_spec_out_of_bounds_is_refused() {
        let check = |change: fn(&mut Spec)| {
            let mut spec = Spec::default();
            change(&mut spec);
            spec.check()
        };
        assert_eq!(check(|_| ()), Ok(()));
        assert_eq!(check(|s| s.accounts = 1), Err(SpecError::Accounts));
        assert_eq!(check(|s| s.accounts = ACCOUNTS_MAX + 1), Err(SpecError::Accounts));
        assert_eq!(check(|s| s.zipf = f64::NAN), Err(SpecError::Zipf));
        assert_eq!(check(|s| s.zipf = -0.1), Err(SpecError::Zipf));
        assert_eq!(check(|s| s.invalid_share = 1.1), Err(SpecError::InvalidShare));
        assert_eq!(check(|s| s.assets.clear()), Err(SpecError::Assets));
    }
}
