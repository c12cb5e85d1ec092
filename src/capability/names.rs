//! The closed vocabularies that caveats speak of: actions, planes and peers.
//!
//! A name that is not listed here does not parse, so a caveat that holds one fails closed.

use std::fmt;

/// Declares a field-less enum with one fixed text name for each value.
macro_rules! named_enum {
    ($(#[$doc:meta])* $enum:ident { $($(#[$value_doc:meta])* $value:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $enum { $($(#[$value_doc])* $value,)+ }

        impl $enum {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$value,)+];

            /// The name that stands in a caveat.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$value => $name,)+ }
            }

            /// The value of a name; `None` for any other text.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.name() == name)
            }
        }

        impl fmt::Display for $enum {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl Bit for $enum {
            fn bit(self) -> u16 {
                1 << self as u16
            }
        }
    };
}

/// A value's place in a [`Set`].
pub(super) trait Bit: Copy {
    fn bit(self) -> u16;
}

named_enum! {
    /// What a bearer asks to do.
    Action {
        /// Create supply.
        Mint = "mint",
        /// Destroy supply.
        Burn = "burn",
        /// Move between two accounts.
        Transfer = "transfer",
        /// The receiving leg of a posting.
        Credit = "credit",
        /// The giving leg of a posting.
        Debit = "debit",
        /// Reserve available funds.
        Hold = "hold",
        /// Pay out reserved funds.
        Capture = "capture",
        /// Give reserved funds back.
        Release = "release",
        /// Undo an entry.
        Reverse = "reverse",
        /// Read accounts, holds and entries.
        Read = "read",
        /// Operate the node.
        Admin = "admin",
    }
}

named_enum! {
    /// The listener family that a request came through.
    Plane {
        /// The clients' listeners.
        Api = "api",
        /// The operators' commands.
        Admin = "admin",
        /// Metrics and health.
        Metrics = "metrics",
    }
}

named_enum! {
    /// How the peer is connected. The four classes do not overlap: `mtls` is not also `tls`.
    Peer {
        /// A Unix domain socket.
        Uds = "uds",
        /// TLS without a client certificate.
        Tls = "tls",
        /// TCP without TLS.
        Plain = "plain",
        /// TLS with a verified client certificate.
        Mtls = "mtls",
    }
}

/// A set of the values of one vocabulary, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Set(u16);

impl Set {
    /// Holds every value: no caveat has narrowed it yet.
    pub(super) const ALL: Set = Set(u16::MAX);

    /// Keeps what is also among `values`.
    pub(super) fn narrow<B: Bit>(&mut self, values: &[B]) {
        self.0 &= values.iter().fold(0, |bits, value| bits | value.bit());
    }

    pub(super) fn holds<B: Bit>(self, value: B) -> bool {
        self.0 & value.bit() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_strangers_are_refused() {
        for &action in Action::ALL {
            assert_eq!(Action::from_name(action.name()), Some(action));
        }
        for name in ["", "Mint", "mint ", "expire", "*"] {
            assert_eq!(Action::from_name(name), None, "{name:?}");
        }
        assert_eq!(Plane::from_name("api"), Some(Plane::Api));
        assert_eq!(Peer::from_name("mtls"), Some(Peer::Mtls));
    }

    #[test]
    fn each_action_has_a_bit_of_its_own() {
        for &one in Action::ALL {
            let mut set = Set::ALL;
            set.narrow(&[one]);
            for &other in Action::ALL {
                assert_eq!(set.holds(other), one == other, "{one} {other}");
            }
        }
    }
}
