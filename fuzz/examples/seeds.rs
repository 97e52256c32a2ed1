//! Makes the first inputs of each fuzz target from the vectors of `nebula-pki` and the bundles of
//! `nebula-bundle`.
//! usage: cargo run -p nebula-fuzz --example seeds DIRECTORY
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a tool of the tests"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nebula_bundle::{Certificates, Network, Node, RENDERING, Renderer, Tun};
use nebula_pki::{Blocklist, CaPool, Certificate, Curve, Version};
use serde_json::Value;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../nebula-pki/tests/vectors");
const BUNDLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../nebula-bundle/tests/snapshots");

fn main() {
    let directory = PathBuf::from(env::args().nth(1).expect("a directory"));
    let mut vectors = Vectors::default();
    for path in files(Path::new(VECTORS)) {
        let contents = fs::read(&path).unwrap();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => vectors.collect(&serde_json::from_slice(&contents).unwrap()),
            Some("crt" | "key" | "pub" | "pem") => drop(vectors.pems.insert(contents)),
            _ => {}
        }
    }
    let Vectors { pems, mut v1, mut v2, containers } = vectors;
    let certificates: Vec<_> =
        pems.iter().flat_map(|pem| Certificate::from_pem_many(pem).unwrap_or_default()).collect();
    for certificate in &certificates {
        let encoded = if certificate.version() == Version::V1 { &mut v1 } else { &mut v2 };
        encoded.insert(certificate.to_bytes());
    }
    let (keys, bundles): (Vec<_>, Vec<_>) = pems.into_iter().partition(|pem| is_key(pem));

    write(&directory.join("show"), v1.iter().chain(&v2));
    write(&directory.join("certificate_v1"), &v1);
    write(&directory.join("certificate_v2"), &v2);
    write(&directory.join("encrypted_key"), keys.iter().chain(&containers));
    write(&directory.join("keys"), &keys);
    write(&directory.join("ca_pool"), &bundles);
    write(&directory.join("handshake"), &certificates.iter().map(handshake).collect::<Vec<_>>());
    let bundles = files(Path::new(BUNDLES)).into_iter();
    let configurations: Vec<_> = bundles
        .filter(|path| path.ends_with("nebula.yml"))
        .map(|path| fs::read(path).unwrap())
        .collect();
    write(&directory.join("nebula_yml"), &configurations);
    write(&directory.join("archive"), &archives());
}

/// A bundle of the snapshots' node in both formats.
fn archives() -> [Vec<u8>; 2] {
    let read = |name: &str| fs::read(Path::new(BUNDLES).join("version-1").join(name)).unwrap();
    let ca_crt = read("ca.crt");
    let node = Certificate::from_pem(&read("node.crt")).unwrap();
    let pool = CaPool::from_pem(&ca_crt).unwrap();
    let node = pool.verify(&node, 1_700_000_001, &Blocklist::new()).unwrap();
    let network = Network {
        rendering: RENDERING,
        cas: Certificate::from_pem_many(&ca_crt).unwrap(),
        lighthouses: vec![],
        relays: vec![],
        blocklist: BTreeSet::new(),
        tun: Tun::default(),
        initiating_version: Version::V1,
    };
    let node = Node::new(Certificates::new([node]).unwrap());
    let bundle = Renderer::new(network).unwrap().render(&node).unwrap();
    [bundle.to_zip().unwrap(), bundle.to_tar_gz().unwrap()]
}

/// The inputs in the vectors, each once.
#[derive(Default)]
struct Vectors {
    pems: BTreeSet<Vec<u8>>,
    v1: BTreeSet<Vec<u8>>,
    v2: BTreeSet<Vec<u8>>,
    /// What encrypted keys have between their banners.
    containers: BTreeSet<Vec<u8>>,
}

impl Vectors {
    fn collect(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.collect(item)),
            Value::Object(members) => {
                let v2 = value["banner"].as_str().is_some_and(|banner| banner.ends_with("V2"));
                let certificates = if v2 { &mut self.v2 } else { &mut self.v1 };
                certificates.extend(decoded(&value["der_b64"]));
                self.containers.extend(decoded(&value["container_b64"]));
                members.values().for_each(|member| self.collect(member));
            }
            Value::String(text) if text.starts_with("-----BEGIN") => {
                self.pems.insert(text.clone().into_bytes());
            }
            _ => {}
        }
    }
}

fn decoded(base64: &Value) -> Option<Vec<u8>> {
    base64.as_str().map(|text| STANDARD.decode(text).unwrap())
}

fn is_key(pem: &[u8]) -> bool {
    String::from_utf8_lossy(pem).contains(" KEY-----")
}

/// As the target takes it apart: `arbitrary` reads numbers and arrays from the front, and gives
/// what is left to the last slice.
fn handshake(certificate: &Certificate) -> Vec<u8> {
    let mut key = certificate.public_key().to_vec();
    key.resize(65, 0);
    let v1 = u8::from(certificate.version() == Version::V1);
    let p256 = u8::from(certificate.curve() == Curve::P256);
    [&[v1, p256], &key[..], &certificate.to_handshake_bytes()].concat()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn write<'a>(directory: &Path, seeds: impl IntoIterator<Item = &'a Vec<u8>>) {
    fs::create_dir_all(directory).unwrap();
    for (number, seed) in seeds.into_iter().enumerate() {
        fs::write(directory.join(format!("{number:04}")), seed).unwrap();
    }
}
