//! Compares our verdicts with those of the real `nebula-cert`, what it prints included.
//!
//! A process for each case would take most of the time. What we accept is given to one process
//! together, and so is what we refuse in `verify`, which reports each failure; only when the answer
//! is not the expected one, the cases are tried one by one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nebula_pki::{Blocklist, CaPool, Certificate, Error, Version, utc};

use super::case::{Case, Kind};
use super::wording;
use crate::support::deliberate;

pub(crate) struct Judge<'a> {
    pub(crate) tool: &'a Path,
    /// Where the files of one thread are.
    pub(crate) directory: PathBuf,
    /// The CAs of the run.
    pub(crate) ca_file: &'a Path,
    pub(crate) pool: &'a CaPool,
    pub(crate) now: i64,
}

/// What became of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Unreadable,
    /// Readable, and refused by `verify`, as certificate or as CA.
    Refused,
    Verified,
}

/// A case, the verdict of ours on it, and where the reference disagrees with it.
pub(crate) struct Judgement<'a> {
    pub(crate) case: &'a Case,
    pub(crate) verdict: Verdict,
    /// The reference refuses it, and that is known.
    pub(crate) deliberate: bool,
    pub(crate) disagreements: Vec<String>,
}

/// A readable certificate of a case.
struct Readable<'a> {
    at: usize,
    case: &'a Case,
    certificate: Certificate,
}

type Checked = Result<(), String>;

impl Judge<'_> {
    pub(crate) fn judge<'a>(&self, cases: &'a [Case]) -> Vec<Judgement<'a>> {
        let mut judgements = Vec::with_capacity(cases.len());
        let (mut hosts, mut cas) = (Vec::new(), Vec::new());
        for (at, case) in cases.iter().enumerate() {
            let (mut disagreements, mut deliberate) = (Vec::new(), false);
            let mut note = |checked: Checked| disagreements.extend(checked.err());
            let verdict = match (&case.kind, Certificate::from_pem_many(&case.pem)) {
                (Kind::Text, read) => {
                    let loaded = CaPool::from_pem(&case.pem);
                    note(self.check_text(&case.pem, &read));
                    note(self.check_pool(&case.pem, loaded.as_ref().err(), None));
                    note(self.check_verified_text(&case.pem));
                    match (read, loaded) {
                        (_, Ok(_)) => Verdict::Verified,
                        (Ok(_), Err(_)) => Verdict::Refused,
                        (Err(_), Err(_)) => Verdict::Unreadable,
                    }
                }
                (kind, Err(error)) => {
                    note(self.check_unreadable(&case.pem, &error, case.version));
                    if let Kind::Ca { .. } = kind {
                        let loaded = CaPool::from_pem(&case.pem);
                        note(self.check_pool(&case.pem, loaded.err().as_ref(), Some(case.version)));
                    }
                    Verdict::Unreadable
                }
                (Kind::Host, Ok(read)) => {
                    let certificate = read[0].clone();
                    let verdict = self.pool.verify(&certificate, self.now, &Blocklist::new());
                    hosts.push(Readable { at, case, certificate });
                    if verdict.is_ok() { Verdict::Verified } else { Verdict::Refused }
                }
                (Kind::Ca { .. }, Ok(read)) => {
                    let readable = Readable { at, case, certificate: read[0].clone() };
                    let alone = CaPool::new().add(readable.certificate.clone());
                    let loaded = CaPool::from_pem(&case.pem).map(drop);
                    if alone.is_err() && loaded.is_ok() {
                        deliberate = case.flaws.contains(&deliberate::LOADED.0);
                        note(deliberate.then_some(()).ok_or("ours loads it".to_owned()));
                    }
                    match loaded.and(alone) {
                        Ok(()) => {
                            cas.push(readable);
                            Verdict::Verified
                        }
                        Err(error) => {
                            note(self.check_readable(&[&readable]));
                            note(self.check_pool(&case.pem, Some(&error), Some(case.version)));
                            Verdict::Refused
                        }
                    }
                }
            };
            judgements.push(Judgement { case, verdict, deliberate, disagreements });
        }
        let hosts: Vec<_> = hosts.iter().collect();
        let cas: Vec<_> = cas.iter().collect();
        let readable = [&hosts[..], &cas].concat();
        let disagreements = [
            together(&readable, |readable| self.check_readable(readable)),
            together(&hosts, |hosts| self.check_hosts(hosts)),
            together(&cas, |cas| self.check_cas(cas)),
        ];
        for (at, disagreement) in disagreements.into_iter().flatten() {
            judgements[at].disagreements.push(disagreement);
        }
        judgements
    }

    /// `print` shows them all as we do, both ways.
    fn check_readable(&self, readable: &[&Readable<'_>]) -> Checked {
        let texts: String =
            readable.iter().map(|readable| shown(&readable.certificate) + "\n").collect();
        let pem: Vec<_> = readable.iter().map(|readable| &readable.case.pem[..]).collect();
        let path = self.write("printed.crt", &pem.concat());
        expect(&self.run("print", &[("-path", &path)], &[]), "print", "", &texts)?;

        // One whose times cannot be shown leaves nothing of the whole array.
        let (mut pem, mut objects) = (Vec::new(), Vec::new());
        for readable in readable {
            if let Ok(object) = readable.certificate.to_json(utc) {
                pem.extend(&readable.case.pem);
                objects.push(object);
            }
        }
        if objects.is_empty() {
            return Ok(());
        }
        let path = self.write("printed.crt", &pem);
        let json = format!("[{}]\n", objects.join(","));
        expect(&self.run("print", &[("-path", &path)], &["-json"]), "print -json", "", &json)
    }

    fn check_unreadable(&self, pem: &[u8], error: &Error, version: Version) -> Checked {
        let path = self.write("unreadable.crt", pem);
        let message = format!("error while unmarshaling cert: {}", wording::of(error, version));
        expect(&self.run("print", &[("-path", &path)], &["-json"]), "print", &message, "")
    }

    fn check_text(&self, text: &[u8], read: &Result<Vec<Certificate>, Error>) -> Checked {
        let path = self.write("text.crt", text);
        let output = self.run("print", &[("-path", &path)], &["-json"]);
        match read {
            Ok(certificates) => {
                let objects: Result<Vec<_>, _> =
                    certificates.iter().map(|certificate| certificate.to_json(utc)).collect();
                let json = objects.map_or(String::new(), |all| format!("[{}]", all.join(",")));
                expect(&output, "print -json", "", &(json + "\n"))
            }
            Err(error) => any_wording(error, |reason| {
                let message = format!("error while unmarshaling cert: {reason}");
                expect(&output, "print -json", &message, "")
            }),
        }
    }

    /// `verify` reads to the last byte, and takes a blank for a certificate.
    fn check_verified_text(&self, text: &[u8]) -> Checked {
        let path = self.write("text.crt", text);
        let output = self.run("verify", &[("-ca", self.ca_file), ("-crt", &path)], &[]);
        let (mut rest, mut failures) = (text, Vec::new());
        while !rest.is_empty() {
            match Certificate::split_pem(rest) {
                Ok((certificate, next)) => {
                    rest = next;
                    let verdict = self.pool.verify(&certificate, self.now, &Blocklist::new());
                    failures.extend(verdict.err().map(|error| failure(&certificate, &error)));
                }
                Err(error) => {
                    return any_wording(&error, |reason| {
                        let message = format!("error while parsing crt: {reason}");
                        expect(&output, "verify -crt", &message, "")
                    });
                }
            }
        }
        expect(&output, "verify -crt", &failures.join("\n"), "")
    }

    /// `verify` loads these CAs or says the same of them; it is given nothing to verify.
    fn check_pool(&self, pem: &[u8], refused: Option<&Error>, version: Option<Version>) -> Checked {
        let (ca, empty) = (self.write("loaded.crt", pem), self.write("empty.crt", b""));
        let output = self.run("verify", &[("-ca", &ca), ("-crt", &empty)], &[]);
        let Some(error) = refused else { return expect(&output, "verify -ca", "", "") };
        let check = |reason: &str| {
            let message = format!("error while adding ca cert to pool: {reason}");
            expect(&output, "verify -ca", &message, "")
        };
        match version {
            Some(version) => check(&wording::of(error, version)),
            None => any_wording(error, check),
        }
    }

    fn check_hosts(&self, hosts: &[&Readable<'_>]) -> Checked {
        let pem: Vec<_> = hosts.iter().map(|host| &host.case.pem[..]).collect();
        let certificates = hosts.iter().map(|host| &host.certificate);
        self.check_verify(self.ca_file, self.pool, &pem.concat(), certificates)
    }

    /// Loads the CAs together, and verifies the hosts under them.
    fn check_cas(&self, cas: &[&Readable<'_>]) -> Checked {
        let pem: Vec<_> = cas.iter().map(|ca| &ca.case.pem[..]).collect();
        let pool = CaPool::from_pem(&pem.concat()).map_err(|error| format!("together: {error}"))?;
        let mut hosts = Vec::new();
        for ca in cas {
            if let Kind::Ca { host: Some(host) } = &ca.case.kind
                && Certificate::from_pem(host).is_ok()
            {
                hosts.extend(host);
            }
        }
        let certificates = Certificate::from_pem_many(&hosts).unwrap_or_default();
        let path = self.write("cas.crt", &pem.concat());
        self.check_verify(&path, &pool, &hosts, certificates.iter())
    }

    /// `verify` says of each what we say.
    fn check_verify<'a>(
        &self,
        ca_file: &Path,
        pool: &CaPool,
        pem: &[u8],
        certificates: impl Iterator<Item = &'a Certificate>,
    ) -> Checked {
        let failures: Vec<_> = certificates
            .filter_map(|certificate| {
                let verdict = pool.verify(certificate, self.now, &Blocklist::new());
                verdict.err().map(|error| failure(certificate, &error))
            })
            .collect();
        let path = self.write("verified.crt", pem);
        let output = self.run("verify", &[("-ca", ca_file), ("-crt", &path)], &[]);
        expect(&output, "verify", &failures.join("\n"), "")
    }

    fn write(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.directory.join(name);
        fs::write(&path, contents).unwrap();
        path
    }

    fn run(&self, mode: &str, files: &[(&str, &Path)], switches: &[&str]) -> Output {
        let mut command = Command::new(self.tool);
        command.env("TZ", "UTC").arg(mode).args(switches);
        for (flag, path) in files {
            command.arg(flag).arg(path);
        }
        command.output().unwrap()
    }
}

/// Checks all at once; if that fails, each alone, to tell which it is.
fn together<'a>(
    items: &[&'a Readable<'a>],
    check: impl Fn(&[&'a Readable<'a>]) -> Checked,
) -> Vec<(usize, String)> {
    let Err(disagreement) = check(items) else { return Vec::new() };
    let alone: Vec<_> =
        items.iter().filter_map(|item| Some((item.at, check(&[item]).err()?))).collect();
    if alone.is_empty() {
        return vec![(items[0].at, format!("only with others: {disagreement}"))];
    }
    alone
}

/// That the tool failed with this message, or, if it is empty, succeeded; and what it printed.
fn expect(output: &Output, what: &str, message: &str, printed: &str) -> Checked {
    let expected = match message {
        "" => String::new(),
        message => format!("Error: {message}\n"),
    };
    // Protobuf's errors begin with one of two spaces, so that nobody relies on them.
    let found = String::from_utf8_lossy(&output.stderr).replace("proto:\u{a0}", "proto: ");
    let code = if message.is_empty() { 0 } else { 1 };
    if output.status.code() != Some(code) || found != expected {
        return Err(format!("{what} said {found:?}, not {expected:?}"));
    }
    if output.stdout != printed.as_bytes() {
        let found = String::from_utf8_lossy(&output.stdout);
        return Err(format!("{what} printed {found:?}, not {printed:?}"));
    }
    Ok(())
}

/// In a text of several blocks it is not known of which version the bad one is.
fn any_wording(error: &Error, check: impl Fn(&str) -> Checked) -> Checked {
    check(&wording::of(error, Version::V1)).or_else(|_| check(&wording::of(error, Version::V2)))
}

fn failure(certificate: &Certificate, error: &Error) -> String {
    let reason = wording::of(error, certificate.version());
    match error {
        Error::UnknownCa { issuer } => format!(
            "error while verifying certificate v{} {} with issuer {issuer}: {reason}",
            certificate.version().number(),
            certificate.unverified_details().name(),
        ),
        _ => format!("error while verifying certificate {}: {reason}", shown(certificate)),
    }
}

fn shown(certificate: &Certificate) -> String {
    certificate.to_text(utc).unwrap_or_else(|_| {
        "<error marshalling certificate: json: error calling MarshalJSON for type time.Time: \
         Time.MarshalJSON: year outside of range [0,9999]>"
            .to_owned()
    })
}
