//! `nebula-gc admin apply` and `export`: tenants, networks and what is in them, as a file says.
//!
//! A file is compared with what the server has, which gives the steps to carry out. What a section's things
//! may say, and what of it can be changed, comes from the API's document, as the commands' flags do.

mod carry_out;
mod check;
mod export;
mod file;
mod lines;
mod plan;
mod section;
mod server;
mod step;
mod value;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use nebula_gc_http::client::Client;

use self::carry_out::Links;
use self::lines::Refusal;
use self::plan::Plan;
use self::server::Server;
use super::{DRY_RUN_END, PARTLY, REFUSED};
use crate::arguments::read_text;
use crate::terminal;

const FILE: &str = "file";
const DRY_RUN: &str = "dry-run";
const PRUNE: &str = "prune";
const LINKS_DIR: &str = "links-dir";
const OUT: &str = "out";
/// The largest accepted file, in bytes.
const FILE_LIMIT: u64 = 4 << 20;

/// The commands, each with its name.
pub(super) fn commands() -> [Command; 2] {
    [apply_command(), export_command()]
}

fn apply_command() -> Command {
    Command::new("apply")
        .about("Make tenants, networks and what is in them as a TOML file says")
        .long_about(
            "Make tenants, networks and what is in them as a TOML file says\n\n\
             Things are known by their names, pools and reservations by their ranges. What is there \
             already is changed where it differs; a second time nothing is done. What the file does not \
             name stays, unless --prune is given. All that can be is checked before anything is changed. A \
             join token or operator key that is revoked, expired or used up is not made again. Fields are named as the flags of the commands that \
             create such things (networks create --help). nebula-gc admin export writes such a file.",
        )
        .after_help(
            "Example:\n  nebula-gc admin apply office.toml --dry-run\n\n\
             A file:\n  \
             [networks.office]\n  \
             prefixes = [\"10.42.0.0/16\"]\n  \
             lifetime = \"14d\"\n\n  \
             [networks.office.pools.\"10.42.0.0/20\"]\n  \
             [networks.office.blocks.printers]\n  \
             pool = \"10.42.0.0/20\"\n  \
             size = 16\n\n  \
             [networks.office.join-tokens.laptops]\n  \
             groups = [\"laptop\"]\n  \
             uses = 20\n  \
             expires-in = \"2d\"\n\n\
             Other sections: tenants, operator-keys, and reservations of a network.\n\n\
             Exit codes: 0 done, 1 refused and nothing was changed, 3 some of it was done.",
        )
        .arg(
            Arg::new(FILE)
                .value_name("FILE")
                .required(true)
                .help("The file, or - for the standard input"),
        )
        .arg(
            Arg::new(DRY_RUN)
                .long(DRY_RUN)
                .action(ArgAction::SetTrue)
                .help("Print what would be done, and change nothing"),
        )
        .arg(Arg::new(PRUNE).long(PRUNE).action(ArgAction::SetTrue).help(
            "Delete pools, blocks and reservations and revoke join tokens that the file lacks, in each \
             section that the file has, before others are made; a pool is resized to the one in the file \
             that has some of its addresses, and a block renamed to the one with as many. Tenants, \
             networks, operator keys and reservations for nodes are never deleted",
        ))
        .arg(
            Arg::new(LINKS_DIR)
                .long(LINKS_DIR)
                .value_name("DIRECTORY")
                .value_parser(value_parser!(PathBuf))
                .help(
                    "Write the links of new join tokens and new operator keys into this directory (mode \
                     0600); required where any are to be made",
                ),
        )
}

fn export_command() -> Command {
    Command::new("export")
        .about("Write the tenants, networks and what is in them as a TOML file for `apply`")
        .after_help(
            "Example:\n  nebula-gc admin export --out office.toml\n\n\
             The file contains no secrets, no nodes and no CAs, no reservations for nodes, and no join \
             tokens and operator keys that are revoked, expired or used up.",
        )
        .arg(
            Arg::new(OUT)
                .short('o')
                .long(OUT)
                .value_name("FILE")
                .help("Write to this file; default: the standard output"),
        )
}

/// Runs `apply`.
pub(super) async fn apply(
    client: &Client,
    matches: &ArgMatches,
    as_json: bool,
) -> Result<ExitCode, Box<dyn Error>> {
    let path = matches.get_one::<String>(FILE).map_or("-", String::as_str);
    let text = match path {
        "-" => std::io::read_to_string(std::io::stdin())?,
        path => {
            read_text(Path::new(path), FILE_LIMIT).map_err(|error| format!("{path}: {error}"))?
        }
    };
    let located = |refusals: Vec<Refusal>| {
        let lines: Vec<_> = refusals.iter().map(|refusal| refusal.located(path, &text)).collect();
        lines.join("\n")
    };
    let file = file::read(&text).map_err(located)?;
    let is_dry_run = matches.get_flag(DRY_RUN);
    let links = matches.get_one::<PathBuf>(LINKS_DIR).filter(|_| !is_dry_run);
    let links = links.map(|path| Links::open(path)).transpose()?;
    let mut server = Server::read(client, &file.networks()).await?;
    if let Some(links) = &links {
        links.take_back_unfinished(client, &mut server).await?;
    }
    let plan = plan::plan(&file, &server, matches.get_flag(PRUNE)).map_err(located)?;
    let steps = &plan.steps;
    if !is_dry_run
        && links.is_none()
        && let Some(step) = steps.iter().find(|step| step.makes_secret())
    {
        return Err(format!(
            "{} is to be made: say where its secret goes with --{LINKS_DIR}",
            step.what()
        )
        .into());
    }
    for (what, why) in &plan.ended {
        terminal::note(&format!(
            "{what} {why}, and stays so; give it another name in the file to make another"
        ));
    }
    if is_dry_run {
        show(&plan, as_json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut done = 0_usize;
    for step in steps {
        let made = carry_out::carry_out(step, client, &mut server, links.as_ref()).await;
        if let Err(error) = made {
            let error = format!("{}: {}", step.what(), terminal::said(&*error));
            terminal::warn(&error);
            terminal::note(&format!(
                "{done} of {} done; apply the file again once this is mended",
                steps.len()
            ));
            return Ok(ExitCode::from(if done == 0 { REFUSED } else { PARTLY }));
        }
        done = done.saturating_add(1);
        if !as_json {
            terminal::print(&step.done())?;
        }
    }
    match as_json {
        true => show(&plan, true)?,
        false if steps.is_empty() => terminal::print("nothing to change\n")?,
        false => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the steps of a dry run, or all of the plan as JSON.
fn show(plan: &Plan, as_json: bool) -> Result<(), Box<dyn Error>> {
    if as_json {
        return terminal::print_json(&plan.to_json());
    }
    for step in &plan.steps {
        terminal::print(&step.to_do())?;
    }
    let end = match plan.steps.len() {
        0 => "nothing to change\n".to_owned(),
        1 => format!("1 step. {DRY_RUN_END}"),
        many => format!("{many} steps. {DRY_RUN_END}"),
    };
    Ok(terminal::print(&end)?)
}

/// Runs `export`.
pub(super) async fn export(
    client: &Client,
    matches: &ArgMatches,
    as_json: bool,
) -> Result<ExitCode, Box<dyn Error>> {
    let server = Server::read_all(client).await?;
    let table = export::table(&server)?;
    if as_json {
        terminal::print_json(&serde_json::to_value(&table)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = toml::to_string(&table)?;
    match matches.get_one::<String>(OUT) {
        None => terminal::print(&text)?,
        Some(path) => nebula_pki::files::replace(path.as_ref(), text.as_bytes(), 0o666)
            .map_err(|error| format!("{path}: {error}"))?,
    }
    Ok(ExitCode::SUCCESS)
}
