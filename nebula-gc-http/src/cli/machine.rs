//! What the commands for this machine's nodes share.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches};
use nebula_gc_http::shell_word;
use tokio::runtime::{Builder, Runtime};

use crate::program_name::NAME;

pub(crate) const NODES: &str = "dir";
pub(crate) const NEBULA: &str = "nebula";
/// Where the networks of a machine have their directories.
pub(crate) const DEFAULT_NODES: &str = "/etc/nebula-gc/nodes";

pub(crate) fn nodes_argument() -> Arg {
    Arg::new(NODES)
        .long(NODES)
        .value_name("DIR")
        .default_value(DEFAULT_NODES)
        .help("Where each network of this machine has a directory of its own")
}

pub(crate) fn nebula_argument() -> Arg {
    Arg::new(NEBULA)
        .long(NEBULA)
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("The program nebula. Default: as chosen at join, else the one in PATH")
}

pub(crate) fn nebula(matches: &ArgMatches) -> Option<PathBuf> {
    matches.get_one::<PathBuf>(NEBULA).cloned()
}

pub(crate) fn nodes(matches: &ArgMatches) -> PathBuf {
    PathBuf::from(matches.get_one::<String>(NODES).map_or(DEFAULT_NODES, String::as_str))
}

/// A text that names commands of this program, with the directory of the networks where the user gave one.
pub(crate) fn with_nodes(text: &str, matches: &ArgMatches) -> String {
    let nodes = nodes(matches);
    if nodes == Path::new(DEFAULT_NODES) {
        return text.to_owned();
    }
    let nodes = shell_word(&nodes.to_string_lossy());
    ["agent", "join"].iter().fold(text.to_owned(), |text, command| {
        let command = format!("{NAME} {command}");
        text.replace(&command, &format!("{command} --dir {nodes}"))
    })
}

/// The directory of a network that is given by its name or directory.
pub(crate) fn directory_of(nodes: &Path, network: &str) -> Result<PathBuf, Box<dyn Error>> {
    let named = nodes.join(nebula_gc_http::agent::directory_name(network));
    let given = PathBuf::from(network);
    if network.contains('/') && given.is_dir() {
        return Ok(given);
    }
    match named.is_dir() {
        true => Ok(named),
        false => Err(format!("{network}: {} has no such network", nodes.display()).into()),
    }
}

/// Root works on a directory as the user that it belongs to.
pub(crate) fn become_owner_of(path: &Path) -> Result<(), Box<dyn Error>> {
    #[cfg(target_os = "linux")]
    nebula_gc_http::agent::become_owner_of(path)?;
    #[cfg(not(target_os = "linux"))]
    let _ = path;
    Ok(())
}

/// The machine's host name, without its domain.
pub(crate) fn host_name() -> Option<String> {
    let names = rustix::system::uname();
    let name = names.nodename().to_str().ok()?.split('.').next()?.to_owned();
    (!name.is_empty() && name != "localhost").then_some(name)
}

pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
