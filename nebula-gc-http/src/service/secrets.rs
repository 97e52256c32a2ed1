//! The server's secrets and what is stored under them: whether they are the right ones, and moving
//! it from former keys to the current ones.

use std::collections::BTreeMap;

use nebula_alloc::Writer;
use nebula_alloc::store::Transaction;
use nebula_alloc::writer::Step;

use super::exclusive_step::Exclusive;
use super::server_list::key as server_list_key;
use crate::error::Conflict;
use crate::secret::{BearerKind, Purpose, ServerSecrets, Stale};
use crate::store::secret_check::{self, Check};
use crate::store::{ca, join_token, node, operator_key, pending_join};
use crate::{Error, store};

/// How many CA keys are sealed anew in one transaction: some microseconds each.
const AT_ONCE: i64 = 100;

/// Whether something was written under secrets that are to be had from elsewhere.
#[cfg(feature = "server")]
pub(crate) fn is_written(tx: &mut dyn Transaction) -> Result<bool, Error> {
    Ok(!secret_check::all(tx)?.is_empty())
}

/// Refuses secrets that are not those this database was written with.
pub(crate) fn verify(tx: &mut dyn Transaction, secrets: &ServerSecrets) -> Result<(), Error> {
    for Check { purpose, key_id, value } in secret_check::all(tx)? {
        let word = purpose.word();
        match secrets.is_checked(purpose, key_id, &value) {
            Some(true) => {}
            Some(false) => {
                return Err(Conflict::SecretDiffers { purpose: word, key: key_id }.into());
            }
            // Another instance may know of keys that are not in use yet.
            None if !uses(tx, purpose)?.contains_key(&key_id) => {}
            None => {
                return Err(Conflict::SecretMissing { purpose: word, key: key_id }.into());
            }
        }
    }
    Ok(())
}

/// Keeps the check values of keys that are new to this database.
pub(super) fn note(
    tx: &mut dyn Transaction,
    secrets: &ServerSecrets,
    now: i64,
) -> Result<(), Error> {
    // Again, for another instance may have been first with other secrets.
    verify(tx, secrets)?;
    let known: Vec<_> =
        secret_check::all(tx)?.into_iter().map(|check| (check.purpose, check.key_id)).collect();
    for purpose in Purpose::ALL {
        for key_id in secrets.ids(purpose) {
            if !known.contains(&(purpose, key_id))
                && let Some(value) = secrets.check_value(purpose, key_id)
            {
                let check = Check { purpose, key_id, value: value.to_vec() };
                secret_check::insert(tx, &check, now)?;
            }
        }
    }
    Ok(())
}

/// Seals under the current key what is sealed under former ones.
pub(super) fn reseal(writer: &Writer, secrets: &ServerSecrets) -> Result<(), Error> {
    let current = secrets.current(Purpose::Sealing)?;
    loop {
        let secrets = secrets.clone();
        let found = writer.transaction(move |tx, _| {
            let former = ca::sealed_before(tx, current, AT_ONCE)?;
            for (id, sealed) in &former {
                let key = secrets.open(sealed, id.as_bytes())?;
                ca::reseal(tx, *id, sealed, &secrets.seal(&key, id.as_bytes())?)?;
            }
            server_list_key::reseal(tx, &secrets, current)?;
            Ok::<_, Error>(former.len())
        })?;
        if found == 0 {
            return Ok(());
        }
        tracing::info!(found, key = current, "CA keys were sealed with the current key");
    }
}

/// The step that stores the hashes of bearer secrets under the current key. By compare-and-set: where a
/// secret was replaced meanwhile, nothing changes.
pub(super) fn rehash(stale: Vec<Stale>) -> impl Step<Output = (), Error = Error> {
    Exclusive::new(move |tx, _| {
        for Stale { kind, former, new } in &stale {
            match kind {
                BearerKind::OperatorKey => operator_key::rehash(tx, former, new)?,
                BearerKind::JoinToken => join_token::rehash(tx, former, new)?,
                BearerKind::NodeToken => node::rehash(tx, former, new)?,
            }
        }
        Ok(())
    })
}

/// What became of a key that is not in use.
#[cfg(feature = "server")]
pub(crate) struct Pruned {
    pub(crate) purpose: Purpose,
    pub(crate) key_id: i64,
    /// What still needs it; none, and it may be forgotten.
    pub(crate) uses: Vec<String>,
}

/// Takes the check values of former keys that nothing needs any more out of the database, so that
/// the keys may be forgotten once this is committed.
#[cfg(feature = "server")]
pub(crate) fn prune(
    tx: &mut dyn Transaction,
    secrets: &ServerSecrets,
) -> Result<Vec<Pruned>, Error> {
    verify(tx, secrets)?;
    let mut pruned = Vec::new();
    for purpose in Purpose::ALL {
        let current = secrets.current(purpose)?;
        let mut uses = uses(tx, purpose)?;
        if purpose == Purpose::Hashing {
            note_receipts(tx, &secrets.ids(purpose), &mut uses)?;
        }
        // Not those that wait to be put to use.
        for key_id in secrets.ids(purpose).into_iter().filter(|id| *id < current) {
            let uses = uses.remove(&key_id).unwrap_or_default();
            if uses.is_empty() {
                secret_check::delete(tx, purpose, key_id)?;
            }
            pruned.push(Pruned { purpose, key_id, uses });
        }
    }
    Ok(pruned)
}

/// Adds the nodes that have not yet shown a receipt of a newer key, and may bring one of this.
#[cfg(feature = "server")]
fn note_receipts(
    tx: &mut dyn Transaction,
    ids: &[i64],
    uses: &mut BTreeMap<i64, Vec<String>>,
) -> Result<(), Error> {
    let holders = store::report::by_receipt_key(tx)?;
    for id in ids {
        // Who has shown one of an older key may have got one of this key since.
        let holds = |key: &Option<i64>| key.is_none_or(|key| key <= *id);
        let count: i64 = holders.iter().filter(|(key, _)| holds(key)).map(|(_, count)| count).sum();
        if count > 0 {
            uses.entry(*id).or_default().push(format!("receipts of {count} nodes"));
        }
    }
    Ok(())
}

/// What is stored under each key.
fn uses(tx: &mut dyn Transaction, purpose: Purpose) -> Result<BTreeMap<i64, Vec<String>>, Error> {
    let tables = match purpose {
        Purpose::Hashing => vec![
            ("operator keys", operator_key::by_secret_key(tx)?),
            ("join tokens", join_token::by_secret_key(tx)?),
            ("node tokens", node::by_secret_key(tx)?),
            ("tokens of pending devices", pending_join::by_secret_key(tx)?),
        ],
        Purpose::Sealing => vec![
            ("CA keys", ca::by_secret_key(tx)?),
            ("key of the server list", store::server_list::by_secret_key(tx)?),
        ],
    };
    let mut uses = BTreeMap::<_, Vec<_>>::new();
    for (what, counts) in tables {
        for (key_id, count) in counts {
            uses.entry(key_id).or_default().push(format!("{count} {what}"));
        }
    }
    Ok(uses)
}
