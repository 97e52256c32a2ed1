//! The one table of modes and flags, from which the parser, the usage texts, the completions and the
//! manual page are made.

mod tables;

use crate::failure::Failures;
use crate::flags::{Mode, Values};
use crate::{ca, completions, inspect, keygen, manual, print, rekey, renew, sign, verify};

/// All modes, in the order in which the usage text lists them: the reference's, then ours.
pub(crate) const MODES: &[Mode] = &[
    Mode {
        name: "ca",
        about: "create a self signed certificate authority",
        details: "Existing files are not overwritten.",
        flags: tables::CA,
        run: ca::run,
        ..MODE
    },
    Mode {
        name: "keygen",
        about: "create a public/private key pair. the public key can be passed to `nebula-cert sign`",
        details: "Existing files are overwritten.",
        flags: tables::KEYGEN,
        run: keygen::run,
        ..MODE
    },
    Mode {
        name: "sign",
        about: "create and sign a certificate",
        details: "Existing files are not overwritten. Where no paths are given, the files are named \
                  after the certificate: NAME.crt and, unless a public key is given, NAME.key. A pair \
                  of certificates goes into one file, as nebula reads it; in version 1 it has the \
                  first IPv4 network in the order of version 2, which is by address.",
        flags: tables::SIGN,
        run: sign::run,
        ..MODE
    },
    Mode {
        name: "print",
        about: "prints details about a certificate",
        details: "Prints all certificates of the file, as indented JSON, or as one JSON array on one \
                  line. Times are in the local time zone.",
        flags: tables::PRINT,
        run: print::run,
        ..MODE
    },
    Mode {
        name: "verify",
        about: "verifies a certificate isn't expired and was signed by a trusted authority.",
        details: "Prints nothing if all certificates of the file are valid. A P256 certificate is \
                  blocked if the list has either of its two fingerprints; a CA's fingerprint in it blocks \
                  nothing, and is warned of.",
        flags: tables::VERIFY,
        run: verify::run,
        ..MODE
    },
    Mode {
        name: "renew",
        about: "renew a certificate: same key and details, new validity",
        details: "The certificate may be expired, but it must have been signed by the CA that \
                  renews it, or by one of those given. A CA's own certificate can't be renewed, since \
                  hosts' certificates refer to it by its fingerprint: make a new CA, trust both, renew the hosts with \
                  -ca OLD.crt -ca-crt NEW.crt, then remove the old one from the hosts' CA files. A file that is replaced keeps its owner, mode and \
                  access control list, and is never lost: the new one is written beside it and then \
                  takes its name. Where that is not possible it is overwritten: a file that is \
                  mounted by itself, or in a directory that can't be written to.",
        flags: tables::RENEW,
        run: renew::run,
        ..MODE
    },
    Mode {
        name: "rekey",
        about: "encrypt a CA key, or change its passphrase",
        details: "The old passphrase is asked for if the key is encrypted, the new one twice. A file \
                  that is replaced is written as renew does it, and closed to everybody whom its \
                  owner, group or access control list does not name.",
        flags: tables::REKEY,
        run: rekey::run,
        ..MODE
    },
    Mode {
        name: "inspect",
        about: "shows what a key or an encrypted key is, without needing its passphrase",
        details: "Shows kind and curve, the public key where it can be derived, in hexadecimal and for \
                  hosts also as the file that -in-pub takes, and the parameters of an encrypted key; \
                  never a secret. Like everything that reads keys it looks at the \
                  first PEM block only. For certificates it shows the fingerprints to block.",
        flags: tables::INSPECT,
        run: inspect::run,
        ..MODE
    },
    Mode {
        name: "completions",
        takes: "<shell>",
        about: "print the completions for bash, zsh or fish",
        details: "For example: source <(nebula-cert completions bash)",
        arguments: &completions::SHELLS,
        run: print_completions,
        ..MODE
    },
    Mode {
        name: "man",
        takes: "",
        about: "print this program's manual page",
        details: "For example: nebula-cert man | man -l -",
        run: print_manual,
        ..MODE
    },
];

const MODE: Mode = Mode {
    name: "",
    takes: "<flags>",
    about: "",
    details: "",
    flags: &[],
    arguments: &[],
    run: |_| Ok(()),
};

/// The mode with this name.
pub(crate) fn find(name: &str) -> Option<&'static Mode> {
    MODES.iter().find(|mode| mode.name == name)
}

fn print_completions(values: &Values) -> Result<(), Failures> {
    completions::run(values, MODES)
}

fn print_manual(_: &Values) -> Result<(), Failures> {
    manual::run(MODES)
}
