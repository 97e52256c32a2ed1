//! What a node asks its servers: for its bundle, another certificate, another token; and what it reports.

use nebula_pki::Certificate;
use zeroize::Zeroizing;

use super::applied::Applied;
use super::error::AgentError;
use super::node::{Node, Offer};
use super::state::{Awaited, Contact, ProblemKind, State};
use super::status::traffic;
use crate::client::{ArchiveFormat, Client, ClientError};
use crate::receipt::{Receipt, Statement};
use crate::wire::{Desired, Renewal, Report, Secret};

/// The codes with which a server says that a node is kept out.
const KEPT_OUT: [&str; 5] =
    ["node_suspended", "node_revoked", "node_released", NETWORK_DELETED, "unauthorized"];
/// The code with which it says that the node's network was deleted.
const NETWORK_DELETED: &str = "network_deleted";

impl Node {
    /// A client with the token that is in force. Where a rotation was interrupted, both are tried, and it
    /// is finished.
    ///
    /// # Errors
    /// [`AgentError::Client`] and those of the files.
    pub async fn connect(&mut self) -> Result<Client, AgentError> {
        let client = self.client(&self.identity.token)?;
        if self.identity.next_token.is_none() {
            return Ok(client);
        }
        self.rotate_token().await
    }

    /// Replaces the node's token by a new one, and returns a client with it.
    ///
    /// # Errors
    /// [`AgentError::Client`] and those of the files.
    pub async fn rotate_token(&mut self) -> Result<Client, AgentError> {
        let next = self.identity.begin_rotation()?;
        let with_next = self.client(&next)?;
        let secret = Secret::from(next.as_str());
        let with_former = self.client(&self.identity.token)?;
        match with_former.rotate_own_token(&secret).await {
            // It was done before, and the answer was lost.
            Err(refused) if is_unauthorized(&refused) => {
                with_next.rotate_own_token(&secret).await?
            }
            answered => answered?,
        }
        self.identity.finish_rotation()?;
        Ok(with_next)
    }

    /// Fetches the bundle that the node should have, and checks it.
    ///
    /// # Errors
    /// [`AgentError::Client`], and those of [`check`](Self::check).
    pub async fn fetch(&mut self, client: &Client, now: i64) -> Result<Offer, AgentError> {
        let fetched = client.fetch_own_bundle(ArchiveFormat::TarGz, None).await?;
        let fetched = fetched.ok_or(AgentError::Answer { header: "ETag" })?;
        let files = nebula_bundle::unpack(&fetched.archive)?;
        if !files.has_digest(&fetched.digest) {
            return Err(AgentError::Digest);
        }
        let receipt = fetched.receipt.or_else(|| files.receipt().map(str::to_owned));
        let given = receipt.as_deref().and_then(|text| text.parse::<Receipt>().ok());
        self.state.clock_skew = given.map(|given| now.saturating_sub(given.statement.time));
        let applied = Applied::of(fetched.revision, fetched.generation, receipt)?;
        let files: Vec<_> = files.iter().collect();
        self.check(files.iter().copied(), applied, now)
    }

    /// When to ask for another certificate, in seconds since the Unix epoch: when the server said, but
    /// not after five sixths of its lifetime.
    #[must_use]
    pub fn renew_at(&self) -> Option<i64> {
        let latest = self.certificates().iter().map(|one| part_of(one, 5, 6)).min()?;
        Some(self.state.renew_at.map_or(latest, |at| at.min(latest)))
    }

    /// Asks for another certificate, for the same key or a new one. Returns whether one was issued, which
    /// is then in the bundle.
    ///
    /// # Errors
    /// [`AgentError::Client`] and those of the files.
    pub async fn renew(&mut self, client: &Client, with_new_key: bool) -> Result<bool, AgentError> {
        let key = match with_new_key {
            true => self.identity.begin_new_key()?,
            false => &self.identity.key,
        };
        let public_key = with_new_key.then(|| key.public_key().to_pem());
        let renewed = client.renew_own_certificates(&Renewal { public_key }).await?;
        self.state.renew_at = renewed.renew_at.map(|at| at.0);
        Ok(renewed.renewed)
    }

    /// Reads when to renew, and the names that an operator may have changed.
    ///
    /// # Errors
    /// [`AgentError::Client`] and those of the files.
    pub async fn look_at_itself(&mut self, client: &Client) -> Result<(), AgentError> {
        let own = client.read_own_node().await?;
        self.state.renew_at = own.renew_at.map(|at| at.0);
        if (&own.name, &own.network) != (&self.membership.name, &self.membership.network) {
            self.membership.name = own.name;
            self.membership.network = own.network;
            self.membership.write(&self.directory)?;
        }
        Ok(())
    }

    /// Reports what is applied, and how the node is.
    ///
    /// # Errors
    /// [`AgentError::Client`].
    pub async fn report(&mut self, client: &Client, now: i64) -> Result<(), AgentError> {
        let Some(applied) = self.applied.clone() else { return Ok(()) };
        client.report_own_node(&report(&self.state, &applied, now)).await?;
        self.state.reported = Some(applied);
        Ok(())
    }

    /// Tells the server that what is installed awaits a restart of Nebula; what was in force stays
    /// reported.
    pub(super) async fn report_awaited(&self, client: &Client, now: i64) {
        let Some(known) = &self.state.reported else { return };
        if let Err(error) = client.report_own_node(&report(&self.state, known, now)).await {
            tracing::warn!(network = self.membership.network, %error, "report failed");
        }
    }

    /// The counters to wait with: those of what was offered last, also if it was refused.
    #[must_use]
    pub fn has(&self) -> Desired {
        self.applied.as_ref().map(Applied::desired).unwrap_or_default()
    }

    /// Notes that a server has answered.
    pub fn note_contact(&mut self, server: &str, now: i64) {
        self.state.contact = Some(Contact { at: now, server: server.to_owned() });
        for gone in [
            ProblemKind::Unreachable,
            ProblemKind::KeptOut,
            ProblemKind::NetworkDeleted,
            ProblemKind::Released,
            ProblemKind::Unknown,
        ] {
            self.state.clear(gone);
        }
    }

    /// Notes an error as what is wrong with the node.
    pub fn note_error(&mut self, error: &AgentError, now: i64) {
        let kind = match error {
            AgentError::Client(error) if has_code(error, "unauthorized") => ProblemKind::Unknown,
            AgentError::Client(error) if has_code(error, "node_released") => ProblemKind::Released,
            AgentError::Client(error) if has_code(error, NETWORK_DELETED) => {
                ProblemKind::NetworkDeleted
            }
            AgentError::Client(error) if kept_out(error) => ProblemKind::KeptOut,
            AgentError::Client(ClientError::Refused { .. }) => ProblemKind::Refused,
            AgentError::Client(_) => ProblemKind::Unreachable,
            error if error.is_of_local_files(self.directory.path()) => ProblemKind::Local,
            AgentError::Nebula(_) => ProblemKind::NebulaMissing,
            AgentError::Bundle(nebula_bundle::Error::Disk { .. }) => ProblemKind::Disk,
            AgentError::File { .. } => ProblemKind::Disk,
            _ => ProblemKind::Refused,
        };
        self.state.note(kind, error.to_string(), now);
    }
}

impl Applied {
    /// Counters that came with a bundle; its receipt has to say the same. One that this version can't
    /// read, of a newer server, is kept to be sent back.
    pub(super) fn of(
        revision: i64,
        generation: i64,
        receipt: Option<String>,
    ) -> Result<Self, AgentError> {
        let mut epoch = 0;
        let read = receipt.as_deref().and_then(|text| text.parse::<Receipt>().ok());
        if let Some(Receipt { statement: Statement { position, .. }, .. }) = read {
            if (position.revision, position.generation) != (revision, generation) {
                return Err(AgentError::Answer { header: "Nebula-Receipt" });
            }
            epoch = position.epoch;
        }
        if revision < 0 || generation < 0 || epoch < 0 {
            return Err(AgentError::Answer { header: "Nebula-Revision" });
        }
        Ok(Self { epoch, revision, generation, receipt })
    }

    pub(super) fn desired(&self) -> Desired {
        Desired { revision: self.revision, generation: self.generation }
    }
}

/// What a report says besides the counters, within the bounds of the API.
fn report(state: &State, applied: &Applied, now: i64) -> Report {
    let running = state.nebula.as_ref().filter(|nebula| nebula.running);
    let passed = running.and_then(|nebula| traffic(nebula.device.as_deref()?));
    let gravest = state.problems.values().next();
    let up = running.and_then(|nebula| u64::try_from(now.saturating_sub(nebula.since)).ok());
    let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
    Report {
        revision: applied.revision,
        generation: applied.generation,
        receipt: applied.receipt.clone(),
        nebula: running.map(|nebula| cut(&nebula.release, 64)),
        agent: Some(env!("CARGO_PKG_VERSION").to_owned()),
        platform: Some(format!("{system}/{machine}")),
        overridden: state.overridden.iter().take(64).map(|key| cut(key, 128)).collect(),
        uptime_seconds: up,
        tunnels: running.and_then(|nebula| nebula.tunnels),
        bytes_in: passed.map(|passed| passed.bytes_in),
        bytes_out: passed.map(|passed| passed.bytes_out),
        clock_skew_seconds: state.clock_skew,
        restart_needed: state.awaited == Some(Awaited::Restart),
        problem: gravest.map(|problem| cut(&problem.detail, 512)),
    }
}

/// A text of at most so many bytes, without control characters.
fn cut(text: &str, limit: usize) -> String {
    let mut cut = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if cut.len() + c.len_utf8() > limit {
            break;
        }
        cut.push(c);
    }
    cut
}

/// A moment within a certificate's lifetime.
fn part_of(certificate: &Certificate, part: i64, of: i64) -> i64 {
    let details = certificate.unverified_details();
    let lifetime = details.not_after().saturating_sub(details.not_before());
    details.not_before().saturating_add((lifetime / of).saturating_mul(part))
}

/// Whether a server keeps the node out.
pub(super) fn kept_out(error: &ClientError) -> bool {
    match error {
        ClientError::AllFailed { failures } => failures.iter().any(kept_out),
        error => error.problem().is_some_and(|it| KEPT_OUT.contains(&it.code.as_str())),
    }
}

fn has_code(error: &ClientError, code: &str) -> bool {
    match error {
        ClientError::AllFailed { failures } => failures.iter().any(|one| has_code(one, code)),
        error => error.problem().is_some_and(|it| it.code == code),
    }
}

fn is_unauthorized(error: &ClientError) -> bool {
    match error {
        ClientError::AllFailed { failures } => failures.iter().any(is_unauthorized),
        error => error.problem().is_some_and(|it| it.status == 401),
    }
}

/// A token as it is sent.
pub(super) fn secret(token: &Zeroizing<String>) -> Secret {
    Secret::from(token.as_str())
}
