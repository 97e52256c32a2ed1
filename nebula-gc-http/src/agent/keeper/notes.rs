//! What an agent notes of a node, for `status`.

use super::Keeper;
use crate::agent::node::Node;
use crate::agent::state::{NebulaState, ProblemKind};
use crate::client::Client;
use crate::process::{ApplyError, Failure, State as ProcessState};

impl Keeper {
    pub(super) fn note_contact(&mut self, client: &Client, now: i64) {
        let server = client.answered_by();
        self.node.note_contact(&server, now);
        if let Err(error) = self.node.forget_former_servers(&server) {
            self.node.note_error(&error, now);
        }
    }

    pub(super) fn note_apply_error(&mut self, error: &ApplyError) {
        self.note_failure(matches!(error, ApplyError::Find(_)), &error.to_string());
    }

    /// Nebula is missing or fails, never both.
    fn note_failure(&mut self, is_missing: bool, detail: &str) {
        let (kind, other) = match is_missing {
            true => (ProblemKind::NebulaMissing, ProblemKind::NebulaFails),
            false => (ProblemKind::NebulaFails, ProblemKind::NebulaMissing),
        };
        let now = self.now();
        self.node.state.clear(other);
        self.node.state.note(kind, detail, now);
    }

    /// Notes how Nebula is.
    pub(super) fn note_process(&mut self) {
        let state = self.process.borrow_and_update().clone();
        match state {
            ProcessState::Running(running) => {
                self.node.state.clear(ProblemKind::NebulaMissing);
                self.node.state.clear(ProblemKind::NebulaFails);
                let past = i64::try_from(running.since.elapsed().as_secs()).unwrap_or_default();
                self.node.state.nebula = Some(NebulaState {
                    running: true,
                    release: running.release.to_string(),
                    pid: Some(running.pid),
                    device: Some(running.interface),
                    since: self.now().saturating_sub(past),
                    tunnels: None,
                });
            }
            ProcessState::Waiting { failure, .. } => {
                self.node.state.nebula = None;
                self.note_failure(matches!(failure, Failure::Find(_)), &failure.to_string());
            }
            _ => self.node.state.nebula = None,
        }
    }

    pub(super) fn note_tunnels(&mut self) {
        let tunnels = match &*self.process.borrow() {
            ProcessState::Running(running) => Some(running.tunnels()),
            _ => None,
        };
        if let Some(nebula) = &mut self.node.state.nebula {
            nebula.tunnels = tunnels;
        }
    }

    pub(super) fn write_state(&mut self) {
        self.note_tunnels();
        let now = self.now();
        write_state(&mut self.node, now);
    }
}

/// A full disk must not end the agent.
pub(super) fn write_state(node: &mut Node, now: i64) {
    node.state.written_at = now;
    if let Err(error) = node.state.write(&node.directory) {
        let network = &node.membership.network;
        tracing::warn!(network, %error, "the state can't be written");
    }
}
