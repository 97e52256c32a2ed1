//! One act on many nodes: the commands about one node, with a filter in its place.

use std::error::Error;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use nebula_gc_http::client::{Request, printable};
use serde_json::{Map, Value, json};

use super::answer::seconds;
use super::commands::{Entry, Form};
use super::table::Look;
use super::{DRY_RUN_END, Invocation, PARTLY, USAGE, remaining, show};
use crate::terminal::{self, print};

const NODE: &str = "node";
const GROUP: &str = "group";
const NAME_PREFIX: &str = "namePrefix";
const USER: &str = "user";
const DRY_RUN: &str = "dryRun";
pub(super) const YES: &str = "yes";
/// The fields of a change that many nodes can have alike.
const GROUPS: [&str; 3] = ["groups", "addGroups", "removeGroups"];
/// How many nodes a question names.
const NAMED: usize = 5;

/// What a command about one node is called for many: its word in the API, and what was done.
fn action(entry: &Entry) -> Option<(&'static str, &'static str)> {
    Some(match entry.operation {
        // Of many none has the same name.
        _ if entry.verb == "rename" => return None,
        "revoke_node" => ("revoke", "revoked"),
        "suspend_node" => ("suspend", "suspended"),
        "reinstate_node" => ("reinstate", "active again"),
        "renew_node" => ("renew", "due for renewal"),
        "change_node" => ("set", "changed"),
        "release_node" => ("release", "released"),
        _ => return None,
    })
}

/// A command with the flags that stand in place of a node.
pub(super) fn with_flags(command: Command, entry: &Entry, form: Form) -> Command {
    if action(entry).is_none() {
        return command;
    }
    let sets_user = entry.operation == "change_node";
    let text = |id: &'static str, flag: &'static str, value: &'static str, help: &'static str| {
        Arg::new(id).long(flag).value_name(value).help(help).help_heading("Many nodes at once")
    };
    let switch = |id: &'static str, flag: &'static str, help: &'static str| {
        let switch = Arg::new(id).long(flag).action(ArgAction::SetTrue).help(help);
        switch.help_heading("Many nodes at once")
    };
    let mut command = command
        .mut_arg(NODE, |node| {
            let node = node.required(false).conflicts_with_all([GROUP, NAME_PREFIX]);
            let node = if sets_user { node } else { node.conflicts_with(USER) };
            match form {
                Form::Counted => node,
                _ => node.required_unless_present_any([GROUP, NAME_PREFIX, USER]),
            }
        })
        .arg(text(GROUP, "group", "GROUP", "Instead of a node: all that are in this group"))
        .arg(text(NAME_PREFIX, "name-prefix", "TEXT", "All whose names begin with this"));
    command = match sets_user {
        true => command.mut_arg(USER, |user| {
            user.help("To whom it belongs; without a node, all nodes of this user are meant")
        }),
        false => command.arg(text(USER, "user", "USER", "All of this user")),
    };
    command
        .arg(switch(DRY_RUN, "dry-run", "Only tell what would be done to which nodes"))
        .arg(switch(YES, "yes", "Do it without asking"))
}

/// Whether nodes are meant by what they have in common, unless one is named.
pub(super) fn has_filter(entry: &Entry, matches: &ArgMatches) -> bool {
    action(entry).is_some() && filter(matches).next().is_some()
}

/// Whether many nodes are meant.
pub(super) fn is_requested(entry: &Entry, matches: &ArgMatches) -> bool {
    action(entry).is_some() && matches.get_one::<String>(NODE).is_none()
}

/// What is wrong with the flags, where many nodes are meant.
pub(super) fn check(entry: &Entry, matches: &ArgMatches) -> Result<(), String> {
    let is_given = |name: &str| matches.try_contains_id(name).unwrap_or_default();
    let many = is_requested(entry, matches);
    let is_set =
        |flag: &str| matches.try_get_one::<bool>(flag).ok().flatten().is_some_and(|is_set| *is_set);
    if action(entry).is_some() && !many && (is_set(DRY_RUN) || is_set(YES)) {
        return Err(
            "--dry-run and --yes are for many nodes: give --group, --name-prefix or --user"
                .to_owned(),
        );
    }
    let single = ["lighthouse", "lighthouse.endpoint", "relay", "mtu", "unset", "If-Match"];
    match single.iter().find(|name| many && is_given(name)) {
        Some(name) => Err(format!("--{name} is for one node: name it")),
        None => Ok(()),
    }
}

/// Asks, does it, and tells what came of each and what remains.
pub(super) async fn run(invocation: &Invocation<'_>) -> Result<ExitCode, Box<dyn Error>> {
    let Some((action, done)) = action(invocation.entry) else { return Ok(ExitCode::from(USAGE)) };
    let network = invocation.network();
    let is_dry_run = invocation.matches.get_flag(DRY_RUN);
    let body = |dry_run| body(invocation.matches, action, dry_run);
    let request = |dry_run| -> Request {
        let path = format!("/networks/{}/nodes/batch", Request::segment(network));
        Request::post(&path, body(dry_run))
    };
    if !is_dry_run && !invocation.matches.get_flag(YES) {
        if !io::stdin().is_terminal() {
            terminal::warn("many nodes: give --yes to do it, or --dry-run to see what it would do");
            return Ok(ExitCode::from(USAGE));
        }
        let preview = invocation.client.send(request(true)).await?.json()?;
        if !confirms(&question(action, network, &preview)) {
            terminal::note("nothing was changed");
            return Ok(ExitCode::FAILURE);
        }
    }
    let ends = match is_dry_run || invocation.as_json {
        true => None,
        false => last_end(invocation, network).await?,
    };
    let answer = invocation.client.send(request(is_dry_run)).await?;
    let report = answer.json()?;
    let count = |name: &str| report.get(name).and_then(Value::as_i64).unwrap_or_default();
    let [changed, unchanged, refused] = ["done", "unchanged", "refused"].map(count);
    if invocation.as_json {
        terminal::print_json(&report)?;
    } else {
        let nodes = report.get("nodes").and_then(Value::as_array).cloned().unwrap_or_default();
        print(&show::listing(
            &nodes,
            &["name", "outcome", "detail"],
            Look::of(invocation.matches)?,
        ))?;
        let all = changed.saturating_add(unchanged).saturating_add(refused);
        let would = if is_dry_run { "would be " } else { "" };
        let nodes = if all == 1 { "node" } else { "nodes" };
        let sum = format!(
            "{all} {nodes}: {changed} {would}{done}, {unchanged} unchanged, {refused} refused"
        );
        print(&format!("{sum}.\n"))?;
        if is_dry_run {
            print(DRY_RUN_END)?;
        }
    }
    let code = match (changed.saturating_add(unchanged), refused) {
        (0, 0) => {
            terminal::note(&format!("no node of {} matches", printable(network)));
            return Ok(ExitCode::FAILURE);
        }
        (0, _) => ExitCode::FAILURE,
        (_, 0) => ExitCode::SUCCESS,
        _ => ExitCode::from(PARTLY),
    };
    if is_dry_run {
        return Ok(code);
    }
    let waited = remaining::tell_of_many(invocation, &answer, network, ends).await?;
    Ok(if code == ExitCode::SUCCESS { waited } else { code })
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    matches.try_get_one::<String>(name).ok().flatten().map(String::as_str)
}

/// The flags that say which nodes are meant.
fn filter(matches: &ArgMatches) -> impl Iterator<Item = (&'static str, &str)> {
    let names = [GROUP, NAME_PREFIX, USER].into_iter();
    names.filter_map(|name| Some((name, text(matches, name)?)))
}

fn body(matches: &ArgMatches, action: &str, dry_run: bool) -> Value {
    let filter: Map<_, _> =
        filter(matches).map(|(name, text)| (name.to_owned(), text.into())).collect();
    let mut body = Map::new();
    body.insert("action".to_owned(), action.into());
    body.insert("filter".to_owned(), filter.into());
    body.insert(DRY_RUN.to_owned(), dry_run.into());
    if let Some(reason) = text(matches, "reason") {
        body.insert("reason".to_owned(), reason.into());
    }
    for name in GROUPS {
        if let Some(groups) = matches.try_get_many::<String>(name).ok().flatten() {
            let groups: Vec<_> = groups.filter(|group| !group.is_empty()).collect();
            body.insert(name.to_owned(), json!(groups));
        }
    }
    Value::Object(body)
}

/// `Revoke 12 nodes of home (laptop-1, laptop-2 and 10 more)? [y/N] `.
fn question(action: &str, network: &str, preview: &Value) -> String {
    let nodes = preview.get("nodes").and_then(Value::as_array);
    let is_done = |node: &&Value| node.get("outcome").and_then(Value::as_str) == Some("done");
    let names: Vec<_> = nodes
        .into_iter()
        .flatten()
        .filter(is_done)
        .filter_map(|node| Some(printable(node.get("name")?.as_str()?)))
        .collect();
    let mut some = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        some += &format!(" and {} more", names.len() - NAMED);
    }
    let nodes = if names.len() == 1 { "node" } else { "nodes" };
    format!("{action} {} {nodes} of {} ({some})? [y/N] ", names.len(), printable(network))
}

pub(super) fn confirms(question: &str) -> bool {
    let mut err = io::stderr().lock();
    // Without a question there is no answer.
    if write!(err, "{question}").and_then(|()| err.flush()).is_err() {
        return false;
    }
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.is_ok() && ["y", "yes"].contains(&line.trim().to_ascii_lowercase().as_str())
}

/// When the last certificate of the nodes ends that are meant: until then a node that is offline accepts
/// them.
async fn last_end(
    invocation: &Invocation<'_>,
    network: &str,
) -> Result<Option<i64>, Box<dyn Error>> {
    if !remaining::takes_away(invocation.entry) {
        return Ok(None);
    }
    let mut request = Request::get(&format!("/networks/{}/nodes", Request::segment(network)));
    for (name, text) in filter(invocation.matches) {
        request = request.query(name, text);
    }
    let mut pages = invocation.client.pages(request.query("limit", "500"));
    let mut end = None;
    while let Some(nodes) = pages.next().await? {
        let certificates = nodes.iter().filter_map(|node| node.get("certificates")?.as_array());
        let ends = certificates.flatten().filter_map(|it| seconds(it.get("notAfter")?));
        end = end.max(ends.max());
    }
    Ok(end)
}
