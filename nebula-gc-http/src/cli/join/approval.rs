//! Joins, and waits where an operator has to approve this device first.

use std::error::Error;
use std::time::Duration;

use nebula_gc_http::agent::{AgentError, Joined, Joining, join};
use nebula_gc_http::{KeyFingerprint, shell_word};

use crate::clock::{now, time};
use crate::program_name::NAME;
use crate::terminal;

/// The shortest and the longest pause before the server is asked again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How much of a fingerprint names the key: four groups of four digits.
const NAMING: usize = 19;

/// Asks until this device has joined, or may not. A server that is away meanwhile is asked again.
pub(super) async fn join_once_approved(
    joining: &Joining<'_>,
) -> Result<Result<Joined, AgentError>, Box<dyn Error>> {
    let mut waits = None;
    loop {
        let at = now()?;
        let pause = match join(joining, at).await {
            Err(AgentError::AwaitsApproval { pending, fingerprint, expires_at, retry_after }) => {
                match &waits {
                    None => tell(joining.name, fingerprint, expires_at),
                    // Who is forgotten waits anew, under another id.
                    Some((first, _)) if *first != pending => return Err(nobody_approved()),
                    Some(_) => {}
                }
                waits = Some((pending, expires_at));
                retry_after
            }
            Err(AgentError::Client(error)) if waits.is_some() && error.is_passing() => {
                error.retry_after().unwrap_or(PAUSES.0)
            }
            joined => {
                if waits.is_some() && joined.is_ok() {
                    terminal::note("Approved.");
                }
                return Ok(joined);
            }
        };
        if waits.as_ref().is_some_and(|(_, end)| *end <= at) {
            return Err(nobody_approved());
        }
        tokio::time::sleep(pause.clamp(PAUSES.0, PAUSES.1)).await;
    }
}

fn tell(name: &str, fingerprint: KeyFingerprint, expires_at: i64) {
    let fingerprint = fingerprint.to_string();
    let naming: String = fingerprint.chars().take(NAMING).collect();
    terminal::note(&format!(
        "Waiting until an operator approves this device, until {} at most. Tell them its key's \
         fingerprint:\n  {fingerprint}\nThey run: {NAME} admin pending approve {} --key-fingerprint {naming}\n\
         To stop waiting, press Ctrl-C; the same command goes on later.",
        time(expires_at),
        shell_word(name),
    ));
}

fn nobody_approved() -> Box<dyn Error> {
    "nobody has approved this device in time; agree with an operator when to try again, and run the same \
     command then"
        .into()
}
