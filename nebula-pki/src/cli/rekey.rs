//! `rekey`: a CA key under a new passphrase.

use std::ffi::OsStr;

use nebula_pki::PemKind;
use zeroize::Zeroizing;

use crate::authority;
use crate::failure::{Failure, Failures};
use crate::files::Staged;
use crate::flags::Values;
use crate::passphrase::{self, Wording};
use crate::quote::quote;
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
    if flags.raw("out-key").is_empty() {
        files::claim_replaceable("ca-key", ca_key, "out-key")?;
    }
    let in_place = out_key == ca_key || files::is_one(out_key, ca_key);
    if !in_place && files::exists(out_key) {
        return Err(sign::exists("key", out_key).into());
    }
    let pem = authority::read_key(ca_key)?;
    if in_place && !files::is_standard(out_key) {
        check_alone(&pem, out_key)?;
    }
    let key = authority::open_key(&pem)?.map_err(|error| authority::unreadable_key(&error))?;
    let sealed = encryption::seal(&key, &new_passphrase()?, parameters)?;
    let written = if in_place {
        files::close_to_others(out_key);
        files::stage(out_key, sealed.as_bytes()).and_then(Staged::commit)
    } else {
        files::write_new(out_key, sealed.as_bytes())
    };
    written.map_err(|error| error.failure("error while writing out-key: "))?;
    Ok(())
}

/// Refuses a file in which there is more than the key: it would be gone.
fn check_alone(pem: &[u8], path: &OsStr) -> Result<(), Failure> {
    // Why there is no key in it is said later.
    let kinds = PemKind::all(pem).unwrap_or_default();
    let [PemKind::SigningKey(_) | PemKind::EncryptedSigningKey(_), others @ ..] = &kinds[..] else {
        return Ok(());
    };
    let begin = b"-----BEGIN ";
    let found = match others.first() {
        Some(PemKind::Certificate(_)) => "a certificate".to_owned(),
        Some(PemKind::SigningKey(_)) => "another ca private key".to_owned(),
        Some(PemKind::EncryptedSigningKey(_)) => "another encrypted ca private key".to_owned(),
        Some(PemKind::AgreementKey(_)) => "a host private key".to_owned(),
        Some(PemKind::PublicKey(_)) => "a host public key".to_owned(),
        Some(PemKind::Other(banner)) => quote(banner.as_bytes()),
        Some(_) => "another PEM block".to_owned(),
        None => {
            let text = pem.trim_ascii();
            let blocks = text.windows(begin.len()).filter(|window| window == begin).count();
            let end = text.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
            if blocks == 1 && text.starts_with(begin) && end.starts_with(b"-----END ") {
                return Ok(());
            }
            "text".to_owned()
        }
    };
    let path = path.to_string_lossy();
    let message = format!(
        "refusing to overwrite {path}: beside the key it holds {found}, which would be lost: set \
         -out-key, or take it out"
    );
    Err(Failure::new("exists", message))
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
