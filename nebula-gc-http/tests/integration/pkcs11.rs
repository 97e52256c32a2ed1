//! Does a network work whose CA's key was made in a PKCS#11 token, and never leaves it?
//!
//! SoftHSM finds its tokens by an environment variable, so the test runs itself again in a process
//! of its own.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use crate::support::requests;
use nebula_alloc::{Readers, Sqlite};
use nebula_gc_http::{
    CaSource, Context, Enrollment, NetworkRef, NewNetwork, ServerSecrets, Service, Signers,
    Versions, verify,
};
use nebula_pki::{Curve, Pkcs11Signer};

const PLACE: &str = "NEBULA_TEST_TOKENS";

#[tokio::test]
async fn a_node_enrols_with_a_ca_in_a_token() {
    let Some(place) = place("pkcs11::a_node_enrols_with_a_ca_in_a_token") else { return };
    let module = module().unwrap();
    let mut signers = Signers::default();
    for (name, curve) in [("p256", Curve::P256), ("ed25519", Curve::Curve25519)] {
        let uri = format!("pkcs11:token=test;object={name}?module-path={module}&pin-value=1234");
        Pkcs11Signer::generate(uri.parse().unwrap(), curve).unwrap();
        signers.add_pkcs11(name, &uri).unwrap();
    }
    assert!(signers.add_pkcs11("other", "pkcs11:nonsense").is_err());
    assert!(!format!("{signers:?}").contains("1234"));

    let now: i64 = UNIX_EPOCH.elapsed().unwrap().as_secs().try_into().unwrap();
    let database = place.join("test.db");
    let store = Sqlite::open(&database).unwrap();
    let secrets = ServerSecrets::generate().unwrap();
    let service = Service::start_with(store, secrets, signers, move || now, |_| Ok(())).unwrap();
    for (name, versions, signer, curve) in [
        ("one", Versions::V1, "p256", Curve::P256),
        ("two", Versions::V2, "p256", Curve::P256),
        ("both", Versions::Both, "p256", Curve::P256),
        ("edwards", Versions::V2, "ed25519", Curve::Curve25519),
    ] {
        // The curve of the token's key may be another than the network's.
        let network = NewNetwork { versions, ..requests::network(name) };
        let source = Some(CaSource::Signer(signer.to_owned()));
        service.create_network_with(Context::local(), network, None, source).await.unwrap();
        let request = Enrollment {
            network: Some(NetworkRef::new(name).unwrap()),
            public_key: requests::new_key_on(curve),
            ..requests::enrollment("node")
        };
        let enroll = || service.enroll(Context::local(), request.clone());
        let first = enroll().await.unwrap();
        assert_eq!(first.certificates.len(), versions.as_slice().len());
        assert_eq!(enroll().await.unwrap().certificates, first.certificates);
        let ca = service.ca_certificates(None, request.network.clone()).await.unwrap();
        for certificate in &first.certificates {
            accept(&place, &ca, &certificate.to_pem());
        }
    }
    let readers = Readers::open(&database, 1).unwrap();
    assert_eq!(readers.read(|tx| verify(tx, now)).unwrap(), []);
    let rows =
        readers.read(|tx| tx.query("SELECT signer FROM gc_ca WHERE sealed_key IS NULL", &[]));
    assert_eq!(rows.unwrap().len(), 4);
}

/// The reference tool accepts it.
fn accept(place: &Path, ca: &str, certificate: &str) {
    let Some(tool) = env::var_os("NEBULA_BIN_DIR")
        .map(|releases| PathBuf::from(releases).join("1.11.0").join("nebula-cert"))
        .filter(|tool| tool.is_file())
    else {
        skip("no nebula-cert 1.11.0 in NEBULA_BIN_DIR");
        return;
    };
    let (ca_file, file) = (place.join("ca.crt"), place.join("node.crt"));
    fs::write(&ca_file, ca).unwrap();
    fs::write(&file, certificate).unwrap();
    let mut command = Command::new(tool);
    command.args(["verify", "-ca"]).arg(ca_file).arg("-crt").arg(file);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn skip(reason: &str) {
    assert!(env::var("REQUIRE_PEERS").as_deref() != Ok("1"), "{reason}");
    println!("skipped: {reason}");
}

fn module() -> Option<&'static str> {
    ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"]
        .into_iter()
        .find(|path| Path::new(path).is_file())
}

/// In the process of its own: where the tokens are. In the first one that process is run.
fn place(test: &str) -> Option<PathBuf> {
    if let Some(place) = env::var_os(PLACE) {
        return Some(place.into());
    }
    if module().is_none() {
        skip("no SoftHSM");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let (tokens, config) = (directory.path().join("tokens"), directory.path().join("conf"));
    fs::create_dir(&tokens).unwrap();
    let text = format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display());
    fs::write(&config, text).unwrap();
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "test", "--pin", "1234", "--so-pin", "5678"])
        .env("SOFTHSM2_CONF", &config)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let output = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env("SOFTHSM2_CONF", &config)
        .env(PLACE, directory.path())
        .output()
        .unwrap();
    let (out, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{error}");
    None
}
