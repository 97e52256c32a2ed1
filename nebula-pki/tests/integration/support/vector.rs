//! Reads the vectors: files made by the reference tool, and its verdicts on them.

use std::fs;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nebula_pki::{Certificate, Version};
use serde_json::{Value, json};

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

pub(crate) fn read(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) fn json(name: &str) -> Value {
    serde_json::from_slice(&read(name)).unwrap()
}

pub(crate) fn cases(name: &str) -> Vec<Value> {
    json(name).as_array().unwrap().clone()
}

/// The entries of the manifest that describe files.
pub(crate) fn files() -> Vec<Value> {
    json("manifest.json")["files"].as_array().unwrap().clone()
}

/// The time at which the verdicts were recorded.
pub(crate) fn recorded_at() -> i64 {
    json("manifest.json")["recorded_at_unix"].as_i64().unwrap()
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

pub(crate) fn base64(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

pub(crate) fn pem(banner: &str, der: &[u8]) -> Vec<u8> {
    let body = STANDARD.encode(der);
    let lines: Vec<_> =
        body.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {banner}-----\n{}\n-----END {banner}-----\n", lines.join("\n")).into_bytes()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..][..2], 16).unwrap()).collect()
}

/// What `nebula-cert print -json` shows of a certificate in the time zone UTC.
pub(crate) fn printed(certificate: &Certificate) -> Value {
    let details = certificate.unverified_details();
    let v1 = certificate.version() == Version::V1;
    let list =
        |items: Vec<String>| if items.is_empty() && !v1 { Value::Null } else { json!(items) };
    let mut printed = json!({
        "details": {
            "groups": list(details.groups().map(String::from).collect()),
            "isCa": details.is_ca(),
            "issuer": hex(details.issuer_bytes()),
            "name": details.name(),
            "networks": list(details.networks().iter().map(ToString::to_string).collect()),
            "notAfter": rfc3339(details.not_after()),
            "notBefore": rfc3339(details.not_before()),
            "unsafeNetworks":
                list(details.unsafe_networks().iter().map(ToString::to_string).collect()),
        },
        "fingerprint": certificate.fingerprint().to_string(),
        "signature": hex(certificate.signature()),
        "version": certificate.version().number(),
    });
    let place = if v1 { &mut printed["details"] } else { &mut printed };
    place["curve"] = json!(certificate.curve().to_string());
    place["publicKey"] = json!(hex(certificate.public_key()));
    printed
}

/// Days to a date by Howard Hinnant's `civil_from_days`.
fn rfc3339(unix: i64) -> String {
    let (days, seconds) = (unix.div_euclid(86_400) + 719_468, unix.rem_euclid(86_400));
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
