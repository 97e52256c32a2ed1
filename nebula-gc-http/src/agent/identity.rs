//! A node's identity: its private key and its node token, made here and kept here.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use nebula_pki::key::AgreementKey;
use nebula_pki::{Curve, SystemRandom};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::directory::{Exposed, NodeDirectory};
use super::error::{AgentError, FileFault};

/// The private key's file.
pub(super) const KEY: &str = "node.key";
/// The key that a renewal is under way for.
pub(super) const NEXT_KEY: &str = "node.key.next";
/// The key before it, until Nebula has taken the next one.
pub(super) const FORMER_KEY: &str = "node.key.former";
const TOKEN: &str = "node.token";
/// The token that a rotation is under way to.
const NEXT_TOKEN: &str = "node.token.next";
/// The largest accepted file, in bytes.
const LIMIT: u64 = 4096;

/// What identifies a node. The private key never leaves its machine.
pub struct Identity {
    directory: NodeDirectory,
    /// The key of the installed certificate.
    pub key: AgreementKey,
    /// The key of a renewal that is under way.
    pub next_key: Option<AgreementKey>,
    /// The token that is known to be the node's.
    pub token: Zeroizing<String>,
    /// The token of a rotation that is under way: the server has it, or has not.
    pub next_token: Option<Zeroizing<String>>,
}

impl Identity {
    /// Reads key and token. Missing ones are made, before anything is asked, so that a lost answer costs
    /// nothing. Also returns the secrets that others could read until now.
    ///
    /// # Errors
    /// [`AgentError::Key`], [`AgentError::Randomness`] and those of the files.
    pub fn load_or_make(
        directory: &NodeDirectory,
        curve: Curve,
    ) -> Result<(Self, Vec<Exposed>), AgentError> {
        for (name, make) in [
            (KEY, (&|| new_key(directory, curve)) as &dyn Fn() -> Result<_, AgentError>),
            (TOKEN, &new_token),
        ] {
            if !directory.has(name) {
                directory.write(name, make()?.as_bytes())?;
            }
        }
        Self::load(directory)
    }

    /// Reads key and token.
    ///
    /// # Errors
    /// [`AgentError::NoNode`] without them, [`AgentError::Key`] and those of the files.
    pub fn load(directory: &NodeDirectory) -> Result<(Self, Vec<Exposed>), AgentError> {
        let mut exposed = vec![];
        let missing = || AgentError::NoNode { path: directory.path().to_owned() };
        let key = read_key(directory, KEY, &mut exposed)?.ok_or_else(missing)?;
        let next_key = read_key(directory, NEXT_KEY, &mut exposed)?;
        let token = read_token(directory, TOKEN, &mut exposed)?.ok_or_else(missing)?;
        let next_token = read_token(directory, NEXT_TOKEN, &mut exposed)?;
        let directory = directory.clone();
        Ok((Self { directory, key, next_key, token, next_token }, exposed))
    }

    /// How long the node has had its token.
    #[must_use]
    pub fn token_age(&self) -> Option<Duration> {
        let written = fs::metadata(self.directory.file(TOKEN)).and_then(|found| found.modified());
        written.ok()?.elapsed().ok()
    }

    /// Reads the token again: an operator may have replaced it, and somebody have put it there.
    /// Returns whether it is another one.
    pub(super) fn reload_token(&mut self) -> bool {
        let read = read_token(&self.directory, TOKEN, &mut vec![]).ok().flatten();
        let other = read.filter(|token| *token != self.token);
        let is_other = other.is_some();
        if let Some(token) = other {
            self.token = token;
        }
        is_other
    }

    /// Its directory has another name now.
    pub(super) fn moved_to(&mut self, directory: &NodeDirectory) {
        self.directory = directory.clone();
    }

    /// The path of the private key.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.directory.file(KEY)
    }

    /// The token that follows that of a released node. It is derived from the private key and the former
    /// token, so that a lost answer costs nothing; the former token alone does not reveal it.
    ///
    /// # Errors
    /// [`AgentError::Randomness`], which can't happen: the key of an HMAC may have any length.
    pub fn succeeding_token(&self) -> Result<Zeroizing<String>, AgentError> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.to_pem().as_bytes())
            .map_err(|_| AgentError::Randomness)?;
        mac.update(b"nebula-gc node token after ");
        mac.update(self.token.as_bytes());
        let mut token = Zeroizing::new(String::with_capacity(64));
        for byte in mac.finalize().into_bytes() {
            token.push_str(&format!("{byte:02x}"));
        }
        Ok(token)
    }

    /// Writes the token that replaced the former one.
    ///
    /// # Errors
    /// [`AgentError::File`].
    pub fn replace_token(&mut self, token: Zeroizing<String>) -> Result<(), AgentError> {
        self.directory.write(TOKEN, line(&token).as_bytes())?;
        self.directory.remove(NEXT_TOKEN)?;
        (self.token, self.next_token) = (token, None);
        Ok(())
    }

    /// The token to rotate to. It is on the disk before this returns, so that a lost answer costs
    /// nothing.
    ///
    /// # Errors
    /// [`AgentError::Randomness`], [`AgentError::File`].
    pub fn begin_rotation(&mut self) -> Result<Zeroizing<String>, AgentError> {
        if let Some(next) = &self.next_token {
            return Ok(next.clone());
        }
        let text = new_token()?;
        self.directory.write(NEXT_TOKEN, text.as_bytes())?;
        let next = Zeroizing::new(text.trim().to_owned());
        self.next_token = Some(next.clone());
        Ok(next)
    }

    /// The server has the next token: it becomes the token.
    ///
    /// # Errors
    /// [`AgentError::File`].
    pub fn finish_rotation(&mut self) -> Result<(), AgentError> {
        if let Some(next) = self.next_token.take() {
            self.directory.rename(NEXT_TOKEN, TOKEN)?;
            self.token = next;
        }
        Ok(())
    }

    /// The key to renew with in the place of the present one. It is on the disk before this returns.
    ///
    /// # Errors
    /// [`AgentError::Key`], [`AgentError::File`].
    pub fn begin_new_key(&mut self) -> Result<&AgreementKey, AgentError> {
        if self.next_key.is_none() {
            let path = self.directory.file(NEXT_KEY);
            let key = AgreementKey::generate(self.key.curve(), &mut SystemRandom);
            let key = key.map_err(|source| AgentError::Key { path, source })?;
            self.directory.write(NEXT_KEY, key.to_pem().as_bytes())?;
            self.next_key = Some(key);
        }
        Ok(self.next_key.as_ref().unwrap_or(&self.key))
    }

    /// The installed certificate is for the next key: it becomes the key, and the former one is kept
    /// until [`forget_former_key`](Self::forget_former_key), for a roll-back.
    ///
    /// # Errors
    /// [`AgentError::File`].
    pub fn take_next_key(&mut self) -> Result<(), AgentError> {
        if let Some(next) = self.next_key.take() {
            self.directory.write(FORMER_KEY, self.key.to_pem().as_bytes())?;
            self.directory.rename(NEXT_KEY, KEY)?;
            self.key = next;
        }
        Ok(())
    }

    /// Puts the former key back, where the former certificate is installed again.
    ///
    /// # Errors
    /// [`AgentError::Key`] and those of the files.
    pub fn restore_former_key(&mut self) -> Result<(), AgentError> {
        let former = read_key(&self.directory, FORMER_KEY, &mut vec![])?;
        if let Some(former) = former {
            self.directory.write(NEXT_KEY, self.key.to_pem().as_bytes())?;
            self.directory.rename(FORMER_KEY, KEY)?;
            self.next_key = Some(std::mem::replace(&mut self.key, former));
        }
        Ok(())
    }

    /// Nebula has taken the key.
    ///
    /// # Errors
    /// [`AgentError::File`].
    pub fn forget_former_key(&self) -> Result<(), AgentError> {
        self.directory.remove(FORMER_KEY)
    }
}

fn new_key(directory: &NodeDirectory, curve: Curve) -> Result<Zeroizing<String>, AgentError> {
    let key = AgreementKey::generate(curve, &mut SystemRandom);
    let key = key.map_err(|source| AgentError::Key { path: directory.file(KEY), source })?;
    Ok(key.to_pem())
}

/// A new node token of 256 random bits, with a newline.
fn new_token() -> Result<Zeroizing<String>, AgentError> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut_slice()).map_err(|_| AgentError::Randomness)?;
    let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret.as_slice()));
    Ok(Zeroizing::new(["nebula-node-", text.as_str(), "\n"].concat()))
}

fn line(token: &str) -> Zeroizing<String> {
    Zeroizing::new([token, "\n"].concat())
}

fn read_key(
    directory: &NodeDirectory,
    name: &str,
    exposed: &mut Vec<Exposed>,
) -> Result<Option<AgreementKey>, AgentError> {
    let Some(pem) = directory.read_secret(name, LIMIT, exposed)? else { return Ok(None) };
    let key = AgreementKey::from_pem(&pem);
    let path = directory.file(name);
    key.map(Some).map_err(|source| AgentError::Key { path, source })
}

fn read_token(
    directory: &NodeDirectory,
    name: &str,
    exposed: &mut Vec<Exposed>,
) -> Result<Option<Zeroizing<String>>, AgentError> {
    let Some(bytes) = directory.read_secret(name, LIMIT, exposed)? else { return Ok(None) };
    match str::from_utf8(&bytes) {
        Ok(text) => Ok(Some(Zeroizing::new(text.trim().to_owned()))),
        Err(_) => Err(AgentError::unfit(&directory.file(name), FileFault::NotText)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (tempfile::TempDir, NodeDirectory, Identity) {
        let place = tempfile::tempdir().unwrap();
        let directory = NodeDirectory::create(&place.path().join("node")).unwrap();
        let (identity, exposed) = Identity::load_or_make(&directory, Curve::P256).unwrap();
        assert!(exposed.is_empty());
        (place, directory, identity)
    }

    #[test]
    fn a_crash_in_a_rotation_leaves_both_tokens() {
        let (_place, directory, mut identity) = made();
        let former = identity.token.clone();
        let next = identity.begin_rotation().unwrap();
        assert_ne!(former, next);
        let (mut after, _) = Identity::load(&directory).unwrap();
        assert_eq!((&after.token, after.next_token.as_ref()), (&former, Some(&next)));
        assert_eq!(after.begin_rotation().unwrap(), next, "it goes on with the one it has sent");
        after.finish_rotation().unwrap();
        let (after, _) = Identity::load(&directory).unwrap();
        assert_eq!((&after.token, after.next_token), (&next, None));
    }

    #[test]
    fn a_key_that_nebula_refused_gives_its_place_back() {
        let (_place, directory, mut identity) = made();
        let former = identity.key.public_key();
        let next = identity.begin_new_key().unwrap().public_key();
        identity.take_next_key().unwrap();
        assert_eq!(identity.key.public_key(), next);
        identity.restore_former_key().unwrap();
        let (after, _) = Identity::load(&directory).unwrap();
        assert_eq!(after.key.public_key(), former);
        assert_eq!(after.next_key.map(|key| key.public_key()), Some(next));
    }
}
