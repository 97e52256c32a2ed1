//! One round for one node: renew if it is due, fetch, check, install, report.

use std::path::{Path, PathBuf};

use nebula_bundle::InstallFiles;

use super::error::AgentError;
use super::node::{Installing, Node};
use super::state::{Awaited, ProblemKind};
use crate::client::Client;
use crate::process::{Change, Configuration, FindError, Nebula, Release, change_between};

/// What a round is to do.
#[derive(Debug, Clone, Default)]
pub struct RoundOptions {
    /// Renew with a new key, and now.
    pub new_key: bool,
    /// Replace the node's token.
    pub new_token: bool,
    /// Return once more what Nebula has to do, as long as [`report_taken`](Node::report_taken) was not
    /// called for it.
    pub repeat_awaited: bool,
    /// Install what the server gives although it is older than what is installed.
    pub accept_older: bool,
    /// The program `nebula`, in this round. Default: as chosen at joining, else the one in the search
    /// path.
    pub nebula: Option<PathBuf>,
}

/// What a round changed on the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoundOutcome {
    /// Nothing.
    Nothing,
    /// Nebula takes it over by a reload (SIGHUP).
    Reload,
    /// Nebula has to be started, or started again; and for what.
    Restart {
        /// What changed.
        reason: String,
    },
    /// Nebula refuses what was given: what was installed before is installed again, with the new CAs and
    /// the new blocklist, for which Nebula is to be reloaded.
    RolledBack,
    /// A file of the user's own can't be used: what was installed stays, with the new CAs and the new
    /// blocklist, for which Nebula is to be reloaded.
    TrustOnly,
    /// Nebula refuses what was given, and there is nothing to go back to: it has never accepted anything
    /// else. It can't be started.
    Refused,
}

impl Node {
    /// Does one round. The caller has Nebula reloaded or restarted, and reports that
    /// ([`report_taken`](Self::report_taken)): servers rely on what is reported being in force.
    ///
    /// # Errors
    /// [`AgentError`]; what is installed is as it was.
    pub async fn round(
        &mut self,
        options: &RoundOptions,
        now: i64,
    ) -> Result<RoundOutcome, AgentError> {
        let done = self.try_round(options, now).await;
        if let Err(error) = &done {
            self.note_error(error, now);
        }
        self.state.written_at = now;
        // What it is about is done or refused by now.
        self.state.write(&self.directory)?;
        done
    }

    async fn try_round(
        &mut self,
        options: &RoundOptions,
        now: i64,
    ) -> Result<RoundOutcome, AgentError> {
        let client = match options.new_token {
            true => self.rotate_token().await?,
            false => self.connect().await?,
        };
        if options.accept_older {
            self.applied = None;
        }
        // An operator may have moved the time to renew.
        self.look_at_itself(&client).await?;
        if options.new_key || self.renew_at().is_none_or(|at| at <= now) {
            self.renew(&client, options.new_key).await?;
        }
        let offer = self.fetch(&client, now).await?;
        let server = client.answered_by();
        self.note_contact(&server, now);
        self.forget_former_servers(&server)?;
        let outcome = self.install_tested(&offer, options.nebula.as_deref(), now).await?;
        let outcome = match (outcome, self.state.awaited) {
            (RoundOutcome::Nothing, Some(awaited)) if options.repeat_awaited => awaited.outcome(),
            (outcome, _) => outcome,
        };
        match outcome {
            RoundOutcome::Nothing => {
                self.state.awaited = None;
                self.report_softly(&client, now).await;
            }
            RoundOutcome::Restart { .. } => self.report_awaited(&client, now).await,
            _ => {}
        }
        self.read_servers(&client).await?;
        Ok(outcome)
    }

    /// Reports what a round has installed, once Nebula has taken it over. A round that changes nothing
    /// reports by itself.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn report_taken(&mut self, now: i64) -> Result<(), AgentError> {
        let client = self.connect().await?;
        self.state.awaited = None;
        self.report(&client, now).await?;
        self.state.write(&self.directory)
    }

    /// Installs an offer; where a `nebula` is found, it has to accept it. Where a path is given, or was
    /// chosen before, it is to be there.
    pub(super) async fn install_tested(
        &mut self,
        offer: &super::Offer,
        program: Option<&Path>,
        now: i64,
    ) -> Result<RoundOutcome, AgentError> {
        let outcome = self.try_install(offer, program, now).await?;
        let awaited = match outcome {
            RoundOutcome::Nothing | RoundOutcome::Refused => None,
            RoundOutcome::Reload | RoundOutcome::RolledBack | RoundOutcome::TrustOnly => {
                Some(Awaited::Reload)
            }
            RoundOutcome::Restart { .. } => Some(Awaited::Restart),
        };
        // A restart that is still to be made takes over whatever a reload would.
        self.state.awaited = self.state.awaited.max(awaited);
        Ok(outcome)
    }

    async fn try_install(
        &mut self,
        offer: &super::Offer,
        program: Option<&Path>,
        now: i64,
    ) -> Result<RoundOutcome, AgentError> {
        let nebula = self.find_nebula(program).await?;
        // What Nebula has never accepted does not run.
        let before = self.state.applied.as_ref().and_then(|_| self.installed().ok().flatten());
        let is_same = match self.install(offer) {
            Err(error) if error.is_of_local_files(self.directory.path()) => {
                if !self.install_trust(&offer.bundle)? {
                    return Err(error);
                }
                self.note_error(&error, now);
                return Ok(RoundOutcome::TrustOnly);
            }
            installed => installed? == Installing::Unchanged,
        };
        if is_same && !self.state.problems.contains_key(&ProblemKind::NebulaRefused) {
            self.confirm(offer)?;
            return Ok(RoundOutcome::Nothing);
        }
        if let Some(nebula) = &nebula
            && let Err(refused) = nebula.test(&self.configuration(), self.directory.path()).await
        {
            let detail = refused.to_string();
            self.state.note(ProblemKind::NebulaRefused, detail, now);
            // What is before the same is what was refused before it.
            let is_back = !is_same && self.roll_back(&offer.bundle)?;
            return Ok(if is_back { RoundOutcome::RolledBack } else { RoundOutcome::Refused });
        }
        let after = self.installed()?;
        self.confirm(offer)?;
        let release = nebula.map_or(Release::OLDEST, |nebula| nebula.release());
        Ok(outcome(before.as_ref(), after.as_ref(), release))
    }

    /// The program to ask; nothing where none was chosen and the search path has none.
    async fn find_nebula(&mut self, program: Option<&Path>) -> Result<Option<Nebula>, AgentError> {
        let path = program.or(self.membership.local.nebula.as_deref());
        let found = match Nebula::find(path, Release::OLDEST).await {
            Err(FindError::NotInPath) => None,
            found => Some(found?),
        };
        self.state.clear(ProblemKind::NebulaMissing);
        Ok(found)
    }

    /// The path that Nebula is started with.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.installation.link().join("nebula.yml")
    }

    pub(super) async fn report_softly(&mut self, client: &Client, now: i64) {
        if let Err(error) = self.report(client, now).await {
            tracing::warn!(network = self.membership.network, %error, "report failed");
        }
    }

    pub(super) fn first_server(&self) -> String {
        self.membership.servers.first().map(|server| server.url.clone()).unwrap_or_default()
    }
}

impl Awaited {
    fn outcome(self) -> RoundOutcome {
        match self {
            Self::Reload => RoundOutcome::Reload,
            Self::Restart => RoundOutcome::Restart { reason: "still to be done".to_owned() },
        }
    }
}

/// What installed files are to Nebula.
pub(super) fn configuration_of(files: &InstallFiles) -> Option<Configuration> {
    let text = |name| files.files().find(|(found, _)| *found == name).map(|(_, text)| text);
    Configuration::read(text("nebula.yml")?, text("node.crt")?, text("ca.crt")?).ok()
}

fn outcome(
    before: Option<&InstallFiles>,
    after: Option<&InstallFiles>,
    release: Release,
) -> RoundOutcome {
    let before = before.and_then(configuration_of);
    let after = after.and_then(configuration_of);
    match (before, after) {
        (Some(before), Some(after)) => match change_between(&before, &after, release) {
            Change::Nothing => RoundOutcome::Nothing,
            Change::Reload { .. } => RoundOutcome::Reload,
            Change::Restart(reason) => RoundOutcome::Restart { reason: reason.to_string() },
        },
        _ => RoundOutcome::Restart { reason: "first start".to_owned() },
    }
}
