//! The rooms of the workspace and which may import from which: the arrows of the design.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::Imports;

/// A part of a crate that is understood as one.
pub(crate) struct Room {
    pub(crate) name: &'static str,
    /// In a few words.
    pub(crate) what: &'static str,
    /// How the paths of its files begin; a file belongs to the room with the longest that fits.
    begins: &'static [&'static str],
    /// The rooms that it may import from.
    below: &'static [&'static str],
}

impl Room {
    /// The crate that it is a part of.
    pub(crate) fn crate_name(&self) -> &'static str {
        self.begins[0].split('/').next().unwrap_or_default()
    }
}

/// From top to bottom.
pub(crate) const ROOMS: [Room; 21] = [
    Room {
        name: "cli",
        what: "the program nebula-gc",
        begins: &["nebula-gc-http/src/cli"],
        below: &["settings", "server", "api", "client", "secret", "values", "bundle", "pki"],
    },
    Room {
        name: "settings",
        what: "flags, environment, file",
        begins: &["nebula-gc-http/src/settings"],
        below: &["server", "api parts", "service", "signers", "values"],
    },
    Room {
        name: "server",
        what: "data directory, HTTPS, shutdown",
        begins: &["nebula-gc-http/src/server"],
        below: &[
            "api",
            "api parts",
            "api/v1",
            "service",
            "verify",
            "signers",
            "store",
            "secret",
            "values",
            "leases",
            "SQL seam",
            "addresses",
            "pki",
        ],
    },
    Room { name: "api", what: "all routes", begins: &["nebula-gc-http/src/api.rs"], below: API },
    Room {
        name: "api/v1",
        what: "native routes",
        begins: &["nebula-gc-http/src/api/v1"],
        below: API_V1,
    },
    Room {
        name: "api/dialect",
        what: "routes of older clients",
        begins: &["nebula-gc-http/src/api/dialect"],
        below: &["api parts", "service/dialect", "service", "values", "bundle", "pki"],
    },
    Room {
        name: "api parts",
        what: "what both use of HTTP",
        begins: &["nebula-gc-http/src/api/"],
        below: &["service", "secret", "values", "pki"],
    },
    Room {
        name: "service/dialect",
        what: "the dialect in native commands",
        begins: &["nebula-gc-http/src/service/dialect"],
        below: &[
            "service",
            "store",
            "secret",
            "values",
            "leases",
            "SQL seam",
            "addresses",
            "bundle",
            "pki",
        ],
    },
    Room {
        name: "service",
        what: "operations and their rules",
        begins: &["nebula-gc-http/src/service"],
        below: &[
            "store",
            "signers",
            "secret",
            "values",
            "writer",
            "leases",
            "SQL seam",
            "addresses",
            "bundle",
            "pki",
        ],
    },
    Room {
        name: "verify",
        what: "checks what is stored",
        begins: &["nebula-gc-http/src/verify"],
        below: &["store", "values", "leases", "SQL seam", "addresses", "pki"],
    },
    Room {
        name: "store",
        what: "one file for each table",
        begins: &["nebula-gc-http/src/store.rs", "nebula-gc-http/src/store/"],
        below: &["secret", "values", "writer", "leases", "SQL seam", "addresses", "bundle", "pki"],
    },
    Room {
        name: "signers",
        what: "CA keys held elsewhere",
        begins: &["nebula-gc-http/src/signers"],
        below: &["values", "pki"],
    },
    Room {
        name: "secret",
        what: "bearer secrets, sealing",
        begins: &["nebula-gc-http/src/secret"],
        below: &["values"],
    },
    Room {
        name: "client",
        what: "asks a server over HTTP",
        begins: &["nebula-gc-http/src/client"],
        below: &["values"],
    },
    // Errors with the values in them, ids, names: what knows none of the rooms above.
    Room {
        name: "values",
        what: "errors, ids, names",
        begins: &["nebula-gc-http/src/"],
        below: &["leases", "addresses", "bundle", "pki"],
    },
    Room {
        name: "writer",
        what: "many callers, one commit",
        begins: &["nebula-alloc/src/writer", "nebula-alloc/src/allocator"],
        below: &["leases", "SQL seam", "addresses"],
    },
    // And pools, reservations, events, the clock.
    Room {
        name: "leases",
        what: "leases, pools, reservations, events",
        begins: &["nebula-alloc/src/"],
        below: &["SQL seam", "addresses"],
    },
    Room {
        name: "SQL seam",
        what: "transactions on SQLite and PostgreSQL",
        begins: &[
            "nebula-alloc/src/store.rs",
            "nebula-alloc/src/store/",
            "nebula-alloc/src/schema",
        ],
        below: &["addresses"],
    },
    // And ids and errors.
    Room {
        name: "addresses",
        what: "addresses, ids, errors",
        begins: &[
            "nebula-alloc/src/address",
            "nebula-alloc/src/error",
            "nebula-alloc/src/id",
            "nebula-alloc/src/limits",
            "nebula-alloc/src/utc",
        ],
        below: &[],
    },
    Room {
        name: "bundle",
        what: "nebula.yml and archives",
        begins: &["nebula-bundle/src/"],
        below: &["pki"],
    },
    Room { name: "pki", what: "keys, certificates, CAs", begins: &["nebula-pki/src/"], below: &[] },
];

const API: &[&str] = &["api/v1", "api/dialect", "api parts", "service", "secret", "values"];
const API_V1: &[&str] =
    &["api parts", "service", "store", "secret", "values", "leases", "addresses", "bundle", "pki"];

/// Other crates and parts of the standard library, and where alone they may be named.
const FOREIGN: [(&str, &[&str]); 16] = [
    // HTTP
    ("axum", &["nebula-gc-http/src/api", "nebula-gc-http/src/server"]),
    ("http_body_util", &["nebula-gc-http/src/api", "nebula-gc-http/src/client"]),
    (
        "hyper",
        &["nebula-gc-http/src/api", "nebula-gc-http/src/server", "nebula-gc-http/src/client"],
    ),
    ("hyper_util", &["nebula-gc-http/src/server", "nebula-gc-http/src/client"]),
    ("tower", &["nebula-gc-http/src/api", "nebula-gc-http/src/server"]),
    ("utoipa", &["nebula-gc-http/src/api"]),
    ("utoipa_axum", &["nebula-gc-http/src/api"]),
    // databases
    ("rusqlite", &["nebula-alloc/src/store/sqlite"]),
    ("tokio_postgres", &["nebula-alloc/src/store/postgres"]),
    // programs
    ("clap", &["nebula-gc-http/src/cli"]),
    ("toml", &["nebula-gc-http/src/settings"]),
    // what nebula-pki and nebula-bundle must not know: asynchronous code, sockets, files, clocks
    ("tokio", &["nebula-gc-http/src/", "nebula-alloc/src/store/postgres"]),
    (
        "std::fs",
        &[
            "nebula-pki/src/cli",
            "nebula-pki/src/files",
            "nebula-pki/src/signer/pkcs11",
            "nebula-alloc/src/store/sqlite",
            "nebula-gc-http/src/server",
            "nebula-gc-http/src/cli",
        ],
    ),
    ("std::time::Instant", &["nebula-pki/src/cli", "nebula-alloc/src/", "nebula-gc-http/src/"]),
    ("std::time::SystemTime", &["nebula-pki/src/cli", "nebula-alloc/src/", "nebula-gc-http/src/"]),
    (
        "std::process",
        &["nebula-pki/src/cli", "nebula-gc-http/src/cli", "nebula-gc-http/src/signers"],
    ),
];

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
            let rule = FOREIGN
                .iter()
                .find(|(name, _)| format!("{path}::").starts_with(&format!("{name}::")));
            if rule.is_some_and(|(_, places)| !places.iter().any(|place| file.starts_with(place))) {
                forbidden.insert(format!("{file} -> {path}"));
            }
        }
    }
    forbidden
}
