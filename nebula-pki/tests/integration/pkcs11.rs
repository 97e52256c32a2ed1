//! Does a CA whose key is in a PKCS#11 token work, and does the key stay there?
//!
//! SoftHSM finds its tokens by an environment variable, so each test runs itself again in a process
//! of its own. Without SoftHSM (Debian: `softhsm2`) they say so and pass, unless `REQUIRE_PEERS=1`.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeInfo, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use nebula_pki::key::AgreementKey;
use nebula_pki::{
    Blocklist, CaParameters, CaPool, Curve, Error, HostParameters, Issuer, Pkcs11Signer, Pkcs11Uri,
    Signer, TokenKeyDefect, Validity, Version,
};

use crate::support::peer;
use crate::support::random::Seeded;

const TOKENS: &str = "NEBULA_TEST_TOKENS";
const PIN: &str = "12&34?";
const ESCAPED_PIN: &str = "12%2634%3f";
/// P-256 and P-384.
const P256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x22";

#[test]
fn the_reference_accepts_what_it_signs() {
    let Some(token) = Token::new("the_reference_accepts_what_it_signs") else { return };
    Pkcs11Signer::generate(token.uri("object=nebula%20ca;id=%01%ff"), Curve::P256).unwrap();
    let open = || Pkcs11Signer::open(token.uri("object=nebula%20ca")).unwrap();
    let now: i64 =
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap();
    let ca_validity = Validity { not_before: now - 60, not_after: now + 7_200 };
    let validity = Validity { not_before: now - 30, not_after: now + 3_600 };
    let key = AgreementKey::generate(Curve::P256, &mut Seeded(5)).unwrap();
    for ca_version in [Version::V1, Version::V2] {
        let ca = CaParameters::new("In a token", ca_validity);
        let made = Issuer::self_signed(ca_version, ca, open()).unwrap();
        let issuer = Issuer::new(made.certificate().clone(), open()).unwrap();
        for version in [Version::V1, Version::V2] {
            let networks = vec!["10.1.2.3/16".parse().unwrap()];
            let host = HostParameters::new("host", networks, key.public_key(), validity);
            let verified = issuer.issue(version, &host).unwrap();
            let mut pool = CaPool::new();
            pool.add(issuer.certificate().clone()).unwrap();
            pool.verify_strict(verified.certificate(), now, &Blocklist::new()).unwrap();

            let v1 = (ca_version, version) == (Version::V1, Version::V1);
            for release in if v1 { &["1.11.0", "1.9.3"][..] } else { &["1.11.0"] } {
                let Some(tool) = peer::nebula_cert(release) else { continue };
                let (ca, crt) = (token.file("ca.crt"), token.file("host.crt"));
                fs::write(&ca, issuer.certificate().to_pem()).unwrap();
                fs::write(&crt, verified.certificate().to_pem()).unwrap();
                let output =
                    Command::new(tool).args(["verify", "-ca", &ca, "-crt", &crt]).output().unwrap();
                assert!(output.status.success(), "{release} {ca_version:?} {output:?}");
            }
        }
    }
}

#[test]
fn the_key_stays_in_the_token() {
    let Some(token) = Token::new("the_key_stays_in_the_token") else { return };
    let signer = Pkcs11Signer::generate(token.uri("object=ca"), Curve::P256).unwrap();
    let session = token.session();
    let key = only(&session, ObjectClass::PRIVATE_KEY);
    let info = session.get_attribute_info(key, &[AttributeType::Value]).unwrap();
    assert!(matches!(info[..], [AttributeInfo::Sensitive]), "{info:?}");
    assert_eq!(session.get_attributes(key, &[AttributeType::Value]).unwrap(), []);
    let asked = [
        AttributeType::Token,
        AttributeType::Private,
        AttributeType::Sensitive,
        AttributeType::Extractable,
        AttributeType::NeverExtractable,
        AttributeType::Id,
    ];
    let attributes = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::NeverExtractable(true),
        Attribute::Id(b"ca".to_vec()),
    ];
    assert_eq!(session.get_attributes(key, &asked).unwrap(), attributes);
    // Neither can it be made extractable later.
    assert!(session.update_attributes(key, &[Attribute::Extractable(true)]).is_err());
    assert!(session.update_attributes(key, &[Attribute::Sensitive(false)]).is_err());

    let shown = format!("{signer:?}");
    assert_eq!(
        shown,
        r#"Pkcs11Signer { uri: Pkcs11Uri { token: Some("test"), object: Some("ca"), .. }, .. }"#
    );
}

#[test]
fn the_key_has_to_be_the_one() {
    let Some(token) = Token::new("the_key_has_to_be_the_one") else { return };
    let refused = |path: &str| Pkcs11Signer::open(token.uri(path)).unwrap_err();
    let none = Error::TokenKeySelection { found: 0 };
    assert_eq!(refused("object=ca"), none);
    let first = Pkcs11Signer::generate(token.uri("object=ca;id=%01"), Curve::P256).unwrap();
    let again = Pkcs11Signer::generate(token.uri("object=ca;id=%02"), Curve::P256).unwrap_err();
    assert_eq!(again, Error::TokenKeySelection { found: 1 });
    let unnamed = Pkcs11Signer::generate(token.uri("id=%02"), Curve::P256).unwrap_err();
    assert!(matches!(unnamed, Error::Pkcs11Uri { attribute, .. } if attribute == "object"));
    // A single key needs no name.
    for path in ["object=ca", "id=%01", "type=private", "object=ca;id=%01;serial="] {
        let path = match path.strip_suffix("serial=") {
            Some(path) => format!("{path}serial={}", token.serial()),
            None => path.to_owned(),
        };
        let opened = Pkcs11Signer::open(token.uri(&path)).unwrap();
        assert_eq!(opened.public_key(), first.public_key(), "{path}");
    }
    assert_eq!(refused("object=Ca"), none);
    assert_eq!(refused("object=ca;id=%02"), none);

    // A second one with the same label, which only its id tells apart.
    let session = token.session();
    generate(&session, P256, "ca", &[2]);
    let two = Error::TokenKeySelection { found: 2 };
    assert_eq!(refused("object=ca"), two);
    assert_eq!(refused("type=private"), two);
    let second = Pkcs11Signer::open(token.uri("id=%02")).unwrap();
    assert_ne!(second.public_key(), first.public_key());
    assert_eq!(Pkcs11Signer::open(token.uri("id=%01")).unwrap().public_key(), first.public_key());

    generate(&session, P384, "p384", &[3]);
    let defect = TokenKeyDefect::OtherCurve;
    assert_eq!(refused("id=%03"), Error::TokenKey { defect });
    let bits = Attribute::ModulusBits(2_048.into());
    let mechanism = Mechanism::RsaPkcsKeyPairGen;
    generate_with(&session, &mechanism, bits, "rsa", &[4]);
    let defect = TokenKeyDefect::NotElliptic;
    assert_eq!(refused("id=%04"), Error::TokenKey { defect });

    // A host's key agrees, and signs nothing.
    let named = [Attribute::Token(true), Attribute::Id(vec![7])];
    let public = [&named[..], &[Attribute::EcParams(P256.to_vec())]].concat();
    let private = [&named[..], &[Attribute::Sign(false), Attribute::Derive(true)]].concat();
    session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).unwrap();
    let refusal = refused("id=%07");
    assert_eq!(refusal, Error::Pkcs11 { action: "sign", reason: "KeyFunctionNotPermitted".into() });
    assert_eq!(token.uri("id=%07").public_key().unwrap().curve(), Curve::P256);
    let first_again = token.uri("id=%01").public_key().unwrap();
    assert_eq!(first_again.as_bytes(), first.public_key());
    assert_eq!(token.uri("id=%08").public_key().unwrap_err(), none);

    // The public key of another one in the place of its own.
    let [(_, public), _] =
        [generate(&session, P256, "a", &[5]), generate(&session, P256, "b", &[6])];
    session.destroy_object(public).unwrap();
    let public = session
        .find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Id(vec![6])])
        .unwrap()[0];
    session.update_attributes(public, &[Attribute::Id(vec![5])]).unwrap();
    let defect = TokenKeyDefect::OtherPublicKey;
    assert_eq!(refused("id=%05"), Error::TokenKey { defect });
    assert_eq!(refused("id=%06"), Error::TokenKey { defect: TokenKeyDefect::NoPublicKey });
}

#[test]
fn the_token_has_to_be_the_one() {
    let Some(token) = Token::new("the_token_has_to_be_the_one") else { return };
    Pkcs11Signer::generate(token.uri("object=ca"), Curve::P256).unwrap();
    token.util(&["--init-token", "--free", "--label", "other", "--pin", PIN, "--so-pin", "5678"]);
    // The module looks for new tokens when it starts.
    token.module().finalize().unwrap();

    let open = |path: &str| {
        let uri = format!("pkcs11:{path}?{}", token.query());
        Pkcs11Signer::open(uri.parse().unwrap())
    };
    assert!(open("token=test;object=ca").is_ok());
    assert!(open(&format!("slot-id={};object=ca", token.slot())).is_ok());
    assert_eq!(open("object=ca").unwrap_err(), Error::TokenSelection { found: 2 });
    assert_eq!(open("token=tes;object=ca").unwrap_err(), Error::TokenSelection { found: 0 });
    assert_eq!(open("slot-id=3;object=ca").unwrap_err(), Error::TokenSelection { found: 0 });
    let missing = Error::TokenKeySelection { found: 0 };
    assert_eq!(open("token=other;object=ca").unwrap_err(), missing);
}

#[test]
fn every_attribute_of_the_rfc_tells_one_from_another() {
    let test = "every_attribute_of_the_rfc_tells_one_from_another";
    let Some(token) = Token::new(test) else { return };
    Pkcs11Signer::generate(token.uri("object=ca;id=%01"), Curve::P256).unwrap();
    let module = token.module();
    let (library, slot) = (module.get_library_info().unwrap(), token.slot());
    let slot_info = module.get_slot_info(slot.try_into().unwrap()).unwrap();
    let info = module.get_token_info(slot.try_into().unwrap()).unwrap();
    let version = library.library_version();
    for (name, value) in [
        ("object", "ca".to_owned()),
        ("type", "private".to_owned()),
        ("type", "public".to_owned()),
        ("token", "test".to_owned()),
        ("manufacturer", info.manufacturer_id().to_owned()),
        ("model", info.model().to_owned()),
        ("serial", info.serial_number().to_owned()),
        ("slot-id", slot.to_string()),
        ("slot-description", slot_info.slot_description().to_owned()),
        ("slot-manufacturer", slot_info.manufacturer_id().to_owned()),
        ("library-description", library.library_description().to_owned()),
        ("library-manufacturer", library.manufacturer_id().to_owned()),
        ("library-version", format!("{}.{}", version.major(), version.minor())),
    ] {
        let open = |value: &str| {
            let uri = format!("pkcs11:{name}={}?{}", value.replace(' ', "%20"), token.query());
            Pkcs11Signer::open(uri.parse().unwrap())
        };
        open(&value).unwrap_or_else(|error| panic!("{name}={value}: {error}"));
        let other = match name {
            "type" => continue,
            "library-version" | "slot-id" => "7".to_owned(),
            _ => format!("{value}x"),
        };
        let none = match name {
            "object" => Error::TokenKeySelection { found: 0 },
            _ => Error::TokenSelection { found: 0 },
        };
        assert_eq!(open(&other).unwrap_err(), none, "{name}={other}");
    }
}

#[test]
fn a_module_is_found_by_its_name() {
    let Some(token) = Token::new("a_module_is_found_by_its_name") else { return };
    Pkcs11Signer::generate(token.uri("object=ca"), Curve::P256).unwrap();
    let directory = Path::new(&token.module_path).parent().unwrap().display().to_string();
    let open = |module: &str| {
        let uri = format!("pkcs11:object=ca?{module}&pin-value={ESCAPED_PIN}");
        Pkcs11Signer::open(uri.parse().unwrap())
    };
    for module in [
        format!("module-path={directory}&module-name=softhsm2"),
        format!("module-path={directory}&module-name=LIBSOFTHSM2"),
        format!("module-path={}&module-name=softhsm2", token.module_path),
        "module-name=softhsm2".to_owned(),
    ] {
        assert!(open(&module).is_ok(), "{module}");
    }
    // Not the beginning of another's name.
    for module in [
        format!("module-path={directory}&module-name=softhsm"),
        "module-name=there-is-no-such-module".to_owned(),
        "module-path=/nonexistent&module-name=softhsm2".to_owned(),
    ] {
        let error = open(&module).unwrap_err();
        assert!(matches!(error, Error::Pkcs11 { .. }), "{module}: {error}");
    }
}

#[test]
fn an_ed25519_key_signs_in_its_token() {
    let Some(token) = Token::new("an_ed25519_key_signs_in_its_token") else { return };
    let made = Pkcs11Signer::generate(token.uri("object=ca"), Curve::Curve25519).unwrap();
    let signer = Pkcs11Signer::open(token.uri("object=ca")).unwrap();
    assert_eq!((signer.curve(), signer.public_key()), (Curve::Curve25519, made.public_key()));
    let now: i64 =
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap();
    let validity = Validity { not_before: now - 60, not_after: now + 3_600 };
    let key = AgreementKey::generate(Curve::Curve25519, &mut Seeded(5)).unwrap();
    let ca = CaParameters::new("In a token", validity);
    let issuer = Issuer::self_signed(Version::V2, ca, signer).unwrap();
    let networks = vec!["10.1.2.3/16".parse().unwrap()];
    let host = HostParameters::new("host", networks, key.public_key(), validity);
    let verified = issuer.issue(Version::V2, &host).unwrap();
    let mut pool = CaPool::new();
    pool.add(issuer.certificate().clone()).unwrap();
    pool.verify_strict(verified.certificate(), now, &Blocklist::new()).unwrap();
    if let Some(tool) = peer::nebula_cert("1.11.0") {
        let (ca, crt) = (token.file("ca.crt"), token.file("host.crt"));
        fs::write(&ca, issuer.certificate().to_pem()).unwrap();
        fs::write(&crt, verified.certificate().to_pem()).unwrap();
        let output =
            Command::new(tool).args(["verify", "-ca", &ca, "-crt", &crt]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    // It signs, but a host's key has to agree.
    let error = token.uri("object=ca").public_key().unwrap_err();
    assert_eq!(error, Error::UnsupportedCurve { curve: Curve::Curve25519 });
}

#[test]
fn the_pin_has_to_be_right() {
    let Some(token) = Token::new("the_pin_has_to_be_right") else { return };
    drop(Pkcs11Signer::generate(token.uri("object=ca"), Curve::P256).unwrap());
    let open = |query: &str| {
        let module = token.module_path.replace('/', "%2f");
        let uri = format!("pkcs11:token=test;object=ca?module-path={module}{query}");
        Pkcs11Signer::open(uri.parse().unwrap())
    };
    // Private keys are seen after logging in only.
    assert_eq!(open("").unwrap_err(), Error::NoPin);
    let wrong = open("&pin-value=12%2634").unwrap_err();
    assert_eq!(wrong, Error::Pkcs11 { action: "log in", reason: "PinIncorrect".to_owned() });

    let pin = token.file("pin");
    assert!(matches!(
        open(&format!("&pin-source={pin}")).unwrap_err(),
        Error::PinSource { path, kind: ErrorKind::NotFound } if path == pin
    ));
    // It would count as a try.
    for empty in ["", "\n", "\r\n"] {
        fs::write(&pin, empty).unwrap();
        assert!(matches!(
            open(&format!("&pin-source={pin}")).unwrap_err(),
            Error::EmptyPinSource { path } if path == pin
        ));
    }
    for (content, source) in [
        (PIN.to_owned(), format!("&pin-source={pin}")),
        (format!("{PIN}\n"), format!("&pin-source=file:{pin}")),
        (format!("{PIN}\r\n"), format!("&pin-source=file://{pin}")),
    ] {
        fs::write(&pin, content).unwrap();
        assert!(open(&source).is_ok(), "{source}");
    }
    fs::write(&pin, format!("{PIN}\n\n")).unwrap();
    assert!(matches!(open(&format!("&pin-source={pin}")), Err(Error::Pkcs11 { .. })));
}

#[test]
fn threads_share_a_signer() {
    let Some(token) = Token::new("threads_share_a_signer") else { return };
    let signer = Pkcs11Signer::generate(token.uri("object=ca"), Curve::P256).unwrap();
    let validity = Validity { not_before: 1_000, not_after: 9_000 };
    let issuer =
        Issuer::self_signed(Version::V2, CaParameters::new("ca", validity), signer).unwrap();
    let mut pool = CaPool::new();
    pool.add(issuer.certificate().clone()).unwrap();
    let key = AgreementKey::generate(Curve::P256, &mut Seeded(5)).unwrap();
    thread::scope(|scope| {
        for number in 0..8 {
            let (issuer, pool, key) = (&issuer, &pool, &key);
            scope.spawn(move || {
                for round in 0..25 {
                    let network = format!("10.0.{number}.{round}/8").parse().unwrap();
                    let host =
                        HostParameters::new("host", vec![network], key.public_key(), validity);
                    let issued = issuer.issue(Version::V2, &host).unwrap();
                    let verdict = pool.verify(issued.certificate(), 5_000, &Blocklist::new());
                    assert!(verdict.is_ok());
                }
            });
        }
    });
}

#[test]
fn a_lost_session_is_opened_again() {
    let Some(token) = Token::new("a_lost_session_is_opened_again") else { return };
    let signer = Pkcs11Signer::generate(token.uri("object=ca"), Curve::P256).unwrap();
    signer.sign(b"before").unwrap();
    token.module().finalize().unwrap();
    signer.sign(b"after the module was shut down").unwrap();
    token.module().finalize().unwrap();
    let module = token.module();
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    signer.sign(b"after it was started again").unwrap();

    // Another key in its place is not taken for it.
    let session = token.session();
    session.destroy_object(only(&session, ObjectClass::PRIVATE_KEY)).unwrap();
    session.destroy_object(only(&session, ObjectClass::PUBLIC_KEY)).unwrap();
    generate(&session, P256, "ca", b"ca");
    assert_eq!(signer.sign(b"with another key").unwrap_err(), Error::SignerMismatch);
}

#[test]
fn modules_that_are_none() {
    for module in ["/nonexistent/module.so", env!("CARGO_MANIFEST_DIR")] {
        let uri = format!("pkcs11:object=ca?module-path={module}").parse().unwrap();
        let error = Pkcs11Signer::open(uri).unwrap_err();
        assert!(matches!(error, Error::Pkcs11 { action: "load the module", .. }), "{error}");
    }
}

#[test]
fn uris() {
    let refused = [
        ("", "pkcs11:"),
        ("pkcs12:object=a?module-path=/m", "pkcs11:"),
        ("pkcs11:", "module-path"),
        ("pkcs11:object=a", "module-path"),
        ("pkcs11:object=a?", "module-path"),
        ("pkcs11:object=a?module-path=", "module-path"),
        ("pkcs11:object=a?module-path=m.so", "module-path"),
        ("pkcs11:object=a?module-path=/m&module-path=/m", "module-path"),
        ("pkcs11:object=a?module-path=/%ff", "module-path"),
        ("pkcs11:object=a?module-name=lib/softhsm2", "module-name"),
        ("pkcs11:object=a?module-name=", "module-name"),
        ("pkcs11:object=a?module-name=a&module-name=a", "module-name"),
        ("pkcs11:object=a?token=b&module-path=/m", "token"),
        ("pkcs11:object=a;module-path=/m", "module-path"),
        ("pkcs11:object=a;pin-value=1?module-path=/m", "pin-value"),
        ("pkcs11:object=a;object=b?module-path=/m", "object"),
        ("pkcs11:object?module-path=/m", "object"),
        ("pkcs11:object=?module-path=/m", "object"),
        ("pkcs11:object=a;?module-path=/m", ""),
        ("pkcs11:object=a%?module-path=/m", "object"),
        ("pkcs11:object=a%4?module-path=/m", "object"),
        ("pkcs11:object=a%4g?module-path=/m", "object"),
        ("pkcs11:object=a%+4?module-path=/m", "object"),
        ("pkcs11:object=a b?module-path=/m", "object"),
        ("pkcs11:object=a#b?module-path=/m", "object"),
        ("pkcs11:object=a?module-path=/m#b", "module-path"),
        ("pkcs11:object=ä?module-path=/m", "object"),
        ("pkcs11:id=%0g?module-path=/m", "id"),
        ("pkcs11:type=cert?module-path=/m", "type"),
        ("pkcs11:slot-manufacturer=a;slot-manufacturer=a?module-path=/m", "slot-manufacturer"),
        ("pkcs11:slot-id=one?module-path=/m", "slot-id"),
        ("pkcs11:slot-id=-1?module-path=/m", "slot-id"),
        ("pkcs11:slot-id=18446744073709551616?module-path=/m", "slot-id"),
        ("pkcs11:token=%ff?module-path=/m", "token"),
        ("pkcs11:library-version=3.?module-path=/m", "library-version"),
        ("pkcs11:library-version=3.0.1?module-path=/m", "library-version"),
        ("pkcs11:library-version=256?module-path=/m", "library-version"),
        ("pkcs11:x-vendor=3?module-path=/m", "x-vendor"),
        ("pkcs11:object=a?module-path=/m&pin-source=pin", "pin-source"),
        ("pkcs11:object=a?module-path=/m&pin-source=|/bin/ask", "pin-source"),
        ("pkcs11:object=a?module-path=/m&pin-source=http://pin", "pin-source"),
        ("pkcs11:object=a?module-path=/m&pin-value=1&pin-source=/p", "pin-source"),
        ("pkcs11:object=a?module-path=/m&pin-value=1&pin-value=2", "pin-value"),
        ("pkcs11:object=a?module-path=/m&pin-value=sec&ret", "ret"),
        ("pkcs11:object=a?module-path=/m&pin-value=sec&ret=1", "pin-value"),
    ];
    for (uri, expected) in refused {
        match uri.parse::<Pkcs11Uri>() {
            Err(Error::Pkcs11Uri { attribute, .. }) => assert_eq!(attribute, expected, "{uri}"),
            other => panic!("{uri}: {other:?}"),
        }
    }
    let long = format!("pkcs11:{}=1?module-path=/m", "x".repeat(1_000));
    let error = long.parse::<Pkcs11Uri>().unwrap_err();
    assert!(matches!(error, Error::Pkcs11Uri { attribute, .. } if attribute.len() == 64));

    for (uri, shown) in [
        // RFC 7512, 2.5: what a query has beyond the known is ignored.
        (
            "PKCS11:object=a%23b?x-vendor=3&module-path=/m&pin-valu=1",
            r#"Pkcs11Uri { token: None, object: Some("a#b"), .. }"#,
        ),
        ("pkcs11:?module-path=/m", "Pkcs11Uri { token: None, object: None, .. }"),
        (
            "pkcs11:token=a+b%3d;object=c=d;id=%00;slot-id=07?pin-value=secret&module-path=/m",
            r#"Pkcs11Uri { token: Some("a+b="), object: Some("c=d"), .. }"#,
        ),
    ] {
        assert_eq!(format!("{:?}", uri.parse::<Pkcs11Uri>().unwrap()), shown);
    }
}

/// A SoftHSM token with the label `test`, in a directory of its own.
struct Token {
    directory: String,
    module_path: String,
}

impl Token {
    /// None where the test has run already: without SoftHSM not at all, else in another process.
    fn new(test: &str) -> Option<Self> {
        let module_path = [
            "/usr/lib/softhsm/libsofthsm2.so",
            "/usr/lib64/softhsm/libsofthsm2.so",
            "/usr/lib/pkcs11/libsofthsm2.so",
        ]
        .into_iter()
        .find(|path| Path::new(path).is_file());
        let Some(module_path) = module_path.map(str::to_owned) else {
            peer::skip("no SoftHSM");
            return None;
        };
        if let Ok(directory) = env::var(TOKENS) {
            return Some(Self { directory, module_path });
        }
        let directory = tempfile::tempdir().unwrap();
        let token = Self { directory: directory.path().to_str().unwrap().to_owned(), module_path };
        fs::create_dir(token.file("tokens")).unwrap();
        let tokens = token.file("tokens");
        let config = format!("directories.tokendir = {tokens}\nlog.level = ERROR\n");
        fs::write(token.file("conf"), config).unwrap();
        token.util(&[
            "--init-token",
            "--free",
            "--label",
            "test",
            "--pin",
            PIN,
            "--so-pin",
            "5678",
        ]);
        let output = Command::new(env::current_exe().unwrap())
            .args([&format!("pkcs11::{test}"), "--exact", "--nocapture"])
            .env("SOFTHSM2_CONF", token.file("conf"))
            .env(TOKENS, &token.directory)
            .output()
            .unwrap();
        let (out, error) = (&output.stdout, &output.stderr);
        let (out, error) = (String::from_utf8_lossy(out), String::from_utf8_lossy(error));
        assert!(output.status.success() && out.contains("1 passed"), "{out}\n{error}");
        None
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }

    fn util(&self, arguments: &[&str]) {
        let output = Command::new("softhsm2-util")
            .args(arguments)
            .env("SOFTHSM2_CONF", self.file("conf"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn query(&self) -> String {
        format!("module-path={}&pin-value={ESCAPED_PIN}", self.module_path)
    }

    fn uri(&self, path: &str) -> Pkcs11Uri {
        format!("pkcs11:token=test;{path}?{}", self.query()).parse().unwrap()
    }

    /// The module as somebody else in this process sees it.
    fn module(&self) -> Pkcs11 {
        Pkcs11::new(&self.module_path).unwrap()
    }

    fn session(&self) -> Session {
        let module = self.module();
        let _ = module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
        let slots = module.get_slots_with_initialized_token().unwrap();
        let session = module.open_rw_session(slots[0]).unwrap();
        let _ = session.login(UserType::User, Some(&AuthPin::new(PIN.into())));
        session
    }

    fn slot(&self) -> u64 {
        let module = self.module();
        let _ = module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
        let slots = module.get_slots_with_initialized_token().unwrap();
        let ours = |slot: &_| module.get_token_info(*slot).unwrap().label() == "test";
        slots.into_iter().find(ours).unwrap().id()
    }

    fn serial(&self) -> String {
        let module = self.module();
        let slots = module.get_slots_with_initialized_token().unwrap();
        module.get_token_info(slots[0]).unwrap().serial_number().to_owned()
    }
}

fn only(session: &Session, class: ObjectClass) -> ObjectHandle {
    let [object] = session.find_objects(&[Attribute::Class(class)]).unwrap()[..] else {
        panic!("not one object")
    };
    object
}

/// A key pair on this curve: private and public.
fn generate(
    session: &Session,
    curve: &[u8],
    label: &str,
    id: &[u8],
) -> (ObjectHandle, ObjectHandle) {
    let parameters = Attribute::EcParams(curve.to_vec());
    generate_with(session, &Mechanism::EccKeyPairGen, parameters, label, id)
}

fn generate_with(
    session: &Session,
    mechanism: &Mechanism<'_>,
    parameters: Attribute,
    label: &str,
    id: &[u8],
) -> (ObjectHandle, ObjectHandle) {
    let named = [
        Attribute::Token(true),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Id(id.to_vec()),
    ];
    let public = [&named[..], &[parameters, Attribute::Verify(true)]].concat();
    let private = [&named[..], &[Attribute::Sign(true)]].concat();
    let (public, private) = session.generate_key_pair(mechanism, &public, &private).unwrap();
    (private, public)
}
