//! What every database has from its first start: the default tenant and a root operator key.

use nebula_alloc::Writer;
use nebula_alloc::store::Transaction;
use serde_json::json;

use super::audit::Entry;
use super::context::Context;
use super::server_list::key;
use crate::secret::{Bearer, Hashed, ServerSecrets};
use crate::store::operator_key::{self, OperatorKey, Role, Scope};
use crate::store::tenant;
use crate::{Error, OperatorKeyId, TenantId};

/// Makes what is missing of it. `keep` keeps a new key, or answers another that was kept before.
pub(super) fn prepare(
    writer: &Writer,
    secrets: &ServerSecrets,
    keep: impl FnOnce(Bearer) -> Result<Bearer, Error>,
) -> Result<(), Error> {
    let own = secrets.clone();
    let has_key = writer.transaction(move |tx, now| {
        key::prepare(tx, &own)?;
        if tenant::by_name(tx, tenant::DEFAULT)?.is_none() {
            tenant::insert(tx, TenantId::new(), tenant::DEFAULT, now)?;
        }
        operator_key::any(tx)
    })?;
    if has_key {
        return Ok(());
    }
    // The copy comes first: a key that was stored but not handed out would lock everyone out.
    let hashed = secrets.hash(&keep(Bearer::new_operator_key()?)?)?;
    writer.transaction(move |tx, now| insert_root(tx, now, &hashed, "local"))
}

/// Enters a root operator key that does not expire, for who has the database in hand.
pub(crate) fn insert_root(
    tx: &mut dyn Transaction,
    now: i64,
    hashed: &Hashed,
    by: &str,
) -> Result<(), Error> {
    let key = OperatorKey {
        id: OperatorKeyId::new(),
        name: "root".to_owned(),
        user: "root".to_owned(),
        role: Role::Owner,
        scope: Scope::Root,
        expires_at: None,
    };
    operator_key::insert(tx, &key, hashed, now)?;
    let entry = Entry {
        detail: json!({"name": key.name, "role": key.role.word()}),
        ..Entry::new("operator_key.created", key.id.as_bytes())
    };
    Context::local().author(by).record(tx, now, entry)
}
