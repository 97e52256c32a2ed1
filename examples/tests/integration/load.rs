//! Does every device get what it should while many ask at once, and when the disk is full?

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::check::{Acknowledged, Checker, Kept, database, now};
use crate::support::client::{Answer, Client};
use crate::support::device::{Device, Given, refusal};
use crate::support::mount::SmallDisk;
use crate::support::random::Random;
use crate::support::server::Server;
use tempfile::TempDir;

const CONNECTIONS: usize = 64;
const REGISTER: &str = "/api/nebula/register";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_devices_at_once_get_addresses_of_their_own_and_keep_them() {
    let data = directory();
    let server = Server::start(data.path());
    add_pool(&server, "load", "10.20.0.0/16").await;
    let mut random = random();
    let mut devices = devices("load", 1000, &mut random);

    let first = register_all(&server, &devices).await;
    let addresses: BTreeSet<_> = first.values().flat_map(|given| &given.addresses).collect();
    assert_eq!(addresses.len(), 1000);
    assert_sound(data.path(), &devices, &first);

    for _ in 0..2 {
        random.shuffle(&mut devices);
        assert!(register_all(&server, &devices).await == first, "other answers than at first");
    }
    assert_sound(data.path(), &devices, &first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_24_gives_exactly_254_addresses_and_refusals_change_nothing() {
    let data = directory();
    let server = Server::start(data.path());
    add_pool(&server, "small", "10.21.0.0/24").await;
    let devices = devices("small", 300, &mut random());

    let (given, refused) = outcomes(ask_all(&server, &devices).await);
    assert_eq!((given.len(), refused.len()), (254, 46));
    let exhausted = (409, "pool_exhausted".to_owned());
    assert!(refused.values().all(|refusal| *refusal == exhausted), "{refused:?}");
    let addresses: BTreeSet<_> = given.values().flat_map(|given| &given.addresses).collect();
    let usable = (1..=254).map(|last| std::net::IpAddr::from([10, 21, 0, last]));
    assert!(addresses.into_iter().copied().eq(usable));
    assert_sound(data.path(), &devices, &given);

    let before = rows(data.path());
    let late: Vec<_> =
        devices.iter().filter(|device| refused.contains_key(&device.id)).cloned().collect();
    let (none, again) = outcomes(ask_all(&server, &late).await);
    assert!(none.is_empty() && again == refused);
    assert!(rows(data.path()) == before, "a refusal changed the database");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_device_at_once_over_many_connections_gets_one_certificate() {
    let data = directory();
    let server = Server::start(data.path());
    let mut random = random();
    for connections in [2, 8] {
        for round in 0..20 {
            let device = Device::new("demo", format!("same-{connections}-{round}"), &mut random);
            let same = vec![device.clone(); connections];
            let answers = at_once(&server, &same).await;
            let given: Vec<_> = answers.iter().map(Given::of).collect();
            assert!(given.iter().all(|one| *one == given[0]));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_devices_with_one_name_or_one_key_one_wins() {
    let data = directory();
    let server = Server::start(data.path());
    let mut random = random();
    for shared_name in [true, false] {
        let of = if shared_name { "name" } else { "key" };
        let mut rivals: Vec<_> =
            (0..16).map(|n| Device::new("demo", format!("rival-{of}-{n}"), &mut random)).collect();
        let first = rivals[0].clone();
        for rival in &mut rivals {
            if shared_name {
                rival.name.clone_from(&first.name);
            } else {
                rival.public_key = first.public_key;
            }
        }
        let answers = at_once(&server, &rivals).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert_eq!(won.len(), 1);
        assert!(lost.into_iter().all(|answer| refusal(answer) == (409, "conflict".to_owned())));
    }
    let found = Checker::default().check(data.path(), &[], now());
    assert!(found.is_empty(), "{found:#?}");
    let nodes = "SELECT count(*) FROM gc_node";
    let leases = "SELECT count(*) FROM alloc_lease";
    for count in [nodes, leases] {
        let count: i64 = database(data.path()).query_row(count, [], |row| row.get(0)).expect(count);
        assert_eq!(count, 2);
    }
}

/// While the disk is full, `/health/ready` is 503: the commit that failed left the writer unready
/// until the disk has room again. What is stored can be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_loses_nothing_and_is_over_when_there_is_room() {
    let Some(disk) = SmallDisk::mount("3m") else { return };
    let data = disk.path();
    // It would log every refusal.
    let server = Server::start_logging(data, "off");
    add_pool(&server, "full", "10.22.0.0/16").await;
    let mut random = random();

    let mut known = vec![];
    let mut given = BTreeMap::new();
    let mut refused = BTreeMap::new();
    loop {
        assert!(given.len() < 20_000, "3 MB hold no more than that");
        let batch: Vec<_> = (known.len()..known.len() + 256)
            .map(|number| Device::new("full", format!("device-{number}"), &mut random))
            .collect();
        let (more, no) = outcomes(ask_all(&server, &batch).await);
        let is_full = more.is_empty();
        known.extend(batch);
        given.extend(more);
        refused.extend(no);
        if is_full {
            break;
        }
    }
    println!("full disk: {} registered, {} refused", given.len(), refused.len());
    let unavailable = (503, "unavailable".to_owned());
    assert!(refused.values().all(|refusal| *refusal == unavailable), "{refused:?}");
    assert!(given.len() > 100);

    let mut client = connect(server.address, &server).await;
    assert_eq!(get(&mut client, "/health/live").await.status, 200);
    assert_eq!(get(&mut client, "/health/ready").await.status, 503);
    let member = known.iter().find(|device| given.contains_key(&device.id)).expect("over 100");
    assert_eq!(get(&mut client, &member.path("bundle")).await.status, 200);
    assert_sound(data, &known, &given);

    disk.resize("64m");
    let deadline = Instant::now() + Duration::from_secs(10);
    while get(&mut client, "/health/ready").await.status != 200 {
        assert!(Instant::now() < deadline, "there is room, and it is not ready");
        std::thread::sleep(Duration::from_millis(20));
    }
    let all = register_all(&server, &known).await;
    assert!(given.iter().all(|(id, one)| all.get(id) == Some(one)), "other answers than before");
    assert_sound(data, &known, &all);
    drop(server);
}

/// What was given is stored, and the database is as it should be. Whoever was given nothing may
/// still be stored: an answer of 503 promises nothing either way.
fn assert_sound(data: &Path, devices: &[Device], given: &BTreeMap<String, Given>) {
    let kept: Vec<_> = devices
        .iter()
        .filter_map(|device| given.get(&device.id).map(|given| (device, given)))
        .map(|(device, given)| Kept {
            network: device.network,
            device: device.id.clone(),
            acknowledged: Acknowledged::Member(device.clone(), given.clone()),
            in_doubt: None,
            certificates: vec![given.parsed()],
        })
        .collect();
    let found = Checker::default().check(data, &kept, now());
    assert!(found.is_empty(), "{found:#?}");
}

fn random() -> Random {
    Random::from_environment("LOAD_SEED", 1)
}

/// On a disk, as a server's is.
fn directory() -> TempDir {
    let own = std::fs::Permissions::from_mode(0o700);
    let directory =
        tempfile::Builder::new().permissions(own).tempdir_in(env!("CARGO_TARGET_TMPDIR"));
    directory.expect("a directory")
}

fn devices(network: &'static str, count: usize, random: &mut Random) -> Vec<Device> {
    (0..count).map(|number| Device::new(network, format!("device-{number}"), random)).collect()
}

async fn connect(address: SocketAddr, server: &Server) -> Client {
    Client::connect(address, &server.operator_key).await.expect("it listens")
}

async fn get(client: &mut Client, path: &str) -> Answer {
    client.get(path).await.expect("it answers")
}

async fn add_pool(server: &Server, network: &str, cidr: &str) {
    let mut client = connect(server.address, server).await;
    let body = format!(r#"{{"projectId":"{network}","cidr":"{cidr}"}}"#);
    let answer = client.post("/api/nebula/pools", body).await.expect("it answers");
    assert_eq!(answer.status, 200);
}

/// Registers all, spread over the connections; each sends its next when the last is answered.
async fn ask_all(server: &Server, devices: &[Device]) -> BTreeMap<String, Answer> {
    let mut connections = vec![];
    for connection in 0..CONNECTIONS {
        let mut client = connect(server.address, server).await;
        let own: Vec<_> = devices.iter().skip(connection).step_by(CONNECTIONS).cloned().collect();
        connections.push(tokio::spawn(async move {
            let mut answers = vec![];
            for device in own {
                let answer = client.post(REGISTER, device.body()).await.expect("it answers");
                answers.push((device.id, answer));
            }
            answers
        }));
    }
    let mut answers = BTreeMap::new();
    for connection in connections {
        answers.extend(connection.await.expect("it answered all"));
    }
    assert_eq!(answers.len(), devices.len());
    answers
}

/// Sends each over a connection of its own, which is open before the first is sent.
async fn at_once(server: &Server, devices: &[Device]) -> Vec<Answer> {
    let mut clients = vec![];
    for device in devices {
        clients.push((connect(server.address, server).await, device.body()));
    }
    let sent: Vec<_> = clients
        .into_iter()
        .map(|(mut client, body)| tokio::spawn(async move { client.post(REGISTER, body).await }))
        .collect();
    let mut answers = vec![];
    for one in sent {
        answers.push(one.await.expect("it was sent").expect("it answers"));
    }
    answers
}

fn outcomes(
    answers: BTreeMap<String, Answer>,
) -> (BTreeMap<String, Given>, BTreeMap<String, (u16, String)>) {
    let (mut given, mut refused) = (BTreeMap::new(), BTreeMap::new());
    for (device, answer) in answers {
        if answer.status == 200 {
            given.insert(device, Given::of(&answer));
        } else {
            refused.insert(device, refusal(&answer));
        }
    }
    (given, refused)
}

async fn register_all(server: &Server, devices: &[Device]) -> BTreeMap<String, Given> {
    let (given, refused) = outcomes(ask_all(server, devices).await);
    assert!(refused.is_empty(), "{refused:?}");
    given
}

/// Every row of every table.
fn rows(data: &Path) -> BTreeMap<String, Vec<Vec<rusqlite::types::Value>>> {
    let database = database(data);
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    let mut names = database.prepare(names).expect("SQL");
    let names = names.query_map([], |row| row.get(0)).expect("tables");
    let names: Vec<String> = names.collect::<Result<_, _>>().expect("tables");
    let all = names.into_iter().map(|name| {
        let mut table = database.prepare(&format!("SELECT * FROM {name}")).expect("SQL");
        let columns = table.column_count();
        let rows = table
            .query_map([], |row| (0..columns).map(|column| row.get(column)).collect())
            .expect("rows");
        (name, rows.collect::<Result<_, _>>().expect("rows"))
    });
    all.collect()
}
