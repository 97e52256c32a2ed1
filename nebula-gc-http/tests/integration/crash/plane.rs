//! A database that processes work on and are killed at, and what is checked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nebula_alloc::store::Transaction;
use nebula_alloc::{Postgres, PostgresReaders, Readers, Sqlite};
use nebula_gc_http::{
    Bearer, CaSource, Context, Database, DeviceId, Enrollment, Error, NetworkRef, NetworkSettings,
    NewNetwork, NodeName, ServerSecrets, Service, SignerCommand, Signers, Versions, Violation,
    verify,
};
use nebula_pki::key::{PublicKey, SigningKey};
use nebula_pki::{Curve, Signer};
use tempfile::TempDir;

use super::load::{NETWORKS, fingerprints};
use super::told::{Known, Told, split};
use crate::shared::child::Child;
use crate::shared::random::Random;
use crate::support::requests::{self, START, new_key_on};
use crate::support::shell::{has_programs, make_signing_key};
use crate::support::{Engine, Place};

/// How many seconds pass in one: renewal windows open and deadlines pass.
const HASTE: i64 = 100;
/// How long a certificate waits for its signature, in hasty seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes up to 64 ms more than it needs. Who asked may be dead, and all of this gone.
const SIGNER: &str = r#"#!/bin/sh
cd "$(dirname "$0")" && exec 2>/dev/null || exit 1
case "$1" in
    public-key) openssl pkey -in key -pubout -outform DER | tail -c 32 ;;
    sign)
        message=$(mktemp -p .) && cat > "$message"
        sleep "0.0$(( $(od -An -N1 -tu1 /dev/urandom) / 4 ))"
        openssl pkeyutl -sign -rawin -inkey key -in "$message"; rm -f "$message" ;;
esac
"#;

/// Those of what is recorded: a log that was kept can be replayed.
const SECRETS: &str = r#"{
    "hashing": [{"id": 1, "key": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="}],
    "sealing": [{"id": 1, "key": "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="}]
}"#;

/// A signer that takes a while, as one elsewhere does.
struct Slow(SigningKey);

impl Slow {
    fn new() -> Self {
        Self(SigningKey::generate(Curve::Curve25519, &mut Always).unwrap())
    }
}

struct Always;

impl nebula_pki::Random for Always {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), nebula_pki::Error> {
        bytes.fill(3);
        Ok(())
    }
}

impl Signer for Slow {
    fn curve(&self) -> Curve {
        self.0.curve()
    }

    fn public_key(&self) -> &[u8] {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, nebula_pki::Error> {
        std::thread::sleep(Duration::from_millis(10));
        self.0.sign(message)
    }
}

pub struct Plane {
    /// What the address is of.
    _place: Option<Place>,
    address: String,
    /// Where the secrets and the signer are; what is recorded has its own, always the same.
    directory: Option<PathBuf>,
    _owned: Option<TempDir>,
    /// When the clock showed the start, in milliseconds since the Unix epoch.
    epoch: i64,
}

fn milliseconds() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

impl Plane {
    /// An empty one with its networks; nothing where openssl is missing.
    pub fn on(engine: Engine) -> Option<Self> {
        let place = Place::on(engine)?;
        let owned = tempfile::tempdir().unwrap();
        let directory = owned.path().to_owned();
        let script = directory.join("sign");
        fs::write(&script, SIGNER).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        if !has_programs(&["openssl"]) {
            return None;
        }
        make_signing_key(&directory);
        let secrets = ServerSecrets::generate().unwrap();
        fs::write(directory.join("secrets"), &**secrets.to_json()).unwrap();
        let (address, epoch) = (place.address(), milliseconds());
        let directory = Some(directory);
        let plane = Self { _place: Some(place), address, directory, _owned: Some(owned), epoch };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(plane.add_networks());
        Some(plane)
    }

    /// That which this process, a child, is to work on, and the child's name.
    pub fn of_child(directory: PathBuf) -> (Self, String) {
        let given = |name: &str| std::env::var(name).unwrap();
        let epoch = given("GC_CRASH_EPOCH").parse().unwrap();
        let address = given("GC_CRASH_STORE");
        let plane = Self { _place: None, address, directory: Some(directory), _owned: None, epoch };
        (plane, given("GC_CRASH_NAME"))
    }

    /// A file that a recorder is under, or what is left of one, when the clock shows `now`.
    pub fn recorded(database: &Path, now: Option<i64>) -> Self {
        let passed = now.map_or(0, |now| (now - START) * 1_000 / HASTE);
        Self {
            _place: None,
            address: database.display().to_string(),
            directory: None,
            _owned: None,
            epoch: milliseconds() - passed,
        }
    }

    pub fn child(&self, name: &str) -> Child {
        let environment = [
            ("GC_CRASH_EPOCH", PathBuf::from(self.epoch.to_string())),
            ("GC_CRASH_STORE", PathBuf::from(&self.address)),
            ("GC_CRASH_NAME", PathBuf::from(name)),
        ];
        let directory = self.directory.as_ref().unwrap();
        Child::start_in(super::CHILD, directory, &environment)
    }

    pub async fn add_networks(&self) {
        let service = self.service().unwrap();
        let mut settings = NetworkSettings::default();
        (settings.lifetime, settings.hold_seconds) = (600, 60);
        for (name, curve) in NETWORKS {
            let prefixes: &[&str] = match name {
                "both" => &["10.1.0.0/16", "fd00:1::/64"],
                "p256" => &["10.2.0.0/16"],
                _ => &["10.3.0.0/16"],
            };
            let request = NewNetwork {
                prefixes: prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect(),
                versions: if name == "both" { Versions::Both } else { Versions::V1 },
                curve,
                settings: settings.clone(),
                ..requests::network(name)
            };
            let ca = (name == "remote").then(|| CaSource::Signer("script".to_owned()));
            let caller = Context::local();
            service.create_network_with(caller, request, None, ca).await.unwrap();
        }
    }

    pub fn now(&self) -> i64 {
        START + (milliseconds() - self.epoch) * HASTE / 1_000
    }

    pub fn service(&self) -> Result<Arc<Service>, Error> {
        let database: Database = if self.address.starts_with('/') {
            Sqlite::open(&self.address)?.into()
        } else {
            Postgres::connect(&self.address)?.into()
        };
        let mut signers = Signers::default().with_patience(PATIENCE);
        let secrets = match &self.directory {
            Some(directory) => {
                let script = directory.join("sign").display().to_string();
                signers.add_command("script", SignerCommand::new([script])).unwrap();
                fs::read_to_string(directory.join("secrets")).unwrap()
            }
            None => {
                signers.add("script", 4, || Ok(Box::new(Slow::new()))).unwrap();
                SECRETS.to_owned()
            }
        };
        let secrets = ServerSecrets::from_json(&secrets).unwrap();
        let epoch = self.epoch;
        let clock = move || START + (milliseconds() - epoch) * HASTE / 1_000;
        Service::start_with(database, secrets, signers, clock, |_| Ok(())).map(Arc::new)
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.address.starts_with('/') {
            Readers::open(Path::new(&self.address), 1)?.read(work)
        } else {
            PostgresReaders::open(&self.address, 1)?.read(work)
        }
    }

    pub fn verify(&self, now: i64) -> Result<Vec<Violation>, Error> {
        self.read(|tx| verify(tx, now))
    }

    /// Of a copy of the file that this was done to.
    pub fn verify_broken(&self, sql: &str, now: i64) -> Vec<Violation> {
        let copy = tempfile::tempdir().unwrap();
        let path = copy.path().join("test.db");
        let database = rusqlite::Connection::open(&self.address).unwrap();
        database.execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
        let database = rusqlite::Connection::open(&path).unwrap();
        database.execute_batch("PRAGMA journal_mode = WAL; PRAGMA foreign_keys = OFF").unwrap();
        database.execute_batch(sql).unwrap();
        assert!(database.total_changes() > 0, "{sql} changes nothing");
        drop(database);
        Readers::open(&path, 1).unwrap().read(|tx| verify(tx, now)).unwrap()
    }

    /// The rows whose signatures are awaited.
    pub fn pending(&self) -> BTreeSet<Vec<u8>> {
        self.read(|tx| {
            let rows = tx.query("SELECT id FROM gc_certificate WHERE state = 'pending'", &[])?;
            Ok(rows
                .iter()
                .map(|row| row.columns().blob().map(<[u8]>::to_vec))
                .collect::<Result<_, _>>()?)
        })
        .unwrap()
    }

    pub fn still_pending(&self, rows: &BTreeSet<Vec<u8>>) -> bool {
        !self.pending().is_disjoint(rows)
    }

    /// All of it, after everyone who worked on it was killed: what is wrong with it, if anything.
    /// Some devices ask again, so many.
    pub fn check(&self, told: &mut Told, random: &mut Random, asks: usize) -> Result<(), String> {
        self.check_rows(told)?;
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let service = self.service().map_err(text)?;
            let patience = Instant::now() + Duration::from_secs(30);
            loop {
                service.settle_pending().await.map_err(text)?;
                if self.pending().is_empty() {
                    break;
                }
                unless(Instant::now() < patience, || "certificates stay pending".to_owned())?;
            }
            self.ask_again(&service, told, random, asks).await
        })?;
        self.check_rules().map_err(|wrong| format!("then settled: {wrong}"))
    }

    /// As far as rows tell.
    pub fn check_rows(&self, told: &Told) -> Result<(), String> {
        self.check_rules()?;
        self.check_told(told)
    }

    fn check_rules(&self) -> Result<(), String> {
        let found = self.verify(self.now()).map_err(text)?;
        let first: Vec<_> = found.iter().take(10).map(ToString::to_string).collect();
        unless(found.is_empty(), || format!("{} violations: {first:#?}", found.len()))
    }

    /// What was acknowledged is there, and nobody who never asked.
    fn check_told(&self, told: &Told) -> Result<(), String> {
        let rows = self.read(|tx| {
            let mut states: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for row in tx.query("SELECT device, state FROM gc_node", &[])? {
                let mut columns = row.columns();
                let device = columns.text()?.to_owned();
                states.entry(device).or_default().push(columns.text()?.to_owned());
            }
            let mut ledger = BTreeMap::new();
            let sql = "SELECT fingerprint, state FROM gc_certificate WHERE fingerprint IS NOT NULL";
            for row in tx.query(sql, &[])? {
                let mut columns = row.columns();
                let bytes: [u8; 32] = columns.array()?;
                let fingerprint = nebula_pki::Fingerprint::from_bytes(bytes).to_string();
                ledger.insert(fingerprint, columns.text()?.to_owned());
            }
            Ok((states, ledger))
        });
        let (states, ledger) = rows.map_err(text)?;
        for (device, known) in told.devices() {
            let Some(Known { state, fingerprints, .. }) = &known.known else { continue };
            let found = states.get(device);
            unless(found.is_some(), || format!("{device} was acknowledged, and is gone"))?;
            for fingerprint in fingerprints {
                let found = ledger.get(fingerprint).map(String::as_str);
                unless(found.is_some(), || format!("{device} lost its certificate"))?;
                let kept_out = state != "active" && !known.in_doubt;
                let lives = matches!(found, Some("issued" | "superseded"));
                unless(!kept_out || !lives, || format!("{device}, {state}, has a certificate"))?;
            }
            if !known.in_doubt && found != Some(&vec![state.clone()]) {
                return Err(format!("{device} is {found:?}, not {state}"));
            }
        }
        let stranger = states.keys().find(|device| !told.began(device));
        stranger.map_or(Ok(()), |device| Err(format!("{device} never asked")))
    }

    /// Who asks again gets what it has, and who is kept out nothing.
    async fn ask_again(
        &self,
        service: &Service,
        told: &mut Told,
        random: &mut Random,
        asks: usize,
    ) -> Result<(), String> {
        let known: Vec<_> = told
            .devices()
            .filter(|(_, device)| !device.in_doubt)
            .filter_map(|(name, device)| Some((name.clone(), device.known.clone()?)))
            .filter(|(_, known)| known.token.is_some() && known.state != "released")
            .collect();
        for _ in 0..asks.min(known.len()) {
            let (device, known) = &known[random.below(known.len())];
            let curve = NETWORKS[known.network].1;
            let request = enrollment(device, known, curve);
            let answer = service.enroll(Context::local(), request.clone()).await;
            if known.state != "active" {
                unless(answer.is_err(), || format!("{device} is {}, and came", known.state))?;
                let name = format!("{device}-renamed");
                let request = Enrollment {
                    name: NodeName::new(&*name).unwrap(),
                    device: Some(DeviceId::new(name).unwrap()),
                    token: Bearer::new_node_token().unwrap(),
                    ..request
                };
                let answer = service.enroll(Context::local(), request).await;
                unless(answer.is_err(), || format!("{device} is {}, and renamed", known.state))?;
                continue;
            }
            let enrolled = answer.map_err(|error| format!("{device}: {error}"))?;
            let given = split(&fingerprints(&enrolled.certificates));
            let begins = enrolled.certificates.iter().map(|one| {
                let details = one.unverified_details();
                self.now() - details.not_before()
            });
            // Only what expired is replaced. A certificate begins 300 s before it is issued.
            let is_new = begins.max().unwrap_or_default() < 300 + 60 * HASTE;
            let same = given.iter().all(|one| known.fingerprints.contains(one));
            let expired = self.read(|tx| {
                let sql = "SELECT fingerprint FROM gc_certificate WHERE state = 'expired'";
                let rows = tx.query(sql, &[])?;
                let read = |row: &nebula_alloc::store::Row| {
                    let bytes: [u8; 32] = row.columns().array()?;
                    Ok(nebula_pki::Fingerprint::from_bytes(bytes).to_string())
                };
                rows.iter().map(read).collect::<Result<BTreeSet<_>, Error>>()
            });
            let expired = expired.map_err(text)?;
            let had = known.fingerprints.iter().all(|one| expired.contains(one));
            unless(same || had && is_new, || format!("{device} got another certificate"))?;
            told.renew(device, given);
        }
        Ok(())
    }
}

fn text(error: Error) -> String {
    error.to_string()
}

fn unless(holds: bool, wrong: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(wrong()) }
}

fn enrollment(device: &str, known: &Known, curve: Curve) -> Enrollment {
    Enrollment {
        network: Some(NetworkRef::new(NETWORKS[known.network].0).unwrap()),
        public_key: PublicKey::from_raw(curve, &known.key).unwrap_or_else(|_| new_key_on(curve)),
        token: Bearer::from_client(known.token.as_ref().unwrap()).unwrap(),
        device: Some(DeviceId::new(device).unwrap()),
        ..requests::enrollment(&known.name)
    }
}
