//! Commands that take long: those that ask again until there is something to say, and those whose
//! answer takes a while.

use std::error::Error;
use std::future::Future;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use clap::ArgMatches;
use nebula_gc_http::client::Request;
use serde_json::Value;

use super::commands::Entry;
use super::{Asked, show};
use crate::terminal::{self, print};

const FOLLOW: &str = "follow";
const WAIT: &str = "wait";
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_secs(1);

/// The flags of a command that can wait.
pub(super) fn flags(entry: &Entry) -> Option<(&'static str, &'static str)> {
    match (entry.group, entry.verb) {
        ("events", _) => Some((
            FOLLOW,
            "Go on with what happens from now on, until Ctrl-C; JSON is a line for each event then",
        )),
        ("nodes", "unapplied") => Some((WAIT, "Wait until every active node has applied it")),
        _ => None,
    }
}

/// How long the server may take over thousands of nodes.
pub(super) const LONG: Duration = Duration::from_secs(600);

/// Whether it handles thousands of nodes at once.
pub(super) fn is_long(entry: &Entry) -> bool {
    entry.verb == "import"
}

pub(super) fn is_asked(said: &ArgMatches) -> bool {
    is_set(said, FOLLOW) || is_set(said, WAIT)
}

pub(super) async fn run(asked: &Asked<'_>, request: Request) -> Result<(), Box<dyn Error>> {
    if is_set(asked.said, FOLLOW) {
        follow(asked, request).await
    } else {
        wait(asked, request).await
    }
}

fn is_set(said: &ArgMatches, flag: &str) -> bool {
    said.try_get_one::<bool>(flag).ok().flatten().is_some_and(|set| *set)
}

/// What there is, and then what is added.
async fn follow(asked: &Asked<'_>, request: Request) -> Result<(), Box<dyn Error>> {
    let mut pages =
        asked.client.pages(request.query("order", "oldest_first").query("limit", "500"));
    let mut items = vec![];
    while let Some(more) = pages.next().await? {
        items.extend(more);
        items.drain(..items.len().saturating_sub(asked.limit()));
    }
    loop {
        if asked.as_json {
            let lines = items.iter().map(|item| terminal::safe_json(&item.to_string()) + "\n");
            print(&lines.collect::<String>())?;
        } else if !items.is_empty() {
            print(&show::table(&items, asked.entry.columns))?;
        }
        items = pages.added().await?;
        if items.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Asks until nothing is counted any more.
async fn wait(asked: &Asked<'_>, request: Request) -> Result<(), Box<dyn Error>> {
    let mut told = None;
    loop {
        let answer = asked.client.send(request.clone().query("limit", "1")).await?.json()?;
        let count = answer.get("count").and_then(Value::as_i64);
        let count = count.ok_or("the server does not say how many nodes are missing")?;
        if count == 0 {
            break;
        }
        if told.replace(count) != Some(count) {
            terminal::note(&match count {
                1 => "1 active node has not applied it yet".to_owned(),
                _ => format!("{count} active nodes have not applied it yet"),
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
    asked.list(request).await
}

/// Who is answered sooner sees nothing.
const SOON: Duration = Duration::from_secs(1);

/// Waits for an answer, and says on a terminal's standard error for how long.
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
        "The server is at it: {} s. Ctrl-C is safe: asking again finishes what was begun.",
        time.as_secs()
    )
}

/// In place of what the line held. A terminal that is gone is no reason not to go on.
fn write(line: &str) {
    let mut err = io::stderr().lock();
    let _ = write!(err, "\r\x1b[K{line}").and_then(|()| err.flush());
}
