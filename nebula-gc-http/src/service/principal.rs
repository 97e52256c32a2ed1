//! Who asks, for certain, and what its kind, role and scope permit.

use nebula_alloc::store::Transaction;

use super::context::{Caller, Context};
use crate::error::{JoinRefusal, Needs, Unauthorized, Unavailable};
use crate::secret::{BearerKind, ServerSecrets};
use crate::store::deleted_network;
use crate::store::join_token::{self, JoinToken};
use crate::store::network::Network;
use crate::store::node::{self, Node, NodeState};
use crate::store::operator_key::{self, OperatorKey, Role, Scope};
use crate::store::tenant;
use crate::{Error, NodeId, TenantId};

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
    /// Delete a network.
    DeleteNetwork,
    /// See join tokens.
    ReadJoinTokens,
    /// Make and revoke join tokens.
    ManageJoinTokens,
    /// See devices that wait for approval.
    ReadPending,
    /// Approve and refuse them.
    DecidePending,
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
    /// See the servers that nodes are told.
    ReadServers,
    /// Tell nodes other servers.
    ManageServers,
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
            if let BearerKind::NodeToken | BearerKind::JoinToken = bearer.kind()
                && let Some(network) = deleted_network::of_credential(tx, &hashed)?
            {
                return Err(Error::NetworkDeleted { network: network.name, at: network.at });
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
            Self::Node(node) => node_actor(node.id),
            Self::Local => "local".to_owned(),
        }
    }

    /// To whom nodes belong that it lets in, unless it says another: whom its token names, or its
    /// key's user.
    pub(crate) fn user(&self) -> String {
        match self {
            Self::OperatorKey(key) => key.user.clone(),
            Self::JoinToken { token, .. } => token.user.clone(),
            Self::Node(node) => node.user.clone(),
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

/// How events name a node that does something by itself.
pub(super) fn node_actor(node: NodeId) -> String {
    format!("node:{node}")
}

fn role_permits(role: Role, action: Action) -> bool {
    use Action as A;
    match action {
        A::ReadTenants
        | A::ReadOperatorKeys
        | A::ReadNetwork
        | A::ReadJoinTokens
        | A::ReadPending
        | A::ReadNode
        | A::ReadEvents
        | A::ReadServers => true,
        A::CreateNetwork
        | A::ChangeNetwork
        | A::ManageJoinTokens
        | A::DecidePending
        | A::Register
        | A::ChangeNode
        | A::Release
        | A::Import => role != Role::Viewer,
        A::ManageTenants | A::DeleteNetwork | A::ManageOperatorKeys | A::ManageServers => {
            role == Role::Owner
        }
        A::BeNode => false,
    }
}
