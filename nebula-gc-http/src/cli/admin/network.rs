//! The network of a command, which need not be named: `--network`, `NEBULAGC_NETWORK`, or the only one that
//! is visible.
//!
//! `nodes show office laptop-1` and `nodes show laptop-1` are both right, which no parser of arguments can
//! tell apart by itself: the arguments are counted first, and then read in the form that they have.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;

use clap::{Arg, ArgMatches, Command};
use nebula_gc_http::client::{Client, Request, printable};
use serde_json::Value;

use super::commands::{COMMANDS, Entry, Form};
use super::operation::{Operation, Place};
use super::{batch, operation};

/// The parameter of the API that names a network.
pub(super) const NETWORK: &str = "network";
/// The flag, where there is a positional argument, too.
const FLAG: &str = "networkFlag";
const VARIABLE: &str = "NEBULAGC_NETWORK";
/// How many networks an error names.
const NAMED: usize = 10;

/// Whether a command has a network, which then can be left out; not the one to delete.
fn is_of_a_network(operation: &Operation) -> bool {
    operation.has(Place::Path, NETWORK) && operation.id != "delete_network"
}

/// A command with its network in this form.
pub(super) fn with_flag(command: Command, operation: &Operation, form: Form) -> Command {
    if !is_of_a_network(operation) {
        return command;
    }
    let flag = |id: &'static str| {
        let help = format!(
            "The network's name or id, as the first argument or here [environment: {VARIABLE}] \
             [default: the only one that is visible]"
        );
        Arg::new(id).short('n').long(NETWORK).value_name("NETWORK").help(help)
    };
    match form {
        Form::Apart => command.mut_arg(NETWORK, |_| flag(NETWORK)),
        Form::Shown | Form::Counted => command
            .allow_missing_positional(form == Form::Shown)
            .mut_args(|argument| match (form, argument.is_positional()) {
                (Form::Shown, true) if argument.get_id() == NETWORK => argument
                    .required(false)
                    .help("The network's name or id; may be left out: see --network"),
                (Form::Counted, true) => argument.required(false),
                _ => argument,
            })
            .arg(flag(FLAG)),
    }
}

/// The form in which these arguments, the program's name being the first, are to be read.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn form(arguments: &[OsString], counted: Command) -> Result<Form, clap::Error> {
    if arguments.get(1).is_none_or(|word| word != "admin") {
        return Ok(Form::Shown);
    }
    let matches = match counted.try_get_matches_from(arguments) {
        // The help is the one for people.
        Err(error) if error.exit_code() == 0 => return Ok(Form::Shown),
        matches => matches?,
    };
    let leaf = matches.subcommand().and_then(|(_, admin)| admin.subcommand());
    let leaf = leaf.and_then(|(group, in_group)| Some((group, in_group.subcommand()?)));
    let Some((group, (verb, matches))) = leaf else { return Ok(Form::Counted) };
    let entry = COMMANDS.iter().find(|entry| (entry.group, entry.verb) == (group, verb));
    let operations = operation::all();
    let operation = entry.and_then(|entry| operations.iter().find(|it| it.id == entry.operation));
    let (Some(entry), Some(operation)) = (entry, operation) else { return Ok(Form::Counted) };
    let is_apart = is_of_a_network(operation) && !is_among_positional(entry, operation, matches);
    Ok(if is_apart { Form::Apart } else { Form::Counted })
}

/// Whether there are as many positional arguments as with a network.
fn is_among_positional(entry: &Entry, operation: &Operation, matches: &ArgMatches) -> bool {
    let is_there = |name: &str| matches.try_contains_id(name).unwrap_or_default();
    let in_path = operation.fields.iter().filter(|field| field.place == Place::Path);
    let mut positional = in_path.filter(|field| super::fields::is_positional(field));
    // Many nodes are meant where the last is left out.
    let is_many = batch::has_filter(entry, matches);
    !is_there(FLAG)
        && positional.all(|field| is_there(&field.name) || is_many && field.name != NETWORK)
}

/// The network that a command is about: the one it names, else `NEBULAGC_NETWORK`, else the only one that is
/// visible. Nothing for a command that is about none.
pub(super) async fn meant(
    operation: &Operation,
    matches: &ArgMatches,
    client: &Client,
) -> Result<Option<String>, Box<dyn Error>> {
    if !is_of_a_network(operation) {
        return Ok(None);
    }
    let named = matches.try_get_one::<String>(NETWORK).ok().flatten().cloned();
    let named = named.or_else(|| std::env::var(VARIABLE).ok().filter(|name| !name.is_empty()));
    match named {
        Some(named) => Ok(Some(named)),
        None => only(client).await.map(Some),
    }
}

async fn only(client: &Client) -> Result<String, Box<dyn Error>> {
    let limit = (NAMED + 1).to_string();
    let answer = client.send(Request::get("/networks").query("limit", limit)).await?.json()?;
    let items = answer.get("items").and_then(Value::as_array);
    let names: Vec<_> =
        items.into_iter().flatten().filter_map(|item| item.get("name")?.as_str()).collect();
    match names.as_slice() {
        [name] => Ok((*name).to_owned()),
        [] => {
            Err("network: there is none yet; make one with `nebula-gc admin networks create`"
                .into())
        }
        names => {
            let some = names.iter().take(NAMED).map(|name| printable(name)).collect::<Vec<_>>();
            let more = if names.len() > NAMED { " and more" } else { "" };
            Err(Unnamed(format!("{}{more}", some.join(", "))).into())
        }
    }
}

/// No network is named, and there are these.
#[derive(Debug)]
pub(super) struct Unnamed(String);

impl Error for Unnamed {}

impl fmt::Display for Unnamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(networks) = self;
        write!(
            f,
            "network: there are several ({networks}); name one as the first argument, with --network or in \
             {VARIABLE}"
        )
    }
}
