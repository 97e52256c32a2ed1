//! Is everything that was acknowledged there after `kill -9` at any moment, and nothing by halves?
//!
//! The server is killed `CRASH_KILLS` times (40 by default) under load; `CRASH_SEED` repeats the
//! same choices, as far as the machine's timing lets it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::check::{Acknowledged, Asked, Checker, Kept, Rule, now};
use crate::support::client::{Answer, Client};
use crate::support::device::{Device, Given, node_certificate};
use crate::support::random::Random;
use crate::support::server::{Server, program};
use nebula_pki::Certificate;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

const CONNECTIONS: usize = 64;
/// How often the server of one data directory is killed; then the next begins empty. With each
/// round more is blocked, and every bundle names all of it.
const KILLS_OF_ONE: usize = 10;
/// The load lasts at most this long before a kill, in microseconds.
const LOAD: u64 = 250_000;
/// How many devices that a round did not touch each connection asks for again.
const ASKED_AGAIN: usize = 2;
/// One of IPv4 with certificates of version 1, one of both families.
const NETWORKS: [&str; 2] = ["one", "both"];

#[test]
fn what_was_acknowledged_is_there_after_a_kill_at_any_moment() {
    let kills = std::env::var("CRASH_KILLS").map_or(40, |kills| kills.parse().expect("a number"));
    let mut random = Random::from_environment("CRASH_SEED", 1);
    let runtime = Runtime::new().expect("a runtime");
    let started = Instant::now();
    let mut total = Tally::default();
    let mut done = 0;
    while done < kills {
        let kills = KILLS_OF_ONE.min(kills - done);
        total.add(&crash(&runtime, &mut random, kills));
        done += kills;
        println!("{done} kills in {:.0?}: {total:?}", started.elapsed());
    }
    assert!(total.registered > done && total.changed > 0 && total.released > 0, "{total:?}");
    assert!(total.in_doubt > 0, "nothing was under way when the server was killed");
}

/// Secrets, database and operator key are made at the first start. Killed there, the next makes
/// what is missing.
#[test]
fn a_first_start_that_is_killed_is_finished_by_the_next() {
    let mut random = Random::from_environment("CRASH_SEED", 1);
    let runtime = Runtime::new().expect("a runtime");
    for _ in 0..10 {
        let data = directory();
        for _ in 0..3 {
            let mut process = Command::new(program("http-server"))
                .args(["--listen", "127.0.0.1:0", "--data"])
                .arg(data.path())
                .stdout(Stdio::null())
                .spawn()
                .expect("the example is built with the tests");
            std::thread::sleep(Duration::from_micros(random.number() % 40_000));
            process.kill().expect("it is our own child");
            process.wait().expect("it is our own child");
        }
        let server = Server::start(data.path());
        let device = Device::new("demo", "device".to_owned(), &mut random);
        let given = runtime.block_on(async {
            let mut client = connect(server.address, &server.operator_key).await;
            Given::of(&register(&mut client, &device).await.expect("it answers"))
        });
        let mut slot = Slot::new(device.clone());
        slot.acknowledge_member(device, given);
        let found = Checker::default().check(data.path(), &[slot.kept()], now());
        assert!(found.is_empty(), "{found:#?}");
    }
}

/// Each rule, broken on purpose in the copy of a good database, is what the checker reports.
#[test]
fn the_checker_notices_each_rule_that_is_broken() {
    let mut random = Random::from_environment("CRASH_SEED", 1);
    let data = directory();
    let mut server = Server::start(data.path());
    let mut worker = Worker::new(0, random.fork());
    Runtime::new().expect("a runtime").block_on(async {
        add_networks(&server).await;
        let mut client = connect(server.address, &server.operator_key).await;
        worker.play(&mut client).await.expect("it answers");
    });
    server.stop("TERM");
    let kept: Vec<_> = worker.slots.iter().map(Slot::kept).collect();
    let good = |checker: &mut Checker| assert_eq!(checker.check(data.path(), &kept, now()), []);
    good(&mut Checker::default());

    for (rules, sql) in BROKEN {
        let copy = directory();
        for entry in std::fs::read_dir(data.path()).expect("a directory") {
            let file = entry.expect("an entry").path();
            std::fs::copy(&file, copy.path().join(file.file_name().expect("a name")))
                .expect("room");
        }
        let database =
            rusqlite::Connection::open(copy.path().join("nebula-gc.db")).expect("a copy");
        database.execute_batch("PRAGMA foreign_keys = OFF").expect("a setting");
        database.execute_batch(sql).expect(sql);
        drop(database);
        let mut checker = Checker::default();
        good(&mut checker);
        let found = checker.check(copy.path(), &kept, now());
        let broken: BTreeSet<_> = found.iter().map(|finding| finding.rule).collect();
        assert_eq!(broken, rules.iter().copied().collect(), "{sql}: {found:#?}");
    }

    std::fs::write(data.path().join(".operator.key.nebula-new"), "").expect("room");
    let found = Checker::default().check(data.path(), &kept, now());
    assert_eq!(found.iter().map(|finding| finding.rule).collect::<Vec<_>>(), [Rule::AllOrNothing]);
}

/// The rules that each of these breaks. The devices are those of [`Worker::play`].
const BROKEN: &[(&[Rule], &str)] = &[
    (
        &[Rule::OneHolder, Rule::AllOrNothing],
        "CREATE TABLE keyless AS SELECT * FROM alloc_lease;
         DROP TABLE alloc_lease; ALTER TABLE keyless RENAME TO alloc_lease;
         INSERT INTO alloc_lease SELECT * FROM alloc_lease WHERE state = 2 LIMIT 1",
    ),
    (&[Rule::OneHolder], "DROP INDEX alloc_lease_active"),
    (&[Rule::OneHolder], "DROP INDEX gc_node_name"),
    (&[Rule::OneHolder], "DELETE FROM alloc_interval"),
    (&[Rule::Quarantine], "UPDATE alloc_lease SET hold_until = released_at WHERE state = 2"),
    (&[Rule::Quarantine], "UPDATE alloc_lease SET hold_until = hold_until - 86400 WHERE state = 1"),
    (
        &[Rule::Quarantine],
        "UPDATE gc_node SET device = 'stranger' WHERE device = 'returned' AND state = 'released'",
    ),
    (
        &[Rule::OneHolder, Rule::Quarantine, Rule::AllOrNothing],
        "DELETE FROM alloc_lease WHERE state = 2",
    ),
    (&[Rule::Durable], "PRAGMA journal_mode = DELETE"),
    (&[Rule::Durable], "UPDATE gc_node SET device = 'stranger' WHERE device = 'plain'"),
    (&[Rule::Durable], "UPDATE gc_node SET lighthouse = NULL WHERE device = 'lighthouse'"),
    (
        &[Rule::AllOrNothing],
        "DELETE FROM alloc_event WHERE kind = 'node.enrolled'
         AND subject = (SELECT id FROM gc_node WHERE device = 'plain')",
    ),
    (&[Rule::AllOrNothing], "UPDATE alloc_lease SET owner = randomblob(16) WHERE state = 2"),
    (&[Rule::AllOrNothing], "UPDATE gc_network SET active_ca = randomblob(16)"),
    (
        &[Rule::AllOrNothing],
        "INSERT INTO gc_blocklist SELECT network, randomblob(32), not_after, revision FROM gc_blocklist",
    ),
    (
        &[Rule::AllOrNothing],
        "UPDATE gc_operator_key SET network = randomblob(16)",
    ),
    (&[Rule::Ledger], "UPDATE gc_node SET groups = '[\"admin\"]' WHERE device = 'plain'"),
    (&[Rule::Ledger], "UPDATE gc_certificate SET fingerprint = randomblob(32) WHERE state = 'superseded' AND NOT EXISTS
         (SELECT 1 FROM gc_blocklist AS list WHERE list.fingerprint = gc_certificate.fingerprint)"),
    (
        &[Rule::Ledger],
        "UPDATE gc_certificate SET not_after = not_after - 1 WHERE state = 'superseded'",
    ),
    (
        &[Rule::Ledger],
        "UPDATE gc_certificate
         SET contents = CAST(substr(contents, 1, length(contents) - 1) ||
             CASE substr(contents, -1) WHEN x'00' THEN x'01' ELSE x'00' END AS BLOB)
         WHERE state = 'superseded'",
    ),
    (
        &[Rule::Ledger],
        "DELETE FROM gc_certificate WHERE state = 'superseded' AND NOT EXISTS
         (SELECT 1 FROM gc_blocklist AS list WHERE list.fingerprint = gc_certificate.fingerprint)",
    ),
    (
        &[Rule::AskingAgain],
        "UPDATE gc_node SET device = 'between' WHERE device = 'plain';
         UPDATE gc_node SET device = 'plain' WHERE device = 'other';
         UPDATE gc_node SET device = 'other' WHERE device = 'between'",
    ),
    (
        &[Rule::Blocked],
        "DELETE FROM gc_blocklist WHERE fingerprint IN
         (SELECT fingerprint FROM gc_certificate WHERE state = 'revoked')",
    ),
    (
        &[Rule::Blocked],
        "INSERT INTO gc_blocklist SELECT network, fingerprint, not_after, 1 FROM gc_certificate
         WHERE state = 'issued' LIMIT 1",
    ),
    (&[Rule::Blocked], "UPDATE gc_certificate SET state = 'superseded' WHERE state = 'revoked'"),
    (&[Rule::AllOrNothing], "DROP INDEX gc_certificate_current"),
    (
        &[Rule::AllOrNothing, Rule::Blocked],
        "CREATE TABLE keyless AS SELECT * FROM gc_certificate;
         DROP TABLE gc_certificate; ALTER TABLE keyless RENAME TO gc_certificate;
         INSERT INTO gc_certificate SELECT randomblob(16), network, node, issuer, state, version,
         fingerprint, not_before, not_after, contents, created_at, reason, actor, block_after, instance,
         deadline, unsound_at FROM gc_certificate WHERE state = 'revoked' LIMIT 1",
    ),
];

/// Kills the server of one data directory again and again.
fn crash(runtime: &Runtime, random: &mut Random, kills: usize) -> Tally {
    let data = directory();
    let mut server = Server::start(data.path());
    runtime.block_on(add_networks(&server));
    let mut checker = Checker::default();
    let mut workers: Vec<_> =
        (0..CONNECTIONS).map(|number| Worker::new(number, random.fork())).collect();
    let mut tally = Tally::default();
    for kill in 1..=kills {
        let loading = start(runtime, workers, &server, Work::Load);
        let pause = Duration::from_micros(random.number() % LOAD);
        std::thread::sleep(pause);
        server.kill();
        workers = finish(runtime, loading);
        for worker in &mut workers {
            tally.add(&worker.count());
        }

        server = Server::start(data.path());
        check(&mut checker, data.path(), &workers, &format!("kill {kill}, after {pause:?}"));
        let work = Work::AskAgain { all: kill == kills };
        workers = finish(runtime, start(runtime, workers, &server, work));
    }
    check(&mut checker, data.path(), &workers, "all were asked again");
    tally
}

fn check(checker: &mut Checker, data: &Path, workers: &[Worker], when: &str) {
    let kept: Vec<_> = workers.iter().flat_map(|worker| &worker.slots).map(Slot::kept).collect();
    let found = checker.check(data, &kept, now());
    let first: Vec<_> = found.iter().take(20).collect();
    assert!(found.is_empty(), "{when}: {} findings, the first of them {first:#?}", found.len());
}

#[derive(Clone, Copy)]
enum Work {
    /// Whatever comes to mind, until the server is gone.
    Load,
    /// What it has, as far as the load touched it, or all.
    AskAgain { all: bool },
}

/// Lets all work at once, each over a connection of its own.
fn start(
    runtime: &Runtime,
    workers: Vec<Worker>,
    server: &Server,
    work: Work,
) -> Vec<JoinHandle<Worker>> {
    let start = |mut worker: Worker| {
        let (address, key) = (server.address, server.operator_key.clone());
        runtime.spawn(async move {
            match work {
                Work::Load => {
                    // The server may be gone before it is reached.
                    if let Ok(mut client) = Client::connect(address, &key).await {
                        while worker.step(&mut client).await.is_ok() {}
                    }
                }
                Work::AskAgain { all } => {
                    let mut client = connect(address, &key).await;
                    worker.ask_again(&mut client, all).await.expect("it answers");
                }
            }
            worker
        })
    };
    workers.into_iter().map(start).collect()
}

fn finish(runtime: &Runtime, workers: Vec<JoinHandle<Worker>>) -> Vec<Worker> {
    let workers = workers.into_iter();
    workers.map(|worker| runtime.block_on(worker).expect("it found nothing wrong")).collect()
}

/// What clients saw.
#[derive(Debug, Default)]
struct Tally {
    registered: usize,
    repeated: usize,
    changed: usize,
    released: usize,
    returned: usize,
    /// Without an answer when the server was killed.
    in_doubt: usize,
}

impl Tally {
    fn add(&mut self, more: &Self) {
        self.registered += more.registered;
        self.repeated += more.repeated;
        self.changed += more.changed;
        self.released += more.released;
        self.returned += more.returned;
        self.in_doubt += more.in_doubt;
    }
}

/// One device and what is known of it.
struct Slot {
    device: Device,
    acknowledged: Acknowledged,
    in_doubt: Option<Asked>,
    certificates: Vec<Certificate>,
    /// Its addresses for life: nobody else gets them within the time of a test.
    addresses: Option<Vec<IpAddr>>,
    touched: bool,
}

impl Slot {
    fn new(device: Device) -> Self {
        Self {
            device,
            acknowledged: Acknowledged::Nothing,
            in_doubt: None,
            certificates: vec![],
            addresses: None,
            touched: true,
        }
    }

    fn kept(&self) -> Kept {
        Kept {
            network: self.device.network,
            device: self.device.id.clone(),
            acknowledged: self.acknowledged.clone(),
            in_doubt: self.in_doubt.clone(),
            certificates: self.certificates.clone(),
        }
    }

    /// Takes an answer, which must fit what was given before.
    fn acknowledge_member(&mut self, device: Device, given: Given) {
        let certificate = given.parsed();
        assert!(device.is_in(&certificate), "{:?} was given another's certificate", device.id);
        let addresses = self.addresses.get_or_insert_with(|| given.addresses.clone());
        assert_eq!(*addresses, given.addresses, "{:?} was given other addresses", device.id);
        if let Acknowledged::Member(_, former) = &self.acknowledged {
            let same = device.is_in(&former.parsed());
            assert_eq!(same, given.certificate == former.certificate, "{:?}", device.id);
        }
        if !self.certificates.contains(&certificate) {
            self.certificates.push(certificate);
        }
        self.device = device.clone();
        self.acknowledged = Acknowledged::Member(device, given);
    }
}

/// A client of many devices, each of which does one thing after the other.
struct Worker {
    number: usize,
    random: Random,
    slots: Vec<Slot>,
    tally: Tally,
}

impl Worker {
    fn new(number: usize, random: Random) -> Self {
        Self { number, random, slots: vec![], tally: Tally::default() }
    }

    /// What it saw since it was asked last.
    fn count(&mut self) -> Tally {
        let in_doubt = self.slots.iter().filter(|slot| slot.in_doubt.is_some()).count();
        Tally { in_doubt, ..std::mem::take(&mut self.tally) }
    }

    async fn step(&mut self, client: &mut Client) -> hyper::Result<()> {
        if self.slots.is_empty() || self.random.below(100) < 50 {
            let network = NETWORKS[self.random.below(NETWORKS.len())];
            let id = format!("device-{}-{}", self.number, self.slots.len());
            let mut device = Device::new(network, id, &mut self.random);
            if self.random.below(20) == 0 {
                device.endpoint = Some(self.endpoint());
            }
            return self.join(client, device).await;
        }
        let slot = self.random.below(self.slots.len());
        let asked = self.wish(slot);
        self.ask(client, slot, asked).await
    }

    /// What a device may want next.
    fn wish(&mut self, slot: usize) -> Asked {
        let mut device = self.slots[slot].device.clone();
        let is_member = matches!(self.slots[slot].acknowledged, Acknowledged::Member(..));
        match self.random.below(100) {
            0..25 => {}
            25..50 => {
                let words = ["staff", "servers", "visitors"];
                let chosen = words.into_iter().filter(|_| self.random.below(2) == 0);
                device.groups = chosen.map(str::to_owned).collect();
            }
            50..60 => device.name = format!("{}-{}", device.id, self.random.below(1000)),
            60..70 => device.public_key = self.random.public_key(),
            70..75 => {
                device.endpoint = device.endpoint.is_none().then(|| self.endpoint());
            }
            _ if is_member => return Asked::Release,
            _ => {}
        }
        Asked::Register(device)
    }

    fn endpoint(&mut self) -> String {
        format!("192.0.2.{}:4242", 1 + self.random.below(254))
    }

    async fn join(&mut self, client: &mut Client, device: Device) -> hyper::Result<()> {
        self.slots.push(Slot::new(device.clone()));
        self.ask(client, self.slots.len() - 1, Asked::Register(device)).await
    }

    async fn ask(&mut self, client: &mut Client, slot: usize, asked: Asked) -> hyper::Result<()> {
        let Self { slots, tally, .. } = self;
        let slot = &mut slots[slot];
        slot.touched = true;
        let same = matches!(
            (&slot.acknowledged, &asked),
            (Acknowledged::Member(former, _), Asked::Register(device)) if former == device
        );
        // Whoever asks for what it has leaves nothing in doubt.
        slot.in_doubt = (!same).then(|| asked.clone());
        match asked {
            Asked::Register(device) => {
                let given = Given::of(&register(client, &device).await?);
                match &slot.acknowledged {
                    Acknowledged::Nothing => tally.registered += 1,
                    Acknowledged::Released => tally.returned += 1,
                    Acknowledged::Member(..) if same => tally.repeated += 1,
                    Acknowledged::Member(..) => tally.changed += 1,
                }
                slot.acknowledge_member(device, given);
            }
            Asked::Release => {
                let answer = client.post(&slot.device.path("release"), "").await?;
                assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
                slot.acknowledged = Acknowledged::Released;
                tally.released += 1;
            }
        }
        slot.in_doubt = None;
        Ok(())
    }

    /// Asks for what there should be: the same certificates, nothing for who was released. What was
    /// in doubt is asked for once more; where it had been done, that changes nothing.
    async fn ask_again(&mut self, client: &mut Client, all: bool) -> hyper::Result<()> {
        let mut chosen: BTreeSet<_> =
            (0..self.slots.len()).filter(|slot| all || self.slots[*slot].touched).collect();
        if !self.slots.is_empty() {
            chosen.extend((0..ASKED_AGAIN).map(|_| self.random.below(self.slots.len())));
        }
        for index in chosen {
            let slot = &self.slots[index];
            match (&slot.in_doubt, &slot.acknowledged) {
                (Some(asked), _) => {
                    let asked = asked.clone();
                    let bundle = client.get(&slot.device.path("bundle")).await?;
                    let stored = (bundle.status == 200).then(|| node_certificate(&bundle.body));
                    self.ask(client, index, asked.clone()).await?;
                    if let (Asked::Register(device), Some(stored)) = (asked, stored)
                        && let Ok(certificate) = Certificate::from_pem(stored.as_bytes())
                        && device.is_in(&certificate)
                        && let Acknowledged::Member(_, given) = &self.slots[index].acknowledged
                    {
                        assert_eq!(given.certificate, stored, "it was done, and is another now");
                    }
                }
                (None, Acknowledged::Member(device, _)) => {
                    let asked = Asked::Register(device.clone());
                    self.ask(client, index, asked).await?;
                }
                (None, Acknowledged::Released | Acknowledged::Nothing) => {
                    let status = client.get(&slot.device.path("status")).await?;
                    let status: serde_json::Value =
                        serde_json::from_slice(&status.body).expect("JSON");
                    assert_eq!(status["allocated"], false);
                }
            }
            self.slots[index].touched = false;
        }
        self.tally = Tally::default();
        Ok(())
    }

    /// One of everything.
    async fn play(&mut self, client: &mut Client) -> hyper::Result<()> {
        let mut device = |network, id: &str| Device::new(network, id.to_owned(), &mut self.random);
        let devices = [
            device("one", "plain"),
            device("one", "other"),
            device("both", "dual"),
            device("one", "promoted"),
            device("one", "rekeyed"),
            device("both", "lighthouse"),
            device("both", "released"),
            device("one", "returned"),
        ];
        let key = self.random.public_key();
        for device in devices {
            self.join(client, device).await?;
        }
        for (slot, former) in
            (0..).zip(self.slots.iter().map(|slot| slot.device.clone()).collect::<Vec<_>>())
        {
            let asked = match former.id.as_str() {
                "promoted" => {
                    Asked::Register(Device { groups: vec!["staff".to_owned()], ..former })
                }
                "rekeyed" => Asked::Register(Device { public_key: key, ..former }),
                "lighthouse" => Asked::Register(Device {
                    endpoint: Some("192.0.2.1:4242".to_owned()),
                    ..former
                }),
                "released" => Asked::Release,
                "returned" => {
                    self.ask(client, slot, Asked::Release).await?;
                    Asked::Register(former)
                }
                _ => continue,
            };
            self.ask(client, slot, asked).await?;
        }
        Ok(())
    }
}

async fn connect(address: SocketAddr, operator_key: &str) -> Client {
    Client::connect(address, operator_key).await.expect("it listens")
}

async fn register(client: &mut Client, device: &Device) -> hyper::Result<Answer> {
    client.post("/api/nebula/register", device.body()).await
}

/// On a disk, as a server's is.
fn directory() -> TempDir {
    let own = std::fs::Permissions::from_mode(0o700);
    let directory =
        tempfile::Builder::new().permissions(own).tempdir_in(env!("CARGO_TARGET_TMPDIR"));
    directory.expect("a directory")
}

async fn add_networks(server: &Server) {
    let mut client = connect(server.address, &server.operator_key).await;
    for (network, version, cidr) in
        [("one", 1, "10.30.0.0/16"), ("both", 2, "10.31.0.0/16"), ("both", 2, "fd00:31::/64")]
    {
        let body = format!(
            r#"{{"projectId":"{network}","cidr":"{cidr}","certificateVersion":{version}}}"#
        );
        let answer = client.post("/api/nebula/pools", body).await.expect("it answers");
        assert_eq!(answer.status, 200);
    }
}
