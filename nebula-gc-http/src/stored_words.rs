//! Enums that are stored as words, in the database and elsewhere.

use nebula_pki::Version;

/// An enum that is stored as a word. The words are the same in the table's own CHECK.
macro_rules! stored_words {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $vis enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// The stored word.
            #[must_use]
            $vis fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            #[allow(dead_code, reason = "some words are only ever written")]
            pub(crate) fn from_word(word: &str) -> Result<Self, $crate::stored_words::UnknownWord> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err($crate::stored_words::UnknownWord {
                        kind: stringify!($name),
                        word: word.to_owned(),
                    }),
                }
            }
        }
    };
}
pub(crate) use stored_words;

/// A word that this program does not store.
#[derive(Debug)]
pub(crate) struct UnknownWord {
    /// The enum it was read as.
    pub(crate) kind: &'static str,
    pub(crate) word: String,
}

stored_words! {
    /// The state of a node.
    pub enum NodeState {
        /// A member of its network.
        Active = "active",
        /// Kept out temporarily.
        Suspended = "suspended",
        /// Kept out, with its public key, until an operator reinstates it.
        Revoked = "revoked",
        /// Gone; its device may enrol again.
        Released = "released",
    }
}

stored_words! {
    /// What an operator said of a device that wants to join.
    pub enum PendingState {
        /// Nothing yet.
        Pending = "pending",
        /// It may join, once.
        Approved = "approved",
        /// It may not.
        Refused = "refused",
    }
}

stored_words! {
    /// What the receipt in a node's report is worth.
    pub enum ReceiptStanding {
        /// One of our keys proved it, and it is this node's.
        Believed = "believed",
        /// The key that is to prove it is not known here (any more).
        UnknownKey = "unknown_key",
        /// It is no receipt, is not proved, or is another's.
        Refused = "refused",
    }
}

stored_words! {
    /// What an operator key may do within its scope.
    pub enum Role {
        /// Everything, other operator keys included.
        Owner = "owner",
        /// Everything but operator keys.
        Operator = "operator",
        /// Look.
        Viewer = "viewer",
    }
}

/// The versions of certificates of a network's nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// Version 1, which every release of Nebula reads; IPv4 only.
    V1,
    /// Version 2, for Nebula 1.10 and later.
    V2,
    /// One of each, while some nodes still run an older Nebula.
    Both,
}

impl Versions {
    /// The versions, the older first.
    #[must_use]
    pub fn as_slice(self) -> &'static [Version] {
        match self {
            Self::V1 => &[Version::V1],
            Self::V2 => &[Version::V2],
            Self::Both => &[Version::V1, Version::V2],
        }
    }

    /// The version of the network's CA, which every node must be able to read.
    #[must_use]
    pub fn oldest(self) -> Version {
        match self {
            Self::V1 | Self::Both => Version::V1,
            Self::V2 => Version::V2,
        }
    }

    /// Whether nodes can have IPv6 addresses.
    #[must_use]
    pub fn has_ipv6(self) -> bool {
        self != Self::V1
    }
}
