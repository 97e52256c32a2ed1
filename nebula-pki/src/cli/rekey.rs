//! `rekey`: a CA key under a new passphrase.

use zeroize::Zeroizing;

use crate::authority;
use crate::failure::{Failure, Failures};
use crate::flags::Values;
use crate::passphrase::{self, Wording};
use crate::{encryption, files, sign};

const NO_NEW_PASSPHRASE: Wording = Wording {
    no_terminal: "ca-key must be encrypted interactively",
    unreadable: "error reading passphrase",
    empty: "no new passphrase specified",
};

pub(crate) fn run(flags: &Values) -> Result<(), Failures> {
    let ca_key = flags.required("ca-key")?;
    let parameters = encryption::parameters(flags)?;
    let out_key = Some(flags.raw("out-key")).filter(|path| !path.is_empty()).unwrap_or(ca_key);
    let in_place = out_key == ca_key || files::is_one(out_key, ca_key);
    if !in_place && files::exists(out_key) {
        return Err(sign::exists("key", out_key).into());
    }
    let key = authority::read_key(ca_key)?.map_err(|error| authority::unreadable_key(&error))?;
    let sealed = encryption::seal(&key, &new_passphrase()?, parameters)?;
    let written = if in_place {
        files::close_to_others(out_key);
        files::replace(out_key, sealed.as_bytes())
    } else {
        files::write_new(out_key, sealed.as_bytes())
    };
    written.map_err(|error| error.failure("error while writing out-key: "))?;
    Ok(())
}

/// From the environment, or asked for twice: what is mistyped here cannot be opened again.
fn new_passphrase() -> Result<Zeroizing<Vec<u8>>, Failure> {
    if let Some(passphrase) = passphrase::from_environment(passphrase::NEW_VARIABLE) {
        return Ok(passphrase);
    }
    let first = passphrase::ask("Enter new passphrase: ", &NO_NEW_PASSPHRASE)?;
    let second = passphrase::ask("Repeat new passphrase: ", &NO_NEW_PASSPHRASE)?;
    if first != second {
        return Err(Failure::new("no_passphrase", "the two passphrases are not the same"));
    }
    Ok(first)
}
