//! Does the real `nebula-cert` agree with us, both ways, on each curve and version that it knows?
//!
//! Looks for releases in `NEBULA_BIN_DIR` (one directory per release), else for one in the search
//! path. Without any it says so and passes, unless `REQUIRE_PEERS=1`.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use nebula_pki::key::{AgreementKey, PublicKey, SigningKey};
use nebula_pki::{
    Blocklist, CaParameters, CaPool, Certificate, Curve, Error, HostParameters, Issuer, Signer,
    Validity, Version,
};

use crate::support::assemble::assemble;
use crate::support::random::Seeded;
use crate::support::tool::{Kind, tools};

#[test]
fn verifies_and_prints_what_we_issue() {
    for tool in tools() {
        for kind in tool.kinds() {
            let limited = authority(kind, ca_validity());
            let mut cases: Vec<_> =
                hosts(kind).into_iter().map(|(what, host)| (what, &limited, host)).collect();
            let unlimited = unlimited(kind);
            let everything: &[&str] =
                if kind.host == Version::V1 { &["0.0.0.0/0"] } else { &["0.0.0.0/0", "::/0"] };
            let networks: &[&str] = if kind.host == Version::V1 {
                &["10.9.1.5/16"]
            } else {
                &["10.9.1.5/16", "fd00::1/64"]
            };
            let gateway = host_in(kind, networks).unsafe_networks(nets(everything));
            cases.push(("gateway", &unlimited, gateway.groups(["any", "thing"])));
            for (what, issuer, host) in cases {
                let what = format!("{} {kind} {what}", tool.release);
                let certificate = issuer.issue(kind.host, &host).unwrap().into_certificate();
                let ca = tool.file("ca.crt", &issuer.certificate().to_pem());
                let crt = tool.file("host.crt", &certificate.to_pem());
                tool.succeed(&["verify", "-ca", &ca, "-crt", &crt]);
                assert_eq!(tool.print(&crt), tool.expected(&certificate), "{what}");
                assert_eq!(tool.print(&ca), tool.expected(issuer.certificate()), "{what}");
            }
        }
    }
}

#[test]
fn refuses_what_our_pool_refuses() {
    for tool in tools() {
        for kind in tool.kinds() {
            let issuer = authority(kind, ca_validity());
            let ca = tool.file("ca.crt", &issuer.certificate().to_pem());
            let pool = pool(&issuer);
            for (what, host) in forbidden(kind).into_iter().chain(untimely(kind)) {
                let certificate = against_limits(&issuer, kind, &host);
                let error = pool.verify(&certificate, now(), &Blocklist::new()).unwrap_err();
                let crt = tool.file("host.crt", &certificate.to_pem());
                let what = format!("{kind} {what}");
                tool.refuses(&["verify", "-ca", &ca, "-crt", &crt], &error, &what);
            }
            // What is wrong above is that and nothing else.
            let certificate = against_limits(&issuer, kind, &host(kind));
            pool.verify(&certificate, now(), &Blocklist::new()).unwrap();
            let crt = tool.file("host.crt", &certificate.to_pem());
            tool.succeed(&["verify", "-ca", &ca, "-crt", &crt]);
        }
    }
}

#[test]
fn refuses_the_cas_and_signatures_that_our_pool_refuses() {
    for tool in tools() {
        for kind in tool.kinds() {
            let issuer = authority(kind, ca_validity());
            let good = issuer.issue(kind.host, &host(kind)).unwrap().into_certificate();
            let stranger = Issuer::self_signed(
                kind.ca,
                CaParameters::new("stranger", ca_validity()),
                SigningKey::generate(kind.curve, &mut Seeded(99)).unwrap(),
            )
            .unwrap();
            let prepared = issuer.prepare(kind.host, &host(kind)).unwrap();
            let signed = prepared.to_be_signed();
            let wrong = SigningKey::generate(kind.curve, &mut Seeded(99)).unwrap().sign(signed);
            let wrong = assemble(kind.host, kind.curve, good.public_key(), signed, &wrong.unwrap());
            let ended = Validity { not_before: now() - 7_200, not_after: now() - 3_600 };
            let late = authority(kind, ended);
            let under_late = HostParameters::new(
                "host",
                nets(&["10.99.1.5/16"]),
                agreement_key(kind.curve).public_key(),
                ended,
            );
            let under_late = late.issue(kind.host, &under_late).unwrap().into_certificate();
            for (what, issuer, certificate) in [
                ("another CA", &stranger, &good),
                ("another key's signature", &issuer, &wrong),
                ("an expired CA", &late, &under_late),
            ] {
                let verdict = pool(issuer).verify(certificate, now(), &Blocklist::new());
                let ca = tool.file("ca.crt", &issuer.certificate().to_pem());
                let crt = tool.file("host.crt", &certificate.to_pem());
                let what = format!("{kind} {what}");
                let error = verdict.unwrap_err();
                tool.refuses(&["verify", "-ca", &ca, "-crt", &crt], &error, &what);
            }
        }
    }
}

#[test]
fn verifies_either_form_of_s_and_names_it_as_we_do() {
    for tool in tools() {
        for kind in tool.kinds().into_iter().filter(|kind| kind.curve == Curve::P256) {
            let what = format!("{} {kind}", tool.release);
            let issuer = authority(kind, ca_validity());
            let host = host(kind);
            let signed = issuer.prepare(kind.host, &host).unwrap().to_be_signed().to_vec();
            let low = issuer.issue(kind.host, &host).unwrap().into_certificate();
            let signature = p256::ecdsa::Signature::from_der(low.signature()).unwrap();
            let (r, s) = signature.split_scalars();
            let negated = p256::ecdsa::Signature::from_scalars(r, -s).unwrap();
            let high = negated.to_der();
            let high = assemble(kind.host, kind.curve, low.public_key(), &signed, high.as_bytes());
            assert_eq!(low.alternate_fingerprint(), Some(high.fingerprint()), "{what}");

            let ca = tool.file("ca.crt", &issuer.certificate().to_pem());
            for certificate in [&low, &high] {
                let crt = tool.file("host.crt", &certificate.to_pem());
                tool.succeed(&["verify", "-ca", &ca, "-crt", &crt]);
                assert_eq!(tool.print(&crt), tool.expected(certificate), "{what}");
                pool(&issuer).verify(certificate, now(), &Blocklist::new()).unwrap();
            }
        }
    }
}

#[test]
fn signs_with_our_keys_and_we_verify_it() {
    for tool in tools() {
        for kind in tool.kinds() {
            let what = format!("{} {kind}", tool.release);
            let issuer = authority(kind, ca_validity());
            let ca = tool.file("ca.crt", &issuer.certificate().to_pem());
            let ca_key = tool.file("ca.key", &signing_key(kind.curve).to_pem());
            let public_key = agreement_key(kind.curve).public_key();
            let in_pub = tool.file("host.pub", &public_key.to_pem());
            let (out, out_key) = (tool.path("tool.crt"), tool.path("tool.key"));
            let mut arguments = vec!["sign", "-ca-crt", &ca, "-ca-key", &ca_key];
            arguments.extend(tool.version_flags(kind.host));
            arguments.extend(["-name", "host", "-ip", "10.1.2.3/16", "-groups", "a,b c"]);
            arguments.extend(["-subnets", "192.168.0.0/24", "-out-crt", &out]);
            // Once for our key, once for one that it makes.
            for key in [["-in-pub", &in_pub], ["-out-key", &out_key]] {
                tool.path("tool.crt");
                tool.succeed(&[&arguments[..], &key].concat());
                let certificate = Certificate::from_pem(&fs::read(&out).unwrap()).unwrap();
                let pool = pool(&issuer);
                let verified = pool.verify_strict(&certificate, now(), &Blocklist::new());
                // Before 1.10.3 it wrote a high s half of the time.
                let verified = match verified {
                    Err(Error::HighS) if !tool.knows_v2() => {
                        pool.verify(&certificate, now(), &Blocklist::new())
                    }
                    verified => verified,
                };
                let verified = verified.unwrap();
                let details = verified.details();
                assert_eq!(certificate.version(), kind.host, "{what}");
                assert_eq!(details.name(), "host", "{what}");
                assert_eq!(details.networks(), nets(&["10.1.2.3/16"]), "{what}");
                assert_eq!(details.unsafe_networks(), nets(&["192.168.0.0/24"]), "{what}");
                assert_eq!(details.groups().collect::<Vec<_>>(), ["a", "b c"], "{what}");
                if key[0] == "-in-pub" {
                    assert_eq!(certificate.public_key(), public_key.as_bytes(), "{what}");
                } else {
                    let key = AgreementKey::from_pem(&fs::read(&out_key).unwrap()).unwrap();
                    key.check_pair(&certificate).unwrap();
                }
            }
        }
    }
}

#[test]
fn refuses_to_sign_what_we_refuse_to_issue() {
    for tool in tools() {
        for kind in tool.kinds() {
            let issuer = authority(kind, ca_validity());
            let ca = tool.file("ca.crt", &issuer.certificate().to_pem());
            let ca_key = tool.file("ca.key", &signing_key(kind.curve).to_pem());
            for (what, host) in forbidden(kind) {
                let (out, out_key) = (tool.path("no.crt"), tool.path("no.key"));
                let error = issuer.issue(kind.host, &host).unwrap_err();
                let flags: &[&str] = match what {
                    "group" => &["-ip", "10.99.1.5/16", "-groups", "a,z"],
                    "network" => &["-ip", "172.16.0.1/16"],
                    "wider network" => &["-ip", "10.99.1.5/7"],
                    "unsafe network" => &["-ip", "10.99.1.5/16", "-subnets", "8.0.0.0/8"],
                    "longer" => &["-ip", "10.99.1.5/16", "-duration", "480h"],
                    // It signs from now on.
                    "earlier" => continue,
                    other => panic!("{other}"),
                };
                let mut arguments = vec!["sign", "-ca-crt", &ca, "-ca-key", &ca_key];
                arguments.extend(tool.version_flags(kind.host));
                arguments.extend(["-name", "host", "-out-crt", &out, "-out-key", &out_key]);
                arguments.extend(flags);
                tool.refuses(&arguments, &error, &format!("{kind} {what}"));
                assert!(!fs::exists(&out).unwrap(), "{kind} {what}");
            }
            // A key of another CA.
            let other = SigningKey::generate(kind.curve, &mut Seeded(99)).unwrap();
            let other_key = tool.file("other.key", &other.to_pem());
            let out = tool.path("no.crt");
            let refused = tool.run(&[
                "sign",
                "-ca-crt",
                &ca,
                "-ca-key",
                &other_key,
                "-name",
                "host",
                "-ip",
                "10.99.1.5/16",
                "-out-crt",
                &out,
            ]);
            let said = String::from_utf8_lossy(&refused.stderr);
            assert!(said.contains("root certificate does not match private key"), "{said}");
            let ours = Issuer::new(issuer.certificate().clone(), other);
            assert_eq!(ours.unwrap_err(), Error::SignerMismatch);
        }
    }
}

#[test]
fn makes_authorities_and_keys_that_we_load() {
    for tool in tools() {
        for kind in tool.kinds() {
            let (ca, ca_key) = (tool.path("tool-ca.crt"), tool.path("tool-ca.key"));
            let mut arguments = vec!["ca", "-name", "theirs", "-groups", "a", "-ips", "10.0.0.0/8"];
            arguments.extend(["-subnets", "192.168.0.0/16", "-out-crt", &ca, "-out-key", &ca_key]);
            arguments.extend(tool.curve_flags(kind.curve));
            arguments.extend(tool.version_flags(kind.ca));
            tool.succeed(&arguments);
            let signer = SigningKey::from_pem(&fs::read(&ca_key).unwrap()).unwrap();
            assert_eq!(signer.curve(), kind.curve);
            assert_eq!(signer.to_pem().as_bytes(), fs::read(&ca_key).unwrap());
            let certificate = Certificate::from_pem(&fs::read(&ca).unwrap()).unwrap();
            assert_eq!((certificate.version(), certificate.curve()), (kind.ca, kind.curve));
            assert_eq!(tool.print(&ca), tool.expected(&certificate));
            signer.check_pair(&certificate).unwrap();
            let issuer = Issuer::new(certificate, signer).unwrap();

            let (private, public) = (tool.path("tool.key"), tool.path("tool.pub"));
            let mut arguments = vec!["keygen", "-out-key", &private, "-out-pub", &public];
            arguments.extend(tool.curve_flags(kind.curve));
            tool.succeed(&arguments);
            let key = AgreementKey::from_pem(&fs::read(&private).unwrap()).unwrap();
            assert_eq!(key.to_pem().as_bytes(), fs::read(&private).unwrap());
            let public_key = PublicKey::from_pem(&fs::read(&public).unwrap()).unwrap();
            assert_eq!(public_key.to_pem().as_bytes(), fs::read(&public).unwrap());
            assert_eq!(key.public_key(), public_key);

            let validity = Validity { not_before: now(), not_after: now() + 60 };
            let host = |network: &str| {
                HostParameters::new("ours", nets(&[network]), public_key.clone(), validity)
            };
            let issued = issuer.issue(kind.host, &host("10.1.2.3/16").groups(["a"])).unwrap();
            key.check_pair(issued.certificate()).unwrap();
            let crt = tool.file("ours.crt", &issued.into_certificate().to_pem());
            tool.succeed(&["verify", "-ca", &ca, "-crt", &crt]);
            // Its limits hold for us as well.
            let network = nets(&["11.0.0.1/8"])[0];
            let refused = issuer.issue(kind.host, &host("11.0.0.1/8"));
            assert_eq!(refused, Err(Error::NetworkNotPermitted { network }));
            let group = "b".to_owned();
            let refused = issuer.issue(kind.host, &host("10.1.2.3/16").groups([&group]));
            assert_eq!(refused, Err(Error::GroupNotPermitted { group }));
        }
    }
}

/// Our CA, limited to what the hosts need.
fn authority(kind: Kind, validity: Validity) -> Issuer<SigningKey> {
    let networks: &[&str] = match (kind.ca, kind.host) {
        (Version::V2, _) => &["10.0.0.0/8", "fd00::/8"],
        // A version 1 CA limited to IPv4 networks could sign no IPv6 ones.
        (_, Version::V2) => &[],
        _ => &["10.0.0.0/8"],
    };
    let unsafe_networks: &[&str] = match kind.ca {
        Version::V2 => &["192.168.0.0/16", "2001:db8::/32"],
        _ => &["192.168.0.0/16"],
    };
    let parameters = CaParameters::new("Our CA", validity)
        .groups(["laptop", "größe", "a", "b c"])
        .networks(nets(networks))
        .unsafe_networks(nets(unsafe_networks));
    Issuer::self_signed(kind.ca, parameters, signing_key(kind.curve)).unwrap()
}

fn host(kind: Kind) -> HostParameters {
    host_in(kind, &["10.99.1.5/16"])
}

fn host_in(kind: Kind, networks: &[&str]) -> HostParameters {
    let validity = Validity { not_before: now() - 300, not_after: now() + 86_400 };
    host_at(kind, networks, validity)
}

fn host_at(kind: Kind, networks: &[&str], validity: Validity) -> HostParameters {
    let key = agreement_key(kind.curve).public_key();
    HostParameters::new("host <1> & co", nets(networks), key, validity)
}

/// What our CA permits.
fn hosts(kind: Kind) -> Vec<(&'static str, HostParameters)> {
    let mut hosts = vec![
        ("plain", host(kind)),
        ("groups", host(kind).groups(["größe", "laptop", "laptop"])),
        ("unsafe network", host(kind).unsafe_networks(nets(&["192.168.7.9/24"]))),
        ("one address", host_in(kind, &["10.99.1.5/32"])),
    ];
    if kind.host == Version::V2 {
        let both = ["fd00::9/64", "10.99.1.5/16", "10.1.1.1/24"];
        hosts.push(("IPv6", host_in(kind, &["fd00::1/64"])));
        hosts.push(("dual stack", host_in(kind, &both)));
        if kind.ca == Version::V2 {
            let beyond = nets(&["2001:db8:1::/48", "192.168.0.0/16"]);
            hosts.push(("dual stack beyond", host_in(kind, &both).unsafe_networks(beyond)));
        }
    }
    hosts
}

/// What our CA forbids.
fn forbidden(kind: Kind) -> Vec<(&'static str, HostParameters)> {
    let Validity { not_before, not_after } = ca_validity();
    let longer = Validity { not_before, not_after: not_after + 60 };
    let earlier = Validity { not_before: not_before - 60, not_after };
    let networks = &["10.99.1.5/16"];
    let mut hosts = vec![
        ("group", host(kind).groups(["a", "z"])),
        ("unsafe network", host(kind).unsafe_networks(nets(&["8.0.0.0/8"]))),
        ("longer", host_at(kind, networks, longer)),
        ("earlier", host_at(kind, networks, earlier)),
    ];
    if (kind.ca, kind.host) != (Version::V1, Version::V2) {
        hosts.push(("network", host_in(kind, &["172.16.0.1/16"])));
        hosts.push(("wider network", host_in(kind, &["10.99.1.5/7"])));
    }
    hosts
}

/// What is not valid now.
fn untimely(kind: Kind) -> Vec<(&'static str, HostParameters)> {
    let past = Validity { not_before: now() - 300, not_after: now() - 60 };
    let future = Validity { not_before: now() + 3_600, not_after: now() + 7_200 };
    let networks = &["10.99.1.5/16"];
    vec![("past", host_at(kind, networks, past)), ("future", host_at(kind, networks, future))]
}

/// A certificate that the CA's key signed, whatever the CA permits.
fn against_limits(issuer: &Issuer<SigningKey>, kind: Kind, host: &HostParameters) -> Certificate {
    let unlimited = unlimited(kind);
    let prepared = unlimited.prepare(kind.host, host).unwrap();
    let mut signed = prepared.to_be_signed().to_vec();
    let named = unlimited.certificate().fingerprint();
    let at = signed.windows(32).position(|window| window == named.as_bytes()).unwrap();
    signed[at..at + 32].copy_from_slice(issuer.certificate().fingerprint().as_bytes());
    let signature = signing_key(kind.curve).sign(&signed).unwrap();
    let public_key = agreement_key(kind.curve).public_key();
    assemble(kind.host, kind.curve, public_key.as_bytes(), &signed, &signature)
}

/// A CA with the key of the limited one.
fn unlimited(kind: Kind) -> Issuer<SigningKey> {
    let always = Validity { not_before: 0, not_after: now() + 100 * 86_400 };
    let parameters = CaParameters::new("unlimited", always);
    Issuer::self_signed(kind.ca, parameters, signing_key(kind.curve)).unwrap()
}

fn pool(issuer: &Issuer<SigningKey>) -> CaPool {
    let mut pool = CaPool::new();
    pool.add(issuer.certificate().clone()).unwrap();
    pool
}

fn ca_validity() -> Validity {
    Validity { not_before: now() - 3_600, not_after: now() + 10 * 86_400 }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

fn nets(networks: &[&str]) -> Vec<IpNet> {
    networks.iter().map(|network| network.parse().unwrap()).collect()
}

fn signing_key(curve: Curve) -> SigningKey {
    SigningKey::generate(curve, &mut Seeded(1)).unwrap()
}

fn agreement_key(curve: Curve) -> AgreementKey {
    AgreementKey::generate(curve, &mut Seeded(2)).unwrap()
}
