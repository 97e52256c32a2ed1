//! Can a network that `nebula-cert` made be taken over while it runs?

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use crate::support::requests::{new_key, registration};
use crate::support::{Engine, Place, Server};
use nebula_gc_http::error::{Field, Obstacle};
use nebula_gc_http::{
    AddPool, CaFiles, CaSource, Context, DeviceEnrollment, Enrolled, Error, HostImport,
    ImportReport, NetworkRef, PendingOutcome,
};
use nebula_pki::key::PublicKey;
use nebula_pki::{Certificate, Curve, Version};
use tempfile::TempDir;
use zeroize::Zeroizing;

const HOSTS: usize = 50;
const DAY: i64 = 86_400;

/// A network as its owner has it: a directory of files that the reference tool made.
struct Running {
    tool: PathBuf,
    directory: TempDir,
    version: Version,
}

impl Running {
    fn new(release: &str, version: Version, ca: &[&str]) -> Option<Self> {
        let tool = env::var_os("NEBULA_BIN_DIR")
            .map(|releases| PathBuf::from(releases).join(release).join("nebula-cert"))
            .filter(|tool| tool.is_file());
        let Some(tool) = tool else {
            assert!(env::var("REQUIRE_PEERS").as_deref() != Ok("1"), "no nebula-cert {release}");
            println!("skipped: no nebula-cert {release} in NEBULA_BIN_DIR");
            return None;
        };
        let running = Self { tool, directory: tempfile::tempdir().unwrap(), version };
        let made = running.run(&[&["ca", "-name", "old", "-duration", "8760h"], ca].concat());
        assert!(made, "a CA");
        Some(running)
    }

    fn run(&self, arguments: &[&str]) -> bool {
        let mut command = Command::new(&self.tool);
        command.args(arguments).current_dir(&self.directory).env("NEBULA_CA_PASSPHRASE", "horse");
        let output = command.output().unwrap();
        if !output.status.success() {
            println!("{}", String::from_utf8_lossy(&output.stderr));
        }
        output.status.success()
    }

    fn sign(&self, name: &str, address: &str, more: &[&str]) {
        let option = if self.tool.to_string_lossy().contains("1.11") { "-networks" } else { "-ip" };
        let mut arguments = vec!["sign", "-name", name, option, address, "-groups", "old,hosts"];
        if self.tool.to_string_lossy().contains("1.11") {
            let number = if self.version == Version::V1 { "1" } else { "2" };
            arguments.extend(["-version", number]);
        }
        arguments.extend(more);
        assert!(self.run(&arguments), "{name}");
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap()
    }

    fn certificate(&self, name: &str) -> Certificate {
        Certificate::from_pem(self.file(&format!("{name}.crt")).as_bytes()).unwrap()
    }

    /// Whether the tool accepts a certificate under this CA.
    fn accepts(&self, certificate: &str) -> bool {
        fs::write(self.directory.path().join("given.crt"), certificate).unwrap();
        self.run(&["verify", "-ca", "ca.crt", "-crt", "given.crt"])
    }
}

struct Plane(Server);

impl std::ops::Deref for Plane {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.0
    }
}

impl Plane {
    async fn on_sqlite(version: Version) -> Self {
        Self::new(Place::on(Engine::Sqlite).unwrap(), version).await
    }

    async fn new(place: Place, version: Version) -> Self {
        let server =
            Server::start(place, UNIX_EPOCH.elapsed().unwrap().as_secs().try_into().unwrap());
        let pool = AddPool {
            network: Some(NetworkRef::new("old").unwrap()),
            prefix: "10.9.0.0/16".parse().unwrap(),
            version: Some(version),
        };
        server.service.add_pool(Context::local(), pool).await.unwrap();
        Self(server)
    }

    async fn add_ca(&self, running: &Running, passphrase: Option<&str>) -> Result<(), Error> {
        let (certificate, key) = (running.file("ca.crt"), Zeroizing::new(running.file("ca.key")));
        let passphrase = passphrase.map(|text| Zeroizing::new(text.to_owned()));
        self.add_files(CaFiles { certificate, key, passphrase }).await
    }

    async fn add_files(&self, files: CaFiles) -> Result<(), Error> {
        let source = CaSource::Imported(files);
        self.service.add_ca(Context::local(), None, source).await.map(drop)
    }

    async fn import(&self, certificates: &[Certificate], real: bool, skips: bool) -> ImportReport {
        let request = HostImport {
            network: None,
            certificates: certificates.to_vec(),
            blocklist: vec![],
            skips_conflicts: skips,
            is_dry_run: !real,
        };
        self.service.import_hosts(Context::local(), request).await.unwrap()
    }

    async fn register(&self, device: &str, key: &PublicKey) -> Result<Enrolled, Error> {
        let request = DeviceEnrollment { network: None, ..registration(device, key) };
        self.service.enroll_device(Context::local(), request).await
    }
}

fn counts(report: &ImportReport) -> (usize, usize, usize) {
    (report.present, report.imported, report.conflicts.len())
}

async fn a_running_network_goes_on(place: Place, running: &Running) -> Plane {
    let plane = Plane::new(place, running.version).await;
    plane.add_ca(running, None).await.unwrap();
    // Again, it changes nothing.
    plane.add_ca(running, None).await.unwrap();
    let names: Vec<_> = (0..HOSTS).map(|number| format!("host-{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        running.sign(name, &format!("10.9.1.{}/16", number + 1), &[]);
    }
    let hosts: Vec<_> = names.iter().map(|name| running.certificate(name)).collect();
    // This plane's clock stands still, while the tool's goes on.
    plane.pass(60);
    let dry = plane.import(&hosts, false, false).await;
    assert_eq!((counts(&dry), &*dry.conflicts), ((0, HOSTS, 0), &[][..]));
    // Interrupted after a part, it is finished by asking for all of it.
    assert_eq!(counts(&plane.import(&hosts[..20], true, false).await), (0, 20, 0));
    assert_eq!(counts(&plane.import(&hosts, true, false).await), (20, HOSTS - 20, 0));
    assert_eq!(counts(&plane.import(&hosts, true, false).await), (HOSTS, 0, 0));

    // Who is new gets an address that nobody has, and a certificate of the same CA.
    let key = new_key();
    let new = plane.register("newcomer", &key).await.unwrap();
    assert_eq!(new.networks, ["10.9.0.1/16".parse().unwrap()]);
    assert!(running.accepts(&new.certificates[0].to_pem()));
    // A host of the mesh keeps what it has, and renews it when that is due.
    let own = PublicKey::from_raw(Curve::Curve25519, hosts[7].public_key()).unwrap();
    let same = plane.register("host-7", &own).await.unwrap();
    assert_eq!(same.certificates, [hosts[7].clone()]);
    assert_eq!(plane.service.settle_pending().await.unwrap(), PendingOutcome::default());
    plane
}

/// A host's certificate ends a second before its CA: there is little that another could add.
async fn a_host_asks_late(plane: &Plane, running: &Running) {
    plane.pass(300 * DAY);
    let host = running.certificate("host-7");
    let own = PublicKey::from_raw(Curve::Curve25519, host.public_key()).unwrap();
    let late = plane.register("host-7", &own).await.unwrap();
    let [late] = &late.certificates[..] else { panic!("{} certificates", late.certificates.len()) };
    let end = |certificate: &Certificate| certificate.unverified_details().not_after();
    assert!(end(late) >= end(&host) && end(late) <= end(&running.certificate("ca")));
}

/// Its certificates end before their CA, so that renewing them makes a difference.
async fn a_host_renews(plane: &Plane, running: &Running) {
    running.sign("short", "10.9.2.1/16", &["-duration", "72h"]);
    let short = running.certificate("short");
    assert_eq!(counts(&plane.import(std::slice::from_ref(&short), true, false).await), (0, 1, 0));
    plane.pass(2 * DAY + DAY / 2);
    let own = PublicKey::from_raw(Curve::Curve25519, short.public_key()).unwrap();
    let renewed = plane.register("short", &own).await.unwrap();
    assert_ne!(renewed.certificates[0], short);
    assert_eq!(renewed.networks, ["10.9.2.1/16".parse().unwrap()]);
    let details = renewed.certificates[0].unverified_details();
    assert_eq!(details.groups().collect::<Vec<_>>(), ["old", "hosts"]);
    assert!(details.not_after() > short.unverified_details().not_after());
}

const NETWORKS: [(&str, Version, &[&str]); 3] = [
    ("1.9.3", Version::V1, &[]),
    ("1.11.0", Version::V1, &["-version", "1"]),
    ("1.11.0", Version::V2, &["-version", "2"]),
];

#[tokio::test]
async fn a_network_of_each_release_goes_on() {
    for (release, version, ca) in NETWORKS {
        let Some(running) = Running::new(release, version, ca) else { continue };
        let place = Place::on(Engine::Sqlite).unwrap();
        let plane = a_running_network_goes_on(place, &running).await;
        a_host_renews(&plane, &running).await;
        plane.verify();
        a_host_asks_late(&plane, &running).await;
    }
}

#[tokio::test]
async fn on_postgresql_too() {
    let Some(place) = Place::on(Engine::Postgres) else { return };
    let (release, version, ca) = NETWORKS[0];
    let Some(running) = Running::new(release, version, ca) else { return };
    let plane = a_running_network_goes_on(place, &running).await;
    a_host_renews(&plane, &running).await;
    plane.verify();
    a_host_asks_late(&plane, &running).await;
}

#[tokio::test]
async fn each_conflict_is_told_and_nothing_is_written() {
    let Some(running) = Running::new("1.9.3", Version::V1, &[]) else { return };
    let Some(other) = Running::new("1.9.3", Version::V1, &[]) else { return };
    let plane = Plane::on_sqlite(Version::V1).await;
    plane.add_ca(&running, None).await.unwrap();
    let key = new_key();
    // Has 10.9.0.1.
    plane.register("there", &key).await.unwrap();

    let same_key = &["-in-pub", "good.pub"][..];
    running.sign("good", "10.9.1.1/16", &[]);
    fs::write(
        running.directory.path().join("good.pub"),
        PublicKey::from_raw(Curve::Curve25519, running.certificate("good").public_key())
            .unwrap()
            .to_pem(),
    )
    .unwrap();
    other.sign("stranger", "10.9.1.2/16", &[]);
    running.sign("same-address", "10.9.1.1/16", &[]);
    running.sign("same-key", "10.9.1.3/16", same_key);
    running.sign("taken", "10.9.0.1/16", &[]);
    running.sign("outside", "10.8.0.1/16", &[]);
    running.sign("narrow", "10.9.1.4/24", &[]);
    running.sign("there", "10.9.1.5/16", &[]);
    running.sign("any", "10.9.1.6/16", &[]);
    running.sign("router", "10.9.1.7/16", &["-subnets", "192.168.0.0/24"]);
    running.sign("brief", "10.9.1.8/16", &["-duration", "1h"]);
    running.sign("GOOD", "10.9.1.9/16", &[]);
    plane.pass(2 * 3_600);

    let expected = [
        ("stranger", "unknown CA"),
        ("same-address", "certificate 0 has the same address 10.9.1.1"),
        ("same-key", "certificate 0 has the same public key"),
        ("taken", "10.9.0.1"),
        ("outside", "10.8.0.1/16 is not of the network's prefix"),
        ("narrow", "10.9.1.4/24 is not of the network's prefix"),
        ("there", "another node has its name"),
        ("any", "name: must not be \"any\""),
        ("router", "unsafe networks"),
        ("brief", "expired"),
        ("GOOD", "certificate 0 has the same name"),
    ];
    let of = |name: &str| if name == "stranger" { &other } else { &running }.certificate(name);
    let mut hosts = vec![of("good")];
    hosts.extend(expected.map(|(name, _)| of(name)));
    let nodes = || plane.number("SELECT count(*) FROM gc_node");
    for real in [false, true] {
        let report = plane.import(&hosts, real, false).await;
        assert_eq!(report.imported, usize::from(!real));
        let found: Vec<_> = report.conflicts.iter().map(|one| &*one.name).collect();
        assert_eq!(found, expected.map(|(name, _)| name));
        for (conflict, (_, reason)) in report.conflicts.iter().zip(expected) {
            assert!(conflict.obstacle.to_string().contains(reason), "{conflict:?}");
        }
        assert_eq!(
            report.conflicts.iter().map(|one| one.index).collect::<Vec<_>>(),
            (1..12).collect::<Vec<_>>()
        );
        assert_eq!(nodes(), 1, "nothing is written");
    }
    let report = plane.import(&hosts, true, true).await;
    assert_eq!(counts(&report), (0, 1, 11));
    assert_eq!(nodes(), 2);
    plane.verify();
}

#[tokio::test]
async fn a_host_whose_name_or_group_is_no_text_is_told() {
    use std::os::unix::ffi::OsStrExt as _;
    let Some(running) = Running::new("1.11.0", Version::V2, &[]) else { return };
    let plane = Plane::on_sqlite(Version::V2).await;
    plane.add_ca(&running, None).await.unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"g\xe9rant");
    let flags = ["sign", "-version", "2", "-networks", "10.9.0.7/16"];
    for (file, name, group) in [("a", odd, "a".as_ref()), ("b", "b".as_ref(), odd)] {
        let mut command = Command::new(&running.tool);
        command.current_dir(&running.directory).env("NEBULA_CA_PASSPHRASE", "horse").args(flags);
        command.arg("-name").arg(name).arg("-groups").arg(group);
        command.arg("-out-crt").arg(format!("{file}.crt")).arg("-out-key").arg(file);
        assert!(command.status().unwrap().success());
        // The tool's clock may show the next second already.
        plane.pass(5);
        let report = plane.import(&[running.certificate(file)], true, false).await;
        assert!(matches!(report.conflicts[0].obstacle, Obstacle::NotUtf8), "{report:?}");
    }
}

#[tokio::test]
async fn only_a_ca_that_goes_with_the_network_is_taken() {
    let Some(good) = Running::new("1.9.3", Version::V1, &["-ips", "10.0.0.0/8"]) else { return };
    let Some(other) = Running::new("1.9.3", Version::V1, &[]) else { return };
    let narrow = Running::new("1.9.3", Version::V1, &["-ips", "10.9.1.0/24"]).unwrap();
    let p256 = Running::new("1.9.3", Version::V1, &["-curve", "P256"]).unwrap();
    let plane = Plane::on_sqlite(Version::V1).await;
    let files =
        |certificate, key| CaFiles { certificate, key: Zeroizing::new(key), passphrase: None };
    let mismatch = plane.add_files(files(good.file("ca.crt"), other.file("ca.key"))).await;
    assert!(matches!(mismatch, Err(Error::Invalid { field: Field::Key, .. })));
    good.sign("host", "10.9.1.1/16", &[]);
    let host = plane.add_files(files(good.file("host.crt"), good.file("ca.key"))).await;
    assert!(matches!(host, Err(Error::Invalid { field: Field::Certificate, .. })));
    assert!(matches!(plane.add_ca(&narrow, None).await, Err(Error::Conflict { .. })));
    // Nobody is in the network yet, so it can have another curve.
    plane.add_ca(&p256, None).await.unwrap();
    plane.add_ca(&good, None).await.unwrap();
    let key = new_key();
    let node = plane.register("node", &key).await.unwrap();
    assert!(good.accepts(&node.certificates[0].to_pem()));
    assert!(matches!(plane.add_ca(&p256, None).await, Err(Error::Conflict { .. })));
    plane.pass(366 * DAY);
    let expired = plane.add_ca(&other, None).await;
    assert!(matches!(expired, Err(Error::Invalid { field: Field::Certificate, .. })));
    let Place::File(file, _) = &plane.place else { panic!("no file") };
    assert!(!text_in(file, &good.file("ca.key")), "the key is sealed");
}

#[tokio::test]
async fn an_encrypted_key_needs_its_passphrase() {
    let little = ["-encrypt", "-argon-memory", "1024", "-argon-iterations", "1"];
    let Some(running) =
        Running::new("1.11.0", Version::V1, &[&little[..], &["-version", "1"]].concat())
    else {
        return;
    };
    let plane = Plane::on_sqlite(Version::V1).await;
    for (passphrase, field) in
        [(None, Field::Key), (Some(""), Field::Passphrase), (Some("cow"), Field::Passphrase)]
    {
        let refused = plane.add_ca(&running, passphrase).await;
        assert!(
            matches!(&refused, Err(Error::Invalid { field: found, .. }) if *found == field),
            "{refused:?}"
        );
    }
    plane.add_ca(&running, Some("horse")).await.unwrap();
}

/// Whether a file holds the second line of a PEM text, which is the key itself.
fn text_in(file: &Path, pem: &str) -> bool {
    let line = pem.lines().nth(1).unwrap().as_bytes();
    let bytes = fs::read(file).unwrap();
    bytes.windows(line.len()).any(|part| part == line)
}
