//! What remains after a change: who has not applied it, the command that waits for them, and waiting.

use std::error::Error;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction};
use nebula_gc_http::client::{Answer, Remaining, Request, printable};
use serde_json::Value;

use super::answer::seconds;
use super::commands::Entry;
use super::table::Look;
use super::{DRY_RUN_END, Invocation, fields, polling, show};
use crate::terminal::{self, print};
use crate::times::{WEEK, ago, day, span};

const WAIT: &str = "wait";
const TIMEOUT: &str = "timeout";
const REVISION: &str = "revision";
/// How long `--wait` waits, unless it is told otherwise.
const PATIENCE: &str = "600";
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// The exit code of a `--wait` that ended without success.
const UNAPPLIED: u8 = 4;
/// How many nodes are named in a sentence.
const NAMED: usize = 2;
/// How many columns a line has at most, where it can be broken.
const WIDTH: usize = 80;

/// What an operation does to a node, and whether something is taken away from it.
fn done(operation: &str) -> Option<(&'static str, bool)> {
    Some(match operation {
        "revoke_node" => ("is revoked", true),
        "suspend_node" => ("is suspended", true),
        "release_node" => ("is released", true),
        "reinstate_node" => ("is active again", false),
        "change_node" => ("is changed", false),
        "move_node" => ("is moved", false),
        "renew_node" => ("renews its certificates as soon as it is told", false),
        _ => return None,
    })
}

/// Whether a command takes something away from nodes, which others may go on to accept.
pub(super) fn takes_away(entry: &Entry) -> bool {
    done(entry.operation).is_some_and(|(_, takes_away)| takes_away)
}

/// Whether a command changes what other nodes apply.
fn is_change(entry: &Entry) -> bool {
    const NETWORK: [&str; 5] =
        ["change_network", "renew_certificates", "add_ca", "retire_ca", "add_to_blocklist"];
    done(entry.operation).is_some() || NETWORK.contains(&entry.operation)
}

/// Whether what a command did is told in a sentence, without all that the answer has.
pub(super) fn replaces_the_answer(entry: &Entry) -> bool {
    done(entry.operation).is_some()
}

/// Whether a command asks who has not applied a revision.
pub(super) fn is_question(entry: &Entry) -> bool {
    entry.operation == "list_unapplied_nodes"
}

/// The flags for waiting.
pub(super) fn flags(entry: &Entry) -> Vec<Arg> {
    if !is_change(entry) && !is_question(entry) {
        return vec![];
    }
    let help = "Wait until every active node has applied it; exit code 4 if that does not happen in time \
                or only nodes that never report are left";
    let timeout = "How long to wait; such as 90s or 10m";
    vec![
        Arg::new(WAIT).long(WAIT).action(ArgAction::SetTrue).help(help),
        Arg::new(TIMEOUT)
            .long(TIMEOUT)
            .value_name("TIME")
            .default_value(PATIENCE)
            .value_parser(patience)
            .requires(WAIT)
            .help(timeout),
    ]
}

fn patience(text: &str) -> Result<Duration, String> {
    let seconds = fields::seconds(text).and_then(|seconds| u64::try_from(seconds).ok());
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| "must be a duration such as 90s or 10m".to_owned())
}

/// How far a revision has come, as the server says.
struct Progress {
    network: String,
    /// How many active nodes have not applied it, and how many of these report.
    missing: i64,
    missing_reporting: i64,
    /// How many active nodes report.
    reporting: i64,
    /// The first of those that have not applied it.
    nodes: Vec<Value>,
}

impl Progress {
    async fn read(
        invocation: &Invocation<'_>,
        network: &str,
        revision: i64,
    ) -> Result<Self, Box<dyn Error>> {
        let request = unapplied_request(network, revision).query("limit", "100");
        let answer = invocation.client.send(request).await?.json()?;
        let number = |name: &str| answer.get(name).and_then(Value::as_i64).unwrap_or_default();
        let nodes = answer.pointer("/nodes/items").and_then(Value::as_array);
        Ok(Self {
            network: network.to_owned(),
            missing: number("count"),
            missing_reporting: number("reportingCount"),
            reporting: number("reporting"),
            nodes: nodes.cloned().unwrap_or_default(),
        })
    }

    /// `3 of 4 nodes have applied it`, where `what` is `it`.
    fn sentence(&self, what: &str) -> String {
        match (self.reporting, self.missing_reporting) {
            (0, _) if self.missing > 0 => "No active node reports what it has applied".to_owned(),
            (0, _) => "There is no active node that has to apply it".to_owned(),
            (1, 0) => format!("The one node that reports has applied {what}"),
            (all, 0) => format!("All {all} nodes that report have applied {what}"),
            (all, missing) => {
                format!("{} of {all} nodes have applied {what}", all.saturating_sub(missing))
            }
        }
    }

    /// The nodes that are waited for, or those that never report.
    fn names(&self, that_report: bool, now: i64) -> String {
        let all = match that_report {
            true => self.missing_reporting,
            false => self.missing.saturating_sub(self.missing_reporting),
        };
        let some = self.nodes.iter().filter(|node| has_reported(node) == that_report).take(NAMED);
        let mut names: Vec<_> = some.map(|node| who(node, now)).collect();
        let more = usize::try_from(all).unwrap_or(usize::MAX).saturating_sub(names.len());
        match (more, names.is_empty()) {
            (0, _) => {}
            (_, true) => names.push(format!("{more} nodes")),
            _ => names.push(format!("{more} more")),
        }
        names.join(", ")
    }

    /// What the screen says below what was done.
    fn lines(&self, now: i64) -> String {
        let mut lines = format!("{}.", self.sentence("it"));
        if self.missing_reporting > 0 {
            let waiting = format!("Waiting: {}.", self.names(true, now));
            let fits = lines.chars().count() + 1 + waiting.chars().count() <= WIDTH;
            lines += &format!("{}{waiting}", if fits { ' ' } else { '\n' });
        }
        lines.push('\n');
        if self.missing > self.missing_reporting && self.reporting > 0 {
            lines += &format!("Never report: {}.\n", self.names(false, now));
        }
        if self.missing_reporting > 0 {
            let network = printable(&self.network);
            lines += &format!("Watch:  nebula-gc admin nodes unapplied {network} --wait\n");
        }
        lines
    }
}

/// Whether a node ever said what it has applied.
fn has_reported(node: &Value) -> bool {
    node.get("applied").is_some()
}

/// `printer (seen now, revision 16)`.
fn who(node: &Value, now: i64) -> String {
    let name = printable(node["name"].as_str().unwrap_or("-"));
    let revision = node.pointer("/applied/revision").and_then(Value::as_i64);
    match (revision, seconds(&node["seenAt"])) {
        (Some(revision), Some(at)) => {
            format!("{name} (seen {}, revision {revision})", ago(now, at))
        }
        (Some(revision), None) => format!("{name} (revision {revision})"),
        (None, _) => name,
    }
}

fn unapplied_request(network: &str, revision: i64) -> Request {
    let network = Request::segment(network);
    Request::get(&format!("/networks/{network}/revisions/{revision}/unapplied"))
}

/// `nodes unapplied`: who has not applied a revision, the present one unless another is given.
pub(super) async fn unapplied(invocation: &Invocation<'_>) -> Result<ExitCode, Box<dyn Error>> {
    let network = invocation.network();
    let revision = match text(invocation, REVISION) {
        Some(given) => given.parse().map_err(|_| "--revision: must be a whole number")?,
        None => {
            let path = format!("/networks/{}", Request::segment(network));
            let network = invocation.client.send(Request::get(&path)).await?.json()?;
            network.get(REVISION).and_then(Value::as_i64).ok_or("the answer has no revision")?
        }
    };
    let code = match invocation.matches.get_flag(WAIT) {
        true => wait(invocation, network, revision).await?,
        false => ExitCode::SUCCESS,
    };
    if invocation.as_json {
        invocation.list(unapplied_request(network, revision)).await?;
        return Ok(code);
    }
    let progress = Progress::read(invocation, network, revision).await?;
    print(&format!("{}.\n", progress.sentence(&format!("revision {revision}"))))?;
    if progress.missing > 0 {
        let mut pages = invocation.client.pages(unapplied_request(network, revision));
        let mut nodes = vec![];
        while let Some(more) = pages.next().await? {
            nodes.extend(more);
        }
        nodes.truncate(invocation.limit());
        let (waiting, never): (Vec<_>, Vec<_>) = nodes.into_iter().partition(has_reported);
        let look = Look::of(invocation.matches)?;
        for (label, nodes) in [("Waiting", waiting), ("Never report, so not waited", never)] {
            if !nodes.is_empty() {
                let columns = ["id", "name", "addresses", "applied.revision", "seenAt"];
                print(&format!("{label} for:\n{}", show::listing(&nodes, &columns, look)))?;
            }
        }
    }
    Ok(code)
}

fn text<'a>(invocation: &'a Invocation<'_>, name: &str) -> Option<&'a str> {
    let given = invocation.matches.try_get_one::<String>(name).ok().flatten();
    given.map(String::as_str)
}

/// Says what was done, and what remains; waits for it where that is asked for. Nothing for a command that
/// changes nothing that nodes apply.
pub(super) async fn tell(
    invocation: &Invocation<'_>,
    answer: &Answer,
    body: &Value,
) -> Result<Option<ExitCode>, Box<dyn Error>> {
    let (Some(remaining), true) = (Remaining::of(answer), is_change(invocation.entry)) else {
        return Ok(None);
    };
    let network = invocation.network();
    // A network that was renamed has the name that it is answered with.
    let network = match invocation.entry.operation {
        "change_network" => body["name"].as_str().unwrap_or(network),
        _ => network,
    };
    if is_dry_run(body) {
        if !invocation.as_json {
            print(&format!("{}\n{DRY_RUN_END}", moved(body)))?;
        }
        return Ok(Some(ExitCode::SUCCESS));
    }
    if !invocation.as_json {
        let progress = Progress::read(invocation, network, remaining.revision).await?;
        match done(invocation.entry.operation) {
            Some(_) if invocation.entry.operation == "move_node" => {
                print(&format!("{}\nRevision {}. ", moved(body), remaining.revision))?;
                print(&progress.lines(crate::clock::now()?))?;
            }
            Some((what, takes_away)) => {
                let node = node(invocation, network, body).await?;
                let name = printable(node.get("name").and_then(Value::as_str).unwrap_or_default());
                let what = match (invocation.entry.verb, text(invocation, "node")) {
                    ("rename", Some(former)) => {
                        format!("{} is called {name} now", printable(former))
                    }
                    _ => format!("{name} {what}"),
                };
                print(&format!("{what}; revision {}.\n", remaining.revision))?;
                print(&progress.lines(crate::clock::now()?))?;
                if takes_away {
                    print(&still_accepted(invocation, network, &node, &name).await?)?;
                }
            }
            None if progress.reporting > 0 => {
                print(&format!("Revision {}. ", remaining.revision))?;
                print(&progress.lines(crate::clock::now()?))?;
            }
            None => {}
        }
    }
    wait_if_asked(invocation, network, remaining.revision).await.map(Some)
}

fn is_dry_run(body: &Value) -> bool {
    body["dryRun"].as_bool().unwrap_or_default()
}

/// `laptop-1 has 10.42.8.1 now. 10.42.0.2, which it left, is in quarantine.`
fn moved(body: &Value) -> String {
    let name = printable(body.pointer("/node/name").and_then(Value::as_str).unwrap_or_default());
    let list = |addresses: Option<&Value>| {
        let each = addresses.and_then(Value::as_array).into_iter().flatten();
        each.filter_map(Value::as_str).map(printable).collect::<Vec<_>>().join(", ")
    };
    let (has, left) = (list(body.pointer("/node/addresses")), list(body.get("left")));
    match (body["moved"].as_bool().unwrap_or_default(), is_dry_run(body)) {
        (false, _) => format!("{name} is there already: {has}."),
        (true, true) if left.is_empty() => format!("{name} would get one more address."),
        (true, true) => format!("{name} would leave {left}."),
        (true, false) if left.is_empty() => format!("{name} has {has} now."),
        (true, false) => format!("{name} has {has} now. {left}, which it left, is in quarantine."),
    }
}

/// The node that was changed; after a release the answer has none.
async fn node(
    invocation: &Invocation<'_>,
    network: &str,
    body: &Value,
) -> Result<Value, Box<dyn Error>> {
    if body.is_object() {
        return Ok(body.clone());
    }
    let (network, id) = (Request::segment(network), invocation.node.as_deref().unwrap_or_default());
    let path = format!("/networks/{network}/nodes/{}", Request::segment(id));
    Ok(invocation.client.send(Request::get(&path)).await?.json()?)
}

/// Until when a node that is offline accepts one that was kept out: until the last of its certificates
/// ends.
async fn still_accepted(
    invocation: &Invocation<'_>,
    network: &str,
    node: &Value,
    name: &str,
) -> Result<String, Box<dyn Error>> {
    let id = Request::segment(node["id"].as_str().unwrap_or_default());
    let path = format!("/networks/{}/nodes/{id}/certificates", Request::segment(network));
    let mut pages = invocation.client.pages(Request::get(&path).query("limit", "500"));
    let mut end = None;
    while let Some(certificates) = pages.next().await? {
        let signed = certificates.iter().filter(|it| it.get("fingerprint").is_some());
        end = end.max(signed.filter_map(|it| seconds(&it["notAfter"])).max());
    }
    accepted_until(name, "its certificate ends", end)
}

/// `A node that is offline accepts NAME until 2026-12-08, when its certificate ends.`
fn accepted_until(name: &str, ends: &str, end: Option<i64>) -> Result<String, Box<dyn Error>> {
    let now = crate::clock::now()?;
    let Some(end) = end.filter(|end| *end > now) else { return Ok(String::new()) };
    let left = end.saturating_sub(now);
    let until = match left > WEEK {
        true => format!("until {}, when", day(end)),
        false => format!("for {} more, until", span(left)),
    };
    Ok(format!("A node that is offline accepts {name} {until} {ends}.\n"))
}

/// As [`tell`], after one act on many nodes, the last of whose certificates ends then.
pub(super) async fn tell_of_many(
    invocation: &Invocation<'_>,
    answer: &Answer,
    network: &str,
    end: Option<i64>,
) -> Result<ExitCode, Box<dyn Error>> {
    let Some(Remaining { revision, .. }) = Remaining::of(answer) else {
        return Ok(ExitCode::SUCCESS);
    };
    if !invocation.as_json {
        let progress = Progress::read(invocation, network, revision).await?;
        print(&format!("Revision {revision}. {}", progress.lines(crate::clock::now()?)))?;
        print(&accepted_until("them", "the last of their certificates ends", end)?)?;
    }
    wait_if_asked(invocation, network, revision).await
}

/// Waits, where `--wait` was given, and says when it is applied.
async fn wait_if_asked(
    invocation: &Invocation<'_>,
    network: &str,
    revision: i64,
) -> Result<ExitCode, Box<dyn Error>> {
    if !invocation.matches.get_flag(WAIT) {
        return Ok(ExitCode::SUCCESS);
    }
    let code = wait(invocation, network, revision).await?;
    if !invocation.as_json && code == ExitCode::SUCCESS {
        let progress = Progress::read(invocation, network, revision).await?;
        print(&format!("{}.\n", progress.sentence(&format!("revision {revision}"))))?;
    }
    Ok(code)
}

/// Waits until every active node has applied a revision.
async fn wait(
    invocation: &Invocation<'_>,
    network: &str,
    revision: i64,
) -> Result<ExitCode, Box<dyn Error>> {
    let patience = invocation.matches.get_one::<Duration>(TIMEOUT).copied().unwrap_or_default();
    let (began, shows) = (Instant::now(), io::stderr().is_terminal());
    loop {
        let progress = Progress::read(invocation, network, revision).await?;
        let is_over = began.elapsed() >= patience;
        if progress.missing_reporting > 0 && !is_over {
            if shows {
                let sentence = progress.sentence(&format!("revision {revision}"));
                polling::write(&format!("{sentence}, {} s", began.elapsed().as_secs()));
            }
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        if shows {
            polling::write("");
        }
        let now = crate::clock::now()?;
        if progress.missing_reporting > 0 {
            terminal::note(&format!(
                "not applied after {}: {}",
                span(i64::try_from(patience.as_secs()).unwrap_or(i64::MAX)),
                progress.names(true, now)
            ));
        } else if progress.missing > 0 {
            let names = progress.names(false, now);
            terminal::note(&format!("waiting is of no use for nodes that never report: {names}"));
        } else {
            return Ok(ExitCode::SUCCESS);
        }
        return Ok(ExitCode::from(UNAPPLIED));
    }
}
