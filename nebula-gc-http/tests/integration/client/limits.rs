//! What the client refuses to send, to take in or to wait for.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use nebula_gc_http::client::{AnswerFault, Client, ClientError, Request, ServerUrl};
use nebula_gc_http::server::{Limits, Server, Tls};
use nebula_gc_http::wire::Desired;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::client;
use crate::support::shell::{has_programs, make_tls};

/// Sends a beginning, and then a part over and over, until the client has had enough; an empty part
/// never.
async fn endless(begin: &'static str, part: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let count = stream.read(&mut request).await.unwrap();
            assert_ne!(count, 0, "the request was cut");
            stream.write_all(begin.as_bytes()).await.unwrap();
            if part.is_empty() {
                std::future::pending::<()>().await;
            }
            while stream.write_all(part.as_bytes()).await.is_ok() {}
        }
    });
    address
}

#[tokio::test]
async fn an_answer_of_gigabytes_is_not_taken_in() {
    let begin = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let address = endless(begin, format!("10000\r\n{}\r\n", "x".repeat(0x10000))).await;
    let refused = client(address).send(Request::get("/a").at_most(1 << 20)).await.unwrap_err();
    let limit = AnswerFault::TooLarge { limit: 1 << 20 };
    assert!(matches!(&refused, ClientError::Unexpected { fault, .. } if *fault == limit));
}

#[tokio::test]
async fn a_head_without_end_is_not_taken_in() {
    let address = endless("HTTP/1.1 200 OK\r\n", format!("a: {}\r\n", "x".repeat(1000))).await;
    let refused = client(address).send(Request::get("/a")).await.unwrap_err();
    assert!(matches!(refused, ClientError::Broken { .. }), "{refused}");
}

#[tokio::test]
async fn a_poll_that_never_ends_ends() {
    let begin = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let address = endless(begin, String::new()).await;
    let client = client(address).with_patience(Duration::from_millis(100));
    let late = client.watch_own_node(Desired::default(), Duration::ZERO).await.unwrap_err();
    assert!(matches!(late, ClientError::Timeout { .. }), "{late}");
}

/// An address of this machine that is not the loopback's, if it has one.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent.
    socket.connect("198.51.100.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    Some(address).filter(|address| !address.is_loopback() && !address.is_unspecified())
}

#[tokio::test]
async fn a_secret_goes_over_plain_http_within_the_machine_only_unless_asked_for() {
    let Some(own) = own_address() else {
        eprintln!("skipped: this machine has the loopback's addresses only");
        return;
    };
    let listener = TcpListener::bind((own, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().fallback(async || "{}");
    tokio::spawn(Server::new(listener, router).run(std::future::pending()));
    let client = || Client::new(&format!("http://{address}")).unwrap();
    let refused = client().with_key("secret").send(Request::get("/a")).await.unwrap_err();
    assert!(matches!(refused, ClientError::PlainHttp { .. }), "{refused}");
    assert!(refused.to_string().contains(&address.to_string()), "{refused}");
    client().send(Request::get("/a")).await.unwrap();
    // A body may hold one, too.
    let body = Request::post("/a", serde_json::json!({}));
    let refused = client().send(body).await.unwrap_err();
    assert!(matches!(refused, ClientError::PlainHttp { .. }), "{refused}");
    client().with_key("secret").allow_plain_http().send(Request::get("/a")).await.unwrap();
}

#[tokio::test]
async fn a_server_is_known_by_its_current_or_its_next_key() {
    if !has_programs(&["openssl"]) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    make_tls(place.path(), "s");
    let file = |name: &str| place.path().join(name);
    let tls = Tls::load(file("s.crt"), file("s.key")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(async || "{}");
    let server = Server::new(listener, router).limits(Limits::default()).tls(tls.clone());
    tokio::spawn(server.run(std::future::pending()));
    for (pins, is_known) in [
        (vec![tls.pin()], true),
        (vec![tls.pin(), [1; 32]], true),
        (vec![[1; 32], tls.pin()], true),
        (vec![[1; 32]], false),
    ] {
        let client = Client::over(vec![ServerUrl { url: url.clone(), pins }]).unwrap();
        match client.with_key("secret").send(Request::get("/a")).await {
            Ok(_) => assert!(is_known),
            Err(refused) => {
                assert!(!is_known && matches!(refused, ClientError::OtherKey { .. }), "{refused}");
                let said = "the server has another key; ask for a new link";
                assert!(refused.to_string().ends_with(said), "{refused}");
            }
        }
    }
}
