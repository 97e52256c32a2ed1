//! Names and ids that clients choose, checked once.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::Error;
use crate::error::{Fault, Field, Unit};
use crate::text::is_invisible;

/// The longest id, in characters.
const ID_LIMIT: usize = 128;
/// The longest reason, in characters.
const REASON_LIMIT: usize = 1000;
/// The longest name that Nebula accepts, in bytes.
const NAME_LIMIT: usize = 253;
/// The most groups of a node.
const GROUPS_COUNT: usize = 64;
/// The size of all groups of a node together, in bytes: its certificate must fit a handshake
/// packet.
const GROUPS_LIMIT: usize = 4096;
/// What Nebula's firewall reads as "every host".
const EVERY_HOST: &str = "any";

macro_rules! text_types {
    ($($(#[$doc:meta])* $name:ident: $check:ident($field:ident);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name(String);

        impl $name {
            /// Checks what a client sent.
            ///
            /// # Errors
            /// [`Error::Invalid`] naming the field and what to change.
            pub fn new(text: impl Into<String>) -> Result<Self, Error> {
                Self::check(text).map_err(|fault| fault.of(Field::$field))
            }

            pub(crate) fn check(text: impl Into<String>) -> Result<Self, Fault> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                Self::check(String::deserialize(from)?).map_err(D::Error::custom)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

text_types! {
    /// A network by its name or its id: 1 to 128 characters, none of them a control character.
    NetworkRef: id(Network);
    /// What a client calls a device: 1 to 128 characters, none of them a control character.
    DeviceId: id(Device);
    /// A node's name, as its certificate carries it: 1 to 253 bytes, no control characters, not
    /// `any`.
    NodeName: node_name(Name);
    /// What an operator calls a tenant, a key, a token or a block: 1 to 128 characters, none of
    /// them a control character.
    Label: id(Name);
    /// Why an operator keeps a node out: 1 to 1000 characters, none of them a control character.
    StateReason: reason(Reason);
    /// To whom nodes belong: 1 to 128 characters, none of them invisible or a control character.
    UserName: user(User);
}

impl NetworkRef {
    /// The id of a network, where it is written as one.
    pub(crate) fn as_network_id(&self) -> Option<nebula_alloc::NetworkId> {
        as_id(&self.0).map(nebula_alloc::NetworkId::from)
    }
}

/// The form in which names are compared: names that differ only in case or trailing dots are equal
/// to people, and to DNS.
pub(crate) fn folded(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase()
}

/// The keys under which a name that counts as equal may be stored: the migration that added them
/// could only fold ASCII.
pub(crate) fn keys(name: &str) -> Vec<String> {
    let mut keys = vec![folded(name), name.trim_end_matches('.').to_ascii_lowercase()];
    keys.dedup();
    keys
}

/// The folded form, stored beside a name if it differs.
pub(crate) fn key_beside(name: &str) -> Option<String> {
    Some(folded(name)).filter(|folded| folded != name)
}

/// Refuses a text that nothing new can be called.
///
/// # Errors
/// What to change.
pub fn check_name(name: &str) -> Result<(), Fault> {
    id(name)?;
    seen(name)
}

/// Whether two names are one where names are unique.
#[must_use]
pub fn is_same_name(one: &str, other: &str) -> bool {
    folded(one) == folded(other)
}

/// Refuses a new name with invisible characters. Existing names stay.
pub(crate) fn check_seen(field: Field, name: &str) -> Result<(), Error> {
    seen(name).map_err(|fault| fault.of(field))
}

/// The id that a name would hide if a resource has it; trailing dots are ignored.
pub(crate) fn hidden_id(name: &str) -> Option<[u8; 16]> {
    as_id(name.trim_end_matches('.'))
}

/// A text as an id, in any form of a UUID: no name may be the id of another resource. Names of that
/// form are allowed, because clients use UUIDs, too; a later id is too random to be anybody's name
/// before.
pub(crate) fn as_id(text: &str) -> Option<[u8; 16]> {
    uuid::Uuid::try_parse(text).ok().map(uuid::Uuid::into_bytes)
}

/// The groups of a node, each once and in the order given: 64 at most, 1 to 253 bytes each and 4096
/// together, no control characters, not `any`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Groups(Vec<String>);

impl Groups {
    /// Checks what a client sent.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the field and what to change.
    pub fn new(groups: Vec<String>) -> Result<Self, Error> {
        Self::check(groups).map_err(|fault| fault.of(Field::Groups))
    }

    pub(crate) fn check(groups: Vec<String>) -> Result<Self, Fault> {
        if groups.iter().map(String::len).sum::<usize>() > GROUPS_LIMIT {
            return Err(Fault::TooLongTogether { limit: GROUPS_LIMIT });
        }
        if groups.len() > GROUPS_COUNT {
            return Err(Fault::Count { count: groups.len(), least: 0, most: GROUPS_COUNT });
        }
        let mut seen = std::collections::HashSet::new();
        for group in &groups {
            node_name(group).map_err(|fault| fault.of_entry(group))?;
            if !seen.insert(group) {
                return Err(Fault::RepeatedEntry { entry: group.clone() });
            }
        }
        Ok(Self(groups))
    }

    /// The groups.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Groups {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::check(Vec::deserialize(from)?).map_err(D::Error::custom)
    }
}

fn id(text: &str) -> Result<(), Fault> {
    characters(text, ID_LIMIT)
}

fn user(text: &str) -> Result<(), Fault> {
    characters(text, ID_LIMIT)?;
    seen(text)
}

fn seen(name: &str) -> Result<(), Fault> {
    if name.trim() != name {
        return Err(Fault::OuterSpace);
    }
    if folded(name).is_empty() {
        return Err(Fault::OnlyDots);
    }
    match name.chars().find(|c| is_invisible(*c)) {
        Some(character) => Err(Fault::InvisibleCharacter { character }),
        None => Ok(()),
    }
}

fn reason(text: &str) -> Result<(), Fault> {
    characters(text, REASON_LIMIT)
}

fn characters(text: &str, limit: usize) -> Result<(), Fault> {
    match text.chars().count() {
        0 => Err(Fault::Empty),
        length if length > limit => Err(Fault::TooLong { length, limit, unit: Unit::Characters }),
        _ => printable(text),
    }
}

fn node_name(text: &str) -> Result<(), Fault> {
    match text.len() {
        0 => Err(Fault::Empty),
        length if length > NAME_LIMIT => {
            Err(Fault::TooLong { length, limit: NAME_LIMIT, unit: Unit::Bytes })
        }
        _ if text == EVERY_HOST => Err(Fault::EveryHost),
        _ => printable(text),
    }
}

fn printable(text: &str) -> Result<(), Fault> {
    match text.chars().find(|c| c.is_control()) {
        None => Ok(()),
        Some(character) => Err(Fault::ControlCharacter { character }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_counted_in_characters_and_names_in_bytes() {
        assert!(DeviceId::new("ü".repeat(128)).is_ok());
        assert!(DeviceId::new("ü".repeat(129)).is_err());
        assert!(NodeName::new("ü".repeat(126)).is_ok());
        assert!(NodeName::new("ü".repeat(127)).is_err());
    }

    #[test]
    fn unusable_names_are_refused_by_field() {
        for name in ["", "any", "a\nb", "a\u{7f}", "\u{85}"] {
            assert!(
                matches!(NodeName::new(name), Err(Error::Invalid { field: Field::Name, .. })),
                "{name:?}"
            );
        }
        assert!(NodeName::new("Any").is_ok());
        for groups in [vec![""], vec!["any"], vec!["a", "a"], vec!["\0"]] {
            let groups = groups.into_iter().map(str::to_owned).collect();
            assert!(matches!(
                Groups::new(groups),
                Err(Error::Invalid { field: Field::Groups, .. })
            ));
        }
        assert!(Groups::new(vec!["x".repeat(253); 1]).is_ok());
        assert!(Groups::new((0..20).map(|i| format!("{i:0253}")).collect()).is_err());
    }
}
