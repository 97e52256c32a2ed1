//! Modules, and the tokens in their slots.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as Failure, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::RawAuthPin;

use super::uri::Pkcs11Uri;
use crate::Error;

/// The one token that the URI names.
pub(super) fn token(uri: &Pkcs11Uri) -> Result<(Pkcs11, Slot), Error> {
    let module = module(&uri.module()?)?;
    let mut found = Vec::new();
    if uri.is_library(|| module.get_library_info().map_err(failed("ask for the module's name")))? {
        let slots = module.get_slots_with_initialized_token().map_err(failed("list the tokens"))?;
        for slot in slots {
            let token = module.get_token_info(slot).map_err(failed("ask for the token's name"))?;
            let place = || module.get_slot_info(slot).map_err(failed("ask for the slot's name"));
            if uri.is_token(&token) && uri.is_slot(slot.id(), place)? {
                found.push(slot);
            }
        }
    }
    match *found {
        [slot] => Ok((module, slot)),
        _ => Err(Error::TokenSelection { found: found.len() }),
    }
}

/// Logs in, if the URI has a PIN; whether it has.
pub(super) fn log_in(session: &Session, uri: &Pkcs11Uri) -> Result<bool, Error> {
    let Some(pin) = uri.pin()? else { return Ok(false) };
    let pin = RawAuthPin::new(Box::new(pin.to_vec()));
    match session.login_with_raw(UserType::User, &pin) {
        Ok(()) | Err(Failure::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(true),
        Err(failure) => Err(failed("log in")(failure)),
    }
}

/// The module, initialised.
fn module(path: &Path) -> Result<Pkcs11, Error> {
    static LOADED: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());
    let mut loaded: MutexGuard<'_, _> = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let module = match loaded.get(path) {
        Some(module) => module.clone(),
        None => Pkcs11::new(path).map_err(failed("load the module"))?,
    };
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Failure::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(failure) => return Err(failed("initialise the module")(failure)),
    }
    loaded.insert(path.to_owned(), module.clone());
    Ok(module)
}

/// The error for what a module refused to do.
pub(super) fn failed(action: &'static str) -> impl Fn(Failure) -> Error {
    move |failure| {
        let reason = match failure {
            // The name of the code; its description is a paragraph of the standard.
            Failure::Pkcs11(code, _) => format!("{code:?}"),
            other => other.to_string(),
        };
        Error::Pkcs11 { action, reason }
    }
}
