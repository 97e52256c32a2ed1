//! What connections may take, and how serving ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::fleet::Fleet;
use axum::routing::get;
use axum::{Extension, Router};
use nebula_gc_http::api::{Public, Stopping};
use nebula_gc_http::server::{Limits, Server, ServerError, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

on_both_engines! {
    nodes_that_wait_are_answered_when_the_server_stops
}

const REQUEST: &[u8] = b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n";
/// An answer that fits into nobody's buffers.
const LARGE: usize = 32 << 20;
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Result<(), ServerError>>,
    /// A permit for each request that has begun to wait.
    waiting: Arc<Semaphore>,
}

impl Running {
    async fn start(limits: Limits) -> Self {
        let waiting = Arc::new(Semaphore::new(0));
        let (polls, stuck) = (Arc::clone(&waiting), Arc::clone(&waiting));
        let router = Router::new()
            .route("/live", get(async || "live"))
            .route("/large", get(async || "x".repeat(LARGE)))
            .route(
                "/public",
                get(async |Extension(public): Extension<Public>| public.url.unwrap().to_string()),
            )
            .route(
                "/poll",
                get(async move |Extension(mut stopping): Extension<Stopping>| {
                    polls.add_permits(1);
                    stopping.wait().await;
                    "stopping"
                }),
            )
            .route(
                "/stuck",
                get(async move || {
                    stuck.add_permits(1);
                    std::future::pending::<&str>().await
                }),
            );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = Server::new(listener, router).limits(limits);
        let serving = tokio::spawn(server.run(async { drop(stopped.await) }));
        Self { address, stop: Some(stop), serving, waiting }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn waits(&self) {
        tokio::time::timeout(PATIENCE, self.waiting.acquire()).await.unwrap().unwrap().forget();
    }

    fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    async fn ended(self) {
        tokio::time::timeout(PATIENCE, self.serving).await.unwrap().unwrap().unwrap();
    }
}

/// Everything until the connection ends.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text)).await.unwrap().unwrap();
    text
}

/// One answer of a connection that stays.
async fn answer(stream: &mut TcpStream, ending: &str) -> String {
    let mut text = Vec::new();
    let read = async {
        while !text.ends_with(ending.as_bytes()) {
            text.push(stream.read_u8().await.unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let server = Running::start(Limits::default()).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream.write_all(REQUEST).await.unwrap();
        assert!(answer(&mut stream, "live").await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    stream
        .write_all(b"GET /public HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let address = server.address;
    assert!(rest(&mut stream).await.ends_with(&format!("\r\n\r\nhttp://{address}")));
}

#[tokio::test]
async fn a_head_that_does_not_arrive_in_time_ends_the_connection() {
    let header_time = Duration::from_millis(200);
    let server = Running::start(Limits { header_time, ..Limits::default() }).await;
    for sent in [&b""[..], b"GET /live HTTP/1.1\r\nHo"] {
        let begun = Instant::now();
        let mut stream = server.connect().await;
        stream.write_all(sent).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(!answer.contains("200 OK"), "{answer}");
        assert!(begun.elapsed() >= header_time);
    }
    // One that was used and then idles ends as well.
    let mut stream = server.connect().await;
    stream.write_all(REQUEST).await.unwrap();
    assert!(rest(&mut stream).await.ends_with("live"));
}

#[tokio::test]
async fn a_wait_is_not_ended_by_the_time_for_heads() {
    let header_time = Duration::from_millis(100);
    let mut server = Running::start(Limits { header_time, ..Limits::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /poll HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    server.waits().await;
    // A second connection's end shows that the time has passed.
    assert_eq!(rest(&mut server.connect().await).await.find("200 OK"), None);
    server.stop();
    assert!(rest(&mut stream).await.ends_with("stopping"));
}

#[tokio::test]
async fn past_the_limit_a_connection_waits_for_another_to_end() {
    let server = Running::start(Limits { connections: 2, ..Limits::default() }).await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    for stream in [&mut first, &mut second] {
        stream.write_all(REQUEST).await.unwrap();
        answer(stream, "live").await;
    }
    let mut third = server.connect().await;
    third.write_all(REQUEST).await.unwrap();
    // The two go on being served, and the third is not.
    for stream in [&mut first, &mut second] {
        stream.write_all(REQUEST).await.unwrap();
        answer(stream, "live").await;
    }
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(100), third.read(&mut byte)).await;
    assert!(early.is_err(), "the third was served: {early:?}");
    drop(first);
    answer(&mut third, "live").await;
}

#[tokio::test]
async fn stopping_lets_requests_finish_and_ends_idle_connections_and_waits() {
    let mut server = Running::start(Limits::default()).await;
    let (mut idle, mut poll) = (server.connect().await, server.connect().await);
    idle.write_all(REQUEST).await.unwrap();
    answer(&mut idle, "live").await;
    poll.write_all(b"GET /poll HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    server.waits().await;
    server.stop();
    assert_eq!(rest(&mut idle).await, "");
    assert!(rest(&mut poll).await.ends_with("stopping"));
    let address = server.address;
    server.ended().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut() {
    let grace = Duration::from_millis(200);
    let mut server = Running::start(Limits { grace, ..Limits::default() }).await;
    let mut stuck = server.connect().await;
    stuck.write_all(b"GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    server.waits().await;
    let asked = Instant::now();
    server.stop();
    server.ended().await;
    assert!(asked.elapsed() >= grace);
    assert_eq!(rest(&mut stuck).await, "");
}

#[tokio::test]
async fn a_head_larger_than_the_buffer_is_refused() {
    let server = Running::start(Limits::default()).await;
    let mut stream = server.connect().await;
    let head = format!("GET /live HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(9000));
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    is_a_problem(&answer, 431, "head_too_large");
}

/// The library between us and the network refuses them before we see them.
#[tokio::test]
async fn what_is_no_request_is_refused_with_a_problem_document() {
    let server = Running::start(Limits::default()).await;
    for request in [
        &b"GET\r\n\r\n"[..],
        b"GET /live HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /live\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 HTTPS here\r\n\r\n",
    ] {
        let mut stream = server.connect().await;
        stream.write_all(request).await.unwrap();
        is_a_problem(&rest(&mut stream).await, 400, "invalid_request");
    }
    let mut stream = server.connect().await;
    let line = format!("GET /live?{} HTTP/1.1\r\n", "x".repeat(70_000));
    // It need not take all of it.
    let _ = stream.write_all(line.as_bytes()).await;
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert!(start == *b"HTTP/1.1 431" || start == *b"HTTP/1.1 414");
}

#[track_caller]
fn is_a_problem(answer: &str, status: u16, code: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["status"], &body["code"]), (&status.into(), &code.into()), "{body}");
}

#[tokio::test]
async fn an_address_that_has_its_connections_gets_no_more() {
    let limits = Limits { connections_per_address: 2, ..Limits::default() };
    let server = Running::start(limits).await;
    let mut held = vec![server.connect().await, server.connect().await];
    for stream in &mut held {
        stream.write_all(REQUEST).await.unwrap();
        answer(stream, "live").await;
    }
    let mut third = server.connect().await;
    let mut byte = [0];
    let ended = tokio::time::timeout(PATIENCE, third.read(&mut byte)).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    // Another address is not concerned, and one that ends makes room.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(server.address).await.unwrap();
    other.write_all(REQUEST).await.unwrap();
    answer(&mut other, "live").await;
    held.pop();
    let served = async {
        loop {
            let mut next = server.connect().await;
            if next.write_all(REQUEST).await.is_ok()
                && next.read(&mut byte).await.is_ok_and(|n| n > 0)
            {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, served).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_nobody_takes_ends_the_connection() {
    let response_time = Duration::from_millis(300);
    let server = Running::start(Limits { response_time, ..Limits::default() }).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(response_time * 4).await;
    let mut taken = vec![];
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut taken)).await;
    assert!(read.is_ok(), "it is still open");
    assert!(taken.len() < LARGE, "all of it was there");
}

async fn nodes_that_wait_are_answered_when_the_server_stops(fleet: Fleet) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let serving = tokio::spawn(serve(listener, Arc::clone(&fleet.service), stopped));
    let mut polls = vec![];
    for name in ["one", "two", "three"] {
        let member = fleet.enroll(name).await;
        let (revision, generation) = member.enrolled.desired;
        let token = member.request.token.expose();
        let path = format!(
            "/api/v1/node/watch?revision={revision}&generation={generation}&waitSeconds=50"
        );
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        polls.push(stream);
    }
    let all = async {
        while fleet.service.waiting_polls() < polls.len() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap();
    let asked = Instant::now();
    stop.send(()).unwrap();
    for poll in &mut polls {
        assert!(rest(poll).await.starts_with("HTTP/1.1 204 No Content\r\n"));
    }
    serving.await.unwrap().unwrap();
    // Not because they were cut.
    assert!(asked.elapsed() < Limits::default().grace);
    assert_eq!(fleet.service.waiting_polls(), 0);
}
