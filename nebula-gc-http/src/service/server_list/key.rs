//! The key that signs the list of servers: made at the first start, kept sealed.

use ed25519_dalek::SigningKey;
use nebula_alloc::store::Transaction;
use zeroize::Zeroizing;

use crate::error::Unavailable;
use crate::secret::{Sealed, ServerSecrets};
use crate::server_list::{ServerList, ServerListKey};
use crate::store::server_list::{self, OWNER, StoredList};
use crate::{Error, secret};

/// The list as it is stored, with its key.
pub(super) fn stored(tx: &mut dyn Transaction) -> Result<StoredList, Error> {
    let missing = Unavailable::Missing { what: "the list of servers" };
    server_list::read(tx)?.ok_or_else(|| missing.into())
}

/// Opens the key.
pub(super) fn open(secrets: &ServerSecrets, sealed: &Sealed) -> Result<SigningKey, Error> {
    let opened = secrets.open(sealed, OWNER)?;
    let bytes: &[u8; 32] =
        opened.as_slice().try_into().map_err(|_| Unavailable::Unsealing { key: sealed.key_id })?;
    Ok(SigningKey::from_bytes(bytes))
}

/// Makes the key of a store that has none, with an empty list.
pub(in crate::service) fn prepare(
    tx: &mut dyn Transaction,
    secrets: &ServerSecrets,
) -> Result<(), Error> {
    if server_list::read(tx)?.is_some() {
        return Ok(());
    }
    let mut bytes = Zeroizing::new([0; 32]);
    secret::random(bytes.as_mut_slice())?;
    let key = SigningKey::from_bytes(&bytes);
    let stored = StoredList {
        key: ServerListKey(key.verifying_key().to_bytes()),
        sealed: secrets.seal(bytes.as_slice(), OWNER)?,
        list: ServerList::empty().signed(&key),
    };
    server_list::insert(tx, &stored)
}

/// Seals the key under the server's current one.
pub(in crate::service) fn reseal(
    tx: &mut dyn Transaction,
    secrets: &ServerSecrets,
    current: i64,
) -> Result<(), Error> {
    match server_list::read(tx)? {
        Some(StoredList { sealed, .. }) if sealed.key_id < current => {
            let key = secrets.open(&sealed, OWNER)?;
            server_list::reseal(tx, &sealed, &secrets.seal(&key, OWNER)?)
        }
        _ => Ok(()),
    }
}
