use ipnet::IpNet;

use crate::key::PublicKey;

/// When a certificate is valid: signed Unix seconds, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first valid second.
    pub not_before: i64,
    /// The last valid second.
    pub not_after: i64,
}

/// What a new CA certificate is to say.
///
/// Groups, networks and unsafe networks limit what the CA may sign; none means no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaParameters {
    pub(crate) name: String,
    pub(crate) validity: Validity,
    pub(crate) groups: Vec<String>,
    pub(crate) networks: Vec<IpNet>,
    pub(crate) unsafe_networks: Vec<IpNet>,
}

impl CaParameters {
    /// A CA without limits. The name has 1 to 253 bytes; the end is later than the beginning.
    #[must_use]
    pub fn new(name: impl Into<String>, validity: Validity) -> Self {
        Self {
            name: name.into(),
            validity,
            groups: Vec::new(),
            networks: Vec::new(),
            unsafe_networks: Vec::new(),
        }
    }

    /// The only groups that it may give.
    #[must_use]
    pub fn groups(self, groups: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { groups: groups.into_iter().map(Into::into).collect(), ..self }
    }

    /// The only ranges from which it may give networks.
    #[must_use]
    pub fn networks(self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self { networks: networks.into_iter().collect(), ..self }
    }

    /// The only ranges for which it may name routers.
    #[must_use]
    pub fn unsafe_networks(self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self { unsafe_networks: networks.into_iter().collect(), ..self }
    }
}

/// What a new host certificate is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostParameters {
    pub(crate) name: String,
    pub(crate) networks: Vec<IpNet>,
    pub(crate) public_key: PublicKey,
    pub(crate) validity: Validity,
    pub(crate) groups: Vec<String>,
    pub(crate) unsafe_networks: Vec<IpNet>,
}

impl HostParameters {
    /// A host in no group and routing nothing.
    ///
    /// The name has 1 to 253 bytes. Networks are the host's addresses, each with the prefix length
    /// of the overlay network: exactly one, IPv4, in version 1; one or more in version 2.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        networks: Vec<IpNet>,
        public_key: PublicKey,
        validity: Validity,
    ) -> Self {
        Self {
            name: name.into(),
            networks,
            public_key,
            validity,
            groups: Vec::new(),
            unsafe_networks: Vec::new(),
        }
    }

    /// The groups it is in, none of them empty. Order and repetition are kept.
    #[must_use]
    pub fn groups(self, groups: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { groups: groups.into_iter().map(Into::into).collect(), ..self }
    }

    /// The networks beyond the overlay that it routes.
    #[must_use]
    pub fn unsafe_networks(self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self { unsafe_networks: networks.into_iter().collect(), ..self }
    }
}
