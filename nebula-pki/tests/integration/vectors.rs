//! Does every certificate, bundle and key file get the reference's verdict?

use nebula_pki::key::{PublicKey, SigningKey};
use nebula_pki::{Blocklist, CaPool, Certificate, Curve, Error, Issuer, Version};
use serde_json::Value;

use crate::support::deliberate::REFUSED;
#[cfg(all(feature = "graviola", debug_assertions))]
use crate::support::other_processor;
use crate::support::recipe;
use crate::support::vector;
use crate::support::vector::{cases, files, pem, read, text};
use crate::support::wording;

#[test]
fn certificates_of_the_reference() {
    let (mut cas, mut hosts) = (0, 0);
    for file in files() {
        let name = text(&file, "path");
        match text(&file, "kind") {
            "ca-cert" => cas += 1,
            "host-cert" => hosts += 1,
            _ => continue,
        }
        let encoded = read(name);
        if let Some(der) = file["der_hex"].as_str() {
            assert_eq!(encoded, pem(text(&file, "banner"), &vector::unhex(der)), "{name}");
        }
        let certificate = Certificate::from_pem(&encoded).unwrap();
        assert_eq!(vector::printed(&certificate), file["parsed"], "{name}");
        assert_eq!(certificate.fingerprint().to_string(), text(&file, "fingerprint"), "{name}");
        assert_eq!(certificate.curve().to_string(), text(&file, "curve"), "{name}");
        assert_eq!(certificate.version().number(), file["cert_version"], "{name}");
        assert_eq!(certificate.to_pem().as_bytes(), encoded, "{name}");
        let (bytes, version) = (certificate.to_bytes(), certificate.version());
        assert_eq!(Certificate::from_bytes(version, &bytes).unwrap(), certificate, "{name}");

        // The clock ran on while the expired set expired, and the encrypted one was made.
        let later = name.starts_with("expired/") || name.starts_with("encrypted/");
        let at = vector::recorded_at() + if later { 60 } else { 0 };
        match file.get("issuer_file") {
            None => {
                let mut pool = CaPool::new();
                pool.add(certificate).unwrap();
                assert_eq!(pool.expired(at).count() == 1, name.starts_with("expired/"), "{name}");
            }
            Some(issuer) => {
                let pool = CaPool::from_pem(&read(issuer.as_str().unwrap())).unwrap();
                let verdict = pool.verify(&certificate, at, &Blocklist::new());
                check(name, &file["verify"], verdict);
            }
        }
    }
    assert_eq!((cas, hosts), (50, 108));
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
    for file in files().iter().filter(|file| text(file, "kind") == "corpus") {
        let corpus = cases(text(file, "path"));
        let (mut printed, mut verified) = (0, 0);
        for case in &corpus {
            let id = text(case, "id");
            let der = match case["der_b64"].as_str() {
                Some(der) => vector::base64(der),
                None => recipe::build(id, &ok_case(&corpus)),
            };
            let pem = pem(text(case, "banner"), &der);
            let parsed = Certificate::from_pem_many(&pem);
            let print = &case["print"];
            check(id, print, parsed.as_ref().map_err(Clone::clone));
            if let Ok(certificates) = parsed {
                printed += 1;
                if print["json"].is_object() {
                    assert_eq!(vector::printed(&certificates[0]), print["json"], "{id}");
                }
            }
            let verdict = if let Some(verify) = case.get("verify") {
                let pool = CaPool::from_pem(&read(text(verify, "ca")));
                let verdict = pool.and_then(|pool| verify_all(&pool, &pem));
                check(id, verify, verdict.clone());
                verdict
            } else {
                let verify = &case["verify_as_ca"];
                let pool = CaPool::from_pem(&pem);
                assert_eq!(pool.is_ok(), verify["pool_accepts"], "{id}: {pool:?}");
                let verdict = pool.and_then(|pool| verify_all(&pool, &read(text(verify, "crt"))));
                check(id, verify, verdict.clone());
                verdict
            };
            verified += u64::from(verdict.is_ok());
        }
        assert_eq!(printed, file["print_accepts"], "{file}");
        assert_eq!(verified, file["verify_accepts"], "{file}");
        count += corpus.len();
    }
    assert_eq!(count, 1_319);
}

#[test]
fn pairs_of_bundle_and_certificate() {
    let mut count = 0;
    for case in cases("verify/cases.json") {
        let (ca, crt) = (text(&case, "ca"), text(&case, "crt"));
        let what = format!("{ca} {crt}");
        let verdict = CaPool::from_pem(&read(ca))
            .and_then(|pool| verify_all_at(&pool, &read(crt), vector::recorded_at() + 60));
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
        let print = &case["print"];
        let printed = Certificate::from_pem_many(&input);
        check(what, print, printed.as_ref().map_err(Clone::clone));
        match printed {
            Ok(certificates) => {
                let found = certificates.iter().map(|one| one.fingerprint().to_string());
                assert_eq!(Value::from_iter(found), print["fingerprints"], "{what}");
            }
            Err(_) => assert_eq!(before_error(&input), print["text_blocks_before_error"], "{what}"),
        }
        for (crt, verdict) in case["verify_as_ca"].as_object().unwrap() {
            let pool = CaPool::from_pem(&input);
            check(what, verdict, pool.and_then(|pool| verify_all(&pool, &read(crt))));
        }
        count += 1;
    }
    let pool = CaPool::from_pem(&read("v2-25519/ca-plain.crt")).unwrap();
    for case in cases("bundles/crt-cases.json") {
        let file = text(&case, "file");
        check(file, &case["print"], Certificate::from_pem_many(&read(file)));
        check(file, &case["verify"], verify_all(&pool, &read(file)));
        count += 1;
    }
    assert_eq!(count, 65);
}

#[test]
fn keys() {
    let (mut count, mut refused) = (0, Vec::new());
    for case in cases("keys-malformed/cases.json") {
        let (id, flag) = (text(&case, "id"), text(&case, "flag"));
        let pem = text(&case, "pem").as_bytes();
        let ca = Certificate::from_pem(&read(text(&case, "ca"))).unwrap();
        let expected = ca.curve();
        let verdict = match flag {
            "-ca-key" => SigningKey::from_pem(pem).and_then(|key| Issuer::new(ca, key)).map(drop),
            "-in-pub" => PublicKey::from_pem(pem).and_then(|key| match key.curve() {
                found if found == expected => Ok(()),
                found => Err(Error::CurveMismatch { expected, found }),
            }),
            _ => panic!("{id}: {flag}"),
        };
        count += 1;
        if case["accept"] == true && verdict.is_err() {
            refused.push(id.to_owned());
            continue;
        }
        assert_eq!(verdict.is_ok(), case["accept"], "{id} {}: {verdict:?}", case["what"]);
        if let Err(error) = verdict {
            let (words, recorded) = (wording::of_key(&error), text(&case, "message"));
            assert!(recorded.contains(&words), "{id}: {error:?}, recorded {recorded}");
        }
    }
    refused.sort();
    let mut expected = REFUSED.map(|(id, _)| id);
    expected.sort_unstable();
    assert_eq!(refused, expected);
    assert_eq!(count, 55);
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
            assert_eq!(case["alternate_verify"]["accept"], true, "{crt}");
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

#[test]
fn every_p256_certificate_has_another_fingerprint_that_blocks_it() {
    let (mut p256, mut high, mut others) = (0, 0, 0);
    for file in files().iter().filter(|file| file["issuer_file"].is_string()) {
        let name = text(file, "path");
        let certificate = Certificate::from_pem(&read(name)).unwrap();
        let Some(alternate) = certificate.alternate_fingerprint() else {
            assert_eq!(certificate.curve(), Curve::Curve25519, "{name}");
            others += 1;
            continue;
        };
        assert_eq!(certificate.curve(), Curve::P256, "{name}");
        assert_ne!(alternate, certificate.fingerprint(), "{name}");
        p256 += 1;
        if file["verify"]["accept"] == false {
            continue;
        }
        let pool = CaPool::from_pem(&read(text(file, "issuer_file"))).unwrap();
        let (at, blocklist) = (vector::recorded_at(), [alternate].into_iter().collect());
        let verdict = pool.verify(&certificate, at, &blocklist);
        assert_eq!(verdict, Err(Error::Blocked { fingerprint: alternate }), "{name}");
        let strict = pool.verify_strict(&certificate, at, &Blocklist::new());
        // A high s is one of 33 bytes, because half the order has all but its top bit set.
        let signature = certificate.signature();
        let is_high = signature[usize::from(signature[3]) + 5] == 33;
        if let Some(form) = file["s_form"].as_str() {
            assert_eq!(is_high, form == "high", "{name}");
        }
        let expected = if is_high { Err(Error::HighS) } else { Ok(()) };
        assert_eq!(strict.map(drop), expected, "{name}");
        assert!(!is_high || name.starts_with("legacy-1.9.3"), "{name}: low since 1.10.3");
        high += u32::from(is_high);
    }
    assert_eq!((p256, high, others), (53, 4, 55));
}

#[cfg(all(feature = "graviola", debug_assertions))]
#[test]
fn all_of_it_without_what_graviola_needs() {
    other_processor::run_the_others(module_path!(), "all_of_it_without_what_graviola_needs");
}

fn ok_case(corpus: &[Value]) -> Vec<u8> {
    let ok = corpus.iter().find(|case| text(case, "id").ends_with("-ok")).unwrap();
    vector::base64(text(ok, "der_b64"))
}

/// The verdict of `nebula-cert verify`: on every block to the end of the file, of which there may be
/// none; not even white space may follow the last.
fn verify_all(pool: &CaPool, pem: &[u8]) -> Result<(), Error> {
    verify_all_at(pool, pem, vector::recorded_at())
}

fn verify_all_at(pool: &CaPool, pem: &[u8], at: i64) -> Result<(), Error> {
    let mut certificates = Vec::new();
    let mut rest = pem;
    while !rest.is_empty() {
        let (certificate, next) = Certificate::split_pem(rest)?;
        certificates.push(certificate);
        rest = next;
    }
    let verify = |one| pool.verify(one, at, &Blocklist::new()).map(drop);
    certificates.iter().try_for_each(verify)
}

/// How many blocks are certificates before the first that is none.
fn before_error(mut rest: &[u8]) -> usize {
    let blocks = std::iter::from_fn(|| {
        let (certificate, next) = Certificate::split_pem(rest).ok()?;
        rest = next;
        Some(certificate)
    });
    blocks.count()
}

/// Compares with a recorded verdict, and the error with the recorded message.
fn check<T: std::fmt::Debug>(what: &str, recorded: &Value, verdict: Result<T, Error>) {
    assert_eq!(verdict.is_ok(), recorded["accept"], "{what}: {verdict:?}, recorded {recorded}");
    if let Err(error) = verdict {
        assert_message(what, text(recorded, "message"), &error);
    }
}

fn assert_message(what: &str, recorded: &str, error: &Error) {
    let expected = wording::of_certificate(error);
    assert!(recorded.contains(&expected), "{what}: {error:?}, recorded {recorded}");
}
