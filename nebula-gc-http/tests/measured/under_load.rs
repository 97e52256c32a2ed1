//! Whether others are served while somebody asks too much: each case is an attack on a server, and a
//! ratio to the same server left alone. `UNDER_LOAD_SECONDS` is how long each part of it takes.

mod client;
pub(crate) mod server;

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::alone;
use client::{Connection, get, post};
use nebula_gc_http::server::raise_file_limit;
use serde_json::json;
use server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

/// Who is not to notice.
const HONEST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);

fn span() -> Duration {
    let seconds = std::env::var("UNDER_LOAD_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(1.0))
}

fn attacker(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, 1 + number as u8)
}

/// What is not noticed on a machine that others use as well.
const NOISE: Duration = Duration::from_millis(15);

/// How long health takes to answer, the median and the worst of a span. One that takes longer than this
/// counts as that.
async fn health(server: &Server) -> (Duration, Duration) {
    const LONGEST: Duration = Duration::from_secs(5);
    let mut times = vec![];
    let end = Instant::now() + span();
    while Instant::now() < end {
        let begun = Instant::now();
        let ask = async {
            let mut connection = Connection::open(server.address, HONEST).await?;
            connection.ask(&get("/health/ready", None)).await
        };
        match tokio::time::timeout(LONGEST, ask).await {
            Ok(Ok(status)) => {
                assert_eq!(status, 200);
                times.push(begun.elapsed());
            }
            Ok(Err(_)) | Err(_) => times.push(LONGEST),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times.sort();
    (times[times.len() / 2], *times.last().unwrap())
}

#[track_caller]
fn within(what: &str, attacked: Duration, alone: Duration, ratio: u32) {
    eprintln!("{what}: {attacked:?} under attack, {alone:?} alone");
    assert!(attacked <= (alone + NOISE) * ratio, "{what}: {attacked:?}, alone {alone:?}");
}

/// A body of 4 MiB is for who may import; an expired token has none of it read.
#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_while_bodies_are_sent_without_permission() {
    const CONNECTIONS: usize = 200;
    const BODY: usize = 4 << 20;
    let _turn = alone().await;
    let server = Server::start(&[]).await;
    let token = server.join_token(1, 1).await;
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    health(&server).await;
    let alone = server.memory();
    let head = format!(
        "POST /api/v1/networks/demo/import HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {BODY}\r\n\r\n{{\"certificates\": \""
    );
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (head, address) = (head.clone(), server.address);
        connections.spawn(async move {
            let mut connection = Connection::open(address, attacker(0)).await.unwrap();
            // All but the end, as far as the server takes it.
            let part = [b'x'; 64 << 10];
            let send = async {
                connection.stream.write_all(head.as_bytes()).await?;
                for _ in 0..BODY / part.len() - 1 {
                    connection.stream.write_all(&part).await?;
                }
                Ok::<_, std::io::Error>(())
            };
            let sent = tokio::time::timeout(span() * 2, send).await;
            // Held, where the server did not end it.
            let mut rest = vec![];
            let read = connection.stream.read_to_end(&mut rest);
            let _ = tokio::time::timeout(span(), read).await;
            drop(sent);
        });
    }
    let mut most = 0;
    while tokio::time::timeout(Duration::from_millis(20), connections.join_next()).await.is_err()
        || !connections.is_empty()
    {
        most = most.max(server.memory());
    }
    eprintln!("memory: {most} KiB under attack, {alone} KiB alone");
    assert!(most <= alone * 4, "{most} KiB, alone {alone} KiB");
}

/// Registrations of a span that were made, and that were refused.
async fn registrations(server: &Arc<Server>, name: &str) -> (usize, usize) {
    const CONNECTIONS: usize = 8;
    let mut working = JoinSet::new();
    for number in 0..CONNECTIONS {
        let (server, name) = (Arc::clone(server), format!("{name}-{number}"));
        working.spawn(async move {
            let mut connection = Connection::open(server.address, HONEST).await.unwrap();
            let (mut made, mut refused) = (0, 0);
            let end = Instant::now() + span();
            while Instant::now() < end {
                let device = format!("{name}-{}", made + refused);
                let request = server.registration(&device, &server.key);
                match connection.ask(&request).await {
                    Ok(200) => made += 1,
                    _ => refused += 1,
                }
            }
            (made, refused)
        });
    }
    let counts = working.join_all().await;
    counts.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// What is refused over thousands of connections takes nobody's place in the writer's queue.
#[tokio::test(flavor = "multi_thread")]
async fn enrolments_go_on_while_thousands_are_refused() {
    /// More than the writer's queue has places.
    const MOST: u64 = 4_600;
    const ADDRESSES: usize = 4;
    // Each is a file here and one there.
    let connections = raise_file_limit().map_or(MOST, |files| (files / 2).min(MOST)) as usize;
    let _turn = alone().await;
    let server = Arc::new(Server::start(&[]).await);
    let token = server.join_token(1, 3600).await;
    let mut first = Connection::open(server.address, HONEST).await.unwrap();
    let spent = server.registration("first", &token);
    assert_eq!(first.ask(&spent).await.unwrap(), 200);
    let (before, refused) = registrations(&server, "before").await;
    assert_eq!(refused, 0);
    let stop = Arc::new(AtomicBool::new(false));
    let mut attack = JoinSet::new();
    for number in 0..connections {
        let request = server.registration(&format!("other-{number}"), &token);
        let (address, stop) = (server.address, Arc::clone(&stop));
        attack.spawn(async move {
            let from = attacker(number % ADDRESSES);
            let Ok(mut connection) = Connection::open(address, from).await else { return 0 };
            let mut refused = 0;
            while !stop.load(Ordering::Relaxed) {
                match connection.ask(&request).await {
                    Ok(403) => refused += 1,
                    // Asked again as a client does that was told to come back.
                    Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                    Err(_) => break,
                }
            }
            refused
        });
    }
    // They are there.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let (under, refused) = registrations(&server, "under").await;
    stop.store(true, Ordering::Relaxed);
    let attacks: usize = attack.join_all().await.into_iter().sum();
    eprintln!(
        "registrations: {under} under attack ({refused} refused), {before} alone; {attacks} attacks"
    );
    assert!(attacks > 0);
    assert_eq!(refused, 0, "refused for nothing of theirs");
    assert!(under * 10 >= before, "{under} registrations, alone {before}");
}

/// A viewer that looks through the log keeps nobody from anything.
#[tokio::test(flavor = "multi_thread")]
async fn health_answers_while_viewers_search_the_log() {
    const READERS: usize = 24;
    let _turn = alone().await;
    let server = Server::start(&[server::LONG_LOG]).await;
    let viewer = server.viewer().await;
    let subject = server::SUBJECT;
    let (median, _) = health(&server).await;
    for path in [
        "/api/v1/events?kind=much.seen&limit=500".to_owned(),
        format!("/api/v1/events?subject={subject}&kind=never.seen&limit=500"),
    ] {
        let stop = Arc::new(AtomicBool::new(false));
        let mut attack = JoinSet::new();
        for _ in 0..READERS {
            let (address, stop) = (server.address, Arc::clone(&stop));
            let request = get(&path, Some(&viewer));
            attack.spawn(async move {
                let mut connection = Connection::open(address, attacker(0)).await.unwrap();
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(connection.ask(&request).await.unwrap(), 200);
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (attacked, _) = health(&server).await;
        stop.store(true, Ordering::Relaxed);
        attack.join_all().await;
        within(&path, attacked, median, 8);
    }
}

/// One address has its share of the connections, and who does not take an answer loses it.
#[tokio::test(flavor = "multi_thread")]
async fn one_address_leaves_connections_to_others() {
    let _turn = alone().await;
    let settings = ["MAX_CONNECTIONS=300", "MAX_CONNECTIONS_PER_ADDRESS=100", "RESPONSE_TIMEOUT=1"];
    let server = Server::start(&settings).await;
    let (median, _) = health(&server).await;
    // Silent ones, …
    let mut silent = vec![];
    for _ in 0..320 {
        silent.push(Connection::open(server.address, attacker(0)).await);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (attacked, _) = health(&server).await;
    within("silent connections", attacked, median, 8);
    drop(silent);
    // … and ones that ask a lot and take nothing.
    let mut greedy = vec![];
    for _ in 0..20 {
        let mut connection = Connection::open_small(server.address, attacker(1)).await.unwrap();
        let request = get("/openapi.json", None).repeat(60);
        let _ =
            tokio::time::timeout(Duration::from_millis(5), connection.stream.write_all(&request))
                .await;
        greedy.push(connection);
    }
    let (attacked, _) = health(&server).await;
    within("answers that nobody takes", attacked, median, 8);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    for connection in &mut greedy {
        let mut rest = vec![];
        let read = connection.stream.read_to_end(&mut rest);
        let ended = tokio::time::timeout(Duration::from_secs(5), read).await;
        assert!(ended.is_ok(), "it is still open");
    }
}

/// A key that became a pipe is no key, and nothing waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_in_place_of_the_tls_key_stops_nothing() {
    let _turn = alone().await;
    if !server::has_peers(&["curl", "openssl"]) {
        return;
    }
    // One thread, so that it shows at once whether that one waits.
    let mut server = Server::start(&[server::TLS, "TOKIO_WORKER_THREADS=1"]).await;
    let mut times = vec![];
    for attacked in [false, true] {
        if attacked {
            let key = server.path("privkey.pem");
            std::fs::remove_file(&key).unwrap();
            assert!(Command::new("mkfifo").arg(&key).status().unwrap().success());
            server.signal("HUP");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let mut of_these = vec![];
        for _ in 0..7 {
            let begun = Instant::now();
            let url = format!("https://{}/health/live", server.address);
            let asked = Command::new("curl").args(["-ks", "--max-time", "5", &url]).output();
            assert!(asked.unwrap().status.success() || attacked);
            of_these.push(begun.elapsed());
        }
        of_these.sort();
        times.push(of_these[3]);
    }
    within("health over HTTPS", times[1], times[0], 8);
    server.signal("TERM");
    let ended = server.ended(Duration::from_secs(15));
    assert_eq!(ended.expect("it does not stop").code(), Some(0));
}

/// What was a request's is a message of its own: JSON that both sides know.
#[test]
fn requests_are_well_formed() {
    let request = post("/x", "key", &json!({"a": 1}));
    assert!(request.ends_with(b"Content-Length: 7\r\n\r\n{\"a\":1}"));
}
