//! The screen after all that a user had was ended.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches};
use nebula_gc_http::client::printable;
use nebula_gc_http::shell_word;
use serde_json::Value;

use super::answer::text_of;
use super::batch::{YES, confirms};
use super::commands::Entry;
use super::table::Look;
use super::{DRY_RUN_END, USAGE, show};
use crate::terminal;

const DRY_RUN: &str = "dryRun";

/// Whether a command ends all that a user has.
pub(super) fn is_meant(entry: &Entry) -> bool {
    entry.operation == "end_user"
}

/// The flag that answers the question.
pub(super) fn flag(entry: &Entry) -> Option<Arg> {
    let flag = Arg::new(YES).long(YES).action(ArgAction::SetTrue).help("Do it without asking");
    is_meant(entry).then_some(flag)
}

/// Whether it may begin: asks, unless that was answered by a flag; else why not.
pub(super) fn may_begin(matches: &ArgMatches) -> Result<(), ExitCode> {
    let text = |name: &str| matches.try_get_one::<String>(name).ok().flatten();
    if matches.get_flag(YES) || text(DRY_RUN).is_some_and(|said| said == "true") {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        terminal::warn(
            "all that a user has: give --yes to do it, or --dry-run to see what it would do",
        );
        return Err(ExitCode::from(USAGE));
    }
    let user = printable(text("user").map_or("", String::as_str));
    let action = printable(text("action").map_or("end", String::as_str));
    if confirms(&format!("{action} all that {user} has, in all networks? [y/N] ")) {
        return Ok(());
    }
    terminal::note("nothing was changed");
    Err(ExitCode::FAILURE)
}

/// What is told of each.
const COLUMNS: &[&str] = &["network", "name", "outcome", "reason"];

/// The screen, and whether all was ended.
pub(super) fn screen(ended: &Value, look: Look) -> (String, bool) {
    let items = |name: &str| ended.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let is = |name: &str| ended.get(name).and_then(Value::as_bool).unwrap_or_default();
    let mut text = String::new();
    let mut is_whole = !is("more");
    for (name, title) in
        [("nodes", "Nodes"), ("joinTokens", "Join tokens"), ("operatorKeys", "Operator keys")]
    {
        let items = items(name);
        is_whole &= items.iter().all(|item| text_of(item, "outcome") != Some("kept"));
        if !items.is_empty() {
            let table = show::listing(&items, COLUMNS, look);
            text.push_str(&format!("{title}\n{table}"));
        }
    }
    if is("dryRun") {
        text.push_str(DRY_RUN_END);
        return (text, is_whole);
    }
    for network in items("revisions") {
        let name = shell_word(text_of(&network, "network").unwrap_or_default());
        let revision = network.get("revision").and_then(Value::as_i64).unwrap_or_default();
        text.push_str(&format!(
            "Watch:  nebula-gc admin nodes unapplied {} --revision {revision} --wait\n",
            printable(&name)
        ));
    }
    if is("more") {
        text.push_str("There may be more: repeat the command.\n");
    }
    (text, is_whole)
}
