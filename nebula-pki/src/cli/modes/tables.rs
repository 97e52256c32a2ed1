//! The flags of each mode.

use crate::clock::HOUR;
use crate::flags::{Flag, Kind};

const CURVES: &[&str] = &["25519", "P256"];

pub(super) const CA: &[Flag] = &[
    text("name", "", "Required: name of the certificate authority"),
    Flag {
        values: &["1", "2"],
        ..number("version", 2, "Optional: version of the certificate format to use")
    },
    duration(
        "duration",
        8760 * HOUR,
        "Optional: amount of time the certificate should be valid for. Valid time units are seconds: \"s\", minutes: \"m\", hours: \"h\"",
    ),
    path("out-key", "ca.key", "Optional: path to write the private key to"),
    path("out-crt", "ca.crt", "Optional: path to write the certificate to"),
    OUT_QR,
    text(
        "groups",
        "",
        "Optional: comma separated list of groups. This will limit which groups subordinate certs can use",
    ),
    text(
        "networks",
        "",
        "Optional: comma separated list of ip address and network in CIDR notation. This will limit which ip addresses and networks subordinate certs can use in networks",
    ),
    text(
        "unsafe-networks",
        "",
        "Optional: comma separated list of ip address and network in CIDR notation. This will limit which ip addresses and networks subordinate certs can use in unsafe networks",
    ),
    ARGON_MEMORY,
    ARGON_PARALLELISM,
    ARGON_ITERATIONS,
    switch("encrypt", "Optional: prompt for passphrase and write out-key in an encrypted format"),
    Flag { values: CURVES, ..text("curve", "25519", "EdDSA/ECDSA Curve (25519, P256)") },
    #[cfg(feature = "pkcs11")]
    PKCS11,
    text("ips", "", "Deprecated, see -networks"),
    text("subnets", "", "Deprecated, see -unsafe-networks"),
];

pub(super) const KEYGEN: &[Flag] = &[
    path("out-pub", "", "Required: path to write the public key to"),
    path("out-key", "", "Required: path to write the private key to"),
    Flag { values: CURVES, ..text("curve", "25519", "ECDH Curve (25519, P256)") },
    #[cfg(feature = "pkcs11")]
    PKCS11,
];

pub(super) const SIGN: &[Flag] = &[
    Flag {
        beyond: "; 1,2 makes both, v1 first, for the same key",
        values: &["1", "2", "1,2"],
        ..flag(
            "version",
            Kind::Versions,
            "Optional: version of the certificate format to use. The default is to match the version of the signing CA",
        )
    },
    CA_KEY,
    CA_CRT,
    text("name", "", "Required: name of the cert, usually a hostname"),
    text(
        "networks",
        "",
        "Required: comma separated list of ip address and network in CIDR notation to assign to this cert",
    ),
    text(
        "unsafe-networks",
        "",
        "Optional: comma separated list of ip address and network in CIDR notation. Unsafe networks this cert can route for",
    ),
    duration(
        "duration",
        0,
        "Optional: how long the cert should be valid for. The default is 1 second before the signing cert expires. Valid time units are seconds: \"s\", minutes: \"m\", hours: \"h\"",
    ),
    path(
        "in-pub",
        "",
        "Optional (if out-key not set): path to read a previously generated public key",
    ),
    path("out-key", "", "Optional (if in-pub not set): path to write the private key to"),
    path("out-crt", "", "Optional: path to write the certificate to"),
    OUT_QR,
    text("groups", "", "Optional: comma separated list of groups"),
    #[cfg(feature = "pkcs11")]
    PKCS11,
    text("ip", "", "Deprecated, see -networks"),
    text("subnets", "", "Deprecated, see -unsafe-networks"),
];

pub(super) const PRINT: &[Flag] = &[
    switch("json", "Optional: outputs certificates in json format"),
    switch(
        "json-legacy",
        "Optional: outputs certificates in the json format of release 1.9 and older: one object per line, with ips and subnets",
    ),
    OUT_QR,
    path("path", "", "Required: path to the certificate"),
];

pub(super) const VERIFY: &[Flag] = &[
    path("ca", "", "Required: path to a file containing one or more ca certificates"),
    path("crt", "", "Required: path to a file containing a single certificate"),
    BLOCKLIST,
    path(
        "key",
        "",
        "Optional: path to a private key, which must be that of the certificates in crt",
    ),
    duration(
        "expires-within",
        0,
        "Optional: also refuses certificates that expire within this time",
    ),
    switch(
        "strict",
        "Optional: also refuses ca certificates, P256 signatures with a high s, and a crt without any certificate",
    ),
];

pub(super) const RENEW: &[Flag] = &[
    CA_KEY,
    CA_CRT,
    #[cfg(feature = "pkcs11")]
    PKCS11,
    path(
        "ca",
        "",
        "Optional: path to a file containing the ca certificates one of which must have signed in-crt. The default is ca-crt",
    ),
    BLOCKLIST,
    path(
        "in-crt",
        "",
        "Required: path to the certificate to renew, or the pair of a v1 and a v2 one",
    ),
    path(
        "out-crt",
        "",
        "Optional: path to write the certificate to. The default is to replace in-crt",
    ),
    OUT_QR,
    duration(
        "duration",
        0,
        "Optional: how long the cert should be valid for. The default is as long as before, but no longer than 1 second before the signing cert expires. Valid time units are seconds: \"s\", minutes: \"m\", hours: \"h\"",
    ),
];

pub(super) const INSPECT: &[Flag] = &[
    path("path", "", "Required: path to the key, encrypted key or certificate"),
    switch("json", "Optional: outputs one line of json"),
];

pub(super) const REKEY: &[Flag] = &[
    path("ca-key", "ca.key", "Optional: path to the signing CA key, encrypted or not"),
    path(
        "out-key",
        "",
        "Optional: path to write the encrypted key to. The default is to replace ca-key",
    ),
    ARGON_MEMORY,
    ARGON_PARALLELISM,
    ARGON_ITERATIONS,
];

const CA_KEY: Flag = path("ca-key", "ca.key", "Optional: path to the signing CA key");
const CA_CRT: Flag = Flag {
    beyond: "; of several in one file the one that fits the key signs",
    ..path("ca-crt", "ca.crt", "Optional: path to the signing CA cert")
};
const BLOCKLIST: Flag = path(
    "blocklist",
    "",
    "Optional: path to a list of fingerprints that must not be trusted, one per line, with # before comments",
);
#[cfg(feature = "pkcs11")]
const PKCS11: Flag = text("pkcs11", "", "Optional: PKCS#11 URI to an existing private key");
const OUT_QR: Flag =
    path("out-qr", "", "Optional: output a qr code image (png) of the certificate");
const ARGON_MEMORY: Flag = number(
    "argon-memory",
    2_097_152,
    "Optional: Argon2 memory parameter (in KiB) used for encrypted private key passphrase",
);
const ARGON_PARALLELISM: Flag = number(
    "argon-parallelism",
    4,
    "Optional: Argon2 parallelism parameter used for encrypted private key passphrase",
);
const ARGON_ITERATIONS: Flag = number(
    "argon-iterations",
    1,
    "Optional: Argon2 iterations parameter used for encrypted private key passphrase",
);

const fn text(name: &'static str, default: &'static str, about: &'static str) -> Flag {
    flag(name, Kind::Text(default), about)
}

const fn path(name: &'static str, default: &'static str, about: &'static str) -> Flag {
    flag(name, Kind::Path(default), about)
}

const fn switch(name: &'static str, about: &'static str) -> Flag {
    flag(name, Kind::Switch, about)
}

const fn number(name: &'static str, default: u64, about: &'static str) -> Flag {
    flag(name, Kind::Number(default), about)
}

const fn duration(name: &'static str, default: i64, about: &'static str) -> Flag {
    flag(name, Kind::Duration(default), about)
}

const fn flag(name: &'static str, kind: Kind, about: &'static str) -> Flag {
    Flag { name, kind, about, beyond: "", values: &[] }
}
