//! A device's identity: its private key and its node token.

use std::error::Error;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use nebula_gc_http::Bearer;
use nebula_pki::key::AgreementKey;
use nebula_pki::{Curve, SystemRandom, files};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::terminal;

const KEY: &str = "node.key";
const TOKEN: &str = "node.token";
/// The largest accepted file, in bytes.
const LIMIT: u64 = 4096;

/// What identifies a device. The private key never leaves it.
pub(super) struct Identity {
    pub(super) key: AgreementKey,
    pub(super) token: Zeroizing<String>,
}

impl Identity {
    /// Reads `node.key` and `node.token`. Missing ones are created before the first request, so that a
    /// lost answer costs nothing.
    pub(super) fn load_or_make(directory: &Path, curve: Curve) -> Result<Self, Box<dyn Error>> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        let path = key_file(directory);
        let pem = secret(&path, || Ok(AgreementKey::generate(curve, &mut SystemRandom)?.to_pem()))?;
        let key = AgreementKey::from_pem(pem.as_bytes()).map_err(|error| {
            format!("{}: {error}; use another --out directory for a new key", path.display())
        })?;
        let token = secret(&directory.join(TOKEN), || {
            Ok(Zeroizing::new([Bearer::new_node_token()?.expose(), "\n"].concat()))
        })?;
        Ok(Self { key, token: Zeroizing::new(token.trim().to_owned()) })
    }

    /// Replaces the token of a released node by another, and returns the former one. The new token is
    /// derived from the private key and the former token, so that a lost answer costs nothing; the former
    /// token alone does not reveal it.
    pub(super) fn succeed(&mut self) -> Result<Zeroizing<String>, Box<dyn Error>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.to_pem().as_bytes())?;
        mac.update(b"nebula-gc node token after ");
        mac.update(self.token.as_bytes());
        let mut token = Zeroizing::new(String::new());
        for byte in mac.finalize().into_bytes() {
            token.push_str(&format!("{byte:02x}"));
        }
        Ok(std::mem::replace(&mut self.token, token))
    }

    /// Writes the token that replaced the former one.
    pub(super) fn save_token(&self, directory: &Path) -> Result<(), Box<dyn Error>> {
        let path = directory.join(TOKEN);
        let text = Zeroizing::new([self.token.as_str(), "\n"].concat());
        files::replace(&path, text.as_bytes(), 0o600)
            .map_err(|error| format!("{}: {error}; join again", path.display()).into())
    }
}

/// The path of a device's private key.
pub(super) fn key_file(directory: &Path) -> PathBuf {
    directory.join(KEY)
}

/// Reads a secret from a file, which is created first if it does not exist.
fn secret(
    path: &Path,
    make: impl FnOnce() -> Result<Zeroizing<String>, Box<dyn Error>>,
) -> Result<Zeroizing<String>, Box<dyn Error>> {
    let said = |error: io::Error| format!("{}: {error}", path.display());
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = make()?;
            files::replace(path, made.as_bytes(), 0o600).map_err(said)?;
            Ok(made)
        }
        Err(error) => Err(said(error).into()),
        Ok(found) if !found.is_file() || found.len() > LIMIT => {
            Err(format!("{}: is not a file with a secret", path.display()).into())
        }
        Ok(found) => {
            make_private(path, &found).map_err(said)?;
            Ok(Zeroizing::new(fs::read_to_string(path).map_err(said)?))
        }
    }
}

/// Makes a secret that other users could read private, and warns that they may have read it.
fn make_private(path: &Path, found: &fs::Metadata) -> io::Result<()> {
    let mode = found.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o700))?;
    terminal::warn(&format!(
        "{}: was accessible to other users (mode {mode:04o}), and is no longer. If somebody may have \
         read it, join again with another --out, and have this node revoked",
        path.display()
    ));
    Ok(())
}
