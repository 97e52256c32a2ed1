//! `nebula-gc join`: joins this device to a network.

mod approval;

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use jiff::Timestamp;
use nebula_gc_http::agent::{AgentError, Exposed, Joined, Joining, Place, ProblemKind};
use nebula_gc_http::client::{ClientError, JoinLink, printable};
use nebula_gc_http::shell_word;
use nebula_pki::Curve;
use zeroize::Zeroizing;

use self::approval::join_once_approved;
use crate::clock::now;
use crate::plain_http::{ALLOW_PLAIN_HTTP, plain_http};
use crate::program_name::NAME;
use crate::{machine, terminal};

const LINK: &str = "link";
const NODE_NAME: &str = "name";
const OUT: &str = "out";
const ENDPOINT: &str = "endpoint";
const DEVICE: &str = "device";
const RELAY: &str = "relay";
const ADDRESS: &str = "address";
const MTU: &str = "mtu";
const CURVE: &str = "curve";
const TUN_DEVICE: &str = "tun-device";
const SSHD: &str = "allow-sshd";
/// What is chosen for the machine, and can't be while something else uses the network's directory.
const CHOICES: [&str; 4] = [TUN_DEVICE, SSHD, machine::NEBULA, ENDPOINT];

pub(crate) fn command() -> Command {
    Command::new("join")
        .about("Join this device to a network")
        .long_about(
            "Join this device to a network\n\n\
             Creates a private key, which never leaves the device, and a node token, which identifies it \
             (node.key and node.token, mode 0600), sends the public key and the token, and installs the \
             files that nebula starts with in a directory of the network's own. A running agent starts \
             nebula with them. Joining again with the same link uses the same key and token, gets the same \
             address, and installs what has changed; after a release it creates another token, and gets \
             its address back.\n\n\
             Where an operator has to approve devices that come with the link, it shows the fingerprint of \
             its key and waits.",
        )
        .after_help(format!(
            "Example:\n  {NAME} join 'https://nebula.example.org/join#token=…'\n  {NAME} agent\n\n\
             Without an agent: nebula -config /etc/nebula-gc/nodes/NETWORK/current/nebula.yml, and\n\
             {NAME} update /etc/nebula-gc/nodes/NETWORK every hour.",
        ))
        .arg(Arg::new(LINK).value_name("LINK").required(true).help(
            "The join link, or - to read it from the standard input: other users of the machine can \
             see arguments",
        ))
        .arg(
            Arg::new(NODE_NAME)
                .long(NODE_NAME)
                .value_name("NAME")
                .help("The device's name in the network. Default: the machine's host name"),
        )
        .arg(machine::nodes_argument())
        .arg(Arg::new(OUT).long(OUT).value_name("DIR").conflicts_with(machine::NODES).help(
            "Exactly this directory for the network's files, in place of one below --dir",
        ))
        .arg(Arg::new(ENDPOINT).long(ENDPOINT).value_name("HOST:PORT").help(
            "Make this device a lighthouse, which others reach at this address by UDP. The join token \
             must allow it",
        ))
        .arg(Arg::new(DEVICE).long(DEVICE).value_name("ID").help(
            "The device's own id, such as its serial number, by which operators recognise it after a \
             release. Default: one that the server makes",
        ))
        .arg(Arg::new(RELAY).long(RELAY).action(ArgAction::SetTrue).help(
            "Make this device a relay, which forwards for others. The join token must allow it",
        ))
        .arg(Arg::new(ADDRESS).long(ADDRESS).value_name("ADDRESS").help(
            "The address to have in the network, such as 10.42.0.7; an IPv4 and an IPv6 one with a comma \
             between them. Default: as the join token says, else the next free one",
        ))
        .arg(
            Arg::new(MTU)
                .long(MTU)
                .value_name("BYTES")
                .value_parser(clap::value_parser!(u32).range(500..=65_535))
                .help("The MTU of the tun device. Default: the network's"),
        )
        .arg(
            Arg::new(CURVE)
                .long(CURVE)
                .value_name("CURVE")
                .value_parser(PossibleValuesParser::new(["25519", "P256"]))
                .help("The network's curve, for a new key. Default: as the link says, else 25519"),
        )
        .arg(Arg::new(TUN_DEVICE).long(TUN_DEVICE).value_name("NAME").help(
            "The tun device's name on this machine. Default: as chosen before, else that of the network",
        ))
        .arg(
            Arg::new(SSHD)
                .long(SSHD)
                .value_name("BOOL")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_parser(clap::value_parser!(bool))
                .help("Let the files in local.d set up Nebula's sshd. Default: as chosen before, else not"),
        )
        .arg(machine::nebula_argument())
        .arg(plain_http())
}

pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let link = match text(LINK).unwrap_or_default().as_str() {
        "-" => Zeroizing::new(io::read_to_string(io::stdin())?),
        link => Zeroizing::new(link.to_owned()),
    };
    let link = JoinLink::parse(&link)?;
    let place = match text(OUT) {
        Some(out) => Place::Exactly(PathBuf::from(out)),
        None => Place::Below(machine::nodes(matches)),
    };
    let (Place::Exactly(path) | Place::Below(path)) = &place;
    machine::become_owner_of(path)?;
    let asked = text(NODE_NAME).or_else(machine::host_name);
    let asked = asked.ok_or("--name: this machine has no host name; give the device one")?;
    let curve = match text(CURVE) {
        Some(curve) => curve,
        None => link.curve.clone().unwrap_or_default(),
    };
    let curve = if curve == "P256" { Curve::P256 } else { Curve::Curve25519 };
    let endpoint = text(ENDPOINT);
    let device = text(DEVICE);
    let address = text(ADDRESS);
    let joining = Joining {
        link: &link,
        name: &asked,
        place: place.clone(),
        curve,
        endpoint: endpoint.as_deref(),
        device: device.as_deref(),
        relay: matches.get_flag(RELAY),
        address: address.as_deref(),
        mtu: matches.get_one::<u32>(MTU).copied(),
        allow_plain_http: matches.get_flag(ALLOW_PLAIN_HTTP),
        tun_device: text(TUN_DEVICE),
        sshd: matches.get_one::<bool>(SSHD).copied(),
        nebula: machine::nebula(matches),
    };
    let joined = machine::runtime()?.block_on(join_once_approved(&joining))?;
    if let Err(AgentError::Locked { path }) = &joined {
        return in_use(path, CHOICES.into_iter().find(|choice| matches.contains_id(choice)));
    }
    let out = matches.get_one::<String>(OUT).map(Path::new);
    let joined = joined.map_err(|error| explained(error, out))?;
    let kept = joined.node.identity.key.curve();
    if kept != curve && matches.value_source(CURVE) == Some(ValueSource::CommandLine) {
        terminal::warn(&format!("this device already has a key on {kept:?}, and goes on with it"));
    }
    warn_of(&joined.exposed);
    tell(&joined, &asked, endpoint.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

/// Something else uses the directory of this link.
fn in_use(path: &Path, choice: Option<&str>) -> Result<ExitCode, Box<dyn Error>> {
    let path = path.display();
    if let Some(choice) = choice {
        return Err(format!(
            "--{choice}: {path} is in use by an agent or another command; stop the agent to change this"
        )
        .into());
    }
    terminal::print(&format!("{path} is in use by an agent or another command; nothing to do\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints what the device is now, and how to start it.
fn tell(joined: &Joined, asked: &str, endpoint: Option<&str>) -> io::Result<()> {
    let node = &joined.node;
    let name = &node.membership.name;
    if name != asked {
        // It was in the network before.
        terminal::warn(&format!(
            "this device is already in the network as {:?}; an operator can rename it",
            printable(name)
        ));
    }
    if let Some(endpoint) = endpoint
        && !joined.is_lighthouse
    {
        terminal::warn(&format!(
            "this device is already in the network, but not as a lighthouse at {endpoint}; an operator can \
             make it one"
        ));
    }
    if let Some(refused) = node.state.problems.get(&ProblemKind::NebulaRefused) {
        terminal::warn(&format!("{}; {NAME} status says more", printable(&refused.detail)));
    }
    let directory = node.directory.path();
    let nodes = directory.parent().unwrap_or(directory);
    let agent = match nodes == Path::new(machine::DEFAULT_NODES) {
        true => format!("{NAME} agent"),
        false => format!("{NAME} agent --dir {}", shell_word(&nodes.to_string_lossy())),
    };
    terminal::print(&format!(
        "{} is {} in {}\nStart it: {agent}\nOr by hand: nebula -config {}\n",
        printable(name),
        node.state.addresses.join(" and "),
        printable(&node.membership.network),
        shell_word(&node.configuration().to_string_lossy())
    ))
}

/// Says which secrets others could read.
pub(crate) fn warn_of(exposed: &[Exposed]) {
    for Exposed { path, mode } in exposed {
        terminal::warn(&format!(
            "{}: was accessible to other users (mode {mode:04o}), and is no longer. If somebody may have \
             read it, leave the network and join it again, and have this node revoked",
            path.display()
        ));
    }
}

/// An error, with what to do about it on this device: where it joins in this very directory, also with
/// what that may contain.
pub(crate) fn explained(error: AgentError, out: Option<&Path>) -> Box<dyn Error> {
    match &error {
        AgentError::Bundle(bundle) => match wrong_time(bundle) {
            Some(reason) => {
                format!("the server's answer can't be used, so nothing was installed: {reason}")
                    .into()
            }
            None => error.into(),
        },
        AgentError::Client(ClientError::PlainHttp { .. }) => {
            format!("{error} (--{ALLOW_PLAIN_HTTP})").into()
        }
        AgentError::Client(refused) if choice(refused).is_some() => {
            let choice = choice(refused).unwrap_or_default();
            let or_return =
                if choice == NODE_NAME { format!("; {REINSTALLED}") } else { String::new() };
            format!("{error}; on this device: join with another --{choice}{or_return}").into()
        }
        AgentError::Client(refused) if has_another_key(refused) => {
            format!("{error}; {REINSTALLED}").into()
        }
        AgentError::Client(refused) => match refused.problem().zip(out) {
            Some((problem, out)) if problem.code == "invalid_public_key" => format!(
                "{error}; on this device: join with --curve, and with another --out than {}, which \
                 already contains a key",
                out.display()
            )
            .into(),
            Some((problem, out))
                if problem.code == "conflict" && problem.field.as_deref() == Some("nodeToken") =>
            {
                format!(
                    "{error}; on this device: {} contains the key and token of a node of another \
                     network; use a separate --out for each network",
                    out.display()
                )
                .into()
            }
            _ => error.into(),
        },
        _ => error.into(),
    }
}

/// What to do about a machine that the network knows with a key that is gone.
const REINSTALLED: &str = "if this machine was reinstalled, have an operator release the node that it was \
     (nebula-gc admin nodes release), then join again";

/// Whether the device is known by another key.
fn has_another_key(refused: &ClientError) -> bool {
    let problem = refused.problem().filter(|problem| problem.code == "key_mismatch");
    problem.is_some_and(|problem| problem.field.as_deref() == Some(DEVICE))
}

/// What another has already that this device asks for.
fn choice(refused: &ClientError) -> Option<&'static str> {
    let problem = refused.problem().filter(|problem| problem.code == "conflict")?;
    [NODE_NAME, ADDRESS].into_iter().find(|choice| problem.field.as_deref() == Some(choice))
}

/// The reason for a certificate that is not valid at this time, which may be a wrong clock.
fn wrong_time(error: &nebula_bundle::Error) -> Option<String> {
    use nebula_pki::Error as Refusal;
    let nebula_bundle::Error::Certificate { file, source } = error else { return None };
    let (is, at) = match source {
        Refusal::NotYetValid { not_before, .. } | Refusal::CaNotYetValid { not_before, .. } => {
            ("is valid from", not_before)
        }
        Refusal::Expired { not_after, .. } | Refusal::CaExpired { not_after, .. } => {
            ("expired at", not_after)
        }
        _ => return None,
    };
    let at = Timestamp::from_second(*at).ok()?;
    let now = Timestamp::from_second(now().ok()?).ok()?;
    Some(format!(
        "{file}: {is} {at}, and this machine's clock says {now}: if the clock is wrong, correct it and \
         try again"
    ))
}
