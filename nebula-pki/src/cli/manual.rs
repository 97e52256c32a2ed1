//! `man`: the manual page.

use std::fmt::Write;

use crate::failure::{FORMAT_VARIABLE, Failures};
use crate::files;
use crate::flags::{Flag, Mode};

pub(crate) fn run(modes: &[Mode]) -> Result<(), Failures> {
    files::print(page(modes).as_bytes())
        .map_err(|error| error.failure("error while writing the manual page: ").into())
}

fn page(modes: &[Mode]) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut page =
        format!(".TH NEBULA\\-CERT 1 \"\" \"nebula\\-pki {version}\" \"User Commands\"\n");
    section(&mut page, "NAME");
    page.push_str(
        "nebula\\-cert \\- make, show and verify certificates of Nebula overlay networks\n",
    );
    section(&mut page, "SYNOPSIS");
    page.push_str(
        ".B nebula\\-cert\n.RI [ \\-version ]\n.RI [ \\-implementation ]\n.RI [ \\-h ]\n.br\n",
    );
    page.push_str(".B nebula\\-cert\n.I mode\n.RI [ flags ]\n");
    section(&mut page, "DESCRIPTION");
    for text in DESCRIPTION {
        paragraph(&mut page, text);
    }
    section(&mut page, "MODES");
    for mode in modes {
        write_mode(&mut page, mode);
    }
    section(&mut page, "ENVIRONMENT");
    for (name, about) in VARIABLES {
        let _ = writeln!(page, ".TP\n.B {}\n{}", escape(name), escape(about));
    }
    section(&mut page, "EXIT STATUS");
    paragraph(
        &mut page,
        "0 on success and when help or the version was asked for, 1 on every error.",
    );
    section(&mut page, "EXAMPLES");
    for (about, lines) in EXAMPLES {
        paragraph(&mut page, about);
        page.push_str(".RS\n.nf\n");
        for line in *lines {
            let _ = writeln!(page, "{}", escape(line));
        }
        page.push_str(".fi\n.RE\n");
    }
    page
}

const DESCRIPTION: [&str; 4] = [
    "A replacement for the program of the same name in Nebula 1.11.0, with the same modes, flags, \
     files and messages. The modes renew, rekey, inspect, completions and man are additions.",
    "A flag has one dash or two; its value follows after a space or =. If a flag is repeated, the last \
     one counts. The first argument that is not a flag ends the flags.",
    "-version prints the release that this program replaces, as the original does; -implementation \
     also prints this program's own name and version.",
    "In place of a path, - means standard input or standard output. New files can be read and written \
     by their owner only.",
];

const VARIABLES: [(&str, &str); 4] = [
    (
        crate::passphrase::VARIABLE,
        "The passphrase of an encrypted CA key, used unchanged. If unset or empty, it is read from the \
         terminal.",
    ),
    (crate::passphrase::NEW_VARIABLE, "The new passphrase for rekey."),
    (
        FORMAT_VARIABLE,
        "If set to json, errors are machine-readable: one JSON object per line on standard error, with \
         the members mode, code and message; fingerprint, if the error is about a certificate; \
         notBefore and notAfter, if it is about a certificate's validity (codes not_yet_valid and expired; \
         with ca_not_yet_valid and ca_expired, all three members are the CA's). The usage is not shown. \
         Codes are stable; new ones may be added.",
    ),
    ("TZ", "The time zone in which times are shown: the name or the path of a zone file."),
];

const EXAMPLES: &[(&str, &[&str])] = &[
    (
        "A CA, and a host that keeps its private key:",
        &[
            "nebula-cert ca -name 'Example CA' -encrypt",
            "nebula-cert keygen -out-key laptop.key -out-pub laptop.pub",
            "nebula-cert sign -name laptop -networks 10.99.1.5/16 -in-pub laptop.pub",
        ],
    ),
    (
        "Both versions in one file, for a network with old and new nodes:",
        &["nebula-cert sign -version 1,2 -name laptop -networks 10.99.1.5/16,fd99::5/64"],
    ),
    ("Two more weeks for the same key:", &["nebula-cert renew -in-crt laptop.crt -duration 336h"]),
];

fn section(page: &mut String, name: &str) {
    let _ = writeln!(page, ".SH {name}");
}

fn paragraph(page: &mut String, text: &str) {
    let _ = writeln!(page, ".PP\n{}", escape(text));
}

fn write_mode(page: &mut String, mode: &Mode) {
    let _ = writeln!(page, ".SS \"{} {}\"", escape(mode.name), escape(mode.takes));
    let _ = writeln!(page, "{}.", escape(&capital(mode.about.trim_end_matches('.'))));
    if !mode.details.is_empty() {
        paragraph(page, mode.details);
    }
    let mut flags: Vec<_> = mode.flags.iter().collect();
    flags.sort_by_key(|flag| flag.name);
    for flag in flags {
        write_flag(page, flag);
    }
}

fn write_flag(page: &mut String, flag: &Flag) {
    let value = flag.kind.type_name().map(|name| format!(" \\fI{name}\\fR")).unwrap_or_default();
    let _ = writeln!(page, ".TP\n\\fB\\-{}\\fR{value}", escape(flag.name));
    let text = format!("{}{}", flag.about, flag.beyond);
    let default = flag
        .kind
        .shown_default()
        .map(|default| format!(" (default {default})"))
        .unwrap_or_default();
    let _ = writeln!(page, "{}", escape(&format!("{text}{default}")));
}

fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(rest).collect()
}

/// Text that troff shows as it is.
fn escape(text: &str) -> String {
    let text =
        text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga");
    // These begin a request at the beginning of a line.
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}
