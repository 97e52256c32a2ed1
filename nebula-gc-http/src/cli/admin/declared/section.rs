//! The sections of a file, and what their things may say.

use std::sync::LazyLock;

use super::super::fields::flag;
use super::super::operation::{Field, Kind, Operation, Place, all};

/// A kind of thing that a file declares.
#[derive(Debug)]
pub(super) struct Section {
    /// Its key in the file, and the end of its path in the API.
    pub(super) name: &'static str,
    /// How messages call one of them.
    pub(super) noun: &'static str,
    /// The field of the API that it is known by.
    pub(super) key: &'static str,
    /// Whether its answer holds a secret when it is made.
    pub(super) has_secret: bool,
    create: &'static str,
    /// What changes one; of a pool and a block only that by which it is known.
    change: Option<&'static str>,
    /// Fields that files do not have.
    without: &'static [&'static str],
}

pub(super) const TENANTS: &Section = &Section {
    name: "tenants",
    noun: "tenant",
    key: "name",
    has_secret: false,
    create: "create_tenant",
    change: None,
    without: &[],
};
pub(super) const NETWORKS: &Section = &Section {
    name: "networks",
    noun: "network",
    create: "create_network",
    change: Some("change_network"),
    // Keys are secrets, and pools a section of their own.
    without: &["ca", "pools"],
    ..*TENANTS
};
pub(super) const POOLS: &Section = &Section {
    name: "pools",
    noun: "pool",
    key: "range",
    create: "create_pool",
    change: Some("resize_pool"),
    ..*TENANTS
};
pub(super) const BLOCKS: &Section = &Section {
    name: "blocks",
    noun: "block",
    create: "create_block",
    change: Some("rename_block"),
    ..*TENANTS
};
pub(super) const RESERVATIONS: &Section = &Section {
    name: "reservations",
    noun: "reservation",
    key: "range",
    create: "create_reservation",
    // A reservation for a node belongs to that node.
    without: &["node"],
    ..*TENANTS
};
pub(super) const JOIN_TOKENS: &Section = &Section {
    name: "join-tokens",
    noun: "join token",
    has_secret: true,
    create: "create_join_token",
    ..*TENANTS
};
pub(super) const OPERATOR_KEYS: &Section = &Section {
    name: "operator-keys",
    noun: "operator key",
    has_secret: true,
    create: "create_operator_key",
    ..*TENANTS
};

/// Those that stand by themselves, in the order in which they are made.
pub(super) const TOP: [&Section; 3] = [TENANTS, NETWORKS, OPERATOR_KEYS];
/// Those of a network, in the order in which they are made.
pub(super) const IN_NETWORK: [&Section; 4] = [POOLS, BLOCKS, RESERVATIONS, JOIN_TOKENS];

static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(all);

fn body(operation: &str) -> impl Iterator<Item = &'static Field> {
    let operation = OPERATIONS.iter().find(|it| it.id == operation);
    operation.into_iter().flat_map(|it| &it.fields).filter(|field| field.place == Place::Body)
}

impl Section {
    /// The fields beside the key.
    pub(super) fn fields(&self) -> impl Iterator<Item = &'static Field> {
        let is_taken = |field: &&Field| {
            let outer = field.name.split('.').next().unwrap_or_default();
            field.kind != Kind::Json
                && field.kind != Kind::Secret
                && field.name != self.key
                && !self.without.contains(&outer)
        };
        body(self.create).filter(is_taken)
    }

    /// The field by which things are known.
    pub(super) fn key_field(&self) -> Option<&'static Field> {
        body(self.create).find(|field| field.name == self.key)
    }

    /// The field of a key in a file.
    pub(super) fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields().find(|field| flag(field) == key)
    }

    /// Whether a field can be changed.
    pub(super) fn can_change(&self, field: &Field) -> bool {
        self.change.is_some_and(|change| body(change).any(|it| it.name == field.name))
    }

    /// Whether things say a field once they are made.
    pub(super) fn is_shown(&self, field: &Field) -> bool {
        let operation = OPERATIONS.iter().find(|it| it.id == self.create);
        operation.is_some_and(|it| it.answers.contains_key(&field.name))
    }

    /// The keys of a file that lead to one.
    pub(super) fn keys(&self, network: Option<&str>, key: &str) -> Vec<String> {
        let of = network.map(|network| ["networks", network]);
        let keys = of.iter().flatten().copied().chain([self.name, key]);
        keys.map(str::to_owned).collect()
    }

    /// Where such things are listed and made.
    pub(super) fn path(&self, network: Option<&str>) -> String {
        use nebula_gc_http::client::Request;
        match network {
            Some(network) => format!("/networks/{}/{}", Request::segment(network), self.name),
            None => format!("/{}", self.name),
        }
    }
}
