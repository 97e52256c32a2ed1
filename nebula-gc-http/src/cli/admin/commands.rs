//! The commands of `nebula-gc admin`, and the operation of the API that each calls.

use super::operation::{Operation, Place};

/// A command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) group: &'static str,
    pub(super) verb: &'static str,
    /// The operation's id in the document.
    pub(super) operation: &'static str,
    /// The columns of a table of its answers; the first lines of a single answer.
    pub(super) columns: &'static [&'static str],
    /// Its arguments in the example of its help.
    pub(super) example: &'static str,
}

impl Entry {
    /// Its operation. A thing that has settings is renamed by a command of its own, as all others are.
    pub(super) fn operation_of(&self, operations: &[Operation]) -> Option<Operation> {
        let mut operation = operations.iter().find(|it| it.id == self.operation)?.clone();
        if operation.id.starts_with("change_") {
            let renames = self.verb == "rename";
            operation
                .fields
                .retain(|field| field.place != Place::Body || (field.name == "name") == renames);
            for field in operation.fields.iter_mut().filter(|field| field.name == "name") {
                field.is_required = true;
            }
        }
        Some(operation)
    }

    /// What it does, in a sentence.
    pub(super) fn summary(&self, operation: &Operation) -> String {
        match self.operation {
            "change_network" if self.verb == "rename" => "Rename a network".to_owned(),
            "change_node" if self.verb == "rename" => {
                "Rename a node, which gets a new certificate".to_owned()
            }
            _ => operation.summary.clone(),
        }
    }

    /// What it lists.
    pub(super) fn plural(&self) -> String {
        match self.operation {
            "list_cas" => "CAs".to_owned(),
            "list_node_certificates" => "certificates".to_owned(),
            "list_blocklist" => "blocked certificates".to_owned(),
            "list_pending" => "pending devices".to_owned(),
            _ => self.group.replace('-', " "),
        }
    }
}

/// In which form the network of a command is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As the help, completions and the manual show it: before the other positional arguments, or not.
    Shown,
    /// Any number of positional arguments, to count them.
    Counted,
    /// Not among the positional arguments.
    Apart,
}

/// The groups of commands, each with its help text.
pub(super) const GROUPS: &[(&str, &str)] = &[
    ("tenants", "Owners of networks and operator keys"),
    ("networks", "Overlay networks: prefixes, CAs and settings"),
    ("pools", "Address ranges that nodes get their addresses from"),
    ("addresses", "Who has which address, until when it is kept, and what is free"),
    ("blocks", "Parts of pools for nodes whose join token names them"),
    ("reservations", "Addresses excluded from automatic allocation"),
    ("operator-keys", "Credentials of operators and their programs"),
    ("join-tokens", "Credentials for devices to join a network, also as links and QR codes"),
    ("pending", "Devices that wait until an operator approves them"),
    ("nodes", "Members of networks"),
    ("users", "To whom nodes belong"),
    ("blocklist", "Certificates that a network's nodes refuse"),
    ("events", "The audit log"),
    ("servers", "The servers that nodes ask: their URLs and the pins of their TLS keys"),
];

/// Operations without a command, and why.
#[cfg(test)]
pub(super) const WITHOUT: &[(&str, &str)] = &[
    ("enroll_node", "a device's own, with a key that stays there: `nebula-gc join`"),
    ("change_nodes", "the commands about one node, with a filter in its place"),
    ("read_own_node", OWN),
    ("fetch_own_bundle", OWN),
    ("watch_own_node", OWN),
    ("renew_own_certificates", OWN),
    ("report_own_node", OWN),
    ("rotate_own_token", OWN),
    ("read_own_servers", OWN),
];
#[cfg(test)]
const OWN: &str = "a node's own, with its node token";

const TENANT: &[&str] = &["id", "name", "createdAt"];
const NETWORK: &[&str] =
    &["id", "name", "prefixes", "versions", "revision", "ca.standing", "createdAt"];
const CA: &[&str] =
    &["id", "name", "state", "standing", "notAfter", "certificates", "signer", "fingerprint"];
const ACTIVE_CA: &[&str] = &["network", "id", "fingerprint"];
const POOL: &[&str] = &[
    "id",
    "range",
    "position",
    "usage.capacity",
    "usage.free",
    "usage.active",
    "usage.quarantined",
];
const ADDRESSES: &[&str] = &["range", "use", "nodeName", "until", "reason", "purpose", "note"];
const QUARANTINE: &[&str] = &["address", "nodeName", "since", "until", "certificates"];
const BLOCK: &[&str] = &["id", "name", "range", "pool"];
const RESERVATION: &[&str] = &["range", "purpose", "nodeName", "device", "note"];
const KEY: &[&str] = &["id", "name", "role", "scope", "expiresAt", "revokedAt"];
const TOKEN: &[&str] = &["id", "name", "used", "uses", "groups", "expiresAt", "revokedAt"];
const PENDING: &[&str] =
    &["id", "name", "state", "keyFingerprint", "groups", "joinTokenName", "source", "expiresAt"];
const NODE: &[&str] =
    &["id", "name", "state", "addresses", "groups", "applied.revision", "renewAt", "createdAt"];
const CERTIFICATE: &[&str] = &["fingerprint", "state", "version", "notAfter", "reason", "actor"];
const BLOCKED: &[&str] = &["fingerprint", "sinceRevision", "until", "node"];
const SERVERS: &[&str] = &["serial", "servers", "key"];
const USER_END: &[&str] = &["user", "nodes", "joinTokens", "operatorKeys", "revisions"];
const EVENT: &[&str] = &["id", "at", "kind", "actor", "subject", "address", "detail"];
const EVENT_OF_ALL: &[&str] =
    &["id", "at", "kind", "actor", "network", "subject", "address", "detail"];

macro_rules! commands {
    ($($group:literal $verb:literal $operation:ident $columns:expr, $example:literal;)*) => {
        &[$(Entry {
            group: $group,
            verb: $verb,
            operation: stringify!($operation),
            columns: $columns,
            example: $example,
        }),*]
    };
}

/// All commands, as `--help` lists them.
pub(super) const COMMANDS: &[Entry] = commands! {
    "tenants" "list" list_tenants TENANT, "";
    "tenants" "create" create_tenant TENANT, "--name acme";
    "tenants" "show" read_tenant TENANT, "acme";
    "tenants" "rename" rename_tenant TENANT, "acme --name acme-eu";
    "tenants" "delete" delete_tenant &["id", "name", "operatorKeys"], "acme";

    "networks" "list" list_networks NETWORK, "";
    "networks" "create" create_network NETWORK, "--name office --prefixes 10.42.0.0/16 --lifetime 7d";
    "networks" "show" read_network NETWORK, "office";
    "networks" "rename" change_network NETWORK, "office --name office-eu";
    "networks" "set" change_network NETWORK, "office --lifetime 30d --hold 2d";
    "networks" "delete" delete_network &["id", "name", "nodes", "complete"], "office --dry-run";
    "networks" "ca" read_network_ca &[], "office --out ca.crt";
    "networks" "add-ca" add_ca ACTIVE_CA, "office --certificate @ca.crt --key @ca.key";
    "networks" "cas" list_cas CA, "office";
    "networks" "show-ca" read_ca CA, "office office-2";
    "networks" "renew" renew_certificates NETWORK, "office";
    "networks" "retire-ca" retire_ca CA, "office office-1";
    "networks" "import" import_hosts &[], "office --certificates @hosts.pem --blocklist @blocked.txt --dry-run";

    "pools" "list" list_pools POOL, "office";
    "pools" "create" create_pool POOL, "office --range 10.42.8.0/24 --position 1";
    "pools" "show" read_pool POOL, "office 10.42.8.0/24";
    "pools" "resize" resize_pool POOL, "office 10.42.8.0/24 --range 10.42.8.0/23";
    "pools" "delete" delete_pool POOL, "office 10.42.8.0/24";

    "addresses" "list" list_addresses ADDRESSES, "office";
    "addresses" "end-quarantine" end_quarantine QUARANTINE, "office 10.42.0.7 --dry-run";

    "blocks" "list" list_blocks BLOCK, "office";
    "blocks" "create" create_block BLOCK, "office --name printers --pool 10.42.8.0/24 --size 16";
    "blocks" "show" read_block BLOCK, "office printers";
    "blocks" "rename" rename_block BLOCK, "office printers --name copiers";
    "blocks" "delete" delete_block BLOCK, "office printers";

    "reservations" "list" list_reservations RESERVATION, "office";
    "reservations" "create" create_reservation RESERVATION, "office --range 10.42.0.9 --purpose device --device printer-7";
    "reservations" "delete" delete_reservation RESERVATION, "office printer-7";

    "operator-keys" "list" list_operator_keys KEY, "";
    "operator-keys" "create" create_operator_key KEY, "--name monitoring --role viewer --scope network=office";
    "operator-keys" "show" read_operator_key KEY, "monitoring";
    "operator-keys" "rename" rename_operator_key KEY, "monitoring --name grafana";
    "operator-keys" "revoke" revoke_operator_key KEY, "monitoring";

    "join-tokens" "list" list_join_tokens TOKEN, "office";
    "join-tokens" "create" create_join_token TOKEN, "office --name laptops --uses 20 --groups laptop --user anna --expires-in 2d --qr";
    "join-tokens" "show" read_join_token TOKEN, "office laptops";
    "join-tokens" "rename" rename_join_token TOKEN, "office laptops --name guests";
    "join-tokens" "revoke" revoke_join_token TOKEN, "office laptops";

    "pending" "list" list_pending PENDING, "office";
    "pending" "show" read_pending PENDING, "office laptop-3";
    "pending" "approve" approve_pending PENDING, "office laptop-3 --key-fingerprint ba78-16bf-8f01-cfea";
    "pending" "refuse" refuse_pending PENDING, "office laptop-3";

    "nodes" "list" list_nodes NODE, "office --state active --group laptop --user anna";
    "nodes" "expiring" list_expiring_nodes NODE, "office --within 3d";
    "nodes" "show" read_node NODE, "office laptop-1";
    "nodes" "rename" change_node NODE, "office build-1 --name build-2";
    "nodes" "set" change_node NODE, "office build-1 --groups build,ci";
    "nodes" "suspend" suspend_node NODE, "office laptop-1 --reason repair";
    "nodes" "revoke" revoke_node NODE, "office laptop-2 --reason stolen";
    "nodes" "reinstate" reinstate_node NODE, "office laptop-1";
    "nodes" "release" release_node NODE, "office laptop-2";
    "nodes" "renew" renew_node NODE, "office laptop-1";
    "nodes" "move" move_node &["node"], "office laptop-1 --pool 10.42.8.0/24 --wait";
    "nodes" "rotate-token" rotate_node_token &["nodeToken"], "office laptop-1";
    "nodes" "certificates" list_node_certificates CERTIFICATE, "office laptop-1";
    "nodes" "unapplied" list_unapplied_nodes NODE, "office --wait";
    "nodes" "bundle" fetch_node_bundle &[], "office laptop-1 --out laptop.zip";

    "users" "end" end_user USER_END, "anna --action suspend --reason left --dry-run";

    "blocklist" "list" list_blocklist BLOCKED, "office";
    "blocklist" "add" add_to_blocklist &[], "office --fingerprints c99d4e650533b92061b09918e838a5a0a6aaee21eed1d12fd937682865936c72";

    "events" "list" list_events EVENT_OF_ALL, "--follow";
    "events" "of" list_network_events EVENT, "office --order newest_first --limit 20";

    "servers" "show" read_servers SERVERS, "";
    "servers" "set" set_servers SERVERS, "--servers @servers.json";
};

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{Form, command, operation};
    use super::*;

    #[test]
    fn every_operation_has_a_command_or_a_reason() {
        let there: BTreeSet<_> = operation::all().into_iter().map(|it| it.id).collect();
        let mut reached = BTreeSet::new();
        let renames = |it: &&Entry| it.verb == "rename" && it.operation.starts_with("change_");
        let named = COMMANDS.iter().filter(|it| !renames(it)).map(|it| it.operation);
        for operation in named.chain(WITHOUT.iter().map(|(operation, _)| *operation)) {
            assert!(there.contains(operation), "{operation} is not an operation of the API");
            assert!(reached.insert(operation.to_owned()), "{operation} is listed more than once");
        }
        let missing: Vec<_> = there.difference(&reached).collect();
        assert!(missing.is_empty(), "without a command: {missing:?}; add a line to `COMMANDS`");
        let groups: BTreeSet<_> = COMMANDS.iter().map(|it| it.group).collect();
        assert_eq!(groups, GROUPS.iter().map(|(group, _)| *group).collect());
    }

    #[test]
    fn every_column_is_answered() {
        let all = operation::all();
        for entry in COMMANDS {
            let operation = all.iter().find(|it| it.id == entry.operation).unwrap();
            for column in entry.columns.iter().filter(|_| !operation.answers.is_empty()) {
                let name = column.split('.').next().unwrap();
                assert!(operation.answers.contains_key(name), "{}: {column}", entry.operation);
            }
        }
    }

    #[test]
    fn every_flag_says_what_it_is() {
        let mut without = vec![];
        for operation in operation::all() {
            let fields = operation.fields.iter().filter(|it| super::super::fields::is_flag(it));
            let flags = fields.filter(|it| it.place != Place::Path);
            let silent = flags.filter(|it| it.help.is_empty());
            without.extend(silent.map(|it| format!("{}: {}", operation.id, it.name)));
        }
        assert_eq!(without, [""; 0]);
    }

    #[test]
    fn every_example_is_a_command() {
        for form in [Form::Shown, Form::Counted, Form::Apart] {
            command(form).debug_assert();
        }
        for entry in COMMANDS {
            let words = ["admin", entry.group, entry.verb].into_iter();
            let words: Vec<_> = words.chain(entry.example.split_whitespace()).collect();
            let parsed = command(Form::Counted).try_get_matches_from(&words);
            assert!(parsed.is_ok(), "{words:?}: {}", parsed.unwrap_err());
        }
    }
}
