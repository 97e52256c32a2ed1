//! Commands that take long: those that poll, and those whose answer takes a while.

use std::error::Error;
use std::future::Future;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use clap::ArgMatches;
use nebula_gc_http::client::Request;

use super::commands::Entry;
use super::{Invocation, events_table, show};
use crate::terminal::{self, print};

const FOLLOW: &str = "follow";
/// The pause between two polls.
const PAUSE: Duration = Duration::from_secs(1);

/// The flags of a command that can poll.
pub(super) fn flags(entry: &Entry) -> Option<(&'static str, &'static str)> {
    match (entry.group, entry.verb) {
        ("events", _) => Some((
            FOLLOW,
            "Continue with new events until Ctrl-C; JSON output has one event per line then",
        )),
        _ => None,
    }
}

/// How long the server may take over thousands of nodes.
pub(super) const LONG: Duration = Duration::from_secs(600);

/// Whether a command handles thousands of nodes at once.
pub(super) fn is_long(entry: &Entry) -> bool {
    entry.verb == "import"
}

pub(super) fn is_requested(matches: &ArgMatches) -> bool {
    is_set(matches, FOLLOW)
}

pub(super) async fn run(
    invocation: &Invocation<'_>,
    request: Request,
) -> Result<(), Box<dyn Error>> {
    follow(invocation, request).await
}

fn is_set(matches: &ArgMatches, flag: &str) -> bool {
    matches.try_get_one::<bool>(flag).ok().flatten().is_some_and(|set| *set)
}

/// Prints the existing items, and then those that are added.
async fn follow(invocation: &Invocation<'_>, request: Request) -> Result<(), Box<dyn Error>> {
    let mut pages =
        invocation.client.pages(request.query("order", "oldest_first").query("limit", "500"));
    let mut items = vec![];
    while let Some(more) = pages.next().await? {
        items.extend(more);
        items.drain(..items.len().saturating_sub(invocation.limit()));
    }
    loop {
        if invocation.as_json {
            let lines = items.iter().map(|item| terminal::safe_json(&item.to_string()) + "\n");
            print(&lines.collect::<String>())?;
        } else if !items.is_empty() {
            let named = events_table::with_names(std::mem::take(&mut items));
            // Of what comes later, a relative time says nothing.
            print(&show::whole(&named, invocation.entry.columns))?;
        }
        items = pages.added().await?;
        if items.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// An answer within this time shows no progress.
const SOON: Duration = Duration::from_secs(1);

/// Waits for an answer, and shows on the terminal for how long.
pub(super) async fn with_progress<T>(answer: impl Future<Output = T>) -> T {
    if !io::stderr().is_terminal() {
        return answer.await;
    }
    let began = Instant::now();
    let mut answer = std::pin::pin!(answer);
    loop {
        tokio::select! {
            answer = &mut answer => {
                if began.elapsed() >= SOON {
                    write("");
                }
                return answer;
            }
            () = tokio::time::sleep(SOON) => write(&progress(began.elapsed())),
        }
    }
}

fn progress(time: Duration) -> String {
    format!(
        "Waiting for the server: {} s. Ctrl-C is safe: running the command again finishes the work.",
        time.as_secs()
    )
}

/// Replaces the current line. Errors are ignored: the terminal may be gone.
pub(super) fn write(line: &str) {
    let mut err = io::stderr().lock();
    let _ = write!(err, "\r\x1b[K{line}").and_then(|()| err.flush());
}
