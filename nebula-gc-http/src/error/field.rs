//! What is wrong with a field of a request or a setting.

use ipnet::IpNet;
use nebula_alloc::{AddressRange, PoolId};
use nebula_pki::{Curve, Fingerprint};

use super::Error;
use super::wording::{curve, time};

macro_rules! words {
    ($($(#[$doc:meta])* $type:ident { $($name:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "the names say it")]
        pub enum $type { $($name,)* }

        impl $type {
            /// In a word.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }
    )*};
}

words! {
    /// A field of a request, a header or a setting, by its name in the native API.
    Field {
    Authorization = "Authorization",
    Blocklist = "blocklist",
    Certificate = "certificate",
    Certificates = "certificates",
    Device = "device",
    ExpiresAt = "expiresAt",
    ExpiresInSeconds = "expiresInSeconds",
    Fingerprints = "fingerprints",
    FormerNodeToken = "formerNodeToken",
    Generation = "generation",
    Groups = "groups",
    Hashing = "hashing",
    HoldSeconds = "holdSeconds",
    InitiatingVersion = "initiatingVersion",
    Key = "key",
    LifetimeSeconds = "lifetimeSeconds",
    Lighthouse = "lighthouse",
    LighthouseEndpoint = "lighthouse.endpoint",
    Mtu = "mtu",
    Name = "name",
    Network = "network",
    Node = "node",
    NodeToken = "nodeToken",
    Passphrase = "passphrase",
    Pkcs11 = "pkcs11",
    Pool = "pool",
    Pools = "pools",
    Prefixes = "prefixes",
    PublicKey = "publicKey",
    Range = "range",
    Reason = "reason",
    Relay = "relay",
    Revision = "revision",
    Sealing = "sealing",
    Secrets = "secrets",
    Signer = "signer",
    Signers = "signers",
    SilenceSeconds = "silenceSeconds",
    Size = "size",
    Tenants = "tenants",
    Uses = "uses",
    Versions = "versions",
    }

    /// What kind of thing is meant.
    Kind {
        Block = "block",
        Ca = "CA",
        Certificate = "a current certificate of this node (it renews, enrols or registers again for one)",
        Device = "device",
        JoinToken = "join token",
        Network = "network",
        Node = "node",
        OperatorKey = "operator key",
        Pool = "pool",
        PoolOrBlock = "pool or block",
        Reservation = "reservation",
        Revision = "revision",
        Tenant = "tenant",
    }

    /// In what a length is counted.
    Unit {
        Bytes = "bytes",
        Characters = "characters",
    }

    /// Why a network must be named.
    Ambiguity {
        NoNetwork = "there is no network yet",
        SeveralNetworks = "there is more than one network",
        SeveralWithDevice = "the device is in more than one network",
    }
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It must be given.
    #[error("must be given, because {0}")]
    Missing(Ambiguity),
    /// A text without a character.
    #[error("must not be empty")]
    Empty,
    /// A text that is too long.
    #[error("has {length} {unit}, at most {limit} are allowed")]
    TooLong {
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
        /// In what both are counted.
        unit: Unit,
    },
    /// A control character.
    #[error("must not contain the control character U+{:04X}", u32::from(*.0))]
    ControlCharacter(char),
    /// An invisible character, or one that turns the direction of text.
    #[error("must not contain U+{:04X}, which is invisible or turns the direction of text", u32::from(*.0))]
    InvisibleCharacter(char),
    /// White space at an end.
    #[error("must not begin or end with white space")]
    OuterSpace,
    /// A name of nothing but dots.
    #[error("must not be of dots alone")]
    OnlyDots,
    /// The name `any`, which means every host in a firewall rule.
    #[error("must not be \"any\", which means every host in a firewall rule")]
    EveryHost,
    /// More or fewer entries than allowed.
    #[error("there are {count}, {least} to {most} are allowed")]
    Count {
        /// How many there are.
        count: usize,
        /// How many there must be.
        least: usize,
        /// How many there may be.
        most: usize,
    },
    /// The entries are too long together.
    #[error("all together may have {limit} bytes at most")]
    TooLongTogether {
        /// How long they may be, in bytes.
        limit: usize,
    },
    /// It is given more than once.
    #[error("is given more than once")]
    Repeated,
    /// An entry is given more than once.
    #[error("{entry:?} is given more than once")]
    RepeatedEntry {
        /// The entry.
        entry: String,
    },
    /// An entry has a fault.
    #[error("{entry:?}: {fault}")]
    Entry {
        /// The entry.
        entry: String,
        /// What is wrong with it.
        fault: Box<Self>,
    },
    /// A number outside of its range.
    #[error("must be from {least} to {most}")]
    OutOfRange {
        /// The smallest that is allowed.
        least: i64,
        /// The largest.
        most: i64,
    },
    /// A time span outside of its range.
    #[error("must be from {least} to {most} seconds")]
    Seconds {
        /// The shortest that is allowed.
        least: i64,
        /// The longest.
        most: i64,
    },
    /// A number for which there is nothing yet.
    #[error("there is none after {last} yet")]
    NotYet {
        /// The last that there is.
        last: i64,
    },
    /// A time that is not in the future.
    #[error("must lie in the future")]
    Past,
    /// A time that is not in the future, or too far in it.
    #[error("must lie in the future, within {days} days")]
    NotWithin {
        /// How far it may be.
        days: i64,
    },
    /// A key may not live longer than the one that makes it.
    #[error("must be given, and not be after this key's own end, {}", time(*end))]
    OutlivesMaker {
        /// When that one ends, in seconds since the Unix epoch.
        end: i64,
    },
    /// The network has no such thing.
    #[error("the network has no such {0}")]
    NotInNetwork(Kind),
    /// Not an address, range or prefix.
    #[error("must be as in 10.1.0.0/24, 10.1.0.10-10.1.0.20 or 10.1.0.7")]
    NotAddresses,
    /// The last address comes before the first, or is of another family.
    #[error("{0}")]
    InvalidRange(nebula_alloc::Error),
    /// A prefix with bits set after its length.
    #[error("has bits set after its length; did you mean {prefix}?")]
    HostBits {
        /// The prefix that may be meant.
        prefix: IpNet,
    },
    /// An IPv4 address written as IPv6.
    #[error("Nebula refuses IPv4 addresses written as IPv6")]
    MappedIpv4,
    /// A prefix with addresses that no host can use.
    #[error("must not reach into {reserved}, which no host can use")]
    ReservedPrefix {
        /// Those addresses.
        reserved: IpNet,
    },
    /// Not one prefix, or one of each family.
    #[error("must have one or two")]
    PrefixCount,
    /// More than one prefix of a family.
    #[error("must have one of each family at most")]
    PrefixPerFamily,
    /// IPv6 in a network of version 1.
    #[error("IPv6 needs version 2 certificates")]
    Ipv6NeedsVersion2,
    /// Version 1 certificates without an IPv4 prefix.
    #[error("version 1 certificates need an IPv4 prefix")]
    Version1NeedsIpv4,
    /// Addresses that nodes of the network can't have.
    #[error("must lie among the addresses that nodes of the network may have")]
    OutsideNetwork,
    /// A range that is not inside its pool.
    #[error("{range} does not lie inside pool {pool}")]
    OutsidePool {
        /// The range.
        range: AddressRange,
        /// The pool.
        pool: PoolId,
    },
    /// A range of another family than its pool.
    #[error("must be of the family that the pool has")]
    WrongFamily,
    /// A range in place of the one address that a node can have.
    #[error("must be one address, where it is for a node")]
    NotOneAddress,
    /// Too small for IPv6.
    #[error("must be at least {least} bytes in a network with IPv6")]
    MtuBelowIpv6 {
        /// The smallest that is allowed, in bytes.
        least: u32,
    },
    /// A choice for a network whose nodes have both versions.
    #[error(
        "is only for a network whose versions are \"both\": other nodes have one to begin with"
    )]
    OnlyForBothVersions,
    /// No choice in a network whose nodes have both versions.
    #[error("must be 1 or 2 in a network whose versions are \"both\"")]
    VersionNeeded,
    /// Not exactly one certificate.
    #[error("must be one CA certificate")]
    NotOneCertificate,
    /// A CA that is expired or not yet valid.
    #[error("is expired or not yet valid")]
    NotValidNow,
    /// A CA, which Nebula does not look up in a blocklist.
    #[error(
        "{fingerprint} is the CA {ca:?}, and Nebula looks up hosts' certificates only, so that it would do nothing; add another CA, and retire this one"
    )]
    FingerprintOfCa {
        /// Its fingerprint.
        fingerprint: Fingerprint,
        /// Its name.
        ca: String,
    },
    /// An encrypted key that costs more to open than this server permits.
    #[error(
        "opening it takes {memory_kib} KiB of memory {iterations} times, and this server permits {most_kib} KiB and {most_work} KiB in all (its setting ca-key-memory); encrypt it with fewer, or not"
    )]
    CostlyKey {
        /// The memory that it takes, in KiB.
        memory_kib: u32,
        /// How often it goes over that.
        iterations: u32,
        /// The memory that is permitted, in KiB.
        most_kib: u32,
        /// Memory times iterations that is permitted, in KiB.
        most_work: u64,
    },
    /// No signer that the caller may use for the network.
    #[error("there is no signer {name:?} that you may use for this network")]
    NoSuchSigner {
        /// The name that was given.
        name: String,
    },
    /// Not a node token.
    #[error("must be 32 to 256 printable ASCII characters without spaces")]
    TokenForm,
    /// A node token that begins as another kind of secret.
    #[error("must not begin as an operator key or a join token does")]
    TokenPrefix,
    /// A private key in place of a public one.
    #[error(
        "this is a private key, which must not leave its device: make a new pair, and send node.pub"
    )]
    PrivateKey,
    /// Not a public key in any encoding that is read.
    #[error("must be the PEM text of node.pub, or the raw key in Base64 or hexadecimal")]
    KeyEncoding,
    /// Not the canonical form of an X25519 key.
    #[error("is not the canonical form of an X25519 key; make a new pair with nebula-cert keygen")]
    NotCanonical,
    /// A key on another curve than the network's CA.
    #[error("the network's CA is on {0}; make a pair with nebula-cert keygen -curve {1}", curve(*expected).0, curve(*expected).1)]
    WrongCurve {
        /// The CA's.
        expected: Curve,
    },
    /// Not the file of secrets.
    #[error("line {line}: not the expected form")]
    SecretsForm {
        /// The line that can't be read, from 1.
        line: usize,
    },
    /// No key.
    #[error("at least one key is needed")]
    NoKey,
    /// Two keys with one id.
    #[error("two keys have the same id")]
    RepeatedKeyId,
    /// Not a key of this length.
    #[error("a key must be {expected} bytes in Base64")]
    KeyLength {
        /// In bytes.
        expected: usize,
    },
    /// Not a name for a signer.
    #[error("must be 1 to 64 letters, digits, '-', '_' or '.'")]
    SignerName,
    /// Not the id of a tenant.
    #[error("{text:?} is not a tenant's id")]
    NotTenantId {
        /// What was given.
        text: String,
    },
    /// The program was built without this.
    #[error("this program was built without it")]
    NotBuilt,
    /// What the certificates' crate says of it.
    #[error("{0}")]
    Pki(nebula_pki::Error),
    /// What the bundles' crate says of it.
    #[error("{0}")]
    Bundle(nebula_bundle::Error),
}

impl Fault {
    /// That a field has it.
    pub(crate) fn of(self, field: Field) -> Error {
        Error::Invalid { field, fault: self }
    }

    /// That an entry of a field has it.
    pub(crate) fn of_entry(self, entry: impl Into<String>) -> Self {
        Self::Entry { entry: entry.into(), fault: Box::new(self) }
    }
}

impl From<nebula_pki::Error> for Fault {
    fn from(error: nebula_pki::Error) -> Self {
        Self::Pki(error)
    }
}

impl From<nebula_bundle::Error> for Fault {
    fn from(error: nebula_bundle::Error) -> Self {
        Self::Bundle(error)
    }
}
