//! Who may do what to which network. Decided inside the transaction that does it.

use nebula_alloc::store::Transaction;

use crate::secret::{Bearer, ServerSecrets};
use crate::store::network::{self, Network};
use crate::store::operator_key::{self, OperatorKey, Role, Scope};
use crate::store::tenant;
use crate::{Error, ProjectId, TenantId};

/// Who asks, as far as it can be told before the transaction.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Someone with a bearer secret.
    Bearer(Bearer),
    /// The program that runs the service, on behalf of whoever started it. It may do everything.
    Local,
}

/// Who asks, for certain.
#[derive(Debug, Clone)]
pub(crate) enum Principal {
    OperatorKey(OperatorKey),
    Local,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// See a node's state and bundle.
    ReadNode,
    /// Register a device, with any groups and as a lighthouse.
    Register,
    /// Release a node.
    Release,
    /// Add a pool, and make the network for it.
    AddPool,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ReadNode, Self::Register, Self::Release, Self::AddPool];
}

impl Principal {
    pub(crate) fn authenticate(
        tx: &mut dyn Transaction,
        secrets: &ServerSecrets,
        caller: &Caller,
    ) -> Result<Self, Error> {
        let bearer = match caller {
            Caller::Local => return Ok(Self::Local),
            Caller::Bearer(bearer) => bearer,
        };
        for hashed in secrets.hashes(bearer) {
            if let Some(key) = operator_key::by_hash(tx, &hashed)? {
                return Ok(Self::OperatorKey(key));
            }
        }
        Err(Error::Unauthorized { reason: "this operator key is not known, or was revoked" })
    }

    /// How the audit log names it.
    pub(crate) fn actor(&self) -> String {
        match self {
            Self::OperatorKey(key) => format!("operator_key:{}", key.id),
            Self::Local => "local".to_owned(),
        }
    }

    /// Refuses what its role does not include.
    pub(crate) fn permit(&self, action: Action) -> Result<(), Error> {
        let Self::OperatorKey(key) = self else { return Ok(()) };
        let allowed = match (key.role, action) {
            (Role::Owner | Role::Operator, _) | (Role::Viewer, Action::ReadNode) => true,
            (Role::Viewer, Action::Register | Action::Release | Action::AddPool) => false,
        };
        if allowed {
            Ok(())
        } else {
            Err(Error::Forbidden {
                reason: format!("the role {} does not permit this", key.role.word()),
            })
        }
    }

    /// Whether a network is within its scope. One that is not does not exist for it.
    pub(crate) fn sees(&self, network: &Network) -> bool {
        match self.scope() {
            Scope::Root => true,
            Scope::Tenant(tenant) => network.tenant == tenant,
            Scope::Network(id) => network.id == id,
        }
    }

    /// The tenant in which it makes networks.
    pub(crate) fn home(&self, tx: &mut dyn Transaction) -> Result<TenantId, Error> {
        match self.scope() {
            Scope::Tenant(tenant) => Ok(tenant),
            Scope::Network(_) => {
                Err(Error::Forbidden { reason: "this operator key can't make networks".to_owned() })
            }
            Scope::Root => tenant::by_name(tx, tenant::DEFAULT)?
                .ok_or_else(|| Error::unavailable("the default tenant is missing")),
        }
    }

    fn scope(&self) -> Scope {
        match self {
            Self::OperatorKey(key) => key.scope,
            Self::Local => Scope::Root,
        }
    }
}

/// The one answer to "may this caller do this to that network?", with who and which it is.
pub(crate) fn authorize(
    tx: &mut dyn Transaction,
    secrets: &ServerSecrets,
    caller: &Caller,
    action: Action,
    project: Option<&ProjectId>,
) -> Result<(Principal, Network), Error> {
    let principal = Principal::authenticate(tx, secrets, caller)?;
    let network = find_network(tx, &principal, project)?.ok_or_else(|| not_found(project))?;
    principal.permit(action)?;
    Ok((principal, network))
}

/// The network named, or the only one the principal sees; nothing where there is none to see.
pub(crate) fn find_network(
    tx: &mut dyn Transaction,
    principal: &Principal,
    project: Option<&ProjectId>,
) -> Result<Option<Network>, Error> {
    if let Some(project) = project {
        let found = network::by_name(tx, project.as_str())?;
        return Ok(found.filter(|network| principal.sees(network)));
    }
    // Two are enough to know that it is ambiguous.
    let seen = match principal.scope() {
        Scope::Root => network::first(tx, 2)?,
        Scope::Tenant(tenant) => network::first_of_tenant(tx, tenant, 2)?,
        Scope::Network(id) => network::by_id(tx, id)?.into_iter().collect(),
    };
    match seen.len() {
        0 | 1 => Ok(seen.into_iter().next()),
        _ => Err(Error::invalid(
            "projectId",
            "must be given, because there is more than one network",
        )),
    }
}

pub(crate) fn not_found(project: Option<&ProjectId>) -> Error {
    Error::NotFound {
        what: project
            .map_or("network".to_owned(), |project| format!("network {:?}", project.as_str())),
    }
}
