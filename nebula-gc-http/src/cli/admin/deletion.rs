//! Deleting a network: the question before, and what is said after.

use std::error::Error;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::{Arg, ArgAction};
use nebula_gc_http::client::{Request, printable};
use serde_json::Value;

use super::answer::text_of;
use super::batch::{YES, confirms};
use super::commands::Entry;
use super::{Invocation, USAGE};
use crate::terminal;

const DRY_RUN: &str = "dryRun";

/// Whether a command deletes a network.
pub(super) fn is_meant(entry: &Entry) -> bool {
    entry.operation == "delete_network"
}

/// The flag that answers the question.
pub(super) fn flag(entry: &Entry) -> Option<Arg> {
    let flag = Arg::new(YES).long(YES).action(ArgAction::SetTrue).help("Do it without asking");
    is_meant(entry).then_some(flag)
}

/// Asks, unless that was answered by a flag. Answers how the command ends where it is not to be done.
///
/// # Errors
/// The server's refusal, before anything is asked.
pub(super) async fn may_begin(
    invocation: &Invocation<'_>,
    request: &Request,
) -> Result<Option<ExitCode>, Box<dyn Error>> {
    let matches = invocation.matches;
    let text = |name: &str| matches.try_get_one::<String>(name).ok().flatten();
    if matches.get_flag(YES) || text(DRY_RUN).is_some_and(|said| said == "true") {
        return Ok(None);
    }
    if !io::stdin().is_terminal() {
        terminal::warn(
            "the network: give --yes to delete it, or --dry-run to see what that would do",
        );
        return Ok(Some(ExitCode::from(USAGE)));
    }
    let would = invocation.client.send(request.clone().query(DRY_RUN, "true")).await?.json()?;
    let name = printable(text_of(&would, "name").unwrap_or_default());
    let nodes = match would.get("nodes").and_then(Value::as_u64) {
        Some(count) if count > 0 => numbered(count, "active node"),
        _ => "all that it has".to_owned(),
    };
    if confirms(&format!("delete the network {name} with {nodes}, for good? [y/N] ")) {
        return Ok(None);
    }
    terminal::note("nothing was changed");
    Ok(Some(ExitCode::FAILURE))
}

/// What was deleted, or would be.
pub(super) fn sentence(entry: &Entry, body: &Value) -> Option<String> {
    let count = |name: &str| body.get(name).and_then(Value::as_u64);
    let is = |name: &str| body.get(name).and_then(Value::as_bool);
    let what = match entry.operation {
        "delete_network" => numbered(count("nodes")?, "active node"),
        "delete_tenant" => numbered(count("operatorKeys")?, "operator key"),
        _ => return None,
    };
    let name = printable(text_of(body, "name").unwrap_or_default());
    let verb = if is(DRY_RUN) == Some(true) { "would be deleted" } else { "is deleted" };
    let rest = match (is(DRY_RUN), is("complete")) {
        (Some(false), Some(false)) => " The servers go on removing what is left of it.",
        _ => "",
    };
    Some(format!("{name} {verb}, with {what}.{rest}\n"))
}

fn numbered(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}
