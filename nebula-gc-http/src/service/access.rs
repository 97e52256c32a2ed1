//! Who may do what to which network. Decided inside the transaction that does it.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use nebula_alloc::store::Transaction;

use crate::secret::{Bearer, Hashed, ServerSecrets};
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

/// Callers whose credential was found good before, by its hash. As many as there are operator keys,
/// at most; one that was revoked since is refused by the transaction.
#[derive(Default)]
pub(super) struct KnownCallers(RwLock<HashSet<[u8; 32]>>);

impl KnownCallers {
    pub(super) fn contains(&self, hashed: &Hashed) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&hashed.hash)
    }

    pub(super) fn insert(&self, hashed: &Hashed) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(hashed.hash);
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

#[cfg(test)]
mod tests {
    use nebula_alloc::Sqlite;
    use nebula_alloc::store::migrate::migrate;
    use nebula_pki::Version;

    use super::*;
    use crate::store::COMPONENT;
    use crate::{CaId, OperatorKeyId, id};

    fn network(tx: &mut dyn Transaction, tenant: TenantId, name: &str) -> Network {
        let network = Network {
            id: id::new_network(),
            tenant,
            name: name.to_owned(),
            version: Version::V1,
            prefix_v4: None,
            prefix_v6: None,
            active_ca: CaId::new(),
            hold_seconds: 0,
            revision: network::Revision::FIRST,
            rendering: 1,
        };
        network::insert(tx, &network, 0).unwrap();
        network
    }

    fn key(tx: &mut dyn Transaction, secrets: &ServerSecrets, role: Role, scope: Scope) -> Caller {
        let bearer = Bearer::new_operator_key().unwrap();
        let key = OperatorKey { id: OperatorKeyId::new(), name: String::new(), role, scope };
        operator_key::insert(tx, &key, &secrets.hash(&bearer).unwrap(), 0).unwrap();
        Caller::Bearer(bearer)
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
            let project = ProjectId::new("ours")?;
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
                    let caller = key(tx, &secrets, role, scope);
                    for action in Action::ALL {
                        let outcome = authorize(tx, &secrets, &caller, action, Some(&project)).map(|(_, found)| found.id);
                        let permitted = role != Role::Viewer || action == Action::ReadNode;
                        match outcome {
                            Ok(found) => assert!(sees && permitted && found == ours.id, "{role:?} {scope:?} {action:?}"),
                            // What it can't see does not exist for it, whatever its role.
                            Err(Error::NotFound { .. }) => assert!(!sees, "{role:?} {scope:?} {action:?}"),
                            Err(Error::Forbidden { .. }) => assert!(sees && !permitted, "{role:?} {scope:?} {action:?}"),
                            Err(other) => panic!("{other}"),
                        }
                        checked += 1;
                    }
                }
            }
            // Without a name there must be one network to see.
            let root = key(tx, &secrets, Role::Owner, Scope::Root);
            let ambiguous = authorize(tx, &secrets, &root, Action::Register, None);
            assert!(matches!(ambiguous, Err(Error::InvalidRequest { field, .. }) if field == "projectId"));
            let one = key(tx, &secrets, Role::Owner, Scope::Network(beside.id));
            assert_eq!(authorize(tx, &secrets, &one, Action::Register, None)?.1.id, beside.id);
            // A revoked key is nobody's.
            tx.execute("UPDATE gc_operator_key SET revoked_at = 1", &[])?;
            let revoked = authorize(tx, &secrets, &root, Action::ReadNode, Some(&project));
            assert!(matches!(revoked, Err(Error::Unauthorized { .. })));
            Ok::<_, Error>(checked)
        });
        assert_eq!(checked.unwrap(), 3 * 5 * 4);
    }
}
