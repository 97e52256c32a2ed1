//! What is wrong with a field of a request or a setting.

use ipnet::IpNet;
use nebula_alloc::{AddressRange, PoolId};
use nebula_pki::{Curve, Fingerprint};

use super::Error;
use super::format::{curve, time};
use super::messages::messages;

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
    Address = "address",
    Authorization = "Authorization",
    Blocklist = "blocklist",
    Certificate = "certificate",
    Certificates = "certificates",
    Device = "device",
    EphemeralSeconds = "ephemeralSeconds",
    ExpiresAt = "expiresAt",
    ExpiresInSeconds = "expiresInSeconds",
    Filter = "filter",
    Fingerprints = "fingerprints",
    FormerNodeToken = "formerNodeToken",
    Generation = "generation",
    GiveBackSeconds = "giveBackSeconds",
    Groups = "groups",
    Hashing = "hashing",
    HoldSeconds = "holdSeconds",
    InitiatingVersion = "initiatingVersion",
    Key = "key",
    KeyFingerprint = "keyFingerprint",
    LifetimeSeconds = "lifetimeSeconds",
    Lighthouse = "lighthouse",
    LighthouseEndpoint = "lighthouse.endpoint",
    Mtu = "mtu",
    Receipt = "receipt",
    ReportAgent = "agent",
    ReportNebula = "nebula",
    ReportOverridden = "overridden",
    ReportPlatform = "platform",
    ReportProblem = "problem",
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
    Servers = "servers",
    Signer = "signer",
    Signers = "signers",
    SilenceSeconds = "silenceSeconds",
    SilentAfterSeconds = "silentAfterSeconds",
    Size = "size",
    Tenants = "tenants",
    User = "user",
    Uses = "uses",
    Versions = "versions",
    }

    /// What kind of thing is meant.
    Kind {
        Block = "block",
        Ca = "CA",
        Certificate = "current certificate of this node",
        Device = "device",
        JoinToken = "join token",
        Network = "network",
        Node = "node",
        OperatorKey = "operator key",
        PendingJoin = "pending device",
        Pool = "pool",
        PoolOrBlock = "pool or block",
        Quarantine = "address in quarantine",
        Reservation = "reservation",
        Revision = "revision",
        Tenant = "tenant",
        User = "user",
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

messages! {
    /// What is wrong with a value.
    enum Fault {
        ["must be given, because {0}"]
        Missing(Ambiguity),
        ["must not be empty"]
        Empty,
        ["has {length} {unit}, at most {limit} are allowed"]
        TooLong { length: usize, limit: usize, unit: Unit },
        ["must not contain the control character U+{:04X}", u32::from(*character)]
        ControlCharacter { character: char },
        ["must not contain U+{:04X}, which is invisible or turns the direction of text",
         u32::from(*character)]
        InvisibleCharacter { character: char },
        ["must not begin or end with white space"]
        OuterSpace,
        ["must not consist of dots only"]
        OnlyDots,
        ["must not be \"any\", which means every host in a firewall rule"]
        EveryHost,
        ["there are {count}, {least} to {most} are allowed"]
        Count { count: usize, least: usize, most: usize },
        ["all together may have {limit} bytes at most"]
        TooLongTogether {
            /// How long they may be, in bytes.
            limit: usize
        },
        ["is given more than once"]
        Repeated,
        ["{entry:?} is given more than once"]
        RepeatedEntry { entry: String },
        ["{entry:?}: {fault}"]
        Entry { entry: String, fault: Box<Self> },
        ["must be from {least} to {most}"]
        OutOfRange { least: i64, most: i64 },
        ["must be from {least} to {most} seconds"]
        Seconds { least: i64, most: i64 },
        ["must be the fingerprint that the device shows, or at least its first {least} hexadecimal digits"]
        KeyFingerprint { least: usize },
        ["must be {last} at most, the latest there is"]
        NotYet { last: i64 },
        ["must lie in the future"]
        Past,
        ["must lie in the future, within {days} days"]
        NotWithin { days: i64 },
        ["must be set, and be no later than this key's own end, {}", time(*end)]
        OutlivesMaker {
            /// When that one ends, in seconds since the Unix epoch.
            end: i64
        },
        ["the network has no such {0}"]
        NotInNetwork(Kind),
        ["must be as in 10.1.0.0/24, 10.1.0.10-10.1.0.20 or 10.1.0.7"]
        NotAddresses,
        ["must be an IPv4 address, an IPv6 address, or one of each with a comma between them"]
        NotNodeAddresses,
        ["must be 1, because a join token with an address is for one node"]
        OneUse,
        ["{0}"]
        InvalidRange(nebula_alloc::InvalidRange),
        ["has bits set after its length; did you mean {prefix}?"]
        HostBits { prefix: IpNet },
        ["Nebula refuses IPv4 addresses written as IPv6"]
        MappedIpv4,
        ["must not reach into {reserved}, which no host can use"]
        ReservedPrefix { reserved: IpNet },
        ["must have one or two"]
        PrefixCount,
        ["must have one of each family at most"]
        PrefixPerFamily,
        ["IPv6 needs version 2 certificates"]
        Ipv6NeedsVersion2,
        ["version 1 certificates need an IPv4 prefix"]
        Version1NeedsIpv4,
        ["must be addresses that nodes of the network may have"]
        OutsideNetwork,
        ["{range} does not lie inside pool {pool}"]
        OutsidePool { range: AddressRange, pool: PoolId },
        ["must be of the pool's address family"]
        WrongFamily,
        ["must be one address if it is for a node"]
        NotOneAddress,
        ["must be at least {least} bytes in a network with IPv6"]
        MtuBelowIpv6 {
            /// The smallest that is allowed, in bytes.
            least: u32
        },
        ["is only for a network whose versions are \"both\": nodes of others have only one"]
        OnlyForBothVersions,
        ["must be 1 or 2 in a network whose versions are \"both\""]
        VersionNeeded,
        ["must be one CA certificate"]
        NotOneCertificate,
        ["is expired or not yet valid"]
        NotValidNow,
        ["{fingerprint} is the CA {ca:?}, and Nebula looks up hosts' certificates only, so that \
         it would do nothing; add another CA, and retire this one"]
        FingerprintOfCa { fingerprint: Fingerprint, ca: String },
        ["opening it takes {memory_kib} KiB of memory {iterations} times, and this server \
         permits {most_kib} KiB and {most_work} KiB in all (its setting ca-key-memory); encrypt \
         it with less memory and fewer iterations, or not at all"]
        CostlyKey {
            /// The memory that it takes, in KiB.
            memory_kib: u32,
            iterations: u32,
            /// The memory that is permitted, in KiB.
            most_kib: u32,
            /// Memory times iterations that is permitted, in KiB.
            most_work: u64
        },
        ["there is no signer {name:?} that you may use for this network"]
        NoSuchSigner { name: String },
        ["must be 32 to 256 printable ASCII characters without spaces"]
        TokenForm,
        ["must not begin as an operator key or a join token does"]
        TokenPrefix,
        ["this is a private key, which must not leave its device: make a new pair, and send \
         node.pub"]
        PrivateKey,
        ["must be the PEM text of node.pub, or the raw key in Base64 or hexadecimal"]
        KeyEncoding,
        ["is not the canonical form of an X25519 key; make a new pair with nebula-cert keygen"]
        NotCanonical,
        ["the network's CA is on {0}; make a pair with nebula-cert keygen -curve {1}",
         curve(*expected).0, curve(*expected).1]
        WrongCurve { expected: Curve },
        ["line {line}: not the expected form"]
        SecretsForm {
            /// The line that can't be read, from 1.
            line: usize
        },
        ["at least one key is needed"]
        NoKey,
        ["two keys have the same id"]
        RepeatedKeyId,
        ["a key must be {expected} bytes in Base64"]
        KeyLength {
            /// In bytes.
            expected: usize
        },
        ["must be 1 to 64 letters, digits, '-', '_' or '.'"]
        SignerName,
        ["{text:?} is not a tenant's id"]
        NotTenantId { text: String },
        ["this program was built without it"]
        NotBuilt,
        ["{0}"]
        Pki(nebula_pki::Error),
        ["{0}"]
        Bundle(nebula_bundle::Error),
        ["{0}"]
        ServerList(crate::server_list::ServerListError),
    }
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
