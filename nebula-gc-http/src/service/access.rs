//! Who may do what to which network. Decided inside the transaction that does it.

mod which;

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use nebula_alloc::store::{Query, Transaction};

use self::which::{Seen, network_of_device, only_seen};
pub(crate) use self::which::{called, find_network, network_that_released, not_found};
use super::context::{Caller, Context};
use super::principal::{Action, Principal};
use super::turns::Who;
use crate::secret::{BearerKind, Hashed, ServerSecrets};
use crate::store::join_token;
use crate::store::network::{self, Network};
use crate::store::node;
use crate::store::operator_key;
use crate::{DeviceId, Error, NetworkRef};

/// Callers whose credential was found good before, by its hash: operator keys and join tokens, so
/// not many. One that was revoked since is refused by the transaction.
#[derive(Default)]
pub(super) struct KnownCallers(RwLock<HashMap<[u8; 32], Known>>);

/// What is known of a credential.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// From when it is worth nothing, in seconds since the Unix epoch.
    ends_at: i64,
    /// What was asked with it last was refused where it would have been written.
    pub(super) is_suspect: bool,
}

/// How many callers are remembered, at most.
const KNOWN: usize = 100_000;

impl KnownCallers {
    /// What is known of a credential that is good at this time.
    pub(super) fn find(&self, hashed: &Hashed, now: i64) -> Option<Known> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&hashed.hash).filter(|known| now < known.ends_at).copied()
    }

    pub(super) fn insert(&self, hashed: &Hashed, ends_at: i64) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert(hashed.hash, Known { ends_at, is_suspect: false });
    }

    pub(super) fn is_suspect(&self, who: Who) -> bool {
        let Who::Credential(hash) = who else { return false };
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&hash).is_some_and(|known| known.is_suspect)
    }

    /// Whether what was asked with a credential was refused, as far as the credential is known.
    pub(super) fn note(&self, who: Who, is_suspect: bool) {
        let Who::Credential(hash) = who else { return };
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get_mut(&hash) {
            known.is_suspect = is_suspect;
        }
    }
}

/// The one answer to "may this caller do this to that network?", with who and which it is.
pub(crate) fn authorize(
    tx: &mut dyn Transaction,
    secrets: &ServerSecrets,
    context: &Context,
    now: i64,
    action: Action,
    named: Option<&NetworkRef>,
) -> Result<(Principal, Network), Error> {
    let principal = Principal::authenticate(tx, secrets, context, now)?;
    let network = find_network(tx, &principal, named)?.ok_or_else(|| not_found(named))?;
    principal.permit(action)?;
    Ok((principal, network))
}

/// What [`authorize`] is going to read, as far as it is known before: for most requests of a network
/// the same.
pub(crate) fn prefetch(
    secrets: &ServerSecrets,
    context: &Context,
    named: Option<&NetworkRef>,
) -> Vec<Query> {
    let credential = match context.caller() {
        Caller::Local => None,
        // It is rarely found under another key than the current one.
        Caller::Bearer(bearer) => secrets.hashes(bearer).next().map(|hashed| match bearer.kind() {
            BearerKind::OperatorKey => operator_key::hash_query(&hashed),
            BearerKind::JoinToken => join_token::hash_query(&hashed),
            BearerKind::NodeToken => node::token_query(&hashed),
        }),
    };
    let by_id = named.and_then(NetworkRef::as_network_id).map(network::id_query);
    let by_name = named.map(|named| network::name_query(named.as_str()));
    credential.into_iter().chain(by_id).chain(by_name).collect()
}

/// As [`authorize`], for what is about a device, whose network may be left out where only one that the
/// caller sees has it; nothing where the caller sees several, and none of them has it.
pub(crate) fn authorize_device(
    tx: &mut dyn Transaction,
    secrets: &ServerSecrets,
    context: &Context,
    now: i64,
    action: Action,
    (named, device): (Option<&NetworkRef>, &DeviceId),
) -> Result<(Principal, Option<Network>), Error> {
    let principal = Principal::authenticate(tx, secrets, context, now)?;
    let network = match named {
        Some(_) => Some(find_network(tx, &principal, named)?.ok_or_else(|| not_found(named))?),
        None => match only_seen(tx, &principal)? {
            Seen::Nothing => return Err(not_found(None)),
            Seen::One(network) => Some(*network),
            Seen::Several => network_of_device(tx, &principal, device)?,
        },
    };
    principal.permit(action)?;
    Ok((principal, network))
}

/// The network that everybody may see a part of: the one named, else the only one that the caller sees,
/// where there is a caller, or that there is.
pub(crate) fn public(
    tx: &mut dyn Transaction,
    secrets: &ServerSecrets,
    context: Option<&Context>,
    now: i64,
    named: Option<&NetworkRef>,
) -> Result<Network, Error> {
    let principal = match (named, context) {
        (None, Some(context)) => Principal::authenticate(tx, secrets, context, now)?,
        _ => Principal::Local,
    };
    find_network(tx, &principal, named)?.ok_or_else(|| not_found(named))
}

#[cfg(test)]
mod tests {
    use nebula_alloc::Sqlite;
    use nebula_alloc::store::migrate::migrate;
    use nebula_pki::Curve;

    use super::*;
    use crate::Bearer;
    use crate::store::COMPONENT;
    use crate::store::network::Versions;
    use crate::store::operator_key::{OperatorKey, Role, Scope};
    use crate::store::tenant;
    use crate::{CaId, OperatorKeyId, TenantId, id};

    fn network(tx: &mut dyn Transaction, tenant: TenantId, name: &str) -> Network {
        let network = Network {
            id: id::new_network(),
            tenant,
            name: name.to_owned(),
            versions: Versions::V1,
            curve: Curve::Curve25519,
            prefix_v4: None,
            prefix_v6: None,
            active_ca: CaId::new(),
            hold_seconds: 0,
            hold_alone: false,
            lifetime: 86_400,
            silence_seconds: None,
            give_back_seconds: None,
            silent_after: 300,
            mtu: 1300,
            initiating_version: None,
            renew_before: None,
            revision: network::Revision::FIRST,
            wake_counter: 0,
            rendering: 1,
            changes: 1,
            created_at: 0,
        };
        network::insert(tx, &network).unwrap();
        network
    }

    fn key(tx: &mut dyn Transaction, secrets: &ServerSecrets, role: Role, scope: Scope) -> Context {
        let bearer = Bearer::new_operator_key().unwrap();
        let key = OperatorKey {
            id: OperatorKeyId::new(),
            name: String::new(),
            user: String::new(),
            role,
            scope,
            expires_at: None,
        };
        operator_key::insert(tx, &key, &secrets.hash(&bearer).unwrap(), 0).unwrap();
        Context::bearer(bearer)
    }

    /// Every role × scope × action, for a network of the default tenant.
    #[test]
    fn who_may_do_what_to_which_network() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Sqlite::open(directory.path().join("test.db")).unwrap();
        let secrets = ServerSecrets::generate().unwrap();
        let checked = store.transaction(|tx| {
            migrate(tx, &COMPONENT)?;
            let (home, foreign) = (TenantId::new(), TenantId::new());
            tenant::insert(tx, home, tenant::DEFAULT, 0)?;
            tenant::insert(tx, foreign, "foreign", 0)?;
            let ours = network(tx, home, "ours");
            let beside = network(tx, home, "beside");
            let named = NetworkRef::new("ours")?;
            let scopes = [
                (Scope::Root, true),
                (Scope::Tenant(home), true),
                (Scope::Network(ours.id), true),
                (Scope::Tenant(foreign), false),
                (Scope::Network(beside.id), false),
            ];
            let mut checked = 0;
            for role in [Role::Owner, Role::Operator, Role::Viewer] {
                for (scope, sees) in scopes {
                    let context = key(tx, &secrets, role, scope);
                    for &action in Action::ALL {
                        let outcome = authorize(tx, &secrets, &context, 0, action, Some(&named))
                            .map(|(_, found)| found.id);
                        let permitted = match role {
                            Role::Owner => action != Action::BeNode,
                            Role::Operator => !matches!(
                                action,
                                Action::BeNode
                                    | Action::ManageTenants
                                    | Action::DeleteNetwork
                                    | Action::ManageOperatorKeys
                                    | Action::ManageServers
                            ),
                            Role::Viewer => format!("{action:?}").starts_with("Read"),
                        };
                        match outcome {
                            Ok(found) => assert!(
                                sees && permitted && found == ours.id,
                                "{role:?} {scope:?} {action:?}"
                            ),
                            // What it can't see does not exist for it, whatever its role.
                            Err(Error::NotFound { .. }) => {
                                assert!(!sees, "{role:?} {scope:?} {action:?}")
                            }
                            Err(Error::Forbidden { .. }) => {
                                assert!(sees && !permitted, "{role:?} {scope:?} {action:?}")
                            }
                            Err(other) => panic!("{other}"),
                        }
                        checked += 1;
                    }
                }
            }
            // Without a name there must be one network to see.
            let root = key(tx, &secrets, Role::Owner, Scope::Root);
            let ambiguous = authorize(tx, &secrets, &root, 0, Action::Register, None);
            assert!(matches!(
                ambiguous,
                Err(Error::Invalid { field: crate::error::Field::Network, .. })
            ));
            let one = key(tx, &secrets, Role::Owner, Scope::Network(beside.id));
            assert_eq!(authorize(tx, &secrets, &one, 0, Action::Register, None)?.1.id, beside.id);
            // A revoked key is nobody's.
            tx.execute("UPDATE gc_operator_key SET revoked_at = 1", &[])?;
            let revoked = authorize(tx, &secrets, &root, 0, Action::ReadNode, Some(&named));
            assert!(matches!(revoked, Err(Error::Unauthorized { .. })));
            Ok::<_, Error>(checked)
        });
        assert_eq!(checked.unwrap(), 3 * 5 * Action::ALL.len());
    }
}
