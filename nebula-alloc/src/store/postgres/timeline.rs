//! Which of several servers to work with.
//!
//! Each promotion of a standby begins a timeline with a higher number. An old primary that is still up
//! has the lower number and would take writes that the others never see: the new primary would give
//! out the same addresses.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use super::server::Server;
use super::target::Target;
use crate::error::{EngineFault, Error, Outage};

/// The highest timeline that connections with the same settings have seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Timelines {
    highest: Arc<AtomicU32>,
}

impl Timelines {
    /// The first server that is not one that others have left behind.
    pub(super) fn first(
        &self,
        servers: Vec<Result<Target, Error>>,
        patience: Duration,
    ) -> Result<Server, Error> {
        let mut errors = Vec::new();
        for server in servers {
            match server.and_then(|server| self.not_behind(Server::ask(&server, patience)?)) {
                Ok(server) => return Ok(server),
                Err(error) => errors.push(error),
            }
        }
        Err(together(errors))
    }

    /// Of the servers that take writes the one with the highest timeline.
    pub(super) fn newest(
        &self,
        servers: Vec<Result<Target, Error>>,
        patience: Duration,
    ) -> Result<Server, Error> {
        let mut errors = Vec::new();
        let mut newest: Option<Server> = None;
        for server in ask_all(servers, patience) {
            match server {
                Ok(server) if server.timeline.is_none() => {
                    errors.push(Error::Unavailable(Outage::Standby));
                }
                Ok(server)
                    if newest.as_ref().is_none_or(|other| other.timeline < server.timeline) =>
                {
                    newest = Some(server);
                }
                Ok(_) => {}
                Err(error) => errors.push(error),
            }
        }
        match newest.map(|server| self.not_behind(server)) {
            Some(Ok(server)) => Ok(server),
            Some(Err(behind)) => {
                errors.insert(0, behind);
                Err(together(errors))
            }
            None => Err(together(errors)),
        }
    }

    fn not_behind(&self, server: Server) -> Result<Server, Error> {
        let Some(timeline) = server.timeline else { return Ok(server) };
        let highest = self.highest.fetch_max(timeline, Ordering::AcqRel);
        if timeline >= highest {
            return Ok(server);
        }
        Err(Error::Unavailable(Outage::LeftBehind { timeline, highest }))
    }
}

/// At once: one that does not answer costs its deadline only once.
fn ask_all(servers: Vec<Result<Target, Error>>, patience: Duration) -> Vec<Result<Server, Error>> {
    let ask = |server: Result<Target, Error>| Server::ask(&server?, patience);
    if servers.len() == 1 {
        return servers.into_iter().map(ask).collect();
    }
    let failed = |cause| Err(Error::Unavailable(cause));
    thread::scope(|scope| {
        let asking: Vec<_> = servers
            .into_iter()
            .map(|server| thread::Builder::new().spawn_scoped(scope, move || ask(server)))
            .collect();
        let answer = |asking: Result<thread::ScopedJoinHandle<'_, _>, std::io::Error>| match asking
        {
            Ok(asking) => asking.join().unwrap_or_else(|_| failed(Outage::AskingPanicked)),
            Err(error) => failed(Outage::Engine(EngineFault::uncoded(&error))),
        };
        asking.into_iter().map(answer).collect()
    })
}

/// What kept all of them from being used. What only a person can mend comes before what may pass.
fn together(errors: Vec<Error>) -> Error {
    let mut servers = Vec::new();
    for error in errors {
        match error {
            Error::Unavailable(cause) => servers.push(cause),
            other => return other,
        }
    }
    Error::Unavailable(match servers.len() {
        0 => Outage::NoServer,
        _ => Outage::Servers { servers },
    })
}
