//! One node, opened by who may change its directory.

use std::path::Path;

use nebula_bundle::{
    CheckedBundle, Error, FileDefect, InstallFiles, InstallOptions, Installation, LocalFile,
};
use nebula_pki::Certificate;
use nebula_pki::key::PublicKey;

use super::applied::Applied;
use super::directory::{DirectoryLock, Exposed, NodeDirectory};
use super::error::AgentError;
use super::identity::Identity;
use super::local_files;
use super::membership::Membership;
use super::state::{ProblemKind, State};
use crate::client::{Client, ServerUrl};

/// A node whose directory is locked by this program.
pub struct Node {
    /// Its directory.
    pub directory: NodeDirectory,
    /// Which node of which network it is.
    pub membership: Membership,
    /// Its key and token.
    pub identity: Identity,
    /// What is known of it.
    pub state: State,
    /// What is installed.
    pub applied: Option<Applied>,
    pub(super) installation: Installation,
    _lock: DirectoryLock,
}

/// What a server gave, checked: it is for this node, and not older than what it has.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The files.
    pub bundle: CheckedBundle,
    /// By its counters.
    pub applied: Applied,
    /// Whether it is for the key of a renewal that is under way.
    pub for_next_key: bool,
}

/// What installing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installing {
    /// The files are those that are installed.
    Unchanged,
    /// `current` is another.
    Changed {
        /// Whether the private key is another, too.
        key: bool,
    },
}

impl Node {
    /// Opens the node of a directory, locks it, and finishes what a crash interrupted. Also returns the
    /// secrets that others could read until now.
    ///
    /// # Errors
    /// [`AgentError::Locked`], [`AgentError::NoNode`] and those of the files.
    pub fn open(path: &Path) -> Result<(Self, Vec<Exposed>), AgentError> {
        let directory = NodeDirectory::open(path)?;
        let lock = directory.lock()?;
        let membership = Membership::require(&directory)?;
        let (identity, exposed) = Identity::load(&directory)?;
        Ok((Self::with(directory, lock, membership, identity)?, exposed))
    }

    pub(super) fn with(
        directory: NodeDirectory,
        lock: DirectoryLock,
        membership: Membership,
        identity: Identity,
    ) -> Result<Self, AgentError> {
        let applied = Applied::read(&directory)?;
        let state = State { applied: applied.clone(), ..State::read(&directory)? };
        let installation = Installation::new(directory.path());
        let mut node =
            Self { directory, membership, identity, state, applied, installation, _lock: lock };
        node.pair_key()?;
        Ok(node)
    }

    /// A client of its servers, with a token.
    ///
    /// # Errors
    /// [`AgentError::Client`].
    pub fn client(&self, token: &str) -> Result<Client, AgentError> {
        let servers = self.membership.servers.iter().map(|server| ServerUrl {
            url: server.url.clone(),
            pins: server.pins.iter().map(|pin| pin.0).collect(),
        });
        let client = Client::over(servers.collect())?.with_key(token);
        Ok(if self.membership.allow_plain_http { client.allow_plain_http() } else { client })
    }

    /// Checks what a server gave, before anything of it is written: its files, and that it is not older
    /// than what is installed.
    ///
    /// # Errors
    /// [`AgentError::Bundle`], [`AgentError::Older`].
    pub fn check<'n, 'c>(
        &self,
        files: impl IntoIterator<Item = (&'n str, &'c str)> + Clone,
        offered: Applied,
        now: i64,
    ) -> Result<Offer, AgentError> {
        check(files, &self.identity, self.applied.as_ref(), offered, now)
    }

    /// Installs what was offered, with the user's own files. Nebula has not been told yet.
    ///
    /// # Errors
    /// [`AgentError::Bundle`] and those of the files; what is installed is as it was.
    pub fn install(&mut self, offer: &Offer) -> Result<Installing, AgentError> {
        let current = self.installation.current()?;
        let current = current.map(|current| current.files()).transpose().unwrap_or_default();
        let number = match &current {
            Some(current) => current.firewall_generation()?,
            None => 0,
        };
        let mut files = self.render(&offer.bundle, number)?;
        files.overridden().clone_into(&mut self.state.overridden);
        let is_own = files.overridden().iter().any(|key| key == "tun.dev");
        let device = self.membership.local.tun_device.as_ref();
        let device = device.unwrap_or(&offer.bundle.config().tun.dev);
        self.state.device = (!is_own).then(|| device.clone());
        let is_same = current.is_some_and(|current| current.digest() == files.digest());
        if !is_same {
            // With another number, each reload ends with a line to wait for.
            files = self.render(&offer.bundle, number.saturating_add(1))?;
            self.installation.install(&files)?;
        }
        if offer.for_next_key {
            self.identity.take_next_key()?;
        }
        self.note_certificates(offer.bundle.certificates().iter().map(|it| it.certificate()));
        Ok(match is_same {
            true => Installing::Unchanged,
            false => Installing::Changed { key: offer.for_next_key },
        })
    }

    /// Where the user's own files keep an offer from being installed: what is installed, with the offer's
    /// CAs and blocklist. Nobody stays trusted because of such a file. Returns whether that is another.
    ///
    /// # Errors
    /// [`AgentError::Bundle`] and those of the files.
    pub fn install_trust(&mut self, bundle: &CheckedBundle) -> Result<bool, AgentError> {
        let Some(current) = self.installed()? else { return Ok(false) };
        let number = current.firewall_generation()?.saturating_add(1);
        let newer = current.with_trust_of(bundle, number)?;
        let (before, after) = (text_of(&current, "nebula.yml"), text_of(&newer, "nebula.yml"));
        let blocks = |text: &str| {
            let mut blocked = bundle.config().pki.blocklist.iter();
            blocked.all(|blocked| text.contains(&blocked.to_string()))
        };
        let has_cas = text_of(&current, "ca.crt") == text_of(&newer, "ca.crt");
        if has_cas && blocks(before) == blocks(after) {
            return Ok(false);
        }
        self.installation.install(&newer)?;
        Ok(true)
    }

    /// Installs the same once more, with another number for its firewall.
    ///
    /// # Errors
    /// As [`install`](Self::install).
    pub fn touch(&mut self, bundle: &CheckedBundle) -> Result<(), AgentError> {
        let number = self.installed()?.map(|files| files.firewall_generation()).transpose()?;
        let files = self.render(bundle, number.unwrap_or_default().saturating_add(1))?;
        self.installation.install(&files)?;
        Ok(())
    }

    /// Notes that what was offered is installed and, where there is a Nebula, taken by it.
    ///
    /// # Errors
    /// [`AgentError::File`].
    pub fn confirm(&mut self, offer: &Offer) -> Result<(), AgentError> {
        if self.applied.as_ref() != Some(&offer.applied) {
            offer.applied.write(&self.directory)?;
            self.applied = Some(offer.applied.clone());
            self.state.applied = self.applied.clone();
        }
        self.identity.forget_former_key()?;
        for gone in [
            ProblemKind::NebulaRefused,
            ProblemKind::Refused,
            ProblemKind::Local,
            ProblemKind::Disk,
        ] {
            self.state.clear(gone);
        }
        Ok(())
    }

    /// Puts the bundle before this one back, with the CAs and the blocklist of this one: going back
    /// trusts nobody again. Returns whether there was one; one that Nebula has refused, too, is none.
    ///
    /// # Errors
    /// [`AgentError::Bundle`] and those of the files.
    pub fn roll_back(&mut self, newer: &CheckedBundle) -> Result<bool, AgentError> {
        if self.state.applied.is_none() {
            return Ok(false);
        }
        let Some(previous) = self.installation.previous()? else { return Ok(false) };
        let number = match self.installation.current()? {
            Some(current) => current.files()?.firewall_generation()?,
            None => 0,
        };
        let files = previous.files()?.with_trust_of(newer, number.saturating_add(1))?;
        self.installation.install(&files)?;
        self.pair_key()?;
        self.note_installed()?;
        Ok(true)
    }

    /// What is installed, if anything is and is whole.
    ///
    /// # Errors
    /// [`AgentError::Bundle`].
    pub fn installed(&self) -> Result<Option<InstallFiles>, AgentError> {
        let current = self.installation.current()?;
        Ok(current.map(|current| current.files()).transpose()?)
    }

    /// The user's own files, and what they were when they were read.
    pub(super) fn local(&self) -> Result<Vec<LocalFile>, AgentError> {
        let read = local_files::read(&self.directory)?;
        Ok(read.into_iter().map(|(name, contents)| LocalFile { name, contents }).collect())
    }

    fn render(&self, bundle: &CheckedBundle, number: u64) -> Result<InstallFiles, AgentError> {
        let options = InstallOptions {
            directory: self.installation.link(),
            key: self.identity.key_file(),
            tun_device: self.membership.local.tun_device.clone(),
            // Where there are no IPv6 sockets, the bundle's default would not do.
            listen_host: nebula_bundle::listen_host().map(str::to_owned),
            local: self.local()?,
            allowed: self.membership.local.allowed(),
            firewall_generation: number,
        };
        Ok(bundle.to_install(&options)?)
    }

    /// Brings the private key in line with the installed certificate, where a crash or a roll-back came
    /// between them.
    fn pair_key(&mut self) -> Result<(), AgentError> {
        let Some(files) = self.installed().ok().flatten() else { return Ok(()) };
        let certificates = certificates_of(&files);
        let is_for = |key: PublicKey| {
            certificates.iter().any(|certificate| {
                PublicKey::from_raw(certificate.curve(), certificate.public_key())
                    .is_ok_and(|certified| certified == key)
            })
        };
        if !is_for(self.identity.key.public_key()) {
            let next = self.identity.next_key.as_ref().map(|key| key.public_key());
            match next.is_some_and(is_for) {
                true => self.identity.take_next_key()?,
                false => self.identity.restore_former_key()?,
            }
        }
        Ok(())
    }

    /// Notes addresses and the end of the installed certificates.
    pub(super) fn note_installed(&mut self) -> Result<(), AgentError> {
        if let Some(files) = self.installed()? {
            self.note_certificates(certificates_of(&files).iter());
        }
        Ok(())
    }

    fn note_certificates<'a>(&mut self, certificates: impl Iterator<Item = &'a Certificate>) {
        let mut ends = vec![];
        for certificate in certificates {
            let details = certificate.unverified_details();
            ends.push(details.not_after());
            // The later version names all addresses.
            self.state.addresses = details.networks().iter().map(ToString::to_string).collect();
        }
        self.state.not_after = ends.into_iter().min();
    }

    /// The installed certificates.
    pub(super) fn certificates(&self) -> Vec<Certificate> {
        self.installed().ok().flatten().map(|files| certificates_of(&files)).unwrap_or_default()
    }
}

/// As [`Node::check`].
///
/// # Errors
/// As [`Node::check`].
pub(super) fn check<'n, 'c>(
    files: impl IntoIterator<Item = (&'n str, &'c str)> + Clone,
    identity: &Identity,
    has: Option<&Applied>,
    offered: Applied,
    now: i64,
) -> Result<Offer, AgentError> {
    if let Some(has) = has {
        has.check_newer(&offered)?;
    }
    let for_key = |key: &PublicKey| nebula_bundle::check(files.clone(), key, now);
    let own = for_key(&identity.key.public_key());
    let (bundle, for_next_key) = match (own, &identity.next_key) {
        // A renewal for the next key was done, and its answer may have been lost.
        (Err(Error::File { defect: FileDefect::OtherKey, .. }), Some(next)) => {
            (for_key(&next.public_key())?, true)
        }
        (own, _) => (own?, false),
    };
    Ok(Offer { bundle, applied: offered, for_next_key })
}

/// The node's own certificates among installed files.
pub(super) fn certificates_of(files: &InstallFiles) -> Vec<Certificate> {
    Certificate::from_pem_many(text_of(files, "node.crt").as_bytes()).unwrap_or_default()
}

fn text_of<'f>(files: &'f InstallFiles, name: &str) -> &'f str {
    files.files().find(|(found, _)| *found == name).map_or("", |(_, text)| text)
}
