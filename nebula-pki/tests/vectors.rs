//! Does every certificate, bundle and key file get the reference's verdict?
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

#[path = "support/random.rs"]
mod random;
#[path = "support/vector.rs"]
mod vector;

use nebula_pki::key::{AgreementKey, PublicKey, SigningKey};
use nebula_pki::{Blocklist, CaPool, Certificate, Error, Issuer, Signer, Version};
use random::Seeded;
use serde_json::Value;
use vector::{cases, files, pem, read, text};

/// Cases whose verdict is deliberately not the reference's, and why.
const REFUSED: [(&str, &str); 6] = [
    ("v2-25519-seedflip", "the seed does not belong to the public half: nothing would verify"),
    ("v2-25519-zero", "a point of small order: everybody knows the shared secret"),
    ("v2-p256-zero", "not a point: nobody could agree on a secret with it"),
    ("v2-p256-rand", "not a point: nobody could agree on a secret with it"),
    ("v2-p256-offcurve", "not a point of the curve: agreeing with it gives away the other key"),
    ("v2-p256-hybrid", "a form of point that no node takes"),
];

const FOLDERS: [&str; 8] = [
    "crafted-v1/25519",
    "crafted-v1/p256",
    "crafted-v2/25519",
    "crafted-v2/p256",
    "mutated-v1/mutated",
    "mutated-v2/mutated",
    "tampered/v1",
    "tampered/v2",
];

#[test]
fn certificates_of_the_reference() {
    let mut count = 0;
    for file in files() {
        let name = text(&file, "path");
        let in_scope = !name.starts_with("encrypted/");
        match text(&file, "kind") {
            "ca-cert" | "host-cert" if in_scope => {}
            _ => continue,
        }
        let pem = read(name);
        let certificate = Certificate::from_pem(&pem).unwrap();
        assert_eq!(vector::printed(&certificate), file["parsed"], "{name}");
        assert_eq!(certificate.to_pem().as_bytes(), pem, "{name}");
        count += 1;
        match file.get("issuer_file") {
            None => CaPool::new().add(certificate).unwrap(),
            Some(issuer) => {
                // The clock of the expired set ran on while its certificates expired.
                let at = vector::recorded_at() + if name.starts_with("expired/") { 60 } else { 0 };
                let pool = CaPool::from_pem(&read(issuer.as_str().unwrap())).unwrap();
                let verdict = pool.verify(&certificate, at, &Blocklist::new());
                check(name, &file["verify"], verdict);
            }
        }
    }
    assert_eq!(count, 142);
}

#[test]
fn ca_certificates_that_the_reference_no_longer_loads() {
    let mut count = 0;
    for file in files() {
        if text(&file, "kind") == "ca-cert-rejected-by-1.11.0" {
            let verdict = Certificate::from_pem(&read(text(&file, "path")));
            check(text(&file, "path"), &file["print"], verdict);
            count += 1;
        }
    }
    assert_eq!(count, 3);
}

#[test]
fn malformed_and_tampered_certificates() {
    let mut count = 0;
    for folder in FOLDERS {
        let corpus = cases(&format!("{folder}.json"));
        for case in &corpus {
            let id = text(case, "id");
            let der = match case["der_b64"].as_str() {
                Some(der) => vector::base64(der),
                None => recipe::build(id, &ok_case(&corpus)),
            };
            let pem = pem(text(case, "banner"), &der);
            let parsed = Certificate::from_pem_many(&pem);
            let (print, accepted) = (&case["print"], parsed.is_ok());
            check(id, print, parsed.as_ref().map_err(Clone::clone));
            if accepted && print["json"].is_object() {
                assert_eq!(vector::printed(&parsed.as_ref().unwrap()[0]), print["json"], "{id}");
            }
            count += 1;
            if let Some(verify) = case.get("verify") {
                let pool = CaPool::from_pem(&read(text(verify, "ca")));
                let verdict = pool.and_then(|pool| verify_first(&pool, &pem));
                check(id, verify, verdict);
            } else {
                let verify = &case["verify_as_ca"];
                let pool = CaPool::from_pem(&pem);
                assert_eq!(pool.is_ok(), verify["pool_accepts"], "{id}: {pool:?}");
                let verdict = pool.and_then(|pool| verify_first(&pool, &read(text(verify, "crt"))));
                check(id, verify, verdict);
            }
        }
    }
    assert_eq!(count, 1_319);
}

#[test]
fn pairs_of_bundle_and_certificate() {
    let mut count = 0;
    for case in cases("verify/cases.json") {
        let (ca, crt) = (text(&case, "ca"), text(&case, "crt"));
        let what = format!("{ca} {crt}");
        let certificates = all_in_crt_file(&read(crt));
        let verdict = CaPool::from_pem(&read(ca)).and_then(|pool| {
            certificates?.iter().try_for_each(|certificate| {
                pool.verify(certificate, vector::recorded_at() + 60, &Blocklist::new()).map(drop)
            })
        });
        assert_eq!(verdict.is_ok(), case["accept"], "{what}: {verdict:?}");
        if let Err(error) = verdict {
            assert_message(&what, text(&case, "stderr"), &error);
        }
        count += 1;
    }
    assert_eq!(count, 56);
}

#[test]
fn bundles() {
    let mut count = 0;
    for case in cases("bundles/cases.json") {
        let what = text(&case, "what");
        let input = match case["file"].as_str() {
            Some(file) => read(file),
            None => [vec![b'x'; 70_000], b"\n".to_vec(), read("bundles/one.pem")].concat(),
        };
        let printed = Certificate::from_pem_many(&input);
        check(what, &case["print"], printed.as_ref().map_err(Clone::clone));
        if let Ok(certificates) = printed {
            let found: Vec<_> =
                certificates.iter().map(|one| Value::from(one.fingerprint().to_string())).collect();
            assert_eq!(Value::from(found), case["print"]["fingerprints"], "{what}");
        }
        for (crt, verdict) in case["verify_as_ca"].as_object().unwrap() {
            let pool = CaPool::from_pem(&input);
            check(what, verdict, pool.and_then(|pool| verify_first(&pool, &read(crt))));
        }
        count += 1;
    }
    for case in cases("bundles/crt-cases.json") {
        let file = text(&case, "file");
        check(file, &case["print"], Certificate::from_pem_many(&read(file)));
        count += 1;
    }
    assert_eq!(count, 65);
}

#[test]
fn keys() {
    let (mut count, mut refused) = (0, 0);
    for case in cases("keys-malformed/cases.json") {
        let id = text(&case, "id");
        let pem = text(&case, "pem").as_bytes();
        let ca = Certificate::from_pem(&read(text(&case, "ca"))).unwrap();
        let expected = ca.curve();
        let verdict = if text(&case, "flag") == "-ca-key" {
            SigningKey::from_pem(pem).and_then(|key| Issuer::new(ca, key)).map(drop)
        } else {
            PublicKey::from_pem(pem).and_then(|key| match key.curve() {
                found if found == expected => Ok(()),
                found => Err(Error::CurveMismatch { expected, found }),
            })
        };
        count += 1;
        if REFUSED.iter().any(|(refused, _)| *refused == id) && case["accept"] == true {
            assert!(verdict.is_err(), "{id}");
            refused += 1;
        } else {
            assert_eq!(verdict.is_ok(), case["accept"], "{id} {}: {verdict:?}", case["what"]);
        }
    }
    assert_eq!((count, refused), (55, REFUSED.len()));
}

#[test]
fn key_pairs() {
    for pair in ["1.6.1-25519", "1.9.3-25519", "1.9.3-p256", "1.11.0-25519", "1.11.0-p256"] {
        let private = read(&format!("keypairs/{pair}.key"));
        let public = read(&format!("keypairs/{pair}.pub"));
        let key = AgreementKey::from_pem(&private).unwrap();
        assert_eq!(key.to_pem().as_bytes(), private);
        assert_eq!(key.public_key(), PublicKey::from_pem(&public).unwrap());
        assert_eq!(key.public_key().to_pem().as_bytes(), public);
    }
}

#[test]
fn private_keys_of_hosts() {
    let mut count = 0;
    for file in files() {
        let name = text(&file, "path");
        let key = name.replace(".crt", ".key");
        if text(&file, "kind") != "host-cert" || !vector::path(&key).exists() {
            continue;
        }
        let key = AgreementKey::from_pem(&read(&key)).unwrap();
        key.check_pair(&Certificate::from_pem(&read(name)).unwrap()).unwrap();
        let other = AgreementKey::generate(key.curve(), &mut Seeded(1)).unwrap();
        let certificate = Certificate::from_pem(&read(name)).unwrap();
        assert_eq!(other.check_pair(&certificate), Err(Error::KeyMismatch), "{name}");
        count += 1;
    }
    assert_eq!(count, 95);
}

#[test]
fn handshakes() {
    let mut count = 0;
    for case in cases("handshake/cases.json") {
        let crt = text(&case, "crt");
        let bytes = vector::unhex(text(&case, "handshake_cert_hex"));
        let key = vector::unhex(text(&case, "static_public_key_hex"));
        let version = Version::from_number(case["cert_version_field"].as_u64().unwrap()).unwrap();
        let original = Certificate::from_pem(&read(crt)).unwrap();
        assert_eq!(original.to_handshake_bytes(), bytes, "{crt}");
        let curve = original.curve();
        assert_eq!(curve.to_string(), text(&case, "curve"));
        let received = Certificate::from_handshake(version, &bytes, &key, curve).unwrap();
        assert_eq!(received.to_bytes(), original.to_bytes(), "{crt}");
        let fingerprint = received.fingerprint().to_string();
        assert_eq!(fingerprint, text(&case, "fingerprint_after_recombine"), "{crt}");
        count += 1;
    }
    assert_eq!(count, 4);
}

#[test]
fn either_fingerprint_of_a_p256_certificate_blocks_both_forms() {
    let mut count = 0;
    for case in cases("blocklist/p256-alternate.json") {
        let crt = text(&case, "crt");
        let original = Certificate::from_pem(&read(crt)).unwrap();
        let alternate = Certificate::from_pem(text(&case, "alternate_pem").as_bytes()).unwrap();
        assert_eq!(original.fingerprint().to_string(), text(&case, "fingerprint"), "{crt}");
        assert_eq!(alternate.fingerprint().to_string(), text(&case, "alternate_fingerprint"));
        assert_eq!(original.alternate_fingerprint(), Some(alternate.fingerprint()), "{crt}");
        assert_eq!(alternate.alternate_fingerprint(), Some(original.fingerprint()), "{crt}");

        let ca = format!("{}/ca-plain.crt", crt.split('/').next().unwrap());
        let pool = CaPool::from_pem(&read(&ca)).unwrap();
        let at = vector::recorded_at();
        for certificate in [&original, &alternate] {
            let verified = pool.verify(certificate, at, &Blocklist::new()).unwrap();
            let low = (certificate == &original) == (text(&case, "s_form") == "low");
            let strict = pool.verify_strict(certificate, at, &Blocklist::new()).map(drop);
            assert_eq!(strict, if low { Ok(()) } else { Err(Error::HighS) }, "{crt}");
            for fingerprint in [original.fingerprint(), alternate.fingerprint()] {
                let blocklist = [fingerprint].into_iter().collect();
                let blocked = Err(Error::Blocked { fingerprint });
                assert_eq!(pool.verify(certificate, at, &blocklist).map(drop), blocked, "{crt}");
                assert_eq!(pool.reverify(&verified, at, &blocklist), blocked, "{crt}");
            }
        }
        count += 1;
    }
    assert_eq!(count, 8);
}

fn ok_case(corpus: &[Value]) -> Vec<u8> {
    let ok = corpus.iter().find(|case| text(case, "id").ends_with("-ok")).unwrap();
    vector::base64(text(ok, "der_b64"))
}

fn verify_first(pool: &CaPool, pem: &[u8]) -> Result<(), Error> {
    let certificate = Certificate::from_pem(pem)?;
    pool.verify(&certificate, vector::recorded_at(), &Blocklist::new()).map(drop)
}

/// The certificates as `nebula-cert verify` reads them: none is fine, and so is no blank after.
fn all_in_crt_file(pem: &[u8]) -> Result<Vec<Certificate>, Error> {
    match pem {
        [] => Ok(Vec::new()),
        [.., b'\n', b'\n'] => Err(Error::NoPemBlock),
        _ => Certificate::from_pem_many(pem),
    }
}

/// Compares with a recorded verdict, and the error with the recorded message.
fn check<T: std::fmt::Debug>(what: &str, recorded: &Value, verdict: Result<T, Error>) {
    assert_eq!(verdict.is_ok(), recorded["accept"], "{what}: {verdict:?}, recorded {recorded}");
    if let Err(error) = verdict {
        assert_message(what, text(recorded, "message"), &error);
    }
}

fn assert_message(what: &str, recorded: &str, error: &Error) {
    let expected = reference_message(error);
    assert!(recorded.contains(expected), "{what}: {error:?}, recorded {recorded}");
}

/// The reference's words for an error.
fn reference_message(error: &Error) -> &'static str {
    match error {
        Error::NoPemBlock => "input did not contain a valid PEM encoded block",
        Error::WrongBanner { .. } => "bytes did not contain a proper certificate banner",
        Error::Malformed { reason: "no bytes" } => "nil byte array",
        Error::Malformed { reason: "details are missing" } => "encoded Details was nil",
        Error::Malformed { reason: "invalid protobuf wire format" } => {
            "proto: cannot parse invalid wire-format data"
        }
        Error::Malformed { reason: "name or group is not UTF-8" } => {
            "string field contains invalid UTF-8"
        }
        Error::Malformed { reason: "odd number of integers in networks" } => {
            "encoded IPs should be in pairs, an odd number was found"
        }
        Error::Malformed { reason: "odd number of integers in unsafe networks" } => {
            "encoded Subnets should be in pairs, an odd number was found"
        }
        Error::Malformed { .. } => "bad wire format",
        Error::NoPublicKey => "invalid public key",
        Error::NoNetworks => "non-CA certificate",
        Error::InvalidPrefix { field: "networks", .. } => "invalid network: invalid Prefix",
        Error::InvalidPrefix { .. } => "invalid unsafe network: invalid Prefix",
        Error::Ipv6InV1 { .. } => "certificate may not contain IPv6",
        Error::ZeroAddress { .. } => "must not use the zero address as a network",
        Error::MappedNetwork { .. } => "4in6 networks are not allowed",
        Error::DuplicateNetwork { .. } => "duplicate network detected",
        Error::UnsafeNetworkFamily { .. } => "unsafe networks require an IP",
        Error::NotCa { .. } => "certificate is not a CA",
        Error::NotSelfSigned { .. } => "certificate is not self-signed",
        Error::NoIssuer => "no issuer in certificate",
        Error::UnknownCa { .. } => "could not find ca for the certificate",
        Error::CurveMismatch { .. } => "certificate curve does not match CA",
        Error::CaExpired { .. } => "root certificate is expired",
        Error::Expired { .. } => ": certificate is expired",
        Error::SignatureMismatch => "certificate signature did not match",
        Error::ExpiresAfterCa { .. } => "certificate expires after signing certificate",
        Error::ValidBeforeCa { .. } => "certificate is valid before the signing certificate",
        Error::GroupNotPermitted { .. } => "contained a group not present on the signing ca",
        Error::NetworkNotPermitted { .. } => "a network assignment outside the limitations",
        Error::UnsafeNetworkNotPermitted { .. } => "an unsafe network assignment outside the",
        other => panic!("the reference has no such error: {other:?}"),
    }
}

/// Certificates too large to be stored: grown from the well-formed case and signed again.
mod recipe {
    use nebula_pki::{Certificate, Curve, Version};

    use super::{Signer, SigningKey, read};

    pub(crate) fn build(id: &str, ok: &[u8]) -> Vec<u8> {
        let (set, recipe) = id.match_indices('-').nth(1).map(|(at, _)| id.split_at(at)).unwrap();
        match recipe {
            "-big" => v1_with_name(set, ok, &[b'y'; 100_000]),
            "-size-65536" => v2_of_size(set, ok, 65_536),
            "-size-65537" => v2_of_size(set, ok, 65_537),
            "-size-trail-65536" => padded(ok, 65_536),
            "-size-trail-65537" => padded(ok, 65_537),
            "-outer-empty" | "-outer-zero" | "-trunc-0" => Vec::new(),
            _ => panic!("no recipe for {id}"),
        }
    }

    fn v1_with_name(set: &str, ok: &[u8], name: &[u8]) -> Vec<u8> {
        // 0a LENGTH details, which begin with 0a LENGTH name.
        let details = content(ok);
        let rest = &details[2 + usize::from(details[1])..];
        let details = [field(0x0a, name), rest.to_vec()].concat();
        let signature = sign(set, &details);
        [field(0x0a, &details), field(0x12, &signature)].concat()
    }

    fn v2_of_size(set: &str, ok: &[u8], size: usize) -> Vec<u8> {
        const GROUPS: &[u8] = b"\xa3\x07\x0c\x05alpha";
        let certificate = Certificate::from_bytes(Version::V2, ok).unwrap();
        let (curve, key) = match certificate.curve() {
            Curve::P256 => (1, certificate.public_key()),
            _ => (0, certificate.public_key()),
        };
        let details = content(ok.strip_prefix(&ok[..header(ok)]).unwrap());
        let at = details.windows(GROUPS.len()).position(|window| window == GROUPS).unwrap();
        let with_group = |group: usize| {
            let groups = element(0xa3, &element(0x0c, &vec![b'g'; group]));
            let details = [&details[..at], &groups, &details[at + GROUPS.len()..]].concat();
            let raw = element(0xa0, &details);
            let signature = sign(set, &[&raw[..], &[curve], key].concat());
            let curve = if curve == 0 { Vec::new() } else { element(0x81, &[curve]) };
            let parts = [raw, curve, element(0x82, key), element(0x83, &signature)];
            element(0x30, &parts.concat())
        };
        // Signatures on P-256 vary in length, with some libraries from call to call.
        (0..100)
            .flat_map(|_| size - 260..size - 120)
            .map(with_group)
            .find(|der| der.len() == size)
            .unwrap()
    }

    /// The length of the header of a DER element, or of a protobuf field of the same form.
    fn header(element: &[u8]) -> usize {
        2 + if element[1] < 0x80 { 0 } else { usize::from(element[1] & 0x7f) }
    }

    /// The content of the first element, or of a field of fewer than 256 bytes.
    fn content(element: &[u8]) -> &[u8] {
        match (element[0], element[1]) {
            (0x0a, len @ 0x80..) => {
                &element[3..][..usize::from(len & 0x7f) | usize::from(element[2]) << 7]
            }
            (_, len @ 0..=0x7f) => &element[2..][..usize::from(len)],
            (_, 0x81) => &element[3..][..usize::from(element[2])],
            _ => panic!("too long"),
        }
    }

    fn padded(ok: &[u8], size: usize) -> Vec<u8> {
        let mut padded = ok.to_vec();
        padded.resize(size, 0);
        padded
    }

    fn sign(set: &str, message: &[u8]) -> Vec<u8> {
        let key = SigningKey::from_pem(&read(&format!("{set}/ca-plain.key"))).unwrap();
        key.sign(message).unwrap()
    }

    fn field(key: u8, content: &[u8]) -> Vec<u8> {
        let mut encoded = vec![key];
        let mut len = content.len();
        while len >= 0x80 {
            encoded.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
            len >>= 7;
        }
        encoded.push(u8::try_from(len).unwrap());
        [&encoded, content].concat()
    }

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let len = u32::try_from(content.len()).unwrap().to_be_bytes();
        let header = match content.len() {
            0..0x80 => vec![tag, len[3]],
            0x80..0x100 => vec![tag, 0x81, len[3]],
            0x100..0x1_0000 => vec![tag, 0x82, len[2], len[3]],
            _ => vec![tag, 0x83, len[1], len[2], len[3]],
        };
        [&header, content].concat()
    }
}
