//! The rooms of the workspace and which may import from which: the arrows of the design.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::imports::Imports;

/// A part of a crate that is understood as one.
pub(crate) struct Room {
    pub(crate) name: &'static str,
    /// In a few words.
    pub(crate) what: &'static str,
    /// How the paths of its files begin; a file belongs to the room with the longest that fits.
    begins: Vec<&'static str>,
    /// The rooms that it may import from.
    below: Vec<&'static str>,
}

impl Room {
    /// The crate that it is a part of.
    pub(crate) fn crate_name(&self) -> &'static str {
        self.begins[0].split('/').next().unwrap_or_default()
    }
}

/// From top to bottom: its name, what it is, how its files begin, and the rooms below it.
/// "values" knows none of the rooms above; "leases" are pools, events and the clock, too.
const TABLE: &str = "\
cli | the program nebula-gc | nebula-gc-http/src/cli | settings, server, api, agent, client, service, \
    store, secret, values, addresses, bundle, pki
settings | flags, environment, file | nebula-gc-http/src/settings | server, api parts, service, \
    signers, values
server | data directory, HTTPS, shutdown | nebula-gc-http/src/server | api, api parts, api/v1, \
    service, verify, signers, store, secret, values, leases, SQL seam, addresses, pki
api | all routes | nebula-gc-http/src/api.rs | api/v1, api/dialect, api parts, service, secret, \
    values
api/v1 | native routes | nebula-gc-http/src/api/v1 | api parts, wire, service, store, secret, \
    values, leases, addresses, bundle, pki
api/dialect | routes of older clients | nebula-gc-http/src/api/dialect | api parts, \
    service/dialect, service, wire, values, bundle, pki
api parts | what both use of HTTP | nebula-gc-http/src/api/ | service, secret, values, pki
service/dialect | the dialect in native commands | nebula-gc-http/src/service/dialect | service, \
    store, secret, values, leases, SQL seam, addresses, bundle, pki
service | operations and their rules | nebula-gc-http/src/service | store, signers, secret, \
    values, writer, leases, SQL seam, addresses, bundle, pki
verify | checks what is stored | nebula-gc-http/src/verify | store, values, leases, SQL seam, \
    addresses, pki
store | one file for each table | nebula-gc-http/src/store.rs, nebula-gc-http/src/store/ | \
    secret, values, writer, leases, SQL seam, addresses, bundle, pki
signers | CA keys held elsewhere | nebula-gc-http/src/signers | values, pki
secret | bearer secrets, sealing | nebula-gc-http/src/secret | values
agent | keeps a machine's nodes | nebula-gc-http/src/agent | client, process, wire, values, bundle, pki
client | asks a server over HTTP | nebula-gc-http/src/client | wire, values
process | runs one Nebula | nebula-gc-http/src/process | values, bundle, pki
wire | the native API's types in JSON | nebula-gc-http/src/wire | values
values | errors, ids, names | nebula-gc-http/src/, nebula-gc-http/src/server_list | \
    leases, addresses, bundle, pki
writer | many callers, one commit | nebula-alloc/src/writer, nebula-alloc/src/allocator | \
    leases, SQL seam, addresses
leases | leases, pools, reservations, events | nebula-alloc/src/ | SQL seam, addresses
SQL seam | transactions on SQLite and PostgreSQL | nebula-alloc/src/store.rs, \
    nebula-alloc/src/store/, nebula-alloc/src/schema | addresses
addresses | addresses, ids, errors | nebula-alloc/src/address, nebula-alloc/src/error, \
    nebula-alloc/src/id, nebula-alloc/src/limits, nebula-alloc/src/utc |
bundle | nebula.yml and archives | nebula-bundle/src/ | pki
pki | keys, certificates, CAs | nebula-pki/src/ |";

pub(crate) static ROOMS: LazyLock<Vec<Room>> = LazyLock::new(|| {
    let list = |text: &'static str| text.split(", ").filter(|one| !one.is_empty()).collect();
    let room = |line: &'static str| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [name, what, begins, below] = cells[..] else { panic!("{line}") };
        Room { name, what, begins: list(begins), below: list(below) }
    };
    TABLE.lines().map(room).collect()
});

/// Other crates and parts of the standard library, and where alone they may be named.
const FOREIGN: &str = "\
axum: nebula-gc-http/src/api nebula-gc-http/src/server
http_body_util: nebula-gc-http/src/api nebula-gc-http/src/client
hyper: nebula-gc-http/src/api nebula-gc-http/src/server nebula-gc-http/src/client
hyper_util: nebula-gc-http/src/server nebula-gc-http/src/client
tower: nebula-gc-http/src/api nebula-gc-http/src/server
utoipa: nebula-gc-http/src/api nebula-gc-http/src/wire nebula-gc-http/src/server_list
utoipa_axum: nebula-gc-http/src/api
rusqlite: nebula-alloc/src/store/sqlite
tokio_postgres: nebula-alloc/src/store/postgres
clap: nebula-gc-http/src/cli
toml: nebula-gc-http/src/settings nebula-gc-http/src/cli/admin/declared
tokio: nebula-gc-http/src/ nebula-alloc/src/store/postgres
std::fs: nebula-pki/src/cli nebula-pki/src/files nebula-pki/src/signer/pkcs11 \
    nebula-alloc/src/store/postgres/tls nebula-alloc/src/store/sqlite nebula-bundle/src/install \
    nebula-gc-http/src/server nebula-gc-http/src/cli nebula-gc-http/src/process nebula-gc-http/src/agent
std::time::Instant: nebula-pki/src/cli nebula-alloc/src/ nebula-gc-http/src/
std::time::SystemTime: nebula-pki/src/cli nebula-alloc/src/ nebula-gc-http/src/
std::process: nebula-pki/src/cli nebula-gc-http/src/cli nebula-gc-http/src/signers \
    nebula-gc-http/src/process nebula-gc-http/src/agent";

/// The room of a file.
pub(crate) fn of(file: &str) -> &'static Room {
    let fits = |room: &Room| {
        let begins = room.begins.iter().filter(|begin| file.starts_with(*begin));
        begins.map(|begin| begin.len()).max().unwrap_or(0)
    };
    ROOMS.iter().max_by_key(|room| fits(room)).expect("rooms")
}

/// The arrows between rooms that there are, each with the imports that make it.
pub(crate) fn arrows(imports: &Imports) -> BTreeMap<(&'static str, &'static str), Vec<String>> {
    let mut arrows: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for (from, others) in &imports.arrows {
        for (to, names) in others {
            let (above, below) = (of(from).name, of(to).name);
            if above != below {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                arrows
                    .entry((above, below))
                    .or_default()
                    .push(format!("{from} -> {to}: {}", names.join(", ")));
            }
        }
    }
    arrows
}

/// Does the design have this arrow?
pub(crate) fn may(above: &str, below: &str) -> bool {
    ROOMS.iter().any(|room| room.name == above && room.below.contains(&below))
}

/// The imports that the design doesn't have, each in words.
pub(crate) fn forbidden(imports: &Imports) -> BTreeSet<String> {
    let mut forbidden = BTreeSet::new();
    for ((above, below), made_by) in arrows(imports) {
        if !may(above, below) {
            forbidden
                .extend(made_by.into_iter().map(|import| format!("{above} -> {below}: {import}")));
        }
    }
    // `use …::*` does not say what it takes.
    for (from, others) in &imports.arrows {
        let whole = others.iter().filter(|(_, names)| names.contains("*"));
        forbidden.extend(whole.map(|(to, _)| format!("{from} -> {to}: *")));
    }
    for (file, paths) in &imports.foreign {
        for path in paths {
            let mut rules = FOREIGN.lines().filter_map(|line| line.split_once(": "));
            let rule =
                rules.find(|(name, _)| format!("{path}::").starts_with(&format!("{name}::")));
            if rule.is_some_and(|(_, at)| !at.split(' ').any(|place| file.starts_with(place))) {
                forbidden.insert(format!("{file} -> {path}"));
            }
        }
    }
    forbidden
}
