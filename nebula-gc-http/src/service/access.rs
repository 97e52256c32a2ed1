//! Who may do what to which network. Decided inside the transaction that does it.

mod which;

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use nebula_alloc::store::{Query, Transaction};

use self::which::{Seen, network_of_device, only_seen};
pub(crate) use self::which::{called, find_network, network_that_released, not_found};
use super::context::{Caller, Context};
use super::turns::Who;
use crate::error::{JoinRefusal, Needs, Unauthorized, Unavailable};
use crate::secret::{BearerKind, Hashed, ServerSecrets};
use crate::store::join_token::{self, JoinToken};
use crate::store::network::{self, Network};
use crate::store::node::{self, Node, NodeState};
use crate::store::operator_key::{self, OperatorKey, Role, Scope};
use crate::store::tenant;
use crate::{DeviceId, Error, NetworkRef, TenantId};

/// Who asks, for certain.
#[derive(Debug, Clone)]
pub(crate) enum Principal {
    OperatorKey(OperatorKey),
    /// It may be expired or used up, which matters to who wants to join; an expired one reads nothing.
    JoinToken {
        token: JoinToken,
        is_expired: bool,
    },
    /// A node that is not released.
    Node(Box<Node>),
    Local,
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What is asked.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action { $($(#[$doc])* $name,)* }

        impl Action {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

actions! {
    /// See tenants.
    ReadTenants,
    /// Make, change and delete tenants.
    ManageTenants,
    /// See operator keys.
    ReadOperatorKeys,
    /// Make and revoke operator keys.
    ManageOperatorKeys,
    /// See a network, its pools, CAs and blocklist.
    ReadNetwork,
    /// Make a network.
    CreateNetwork,
    /// Change a network, its pools and reservations.
    ChangeNetwork,
    /// See join tokens.
    ReadJoinTokens,
    /// Make and revoke join tokens.
    ManageJoinTokens,
    /// See nodes and their bundles; with a join token, until it expires, those that joined with it.
    ReadNode,
    /// Enrol a device; with an operator key with any groups and roles.
    Register,
    /// Change a node, suspend, revoke and reinstate it.
    ChangeNode,
    /// Release a node.
    Release,
    /// Read the audit log.
    ReadEvents,
    /// Bring in a CA or a running network, block certificates from elsewhere, and retire a CA.
    Import,
    /// Be a node, and ask about oneself.
    BeNode,
}

impl Principal {
    /// `now` is in seconds since the Unix epoch.
    pub(crate) fn authenticate(
        tx: &mut dyn Transaction,
        secrets: &ServerSecrets,
        context: &Context,
        now: i64,
    ) -> Result<Self, Error> {
        let bearer = match context.caller() {
            Caller::Local => return Ok(Self::Local),
            Caller::Bearer(bearer) => bearer,
        };
        for hashed in secrets.hashes(bearer) {
            let found = match bearer.kind() {
                BearerKind::OperatorKey => operator_key::by_hash(tx, &hashed)?
                    .filter(|key| key.expires_at.is_none_or(|end| now < end))
                    .map(Self::OperatorKey),
                BearerKind::JoinToken => join_token::by_hash(tx, &hashed)?
                    .map(|token| Self::JoinToken { is_expired: token.expires_at <= now, token }),
                BearerKind::NodeToken => node::by_token(tx, &hashed)?
                    .filter(|node| node.state != NodeState::Released)
                    .map(|node| Self::Node(Box::new(node))),
            };
            if let Some(principal) = found {
                secrets.note_use(bearer, &hashed);
                return Ok(principal);
            }
        }
        Err(match bearer.kind() {
            BearerKind::OperatorKey => Unauthorized::OperatorKey.into(),
            BearerKind::JoinToken => Unauthorized::JoinToken.into(),
            BearerKind::NodeToken => Unauthorized::Unknown.into(),
        })
    }

    /// How the audit log names it.
    pub(crate) fn actor(&self) -> String {
        match self {
            Self::OperatorKey(key) => format!("operator_key:{}", key.id),
            Self::JoinToken { token, .. } => format!("join_token:{}", token.id),
            Self::Node(node) => format!("node:{}", node.id),
            Self::Local => "local".to_owned(),
        }
    }

    /// From when it is worth nothing, in seconds since the Unix epoch.
    pub(super) fn ends_at(&self) -> i64 {
        match self {
            Self::OperatorKey(key) => key.expires_at.unwrap_or(i64::MAX),
            Self::JoinToken { token, .. } => token.expires_at,
            Self::Node(_) | Self::Local => i64::MAX,
        }
    }

    /// Refuses what its kind or role does not include.
    pub(crate) fn permit(&self, action: Action) -> Result<(), Error> {
        use Action as A;
        let (allowed, needs) = match self {
            Self::Local => (action != A::BeNode, Needs::NodeToken),
            Self::OperatorKey(key) => {
                (role_permits(key.role, action), Needs::OtherRole { role: key.role })
            }
            // Whether it lets anybody join is decided with all that it says.
            Self::JoinToken { is_expired: true, .. } if action == A::ReadNode => {
                return Err(JoinRefusal::Expired.into());
            }
            Self::JoinToken { .. } => {
                (matches!(action, A::Register | A::ReadNode), Needs::NoJoinToken)
            }
            Self::Node(_) => (action == A::BeNode, Needs::NoNodeToken),
        };
        if allowed { Ok(()) } else { Err(needs.into()) }
    }

    /// Whether a network is within its scope. One that is not does not exist for it.
    pub(crate) fn sees(&self, network: &Network) -> bool {
        match self.scope() {
            Scope::Root => true,
            Scope::Tenant(tenant) => network.tenant == tenant,
            Scope::Network(id) => network.id == id,
        }
    }

    /// Whether a node of a network within its scope is one that it may see.
    pub(crate) fn sees_node(&self, node: &Node) -> bool {
        match self {
            Self::OperatorKey(_) | Self::Local => true,
            Self::JoinToken { token, .. } => node.join_token == Some(token.id),
            Self::Node(own) => own.id == node.id,
        }
    }

    /// Whether it decides about groups, roles and keys, beyond what a join token presets.
    pub(crate) fn is_operator(&self) -> bool {
        matches!(self, Self::OperatorKey(_) | Self::Local)
    }

    /// The tenant in which it makes networks, unless it says another.
    pub(crate) fn home(&self, tx: &mut dyn Transaction) -> Result<TenantId, Error> {
        match self.scope() {
            Scope::Tenant(tenant) => Ok(tenant),
            Scope::Network(_) => Err(Needs::TenantKey.into()),
            Scope::Root => tenant::by_name(tx, tenant::DEFAULT)?
                .ok_or_else(|| Unavailable::Missing { what: "the default tenant" }.into()),
        }
    }

    pub(crate) fn scope(&self) -> Scope {
        match self {
            Self::OperatorKey(key) => key.scope,
            Self::JoinToken { token, .. } => Scope::Network(token.network),
            Self::Node(node) => Scope::Network(node.network),
            Self::Local => Scope::Root,
        }
    }
}

fn role_permits(role: Role, action: Action) -> bool {
    use Action as A;
    match action {
        A::ReadTenants
        | A::ReadOperatorKeys
        | A::ReadNetwork
        | A::ReadJoinTokens
        | A::ReadNode
        | A::ReadEvents => true,
        A::CreateNetwork
        | A::ChangeNetwork
        | A::ManageJoinTokens
        | A::Register
        | A::ChangeNode
        | A::Release
        | A::Import => role != Role::Viewer,
        A::ManageTenants | A::ManageOperatorKeys => role == Role::Owner,
        A::BeNode => false,
    }
}

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
    use crate::{CaId, OperatorKeyId, id};

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
                                Action::BeNode | Action::ManageTenants | Action::ManageOperatorKeys
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
