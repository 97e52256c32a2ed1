//! `nebula-gc status`: how the networks of this machine are.

use std::error::Error;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command};
use nebula_gc_http::agent::status::{Finding, Health, NetworkStatus, Traffic, of_all};
use nebula_gc_http::client::printable;
use serde_json::json;

use crate::clock::now;
use crate::program_name::{NAME, own_commands};
use crate::terminal::{columns, padded};
use crate::times::{ago, day, span};
use crate::{machine, terminal};

const OUTPUT: &str = "output";
const INDENT: &str = "         ";

pub(crate) fn command() -> Command {
    Command::new("status")
        .about("Show how the networks of this machine are")
        .after_help(
            format!("Example:\n  {NAME} status --output json\n\n\
             Exit codes:\n  0   all networks are healthy\n  1   one is degraded, or the status is unknown\n  \
             2   one is cut off\n  64  wrong usage"),
        )
        .arg(machine::nodes_argument())
        .arg(
            Arg::new(OUTPUT)
                .long(OUTPUT)
                .value_name("FORMAT")
                .default_value("text")
                .value_parser(PossibleValuesParser::new(["text", "json"]))
                .help("The form of the output"),
        )
}

pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    let nodes = machine::nodes(matches);
    machine::become_owner_of(&nodes)?;
    let now = now()?;
    let mut all = of_all(&nodes, now)?;
    for finding in all.iter_mut().flat_map(|network| &mut network.findings) {
        finding.advice = machine::with_nodes(&own_commands(&finding.advice), matches);
    }
    let health = all.iter().map(|network| network.health).max();
    if matches.get_one::<String>(OUTPUT).is_some_and(|format| format == "json") {
        terminal::print_json(&json!({"health": health, "networks": all}))?;
    } else if all.is_empty() {
        terminal::print(&format!(
            "No networks in {}. Join one: {}\n",
            nodes.display(),
            machine::with_nodes(&format!("{NAME} join LINK"), matches)
        ))?;
    } else {
        let width = all.iter().map(|it| columns(&printable(&it.network))).max();
        let width = width.unwrap_or_default().max(8);
        terminal::print(&all.iter().map(|it| text(it, width, now)).collect::<String>())?;
    }
    Ok(ExitCode::from(match health {
        None | Some(Health::Healthy) => 0,
        Some(Health::Degraded) => 1,
        Some(Health::CutOff) => 2,
    }))
}

/// One network in two lines or more.
fn text(network: &NetworkStatus, width: usize, now: i64) -> String {
    let (word, first) = match network.health {
        Health::Healthy => ("healthy", certificate(network, now)),
        Health::Degraded => ("degraded", sentence(&network.findings, now)),
        Health::CutOff => ("cut off", sentence(&network.findings, now)),
    };
    let address = network.addresses.first().map_or("-", String::as_str);
    let name = printable(&network.network);
    let name = padded(&name, width);
    let mut text = format!("{name} {:16} {word:10} {}\n", printable(address), first);
    for address in network.addresses.iter().skip(1) {
        text += &format!("{:width$} {}\n", "", printable(address));
    }
    let mut line = |line: String| text += &format!("{INDENT}{}\n", printable(&line));
    if let Some(gravest) = network.findings.first() {
        line(gravest.advice.clone());
    }
    for finding in network.findings.iter().skip(1) {
        line(format!("Also: {}. {}", said(finding, now), finding.advice));
    }
    if network.health == Health::Degraded
        && let Some(end) = network.not_after
    {
        line(format!("The overlay works until {}.", day(end)));
    }
    if let Some(contact) = &network.contact {
        let revision = network.applied.as_ref().map_or(0, |applied| applied.revision);
        let since = ago(now, contact.at);
        line(format!("server {} reached {since}, revision {revision} applied", contact.server));
    }
    let tunnels = network.tunnels.map(|tunnels| match tunnels {
        1 => "1 tunnel".to_owned(),
        tunnels => format!("{tunnels} tunnels"),
    });
    let traffic = network.traffic.map(|Traffic { bytes_in, bytes_out }| {
        format!("{} in, {} out", bytes(bytes_in), bytes(bytes_out))
    });
    let passed: Vec<String> = tunnels.into_iter().chain(traffic).collect();
    if !passed.is_empty() {
        line(passed.join(", "));
    }
    if !network.overridden.is_empty() {
        line(format!("local.d overrides {}", network.overridden.join(", ")));
    }
    text
}

fn certificate(network: &NetworkStatus, now: i64) -> String {
    let Some(end) = network.not_after else { return "-".to_owned() };
    let left = span(end.saturating_sub(now));
    match network.renew_at {
        Some(at) if at > now => {
            format!("certificate {left} left, renews in {}", span(at.saturating_sub(now)))
        }
        _ => format!("certificate {left} left"),
    }
}

fn sentence(findings: &[Finding], now: i64) -> String {
    findings.first().map_or_else(|| "-".to_owned(), |finding| printable(&said(finding, now)))
}

fn said(finding: &Finding, now: i64) -> String {
    match finding.since {
        Some(since) => format!("{} ({})", finding.what, ago(now, since)),
        None => finding.what.clone(),
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{} kB", count / 1_000),
        1_000_000..1_000_000_000 => format!("{} MB", count / 1_000_000),
        _ => format!("{}.{} GB", count / 1_000_000_000, count / 100_000_000 % 10),
    }
}
