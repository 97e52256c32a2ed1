//! Several servers: which of them is asked, and what is asked again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nebula_gc_http::client::{Client, ClientError, Request, ServerUrl};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{answer, server};

const DENIED: &str = r#"{"status": 403, "code": "forbidden", "detail": "may not"}"#;
const BUSY: &str = r#"{"status": 503, "code": "unavailable", "detail": "later"}"#;

fn client(servers: &[SocketAddr]) -> Client {
    let url = |address| ServerUrl { url: format!("http://{address}"), pins: vec![] };
    Client::over(servers.iter().map(url).collect()).unwrap().with_key("secret")
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// How many requests a server got that has more answers than it gave.
async fn asked_so_far(address: SocketAddr, serving: JoinHandle<Vec<String>>) -> usize {
    let direct = client(&[address]);
    while !serving.is_finished() {
        direct.send(Request::get("/end")).await.unwrap();
    }
    serving.await.unwrap().iter().filter(|asked| !asked.contains("/end")).count()
}

#[tokio::test]
async fn what_a_server_did_not_get_goes_to_the_next_one_which_is_kept() {
    let made = || answer("201 Created", "{}");
    let (second, asked) = server(vec![made(), made()]).await;
    let client = client(&[nobody().await, second]);
    for _ in 0..2 {
        // It could not be repeated.
        let done = client.send(Request::post("/a", json!({}))).await.unwrap();
        assert_eq!((done.status, done.server), (201, format!("http://{second}")));
    }
    assert_eq!(asked.await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_may_have_been_done_is_not_asked_of_another_server() {
    for failure in [String::new(), answer("502 Bad Gateway", "<html>"), answer("503 Busy", BUSY)] {
        let (first, _) = server(vec![failure.clone()]).await;
        let (second, asked) = server(vec![answer("200 OK", "{}")]).await;
        let failed = client(&[first, second]).send(Request::post("/a", json!({}))).await;
        let said = failed.unwrap_err().to_string();
        assert!(said.contains(&first.to_string()), "{failure}: {said}");
        assert_eq!(asked_so_far(second, asked).await, 0, "{failure}");
    }
}

#[tokio::test]
async fn what_may_be_repeated_goes_to_the_next_server() {
    for failure in [String::new(), answer("502 Bad Gateway", "<html>"), answer("503 Busy", BUSY)] {
        let (first, _) = server(vec![failure.clone()]).await;
        let (second, asked) = server(vec![answer("200 OK", "{}")]).await;
        let request = Request::post("/a", json!({})).idempotency_key("k").unwrap();
        client(&[first, second]).send(request).await.unwrap();
        assert!(asked.await.unwrap()[0].contains("idempotency-key: k\r\n"), "{failure}");
    }
}

#[tokio::test]
async fn what_the_control_plane_refuses_no_other_server_is_asked() {
    let (first, _) = server(vec![answer("403 Forbidden", DENIED)]).await;
    let (second, asked) = server(vec![answer("200 OK", "{}")]).await;
    let refused = client(&[first, second]).send(Request::get("/a")).await.unwrap_err();
    assert_eq!(refused.problem().unwrap().code, "forbidden");
    assert_eq!(asked_so_far(second, asked).await, 0);
}

#[tokio::test]
async fn every_failure_names_its_server() {
    let (one, two) = (nobody().await, nobody().await);
    let client = client(&[one, two]);
    let failed = client.send(Request::post("/a", json!({}))).await.unwrap_err();
    let said = failed.to_string();
    assert!(said.contains(&one.to_string()) && said.contains(&two.to_string()), "{said}");
    assert!(matches!(&failed, ClientError::AllFailed { failures } if failures.len() == 2));
    assert!(failed.is_passing());
    assert!(matches!(Client::over(vec![]), Err(ClientError::NoServers)));
}

#[tokio::test]
async fn a_short_retry_after_is_waited_and_a_long_one_is_the_callers() {
    let busy = |seconds: u32| answer(&format!("503 Busy\r\nRetry-After: {seconds}"), BUSY);
    let (address, asked) = server(vec![busy(1), answer("200 OK", "{}")]).await;
    let begun = Instant::now();
    client(&[address]).send(Request::get("/a")).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(asked.await.unwrap().len(), 2);

    let (address, asked) = server(vec![busy(3600)]).await;
    let refused = client(&[address]).send(Request::get("/a")).await.unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(3600)));
    assert_eq!(asked.await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_kept_connection_that_ended_costs_a_change_nothing() {
    // `Connection: close` is not said: the client keeps the connection that the server then ends.
    let kept = || "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}".to_owned();
    let (address, asked) = server(vec![kept(), kept()]).await;
    let client = client(&[address]);
    client.send(Request::post("/a", json!({}))).await.unwrap();
    // The server has ended the first connection once it waits for the second.
    tokio::task::yield_now().await;
    client.send(Request::post("/b", json!({}))).await.unwrap();
    assert_eq!(asked.await.unwrap().len(), 2);
}
