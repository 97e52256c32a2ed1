//! `nebula-gc admin`: all operations of the API, from a shell.
//!
//! [`commands`] lists the commands; their flags and help are generated from the API's OpenAPI document.

mod addresses_table;
mod answer;
mod batch;
mod commands;
mod declared;
mod deletion;
mod ended;
mod events_table;
mod fields;
mod names;
mod network;
mod nodes_table;
mod operation;
mod pending_table;
mod polling;
mod qr;
mod remaining;
mod scopes;
mod show;
mod table;

use std::error::Error;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use nebula_gc_http::client::{Answer, Client, Pages, Request};
use nebula_gc_http::server_list::Pin;
use serde_json::Value;

pub(crate) use self::commands::Form;
use self::commands::{COMMANDS, Entry, GROUPS};
pub(crate) use self::network::form;
use self::network::{NETWORK, Unnamed};
use self::operation::Operation;
use self::table::Look;
use crate::arguments::read_text;
use crate::plain_http::{ALLOW_PLAIN_HTTP, plain_http};
use crate::terminal::{self, print};

const SERVER: &str = "server";
const KEY_FILE: &str = "key-file";
const PIN: &str = "pin";
const OUTPUT: &str = "output";
const LIMIT: &str = "limit";
/// The largest accepted key file, in bytes.
const KEY_FILE_LIMIT: u64 = 4096;
const OUT: &str = "out";
const SKIP_CONFLICTS: &str = "skipConflicts";
/// Fields that are for programs, and too long for a screen.
const HIDDEN: &[&str] = &["qrPng", "receipt"];

const REFUSED: u8 = 1;
/// The exit code for usage errors, as shells and clap have it.
const USAGE: u8 = 2;
/// The exit code where something of what was asked could not be done.
const PARTLY: u8 = 3;
/// The last line after a command that only told what it would do.
const DRY_RUN_END: &str = "Nothing was changed: this was a dry run.\n";

pub(crate) fn command(form: Form) -> Command {
    let setting = |name: &'static str, value: &'static str, help: &str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .global(true)
            .help(help.to_owned())
            .help_heading("Server and output")
    };
    let operations = operation::all();
    let group = |(name, about): &(&'static str, &'static str)| {
        let entries = COMMANDS.iter().filter(|entry| entry.group == *name);
        let found = entries.filter_map(|entry| Some((entry, entry.operation_of(&operations)?)));
        Command::new(*name)
            .about(*about)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .subcommands(found.map(|(entry, operation)| leaf(entry, &operation, form)))
    };
    Command::new("admin")
        .about("Manage a running server through its API")
        .long_about(
            "Manage a running server through its API\n\n\
             Lists are read to their end and printed as a table or as one JSON document. A text may be \
             given as @FILE to read it from a file, or as @- to read it from the standard input.\n\n\
             Exit codes: 0 done; 1 refused, unreachable, or something was found wrong; 2 usage error; \
             3 partly done; 4 --wait ended without success.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(setting(
            SERVER,
            "URL",
            "URL of the server [environment: NEBULAGC_SERVER] [default: http://127.0.0.1:8080]",
        ))
        .arg(setting(
            KEY_FILE,
            "FILE",
            "File with the operator key [environment: NEBULAGC_KEY_FILE] \
             [default: nebula-gc-data/operator.key]",
        ))
        .arg(setting(
            PIN,
            "SHA256",
            "Trust the server with this public key (as in join links and curl's --pinnedpubkey) \
             instead of the system's root certificates [environment: NEBULAGC_PIN]",
        )
            // Base64 for URLs may begin with one.
            .allow_hyphen_values(true),
        )
        .arg(plain_http().global(true).help_heading("Server and output"))
        .arg(
            setting(OUTPUT, "FORMAT", "Output format [default: table]")
                .value_parser(PossibleValuesParser::new(["table", "json"])),
        )
        .subcommands(GROUPS.iter().map(group))
        .subcommands(declared::commands())
}

fn leaf(entry: &Entry, operation: &Operation, form: Form) -> Command {
    let example = ["nebula-gc admin", entry.group, entry.verb, entry.example].join(" ");
    let alias = (entry.operation == "release_node").then_some("delete");
    let mut leaf = Command::new(entry.verb)
        .aliases(alias)
        .about(entry.summary(operation))
        .after_help(format!("Example:\n  {}\n\nCalls {}", example.trim_end(), operation.route()))
        .args(fields::arguments(operation));
    if operation.is_list {
        leaf = leaf.arg(
            Arg::new(LIMIT)
                .long(LIMIT)
                .value_name("NUMBER")
                .value_parser(value_parser!(u32).range(1..))
                .help("Print at most this many; default: all"),
        );
        leaf = leaf.arg(table::flag());
    }
    if operation.is_file {
        let help = "Write to this file; default: the standard output";
        leaf = leaf.arg(Arg::new(OUT).short('o').long(OUT).value_name("FILE").help(help));
    }
    leaf = leaf.args(ended::flag(entry)).args(deletion::flag(entry));
    leaf = batch::with_flags(leaf.args(remaining::flags(entry)), entry, form);
    for (flag, help) in polling::flags(entry).into_iter().chain(qr::flag(operation)) {
        leaf = leaf.arg(Arg::new(flag).long(flag).action(ArgAction::SetTrue).help(help));
    }
    if form != Form::Shown {
        let path = format!("nebula-gc admin {} {}", entry.group, entry.verb);
        let usage = self::leaf(entry, operation, Form::Shown).bin_name(path).render_usage();
        leaf = leaf.override_usage(usage.to_string().trim_start_matches("Usage: ").to_owned());
    }
    network::with_flag(leaf, operation, form)
}

pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    let Some((group, in_group)) = matches.subcommand() else { return Ok(ExitCode::from(USAGE)) };
    if ["apply", "export"].contains(&group) {
        let client = client(in_group)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return runtime.block_on(async {
            match group {
                "apply" => declared::apply(&client, in_group, is_json(in_group)).await,
                _ => declared::export(&client, in_group, is_json(in_group)).await,
            }
        });
    }
    let Some((verb, in_verb)) = in_group.subcommand() else { return Ok(ExitCode::from(USAGE)) };
    let entry = COMMANDS.iter().find(|entry| (entry.group, entry.verb) == (group, verb));
    let Some(entry) = entry else { return Ok(ExitCode::from(USAGE)) };
    let operations = operation::all();
    let operation = entry.operation_of(&operations);
    let operation = &operation.ok_or("the API's document lacks this operation")?;
    let checked = fields::request(operation, in_verb).map(drop);
    if let Err(reason) = checked.and_then(|()| batch::check(entry, in_verb)) {
        terminal::warn(&reason);
        return Ok(ExitCode::from(USAGE));
    }
    let mut client = client(in_verb)?;
    if polling::is_long(entry) || batch::is_requested(entry, in_verb) {
        client = client.with_patience(polling::LONG);
    }
    let mut invocation = Invocation {
        client,
        entry,
        operation,
        matches: in_verb,
        network: None,
        node: None,
        as_json: is_json(in_verb),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let network = match network::meant(operation, in_verb, &invocation.client).await {
            Err(error) if error.is::<Unnamed>() => {
                terminal::report_error(&*error);
                return Ok(ExitCode::from(USAGE));
            }
            network => network?,
        };
        let wanted = names::wanted(operation, in_verb, network.as_deref());
        let mut found = names::look_up(&wanted, &invocation.client).await?;
        invocation.node = found.get("node").cloned();
        found.extend(network.clone().map(|network| (NETWORK.to_owned(), network)));
        invocation.network = network;
        let done = invocation.run(fields::request_for(operation, in_verb, &found)?).await;
        done.map_err(|error| fields::with_flag(error, operation, in_verb))
    })
}

fn is_json(matches: &ArgMatches) -> bool {
    matches.get_one::<String>(OUTPUT).is_some_and(|format| format == "json")
}

/// A command with its arguments.
struct Invocation<'a> {
    client: Client,
    entry: &'a Entry,
    operation: &'a Operation,
    matches: &'a ArgMatches,
    /// The network that it is about, as it was named.
    network: Option<String>,
    /// The id of the node that it is about.
    node: Option<String>,
    as_json: bool,
}

impl Invocation<'_> {
    /// The network; every command that asks for it is about one.
    fn network(&self) -> &str {
        self.network.as_deref().unwrap_or_default()
    }

    async fn run(&self, request: Request) -> Result<ExitCode, Box<dyn Error>> {
        if polling::is_requested(self.matches) {
            return polling::run(self, request).await.map(|()| ExitCode::SUCCESS);
        }
        if batch::is_requested(self.entry, self.matches) {
            return batch::run(self).await;
        }
        if remaining::is_question(self.entry) {
            return remaining::unapplied(self).await;
        }
        if self.operation.is_list {
            return self.list(request).await.map(|()| ExitCode::SUCCESS);
        }
        if ended::is_meant(self.entry)
            && let Err(code) = ended::may_begin(self.matches)
        {
            return Ok(code);
        }
        if deletion::is_meant(self.entry)
            && let Some(code) = deletion::may_begin(self, &request).await?
        {
            return Ok(code);
        }
        let answer = match polling::is_long(self.entry) {
            true => polling::with_progress(self.client.send(request)).await?,
            false => self.client.send(request).await?,
        };
        if self.operation.is_file {
            return self.file(&answer).map(|()| ExitCode::SUCCESS);
        }
        let body = answer.json()?;
        if ended::is_meant(self.entry) {
            let (screen, is_whole) = ended::screen(&body, Look::of(self.matches)?);
            match self.as_json {
                true => terminal::print_json(&body)?,
                false => print(&screen)?,
            }
            return Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(PARTLY) });
        }
        if self.as_json && !body.is_null() {
            terminal::print_json(&body)?;
        } else if self.entry.operation == "end_quarantine" {
            print(&addresses_table::ended(&body, Look::of(self.matches)?))?;
        } else if let Some(sentence) = deletion::sentence(self.entry, &body) {
            print(&sentence)?;
        } else if !body.is_null() && !remaining::replaces_the_answer(self.entry) {
            self.show(&body, answer.header("etag"))?;
        }
        let is_dry_run = body.get("dryRun") == Some(&Value::Bool(true));
        if is_dry_run && !self.as_json && !remaining::replaces_the_answer(self.entry) {
            print(DRY_RUN_END)?;
        }
        if let Some(code) = remaining::tell(self, &answer, &body).await? {
            return Ok(code);
        }
        if body.is_null() {
            return Ok(ExitCode::SUCCESS);
        }
        if qr::is_requested(self.matches) {
            print(&qr::draw_link(&body)?)?;
        }
        // Conflicts prevent an import, unless they were to be skipped.
        let conflicts = body.get("conflicts").and_then(Value::as_array).map_or(0, Vec::len);
        let skips = self.matches.try_get_one::<String>(SKIP_CONFLICTS).ok().flatten();
        let is_refused = conflicts > 0 && skips.is_none_or(|skips| skips != "true");
        Ok(if is_refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    async fn list(&self, request: Request) -> Result<(), Box<dyn Error>> {
        let limit = self.limit();
        // Pages of the API's maximum size, unless fewer items are wanted.
        let mut pages = self.client.pages(request.query("limit", limit.min(500).to_string()));
        let (mut items, mut beside) = (vec![], Value::Null);
        while items.len() < limit {
            let Some((more, page)) = pages.next_page().await? else { break };
            items.extend(more);
            beside = page;
        }
        items.truncate(limit);
        if !self.as_json {
            let network = self.network.as_deref().unwrap_or_default();
            scopes::named(self.entry, &self.client, network, &mut items).await?;
        }
        self.print_list(items, beside)
    }

    /// How many items to print at most.
    fn limit(&self) -> usize {
        let limit = self.matches.get_one::<u32>(LIMIT);
        limit.map_or(usize::MAX, |limit| usize::try_from(*limit).unwrap_or(usize::MAX))
    }

    fn print_list(&self, mut items: Vec<Value>, beside: Value) -> Result<(), Box<dyn Error>> {
        nodes_table::in_order(self.entry, &mut items);
        if self.as_json {
            // As one page that has room for all items.
            return terminal::print_json(&Pages::filled(beside, items));
        }
        let look = Look::of(self.matches)?;
        let screen = match self.entry.operation {
            _ if nodes_table::is_shown(self.entry) => nodes_table::screen(&items, look),
            _ if items.is_empty() => format!("No {}.\n", self.entry.plural()),
            "list_addresses" => addresses_table::screen(&items, look),
            "list_pending" if !look.is_wide => pending_table::screen(&items, look),
            "list_events" | "list_network_events" => {
                show::listing(&events_table::with_names(items), self.entry.columns, look)
            }
            _ => show::listing(&items, self.entry.columns, look),
        };
        Ok(print(&screen)?)
    }

    fn show(&self, body: &Value, etag: Option<&str>) -> Result<(), Box<dyn Error>> {
        let Some(thing) = body.as_object() else { return terminal::print_json(body) };
        let mut thing = thing.clone();
        if let Some(etag) = etag {
            thing.insert("etag".to_owned(), etag.trim_matches('"').into());
        }
        Ok(print(&show::thing(&thing, self.entry.columns, HIDDEN))?)
    }

    fn file(&self, answer: &Answer) -> Result<(), Box<dyn Error>> {
        match self.matches.get_one::<String>(OUT) {
            // Readable as the process's umask allows, like any other output file.
            Some(path) => nebula_pki::files::replace(path.as_ref(), &answer.body, 0o666)
                .map_err(|error| format!("{path}: {error}").into()),
            None if io::stdout().is_terminal() && std::str::from_utf8(&answer.body).is_err() => {
                Err("the answer is binary: write it to a file with --out FILE".into())
            }
            None => Ok(terminal::print_bytes(&answer.body)?),
        }
    }
}

fn client(matches: &ArgMatches) -> Result<Client, Box<dyn Error>> {
    let given = |name: &str, variable: &str| {
        let flag = matches.try_get_one::<String>(name).ok().flatten().cloned();
        flag.or_else(|| std::env::var(variable).ok().filter(|value| !value.is_empty()))
    };
    let server = given(SERVER, "NEBULAGC_SERVER");
    let client = Client::new(server.as_deref().unwrap_or("http://127.0.0.1:8080"))?;
    let file = given(KEY_FILE, "NEBULAGC_KEY_FILE");
    let file = file.as_deref().unwrap_or("nebula-gc-data/operator.key");
    let key = read_text(Path::new(file), KEY_FILE_LIMIT).map(zeroize::Zeroizing::new).map_err(
        |error| format!("{file}: {error}; name the operator key's file with --key-file"),
    )?;
    let key = key.trim();
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(
            format!("{file}: contains no operator key; name its file with --key-file").into()
        );
    }
    let mut client = client.with_key(key);
    if matches.get_flag(ALLOW_PLAIN_HTTP) {
        client = client.allow_plain_http();
    }
    match given(PIN, "NEBULAGC_PIN") {
        None => Ok(client),
        Some(pin) => {
            let Pin(pin) =
                pin.parse().map_err(|_| "pin: must be SHA-256 in Base64 or hexadecimal")?;
            Ok(client.with_pin(pin)?)
        }
    }
}
