//! Whether whoever asks may let a new node join, and what that node starts with.

use nebula_alloc::NetworkId;
use nebula_pki::key::PublicKey;

use crate::error::JoinRefusal;
use crate::service::principal::Principal;
use crate::store::join_token::JoinToken;
use crate::store::node::{Applied, Generation, Node, NodeState};
use crate::{DeviceId, Error, NodeAddresses, NodeId};

/// What whoever lets a new node join decides about it.
pub(super) struct Join<'a> {
    pub(super) token: Option<&'a JoinToken>,
    groups: Vec<String>,
    user: String,
}

impl<'a> Join<'a> {
    /// Whether a new node of this name may join, under this device id and with these groups where some
    /// are asked for.
    pub(super) fn check(
        principal: &'a Principal,
        (name, device): (&str, Option<&DeviceId>),
        groups: Option<&[String]>,
        now: i64,
    ) -> Result<Self, Error> {
        let Principal::JoinToken { token, .. } = principal else {
            let groups = groups.unwrap_or_default().to_vec();
            return Ok(Self { token: None, groups, user: principal.user() });
        };
        check_time(token, now)?;
        if token.used >= token.uses {
            return Err(JoinRefusal::UsedUp.into());
        }
        check_name(token, name)?;
        check_device(token, device)?;
        let asked = groups.unwrap_or(&token.groups);
        check_groups(token, asked)?;
        Ok(Self { token: Some(token), groups: asked.to_vec(), user: principal.user() })
    }

    /// The device id of who names none.
    pub(super) fn preset_device(&self) -> Option<String> {
        self.token.and_then(|token| token.device.clone())
    }

    /// The addresses that the node is to have: as it asks, where the join token names none.
    pub(super) fn addresses(
        &self,
        asked: Option<NodeAddresses>,
    ) -> Result<Option<NodeAddresses>, Error> {
        let Some(only) = self.token.and_then(|token| token.addresses) else { return Ok(asked) };
        let mut asked = asked.iter().flat_map(NodeAddresses::iter);
        match asked.all(|address| only.iter().any(|it| it == address)) {
            true => Ok(Some(only)),
            false => Err(JoinRefusal::Address { only }.into()),
        }
    }

    /// A new node without anything of its own.
    pub(super) fn node(
        &self,
        network: NetworkId,
        name: &str,
        public_key: &PublicKey,
        now: i64,
    ) -> Node {
        let id = NodeId::new();
        Node {
            id,
            network,
            device: self.preset_device().unwrap_or_else(|| id.to_string()),
            name: name.to_owned(),
            user: self.user.clone(),
            public_key: public_key.as_bytes().to_vec(),
            state: NodeState::Active,
            state_reason: None,
            groups: self.groups.clone(),
            lighthouse: None,
            relay: self.token.is_some_and(|token| token.relay),
            mtu: None,
            pool: self.token.and_then(|token| token.pool),
            token: None,
            join_token: self.token.map(|token| token.id),
            key_until: None,
            renew_before: None,
            ephemeral_seconds: self.token.and_then(|token| token.ephemeral_seconds),
            generation: Generation::FIRST,
            applied: Applied::default(),
            seen_at: None,
            changes: 1,
            created_at: now,
        }
    }
}

/// Refuses a join token that is expired.
pub(super) fn check_time(token: &JoinToken, now: i64) -> Result<(), Error> {
    match now < token.expires_at {
        true => Ok(()),
        false => Err(JoinRefusal::Expired.into()),
    }
}

pub(super) fn check_name(token: &JoinToken, name: &str) -> Result<(), Error> {
    match &token.name_pattern {
        Some(pattern) if !matches_pattern(pattern, name) => {
            Err(JoinRefusal::Name { pattern: pattern.clone() }.into())
        }
        _ => Ok(()),
    }
}

fn check_device(token: &JoinToken, device: Option<&DeviceId>) -> Result<(), Error> {
    match (&token.device, device) {
        (Some(only), Some(device)) if only != device.as_str() => {
            Err(JoinRefusal::Device { device: only.clone() }.into())
        }
        _ => Ok(()),
    }
}

pub(super) fn check_groups(token: &JoinToken, asked: &[String]) -> Result<(), Error> {
    match asked.iter().find(|group| !token.groups.contains(group)) {
        Some(other) => Err(JoinRefusal::Group { group: other.clone() }.into()),
        None => Ok(()),
    }
}

/// Whether a name matches a pattern in which `*` stands for any characters, or none.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, matches) in [
            ("web-*", "web-1", true),
            ("web-*", "web-", true),
            ("web-*", "db-1", false),
            ("*", "", true),
            ("*-eu", "web-eu", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "abbc", true),
            ("a*b*c", "ac", false),
            ("ab*ba", "aba", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("**", "anything", true),
        ] {
            assert_eq!(matches_pattern(pattern, name), matches, "{pattern} {name}");
        }
    }
}
